//! The whole method on real transformers against exactly enumerated posteriors.

mod common;

use amortize_gfn::Query;
use amortize_lm::{Model, Policy};
use amortize_train::config::RewardMask;
use amortize_train::reward::Target;
use amortize_train::task::{Prompt, Task};
use amortize_train::trainer::Trainer;
use common::Rugged;

/// What a sampler is trained towards: the reward, and log R of a sequence to compare with, in nats.
type Truth<'a> = &'a dyn Fn(&Query, &[u32]) -> f64;

/// Largest total variation over the prompts between the policy and the exact target R^(1/T), both listed in full.
fn total_variation(trainer: &Trainer, truth: Truth, lengths: [usize; 2], temperature: f64) -> f64 {
    let sequences = common::every_sequence(lengths[0], lengths[1]);
    let distance = |prompt: &Prompt| {
        let target = tempered_target(&sequences, truth, prompt, temperature);
        let policy = common::probabilities(trainer.policy(), trainer.task, &sequences, prompt, lengths[1]);
        assert!((policy.iter().sum::<f64>() - 1.0).abs() < 1e-4, "the policy stays inside its action space");
        0.5 * target.iter().zip(&policy).map(|(p, q)| (p - q).abs()).sum::<f64>()
    };
    trainer.task.train.iter().map(distance).fold(0.0, f64::max)
}

fn tempered_target(sequences: &[Vec<u32>], truth: Truth, prompt: &Prompt, temperature: f64) -> Vec<f64> {
    let weights: Vec<f64> = sequences.iter().map(|z| (truth(&prompt.query, z) / temperature).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / total).collect()
}

const SETS: [&str; 12] = [
    "adapter.rank=16",
    "adapter.alpha=16",
    "adapter.dropout=0",
    "reward.temperature_start=1.0",
    "reward.temperature_end=0.7",
    "reward.temperature_horizon=50",
    "reward.floor=-6",
    "train.queries_per_step=2",
    "train.samples_per_query=32",
    "optimizer.learning_rate=6e-3",
    "optimizer.warmup_steps=5",
    "optimizer.decay=linear",
];

fn train(model: &Model, lengths: [usize; 2], zeros: f64, sets: &[&str]) -> f64 {
    let task = common::task(model, lengths[0], lengths[1]);
    let rugged = Rugged { zeros };
    train_towards(model, &task, Target::new(Rugged { zeros }), &|query, z| rugged.log_reward(query, z), sets)
}

/// Trains on a task, and gives the total variation that is left.
fn train_towards(model: &Model, task: &Task, target: Target, truth: Truth, sets: &[&str]) -> f64 {
    let config = common::config(&[&SETS, sets].concat());
    let lengths = [task.actions.min_length, task.actions.max_length];
    let mut trainer = Trainer::new(&config, model, task, target).expect("a trainer");
    let before = total_variation(&trainer, truth, lengths, 0.7);
    assert!(before > 0.2, "nothing to learn: {before}");
    for _ in 0..config.train.steps {
        trainer.step().expect("a step");
    }
    total_variation(&trainer, truth, lengths, 0.7)
}

#[test]
fn subtb_reaches_the_exact_posterior_at_every_minimum_length() {
    let model = common::model("llama-tiny");
    for min_length in 0..=3 {
        let distance = train(&model, [min_length, 3], 0.0, &["train.steps=400"]);
        assert!(distance < 0.02, "minimum length {min_length}: total variation {distance}");
    }
}

#[test]
fn zero_rewards_are_learned_too() {
    let model = common::model("llama-tiny");
    for min_length in [0, 2] {
        let distance = train(&model, [min_length, 3], 0.3, &["train.steps=800"]);
        assert!(distance < 0.02, "minimum length {min_length}: total variation {distance}");
    }
}

#[test]
fn other_objectives_reach_it_as_well() {
    let model = common::model("llama-tiny");
    for sets in [
        &["objective.name=vargrad"][..],
        &["objective.name=db"],
        &["objective.name=tb", "objective.root_flow=learned", "objective.log_z_learning_rate=0.05"],
        &[
            "objective.lambda=0.9",
            "objective.normaliser=trajectory",
            "objective.root_flow=learned",
            "objective.log_z_learning_rate=0.05",
        ],
    ] {
        let distance = train(&model, [1, 3], 0.0, &[sets, &["train.steps=500"]].concat());
        assert!(distance < 0.02, "{sets:?}: total variation {distance}");
    }
}

/// p(Z | X, Y) of paper section 4.2: the policy reads a prompt of its own with X and Y in it, and the base model, which
/// gives the reward, the text X Z stop Y.
#[test]
fn infilling_reaches_the_exact_posterior() {
    for model in ["llama-tiny", "gpt2-tiny"].map(common::model) {
        let mut task = common::task(&model, 1, 3);
        let prompt = |x: &[u32], y: &[u32]| {
            let prompt = [&[50], x, &[51], y, &[52]].concat();
            let query = Query::new(x.to_vec(), y.to_vec()).with_prompt(prompt);
            Prompt { text: format!("{x:?}"), suffix: Some(format!("{y:?}")), query }
        };
        // One X with two Ys: only a policy that heeds Y can fit both.
        task.train = vec![prompt(&[3, 4, 5], &[40, 41]), prompt(&[3, 4, 5], &[20, 60, 61, 62])];
        let base = Policy::base(&model);
        let truth = |query: &Query, z: &[u32]| {
            let text = |stop: u32| [z, &[stop], &query.y].concat();
            let p = |stop| base.score_completion(&query.x, &text(stop)).expect("it scores").iter().sum::<f64>().exp();
            common::STOPS.map(p).iter().sum::<f64>().ln()
        };
        let target = Target::infilling(base, &task.actions, RewardMask::Zero);
        let sets = ["train.steps=400", "reward.floor=-100"];
        let distance = train_towards(&model, &task, target, &truth, &sets);
        assert!(distance < 0.01, "total variation {distance}");
    }
}

/// A task whose prompts are texts, and the product of `terms` as its target.
fn train_terms(model: &Model, terms: &str, truth: Truth) -> f64 {
    let mut task = common::task(model, 1, 3);
    let prompt = |x: &str| {
        let query = Query::new(model.tokenizer.encode_prompt(x).expect("tokens"), vec![]);
        Prompt { text: x.into(), suffix: None, query: query.with_texts([("x".to_string(), x.to_string())].into()) }
    };
    task.train = vec![prompt("She"), prompt("He is")];
    let terms = common::config(&[&format!("reward.terms=[{terms}]")]).reward.terms;
    let target = Target::product(&terms, Policy::base(model), &task.actions, RewardMask::Zero).expect("a target");
    // The fixtures' probabilities are far apart: short steps, and every trajectory counts alike.
    let sets = [
        "train.steps=600",
        "reward.floor=-30",
        "objective.normaliser=trajectory",
        "optimizer.learning_rate=3e-3",
        "optimizer.clip_norm=10",
    ];
    train_towards(model, &task, target, truth, &sets)
}

/// log p(Z stop | text), the stops taken together.
fn log_p(model: &Model, text: &str, z: &[u32]) -> f64 {
    let x = model.tokenizer.encode_prompt(text).expect("tokens");
    let log_p = |stop| Policy::base(model).score_completion(&x, &[z, &[stop]].concat()).expect("it scores");
    common::STOPS.map(|stop| log_p(stop).iter().sum::<f64>().exp()).iter().sum::<f64>().ln()
}

/// p(Z | X) given that a pattern matches.
#[test]
fn a_constrained_likelihood_reaches_the_exact_posterior() {
    for model in ["llama-tiny", "gpt2-tiny"].map(common::model) {
        // The first token at most once, and not at the end.
        let [once, others] = [&common::TOKENS[..1], &common::TOKENS[1..]].map(|tokens| {
            tokens.iter().map(|token| regex::escape(model.tokenizer.token_text(*token))).collect::<Vec<_>>()
        });
        let others = format!("({})", others.join("|"));
        let pattern = format!("^{others}*({})?{others}+$", once[0]);
        let regex = regex::Regex::new(&pattern).expect("a pattern");
        let truth = |query: &Query, z: &[u32]| match regex.is_match(&model.tokenizer.decode(z)) {
            true => log_p(&model, &query.texts["x"], z),
            false => f64::NEG_INFINITY,
        };
        let allowed =
            common::every_sequence(1, 3).iter().filter(|z| regex.is_match(&model.tokenizer.decode(z))).count();
        assert_eq!(allowed, 2 + 6 + 16, "{pattern}");
        let terms = format!(r#"{{kind = "likelihood"}}, {{kind = "regex", pattern = {}}}"#, toml::Value::from(pattern));
        let distance = train_terms(&model, &terms, &truth);
        assert!(distance < 0.02, "total variation {distance}");
    }
}

/// p(Z | X)^0.9 / p(Z)^0.4: what X makes likelier.
#[test]
fn a_contrastive_reward_reaches_the_exact_posterior() {
    for model in ["llama-tiny", "gpt2-tiny"].map(common::model) {
        let truth = |query: &Query, z: &[u32]| 0.9 * log_p(&model, &query.texts["x"], z) - 0.4 * log_p(&model, "", z);
        let terms = r#"{kind = "likelihood", exponent = 0.9}, {kind = "likelihood", prefix = "", exponent = -0.4}"#;
        let distance = train_terms(&model, terms, &truth);
        assert!(distance < 0.02, "total variation {distance}");
    }
}

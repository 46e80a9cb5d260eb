//! The baselines on real transformers, against what they should converge to, listed in full.

mod common;

use amortize_gfn::{StopReason, Trajectory};
use amortize_lm::{Model, Policy};
use amortize_train::config::MethodName;
use amortize_train::reward::Target;
use amortize_train::seeds::Demonstration;
use amortize_train::task::Task;
use amortize_train::trainer::Trainer;
use common::Rugged;

const SETS: [&str; 9] = [
    "adapter.rank=16",
    "reward.temperature_start=1.0",
    "reward.temperature_end=1.0",
    "train.queries_per_step=2",
    "train.samples_per_query=64",
    "train.steps=300",
    "optimizer.warmup_steps=5",
    "optimizer.decay=linear",
    "optimizer.learning_rate=3e-3",
];

fn trained<'a>(model: &'a Model, task: &'a Task, sets: &[&str], demonstrations: Vec<Demonstration>) -> Trainer<'a> {
    let config = common::config(&[&SETS, sets].concat());
    let mut trainer = Trainer::new(&config, model, task, Target::new(Rugged { zeros: 0.0 })).expect("a trainer");
    if config.train.method == MethodName::Sft {
        trainer.demonstrate(demonstrations);
    }
    for _ in 0..config.train.steps {
        trainer.step().expect("a step");
    }
    trainer
}

/// Of every prompt: log R, the base model's probability and the policy's, of all sequences.
fn listed(trainer: &Trainer, lengths: [usize; 2]) -> Vec<Vec<(f64, f64, f64)>> {
    let sequences = common::every_sequence(lengths[0], lengths[1]);
    let of_prompt = |prompt| {
        let base = common::probabilities(Policy::base(trainer.model), trainer.task, &sequences, prompt, lengths[1]);
        let policy = common::probabilities(trainer.policy(), trainer.task, &sequences, prompt, lengths[1]);
        let log_reward = sequences.iter().map(|z| Rugged { zeros: 0.0 }.log_reward(&prompt.query, z));
        log_reward.zip(base).zip(policy).map(|((reward, base), policy)| (reward, base, policy)).collect()
    };
    trainer.task.train.iter().map(of_prompt).collect()
}

/// The maximum of E[log R] - beta KL(q || p) is p R^(1/beta), normalised.
#[test]
fn ppo_reaches_what_maximises_its_return() {
    let model = common::model("llama-tiny");
    let task = common::task(&model, 1, 3);
    for beta in [1.0, 0.5] {
        let coefficient = format!("ppo.kl_coefficient={beta}");
        let trainer = trained(&model, &task, &["train.method=ppo", &coefficient], vec![]);
        for prompt in listed(&trainer, [1, 3]) {
            let weights: Vec<f64> = prompt.iter().map(|(reward, base, _)| base * (reward / beta).exp()).collect();
            let total: f64 = weights.iter().sum();
            let distance = |of: &dyn Fn(&(f64, f64, f64)) -> f64| -> f64 {
                let pairs = weights.iter().zip(&prompt);
                pairs.map(|(weight, listed)| (weight / total - of(listed)).abs()).sum::<f64>() / 2.0
            };
            let (before, after) = (distance(&|listed| listed.1), distance(&|listed| listed.2));
            assert!(before > 0.2 && after < 0.04, "beta {beta}: total variation {before} to {after}");
        }
    }
}

/// Without a penalty it goes for the best sequences and forgets the others: what the paper has against it.
#[test]
fn ppo_alone_collapses() {
    let model = common::model("llama-tiny");
    let task = common::task(&model, 1, 3);
    let trainer = trained(&model, &task, &["train.method=ppo", "ppo.kl_coefficient=0"], vec![]);
    for prompt in listed(&trainer, [1, 3]) {
        let best = prompt.iter().map(|(reward, ..)| *reward).fold(f64::NEG_INFINITY, f64::max);
        let mean = |of: &dyn Fn(&(f64, f64, f64)) -> f64| prompt.iter().map(|one| of(one) * one.0).sum::<f64>();
        assert!(mean(&|one| one.2) > best - 0.3 && mean(&|one| one.1) < best - 0.8);
        let entropy = -prompt.iter().map(|(.., q)| if *q > 0.0 { q * q.ln() } else { 0.0 }).sum::<f64>();
        assert!(entropy < 1.0, "of at most {:.2} nats: {entropy}", (prompt.len() as f64).ln());
    }
}

/// A text that is shown twice as often is as much likelier.
#[test]
fn imitation_reaches_the_shares_of_the_data() {
    let model = common::model("gpt2-tiny");
    let task = common::task(&model, 1, 3);
    let shown = [(&[20][..], 1), (&[21, 22], 2), (&[22, 20, 21], 5)];
    let demonstration = |z: &[u32], number: usize| {
        let forced = z.len() == 3;
        let stop = if forced { StopReason::MaxLength } else { StopReason::Stop { token: common::STOPS[number % 2] } };
        let query = task.train[number].query.clone();
        let log_reward = vec![0.0; z.len() + 1];
        Demonstration { query, trajectory: Trajectory { z: z.to_vec(), stop }, log_reward }
    };
    let all = shown.iter().flat_map(|(z, times)| (0..2 * times).map(move |number| demonstration(z, number % 2)));
    let sets = ["train.method=sft", "train.samples_per_query=8"];
    let trainer = trained(&model, &task, &sets, all.collect());
    let sequences: Vec<Vec<u32>> = shown.iter().map(|(z, _)| z.to_vec()).collect();
    for prompt in &task.train {
        let found = common::probabilities(trainer.policy(), &task, &sequences, prompt, 3);
        for (found, (z, times)) in found.iter().zip(shown) {
            assert!((found - times as f64 / 8.0).abs() < 0.02, "{z:?}: {found}");
        }
    }
}

#[test]
fn a_batch_in_parts_gives_the_same_ppo_gradient() {
    let model = common::model("llama-tiny");
    let task = common::task(&model, 1, 3);
    let after = |micro_batch: &str| {
        let sets = ["train.method=ppo", "train.steps=3", "optimizer.warmup_steps=0", micro_batch];
        let trainer = trained(&model, &task, &sets, vec![]);
        trainer.state.adapter.named().flat_map(|(_, tensor)| tensor.to_host()).collect::<Vec<f32>>()
    };
    let (whole, parts) = (after("train.micro_batch=0"), after("train.micro_batch=5"));
    whole.iter().zip(&parts).for_each(|(a, b)| assert!((a - b).abs() < 1e-4, "{a} {b}"));
}

#[test]
fn a_prompt_is_a_run_without_steps() {
    let config = common::config(&["train.method=prompt", "train.steps=50"]);
    assert_eq!(config.train.steps, 0);
    let again = amortize_train::config::Config::from_toml(&config.to_toml().expect("TOML"), "run", &[]);
    assert_eq!(again.expect("it loads back"), config);
}

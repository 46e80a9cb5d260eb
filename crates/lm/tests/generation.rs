//! Sampling against scoring: the same log-probabilities, and frequencies that match them.

mod common;

use std::collections::BTreeMap;

use amortize_lm::actions::{ActionSpace, StopRule, TokenMask};
use amortize_lm::{Draw, Forest, Generated, LmError, Model, Policy, Questions, generate};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// A few tokens, two of which stop, so that all sequences can be listed.
fn small_space(model: &Model, min_length: usize, max_length: usize) -> ActionSpace {
    let vocab_size = model.config.vocab_size;
    let allowed = TokenMask::all(vocab_size).only(&[20, 21, 22]);
    ActionSpace::new(vocab_size, allowed, StopRule::tokens(&[30, 31]), min_length, max_length).expect("a space")
}

fn wide_space(model: &Model) -> ActionSpace {
    let vocab_size = model.config.vocab_size;
    let allowed = TokenMask::all(vocab_size).without(&[5, 9]);
    ActionSpace::new(vocab_size, allowed, StopRule::tokens(&[30, 31, 32]), 2, 9).expect("a space")
}

/// log q of a finished sequence by scoring it, one question at a time.
fn log_q(policy: Policy, prompt: &[u32], tokens: &[u32], actions: &ActionSpace) -> f64 {
    let mut forest = Forest::new();
    let root = forest.root(0, prompt);
    let leaf = forest.child(root, prompt.len(), tokens);
    let mut total = 0.0;
    for k in 0..=tokens.len() {
        let step = actions.at(&tokens[..k]);
        let mut questions = Questions::new();
        let mask = questions.add_mask(actions.mask(step.mask).clone());
        let row = forest.row_at(leaf, prompt.len() + k - 1);
        if k < tokens.len() {
            questions.ask(row, tokens[k], Some(mask));
        } else if !step.forced {
            step.stop.iter().for_each(|stop| _ = questions.ask(row, *stop, Some(mask)));
        } else {
            continue;
        }
        let answers = policy.score(&forest, &questions).expect("it scores");
        total += answers.iter().map(|answer| answer.exp()).sum::<f64>().ln();
    }
    total
}

fn draws(prompts: usize, each: usize, policy_temperature: f64) -> Vec<Draw> {
    let numbered = (0..prompts).flat_map(|prompt| (0..each).map(move |i| (prompt, i)));
    numbered.map(|(prompt, i)| Draw { prompt, policy_temperature, seed: (prompt * each + i) as u64 }).collect()
}

#[test]
fn cached_generation_gives_the_log_probabilities_of_scoring() {
    for name in ["gpt2-tiny", "llama-tiny", "llama3-rope"] {
        let model = common::model(name);
        let adapter = common::random_adapter(&model, 1, 0.2);
        let policy = Policy::adapted(&model, &adapter);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let prompts = [1, 4, 9].map(|len| common::tokens(&mut rng, &model, len));
        let actions = wide_space(&model);
        // More than decode at once, so that the batch is cut.
        let draws = draws(3, 100, 1.0);
        let generated = generate(policy, &prompts, &draws, &actions).expect("it samples");
        for (draw, generated) in draws.iter().zip(&generated).step_by(7) {
            let expected = log_q(policy, &prompts[draw.prompt], &generated.tokens, &actions);
            assert!((generated.log_q - expected).abs() < 1e-4, "{name}: {} {expected}", generated.log_q);
            assert!(actions.check(&generated.tokens, generated.stop_token).is_ok());
        }
    }
}

#[test]
fn a_draw_depends_on_its_seed_and_not_on_its_neighbours() {
    let model = common::model("llama-tiny");
    let (policy, actions) = (Policy::base(&model), wide_space(&model));
    let prompts = vec![vec![3, 4], vec![7]];
    let all = generate(policy, &prompts, &draws(2, 5, 1.0), &actions).expect("it samples");
    for (draw, expected) in draws(2, 5, 1.0).iter().zip(all) {
        let alone = generate(policy, &prompts, &[*draw], &actions).expect("it samples");
        assert_eq!((&alone[0].tokens, alone[0].stop_token), (&expected.tokens, expected.stop_token));
    }
}

/// Every sequence of a small space.
fn every_sequence(max_length: usize) -> Vec<Vec<u32>> {
    let mut all = vec![vec![]];
    let mut last = all.clone();
    for _ in 0..max_length {
        last = last.iter().flat_map(|z| [20, 21, 22].map(|token| [z.as_slice(), &[token]].concat())).collect();
        all.extend(last.clone());
    }
    all
}

#[test]
fn frequencies_of_100_000_draws_match_log_q() {
    let model = common::model("llama-tiny");
    let policy = Policy::base(&model);
    let prompt = vec![3, 4, 5];
    for (min_length, max_length) in [(0, 2), (1, 3)] {
        let actions = small_space(&model, min_length, max_length);
        let mut counts: BTreeMap<Vec<u32>, f64> = BTreeMap::new();
        for Generated { tokens, .. } in
            generate(policy, std::slice::from_ref(&prompt), &draws(1, 100_000, 1.0), &actions).expect("it samples")
        {
            *counts.entry(tokens).or_default() += 1.0;
        }
        let reachable = every_sequence(max_length).into_iter().filter(|z| z.len() >= min_length);
        let (mut chi_square, mut degrees, mut mass) = (0.0, -1.0, 0.0);
        for z in reachable {
            let q = log_q(policy, &prompt, &z, &actions).exp();
            mass += q;
            let expected = 1e5 * q;
            chi_square += (counts.remove(&z).unwrap_or(0.0) - expected).powi(2) / expected;
            degrees += 1.0;
        }
        assert!((mass - 1.0).abs() < 1e-4, "the space's probabilities sum to {mass}");
        assert!(counts.is_empty(), "a sequence outside the space was drawn: {counts:?}");
        // Mean plus five standard deviations: a correct sampler fails once in several million seeds.
        assert!(chi_square < degrees + 5.0 * f64::sqrt(2.0 * degrees), "{chi_square} with {degrees} degrees");
    }
}

#[test]
fn tempered_draws_report_the_tempered_probability() {
    let model = common::model("gpt2-tiny");
    let policy = Policy::base(&model);
    let actions = small_space(&model, 0, 1);
    let prompts = vec![vec![3, 4, 5]];
    let mut by_outcome: BTreeMap<Vec<u32>, f64> = BTreeMap::new();
    for generated in generate(policy, &prompts, &draws(1, 5000, 2.0), &actions).expect("it samples") {
        by_outcome.insert(generated.tokens, generated.log_q.exp());
    }
    let total: f64 = by_outcome.values().sum();
    assert!((total - 1.0).abs() < 1e-5, "the outcomes' tempered probabilities sum to {total}");
}

#[test]
fn prompts_that_cannot_be_continued_are_refused() {
    let model = common::model("gpt2-tiny");
    let (policy, actions) = (Policy::base(&model), wide_space(&model));
    let refused = |prompt: Vec<u32>| match generate(policy, &[prompt], &draws(1, 1, 1.0), &actions) {
        Err(LmError::Sequence(message)) => message,
        other => panic!("{other:?}"),
    };
    assert!(refused(vec![1; 60]).contains("context of 64"));
    assert!(refused(vec![]).contains("no tokens"));
    assert!(refused(vec![9999]).contains("token id 9999 is out of range"));
}

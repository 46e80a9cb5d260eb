//! What saves memory changes nothing else: activations that are computed again for the backward pass, and scores of a few
//! trees at a time.

mod common;

use amortize_lm::adapter::AdapterGradients;
use amortize_lm::decoder::{Activations, Gradients};
use amortize_lm::parameters::BaseGradients;
use amortize_lm::{Adapter, Forest, Model, Policy, Questions, ROWS_AT_ONCE};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Two prompts with four continuations each, and a question with a coefficient about every row.
fn batch(model: &Model) -> (Forest, Questions, Vec<f64>) {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let (mut forest, mut questions) = (Forest::new(), Questions::new());
    for key in 0..2 {
        let prompt = forest.root(key, &common::tokens(&mut rng, model, 6));
        for len in [1, 9, 12, 12] {
            forest.child(prompt, 6, &common::tokens(&mut rng, model, len));
        }
    }
    for row in 0..forest.tokens().len() as u32 {
        questions.ask(row, common::tokens(&mut rng, model, 1)[0], None);
    }
    let coefficients = (0..questions.len()).map(|_| rng.random_range(-1.0..1.0)).collect();
    (forest, questions, coefficients)
}

/// What is trained.
#[derive(Clone, Copy, Debug)]
struct Trained {
    adapter: bool,
    base: bool,
}

/// Log-probabilities, then all gradients.
fn run(model: &Model, adapter: &Adapter, trained: Trained, activations: Activations) -> (Vec<f64>, Vec<Vec<f32>>) {
    let device = model.decoder.device();
    let policy = if trained.adapter { Policy::adapted(model, adapter) } else { Policy::base(model) };
    let policy = policy.with_dropout(3).with_activations(activations);
    let (forest, questions, coefficients) = batch(model);
    let mut gradients = Gradients {
        adapter: trained.adapter.then(|| AdapterGradients::zeros(device, adapter)),
        base: trained.base.then(|| BaseGradients::zeros(device, model.decoder.parameters())),
    };
    let scored = policy.score_with_tape(&forest, &questions).expect("a forest scores");
    policy.backward(&forest, &questions, &scored, &coefficients, &mut gradients);
    let adapter = gradients.adapter.iter().flat_map(|adapter| adapter.tensors()).map(|tensor| tensor.to_host());
    let base = gradients.base.iter().flat_map(|base| base.by_name(model.decoder.parameters()));
    let all = adapter.chain(base.map(|(_, values)| values)).collect();
    (scored.log_probs, all)
}

#[test]
fn gradients_are_the_same_to_the_bit() {
    for name in ["gpt2-tiny", "llama-tiny", "llama3-rope"] {
        let model = common::model(name);
        let adapter = common::random_adapter(&model, 1, 0.3);
        for (adapted, base) in [(true, false), (false, true), (true, true)] {
            let trained = Trained { adapter: adapted, base };
            let kept = run(&model, &adapter, trained, Activations::Kept);
            assert!(kept.1.iter().flatten().any(|gradient| gradient.abs() > 1e-3), "there are gradients to compare");
            assert!(kept == run(&model, &adapter, trained, Activations::Recomputed), "{name} {trained:?}");
        }
    }
}

#[test]
fn what_is_computed_again_takes_no_memory_meanwhile() {
    let peak = |activations| {
        let model = common::model("llama-tiny");
        let adapter = common::random_adapter(&model, 1, 0.0);
        let before = model.decoder.device().memory().in_use;
        run(&model, &adapter, Trained { adapter: true, base: false }, activations);
        model.decoder.device().memory().peak - before
    };
    let (kept, recomputed) = (peak(Activations::Kept), peak(Activations::Recomputed));
    assert!(recomputed < kept * 4 / 5, "{recomputed} bytes against {kept}");
}

#[test]
fn scores_of_many_trees_are_those_of_one_batch() {
    for name in ["gpt2-tiny", "llama-tiny"] {
        let model = common::model(name);
        let adapter = common::random_adapter(&model, 1, 0.3);
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        let (mut forest, mut questions) = (Forest::new(), Questions::new());
        let mut leaves = Vec::new();
        for key in 0..ROWS_AT_ONCE as u64 / 10 {
            let root = forest.root(key, &common::tokens(&mut rng, &model, 5));
            leaves.push((root, forest.child(root, 4, &common::tokens(&mut rng, &model, 11))));
        }
        // Trees take turns, in what is packed and in what is asked.
        for (root, _) in &leaves {
            forest.child(*root, 5, &common::tokens(&mut rng, &model, 2));
        }
        assert!(forest.tokens().len() > ROWS_AT_ONCE * 3 / 2);
        for depth in [0, 14, 7] {
            for (_, leaf) in &leaves {
                questions.ask(forest.row_at(*leaf, depth), common::tokens(&mut rng, &model, 1)[0], None);
            }
        }
        let policy = Policy::adapted(&model, &adapter).with_dropout(1);
        let at_once = policy.score_with_tape(&forest, &questions).expect("a forest scores").log_probs;
        let in_parts = policy.score(&forest, &questions).expect("a forest scores");
        for (a, b) in at_once.iter().zip(&in_parts) {
            assert!((a - b).abs() < 1e-5, "{name}: {a} {b}");
        }
    }
}

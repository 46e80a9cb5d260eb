//! What saves memory changes nothing else: activations that are computed again for the backward pass, and scores of some rows
//! at a time.

mod common;

use amortize_lm::adapter::AdapterGradients;
use amortize_lm::decoder::{Activations, Gradients};
use amortize_lm::parameters::BaseGradients;
use amortize_lm::{Adapter, Forest, Model, Policy, Questions, rows_at_once};
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

/// Trees that take turns in what is packed and in what is asked, and one that is too large to go through the model at once.
fn many_trees(model: &Model, rng: &mut ChaCha8Rng) -> (Forest, Questions) {
    let (mut forest, mut questions) = (Forest::new(), Questions::new());
    let most = rows_at_once(&model.config);
    let (mut leaves, mut tails) = (Vec::new(), Vec::new());
    for key in 0..most as u64 / 10 {
        let root = forest.root(key, &common::tokens(rng, model, 5));
        leaves.push((root, forest.child(root, 4, &common::tokens(rng, model, 11))));
    }
    let large = forest.root(u64::MAX, &common::tokens(rng, model, 7));
    let branches: Vec<_> = (0..most / 20).map(|_| forest.child(large, 7, &common::tokens(rng, model, 9))).collect();
    for (root, _) in &leaves {
        forest.child(*root, 5, &common::tokens(rng, model, 2));
    }
    for sees in [8, 16, 12] {
        tails.extend(branches.iter().map(|branch| forest.child(*branch, sees, &common::tokens(rng, model, 6))));
    }
    for depth in [0, 14, 7] {
        for (_, leaf) in &leaves {
            questions.ask(forest.row_at(*leaf, depth), common::tokens(rng, model, 1)[0], None);
        }
        for tail in &tails {
            let depth = depth.min(forest.path_len(*tail) - 1);
            questions.ask(forest.row_at(*tail, depth), common::tokens(rng, model, 1)[0], None);
        }
    }
    (forest, questions)
}

#[test]
fn scores_in_parts_are_those_of_one_batch() {
    for name in ["gpt2-tiny", "llama-tiny"] {
        let model = common::model(name);
        let adapter = common::random_adapter(&model, 1, 0.3);
        let (forest, questions) = many_trees(&model, &mut ChaCha8Rng::seed_from_u64(8));
        assert!(forest.tokens().len() > rows_at_once(&model.config) * 5 / 2);
        let policy = Policy::adapted(&model, &adapter).with_dropout(1);
        let at_once = policy.score_with_tape(&forest, &questions).expect("a forest scores").log_probs;
        let in_parts = policy.score(&forest, &questions).expect("a forest scores");
        for (a, b) in at_once.iter().zip(&in_parts) {
            assert!((a - b).abs() < 1e-5, "{name}: {a} {b}");
        }
    }
}

#[test]
fn scores_in_parts_take_the_memory_of_a_part() {
    let peak = |score: fn(Policy, &Forest, &Questions)| {
        let model = common::model("gpt2-tiny");
        let (forest, questions) = many_trees(&model, &mut ChaCha8Rng::seed_from_u64(8));
        let before = model.decoder.device().memory().in_use;
        score(Policy::base(&model), &forest, &questions);
        model.decoder.device().memory().peak - before
    };
    let in_parts = peak(|policy, forest, questions| drop(policy.score(forest, questions).expect("a forest scores")));
    let at_once = peak(|policy, forest, questions| drop(policy.score_with_tape(forest, questions).expect("it scores")));
    assert!(in_parts < at_once / 3, "{in_parts} bytes against {at_once}");
}

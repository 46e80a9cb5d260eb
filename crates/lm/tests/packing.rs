//! The packed token tree against its slow, obvious twin: every path as a sequence of its own.

mod common;

use std::collections::BTreeSet;

use amortize_engine::SegmentId;
use amortize_lm::adapter::AdapterGradients;
use amortize_lm::decoder::Gradients;
use amortize_lm::parameters::BaseGradients;
use amortize_lm::{Adapter, Forest, Model, Policy, Questions};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A segment of a random forest: the tokens of its whole path, and where its own begin.
struct Path {
    key: u64,
    tokens: Vec<u32>,
    own: usize,
}

/// A forest with at least four generations, and its paths in the order of the segments.
fn random_forest(model: &Model, rng: &mut ChaCha8Rng) -> (Forest, Vec<Path>, Vec<SegmentId>) {
    let (mut forest, mut paths, mut ids): (_, Vec<Path>, Vec<_>) = (Forest::new(), Vec::new(), Vec::new());
    for key in 0..3 {
        let tokens = common::tokens(rng, model, key as usize * 3 + 1);
        let first = ids.len();
        ids.push(forest.root(key, &tokens));
        paths.push(Path { key, tokens, own: 0 });
        for child in 0..7 {
            // The first children form a chain, so that every forest is deep.
            let parent = if child < 3 { ids.len() - 1 } else { rng.random_range(first..ids.len()) };
            let sees = rng.random_range(1..=paths[parent].tokens.len());
            let len = rng.random_range(1..5);
            let tokens = common::tokens(rng, model, len);
            ids.push(forest.child(ids[parent], sees, &tokens));
            let path = [&paths[parent].tokens[..sees], &tokens].concat();
            paths.push(Path { key, tokens: path, own: sees });
        }
    }
    (forest, paths, ids)
}

struct Outcome {
    log_probs: Vec<f64>,
    adapter: Vec<Vec<f32>>,
    base: Vec<(String, Vec<f32>)>,
}

fn run(model: &Model, adapter: &Adapter, forest: &Forest, questions: &Questions, coefficients: &[f64]) -> Outcome {
    let device = model.decoder.device();
    let mut gradients = Gradients {
        adapter: Some(AdapterGradients::zeros(device, adapter)),
        base: Some(BaseGradients::zeros(device, model.decoder.parameters())),
    };
    let policy = Policy::adapted(model, adapter).with_dropout(11);
    let scored = policy.score_with_tape(forest, questions).expect("a forest scores");
    policy.backward(forest, questions, &scored, coefficients, &mut gradients);
    assert_eq!(policy.score(forest, questions).expect("a forest scores"), scored.log_probs);
    Outcome {
        log_probs: scored.log_probs,
        adapter: gradients.adapter.expect("asked for").tensors().iter().map(|tensor| tensor.to_host()).collect(),
        base: gradients.base.expect("asked for").by_name(model.decoder.parameters()),
    }
}

fn assert_same(a: &[f32], b: &[f32], what: &str) {
    let size = a.iter().fold(1e-3f32, |size, x| size.max(x.abs()));
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() < 2e-4 * size, "{what}: {a} and {b}");
    }
}

/// That scores and gradients of a forest, under dropout, are those of its paths as sequences of their own.
fn assert_like_separate_sequences(name: &str, seed: u64, forest: &Forest, paths: &[Path], ids: &[SegmentId]) {
    let model = common::model(name);
    let adapter = common::random_adapter(&model, seed, 0.3);
    let mut rng = ChaCha8Rng::seed_from_u64(seed + 100);
    let (mut packed, mut separate, mut lone) = (Questions::new(), Questions::new(), Forest::new());
    let mut coefficients = Vec::new();
    for (path, id) in paths.iter().zip(ids) {
        let root = lone.root(path.key, &path.tokens);
        for depth in path.own..path.tokens.len() {
            let target = common::tokens(&mut rng, &model, 1)[0];
            packed.ask(forest.row_at(*id, depth), target, None);
            separate.ask(lone.row_at(root, depth), target, None);
            coefficients.push(rng.random_range(-1.0..1.0));
        }
    }
    let a = run(&model, &adapter, forest, &packed, &coefficients);
    let b = run(&model, &adapter, &lone, &separate, &coefficients);
    for (a, b) in a.log_probs.iter().zip(&b.log_probs) {
        assert!((a - b).abs() < 2e-5, "{name} seed {seed}: {a} and {b}");
    }
    for (a, b) in a.adapter.iter().zip(&b.adapter) {
        assert_same(a, b, name);
    }
    for ((tensor, a), (_, b)) in a.base.iter().zip(&b.base) {
        assert_same(a, b, &format!("{name} {tensor}"));
    }
}

#[test]
fn packed_trees_give_what_separate_sequences_give() {
    for name in ["gpt2-tiny", "llama-tiny", "llama3-rope"] {
        for seed in 0..4 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let (forest, paths, ids) = random_forest(&common::model(name), &mut rng);
            assert_like_separate_sequences(name, seed, &forest, &paths, &ids);
        }
    }
}

/// A forest of many sequences over two tokens, so that most of them repeat the beginning of others. Some begin within
/// another, as a text does that follows every prefix of a continuation.
fn random_trie(rng: &mut ChaCha8Rng) -> (Forest, Vec<Path>, Vec<SegmentId>) {
    let (mut forest, mut paths, mut ids): (_, Vec<Path>, Vec<_>) = (Forest::new(), Vec::new(), Vec::new());
    for key in 0..2 {
        let first = ids.len();
        let prompt = [20, 21, 22];
        ids.push(forest.root(key, &prompt));
        paths.push(Path { key, tokens: prompt.to_vec(), own: 0 });
        for _ in 0..12 {
            let parent = if rng.random_bool(0.5) { first } else { rng.random_range(first..ids.len()) };
            let sees = rng.random_range(1..=paths[parent].tokens.len());
            let len = rng.random_range(0..6);
            let tokens: Vec<u32> = (0..len).map(|_| rng.random_range(20..22)).collect();
            ids.push(forest.extend_path(ids[parent], sees, &tokens));
            let tokens = [&paths[parent].tokens[..sees], &tokens].concat();
            // Questions about all rows: those of shared rows come more than once.
            paths.push(Path { key, tokens, own: 0 });
        }
    }
    (forest, paths, ids)
}

#[test]
fn shared_prefixes_give_what_separate_sequences_give() {
    for name in ["gpt2-tiny", "llama-tiny", "llama3-rope"] {
        for seed in 0..4 {
            let (forest, paths, ids) = random_trie(&mut ChaCha8Rng::seed_from_u64(seed));
            assert_like_separate_sequences(name, seed, &forest, &paths, &ids);
        }
    }
}

#[test]
fn a_trie_has_a_row_per_distinct_prefix_and_a_segment_per_parting() {
    for seed in 0..50 {
        let (forest, paths, ids) = random_trie(&mut ChaCha8Rng::seed_from_u64(seed));
        let prefixes = paths.iter().flat_map(|path| (1..=path.tokens.len()).map(|len| (path.key, &path.tokens[..len])));
        let distinct: BTreeSet<_> = prefixes.clone().collect();
        assert_eq!(forest.tokens().len(), distinct.len(), "seed {seed}");
        assert!(distinct.len() < prefixes.count() / 2, "there is something to share");
        assert!(forest.attention_plan().segments().len() <= ids.len(), "no segment is cut in two");
    }
}

#[test]
fn dropout_changes_scores_and_depends_on_its_seed() {
    let model = common::model("llama-tiny");
    let adapter = common::random_adapter(&model, 1, 0.3);
    let mut forest = Forest::new();
    let root = forest.root(0, &[3, 4, 5]);
    let mut questions = Questions::new();
    questions.ask(forest.row_at(root, 2), 7, None);
    let policy = Policy::adapted(&model, &adapter);
    let score = |policy: Policy| policy.score(&forest, &questions).expect("it scores")[0];
    assert_ne!(score(policy), score(policy.with_dropout(1)));
    assert_ne!(score(policy.with_dropout(1)), score(policy.with_dropout(2)));
    assert_eq!(score(policy.with_dropout(2)), score(policy.with_dropout(2)));
}

//! Beam search against transformers, and truncated sampling against its definition.

mod common;

use std::collections::BTreeMap;

use amortize_lm::actions::{ActionSpace, StopRule, TokenMask};
use amortize_lm::{BeamOptions, Draw, LmError, Model, Policy, Truncation, beam_search, generate, generate_truncated};
use serde::Deserialize;

/// A case of scripts/make_decoding_golden.py.
#[derive(Debug, Deserialize)]
struct Case {
    model: String,
    prompt: Vec<u32>,
    allowed: Vec<u32>,
    stop: u32,
    min_length: usize,
    max_length: usize,
    beams: usize,
    groups: usize,
    diversity_penalty: f64,
    length_penalty: f64,
    sequences: Vec<Found>,
}

#[derive(Debug, Deserialize)]
struct Found {
    tokens: Vec<u32>,
    stopped: bool,
    score: f64,
}

impl Case {
    fn actions(&self, model: &Model) -> ActionSpace {
        let vocab_size = model.config.vocab_size;
        let allowed = TokenMask::all(vocab_size).only(&self.allowed);
        let stop = StopRule::tokens(&[self.stop]);
        ActionSpace::new(vocab_size, allowed, stop, self.min_length, self.max_length).expect("a space")
    }

    fn options(&self) -> BeamOptions {
        let Self { beams, groups, diversity_penalty, length_penalty, .. } = *self;
        BeamOptions { beams, groups, diversity_penalty, length_penalty }
    }
}

fn cases() -> Vec<Case> {
    let text = std::fs::read_to_string(common::fixture("decoding.json")).expect("it reads");
    serde_json::from_str(&text).expect("it is of our form")
}

#[test]
fn beam_and_diverse_beam_search_agree_with_transformers() {
    let models: BTreeMap<&str, Model> =
        ["gpt2-tiny", "llama-tiny"].into_iter().map(|name| (name, common::model(name))).collect();
    for case in cases() {
        let model = &models[case.model.as_str()];
        let actions = case.actions(model);
        // A neighbour in the batch must change nothing.
        let prompts = [vec![7, 8, 9, 10, 11], case.prompt.clone()];
        let found = beam_search(Policy::base(model), &prompts, &actions, &case.options()).expect("it searches");
        assert_eq!(found[1].len(), case.sequences.len(), "{case:?}");
        for (found, expected) in found[1].iter().zip(&case.sequences) {
            assert_eq!((&found.tokens, found.stop_token.is_some()), (&expected.tokens, expected.stopped), "{case:?}");
            assert!((found.score - expected.score).abs() < 1e-4, "{} in {case:?}", found.score);
        }
    }
}

/// A few tokens, two of which stop, so that all sequences can be listed.
fn small_space(model: &Model) -> ActionSpace {
    let vocab_size = model.config.vocab_size;
    let allowed = TokenMask::all(vocab_size).only(&[20, 21, 22]);
    ActionSpace::new(vocab_size, allowed, StopRule::tokens(&[30, 31]), 1, 3).expect("a space")
}

#[test]
fn enough_beams_find_the_whole_space_and_its_log_probabilities() {
    let model = common::model("llama-tiny");
    let adapter = common::random_adapter(&model, 1, 0.0);
    let policy = Policy::adapted(&model, &adapter);
    let actions = small_space(&model);
    let prompt = vec![3, 4, 5];
    let found =
        beam_search(policy, std::slice::from_ref(&prompt), &actions, &BeamOptions::beams(64)).expect("it searches");
    assert_eq!(found[0].len(), 3 + 9 + 27);
    let mass: f64 = found[0].iter().map(|found| found.log_prob.exp()).sum();
    assert!((mass - 1.0).abs() < 1e-5, "the space's probabilities sum to {mass}");
    assert!(found[0].is_sorted_by(|a, b| a.log_prob >= b.log_prob));
    let by_tokens: BTreeMap<&Vec<u32>, f64> = found[0].iter().map(|found| (&found.tokens, found.log_prob)).collect();
    let draws: Vec<Draw> = (0..20).map(|seed| Draw { prompt: 0, policy_temperature: 1.0, seed }).collect();
    for drawn in generate(policy, &[prompt], &draws, &actions).expect("it samples") {
        assert!((by_tokens[&drawn.tokens] - drawn.log_q).abs() < 1e-4, "{drawn:?}");
    }
}

#[test]
fn groups_without_a_penalty_repeat_each_other_and_with_one_they_differ() {
    let model = common::model("gpt2-tiny");
    let (policy, actions) = (Policy::base(&model), small_space(&model));
    let distinct = |diversity_penalty: f64| {
        let options = BeamOptions { beams: 3, groups: 3, diversity_penalty, length_penalty: 0.0 };
        let found = beam_search(policy, &[vec![3, 4, 5]], &actions, &options).expect("it searches");
        let first: std::collections::BTreeSet<u32> = found[0].iter().map(|found| found.tokens[0]).collect();
        first.len()
    };
    assert_eq!((distinct(0.0), distinct(100.0)), (1, 3));
}

#[test]
fn truncated_draws_are_the_likeliest_tokens_renormalised() {
    let model = common::model("gpt2-tiny");
    let policy = Policy::base(&model);
    let vocab_size = model.config.vocab_size;
    let actions =
        ActionSpace::new(vocab_size, TokenMask::all(vocab_size), StopRule::tokens(&[127]), 1, 1).expect("a space");
    let prompts = vec![vec![3, 4, 5]];
    let draws: Vec<Draw> = (0..4000).map(|seed| Draw { prompt: 0, policy_temperature: 1.0, seed }).collect();
    let one_token = BeamOptions::beams(vocab_size - 1);
    let every = beam_search(policy, &prompts, &actions, &one_token).expect("it searches").remove(0);
    let top_p = every.iter().scan(0.0, |sum, found| Some(std::mem::replace(sum, *sum + found.log_prob.exp())));
    for (truncation, kept) in
        [(Truncation::TopK(5), 5), (Truncation::TopP(0.4), top_p.take_while(|sum| *sum < 0.4).count())]
    {
        let mass: f64 = every[..kept].iter().map(|found| found.log_prob.exp()).sum();
        let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
        for drawn in generate_truncated(policy, &prompts, &draws, &actions, truncation).expect("it samples") {
            let whole = every.iter().position(|found| found.tokens == drawn.tokens).expect("a token of the space");
            assert!(whole < kept, "{truncation:?} drew number {whole} of {kept}");
            assert!((drawn.log_q - (every[whole].log_prob - mass.ln())).abs() < 1e-4, "{truncation:?}: {drawn:?}");
            *counts.entry(drawn.tokens[0]).or_default() += 1;
        }
        assert_eq!(counts.len(), kept, "4000 draws meet every token that is left");
    }
}

#[test]
fn options_that_make_no_search_are_refused() {
    let model = common::model("gpt2-tiny");
    let (policy, actions) = (Policy::base(&model), small_space(&model));
    let refused = |options: BeamOptions| match beam_search(policy, &[vec![1]], &actions, &options) {
        Err(LmError::Sequence(message)) => message,
        other => panic!("{other:?}"),
    };
    assert!(refused(BeamOptions::beams(0)).contains("at least one beam"));
    assert!(
        refused(BeamOptions { groups: 3, ..BeamOptions::beams(4) }).contains("4 beams cannot be split into 3 groups")
    );
    assert!(
        refused(BeamOptions { diversity_penalty: -1.0, ..BeamOptions::greedy() }).contains("diversity penalty of -1")
    );
    assert!(
        refused(BeamOptions { length_penalty: f64::NAN, ..BeamOptions::greedy() }).contains("length penalty of NaN")
    );
}

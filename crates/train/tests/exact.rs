//! The exact distribution over a table's texts against brute force: every sequence that can be drawn, scored token by token.

mod common;

use std::collections::BTreeMap;

use amortize_gfn::{Generator, Query};
use amortize_lm::actions::{ActionSpace, StopRule, TokenMask};
use amortize_lm::{Adapter, Model, Policy};
use amortize_train::config::TermKind;
use amortize_train::exact::{Exact, exact};
use amortize_train::reward::Support;
use amortize_train::settings;
use rand::RngExt;

const MAX_LENGTH: usize = 3;

/// Weights of texts that have from one to eight spellings in [`tokens`].
const TABLE: &str =
    r#"reward.terms=[{kind = "table", before = "", weights = {"1" = 1, "21" = 3, "77" = 0.5, "121" = 2}}]"#;

/// Digits, as tokens and as bytes, and what is no digit.
fn tokens(model: &Model) -> Vec<u32> {
    let spells = |token: &u32| matches!(model.tokenizer.token_text(*token), "1" | "2" | "7" | "a");
    (0..model.tokenizer.vocab_size() as u32).filter(spells).collect()
}

fn sequences(tokens: &[u32]) -> Vec<Vec<u32>> {
    let mut all = Vec::new();
    let mut last = vec![vec![]];
    for _ in 0..MAX_LENGTH {
        last = last.iter().flat_map(|z| tokens.iter().map(move |token| [z.as_slice(), &[*token]].concat())).collect();
        all.extend(last.clone());
    }
    all
}

/// A policy that an optimizer has not been near, but which is not the base model.
fn adapter(model: &Model) -> Adapter {
    let config = common::config(&["adapter.rank=2"]);
    let mut rng = Generator::new(1, "adapter");
    let mut adapter = Adapter::new(&model.decoder, settings::adapter(&config.adapter), &mut rng).expect("an adapter");
    for tensor in adapter.tensors_mut() {
        let noise: Vec<f32> = (0..tensor.rows() * tensor.cols()).map(|_| rng.random::<f32>() * 0.3 - 0.15).collect();
        tensor.copy_from_host(&noise);
    }
    adapter
}

/// q of every text, sequence by sequence and token by token.
fn brute_force(policy: Policy, query: &Query, tokens: &[u32]) -> BTreeMap<String, f64> {
    let p = |before: &[u32], token: u32| policy.score_completion(before, &[token]).expect("it scores")[0].exp();
    let mut masses = BTreeMap::new();
    for z in sequences(tokens) {
        let mut q = 1.0;
        for k in 0..=z.len() {
            let before = [&query.prompt, &z[..k]].concat();
            let stops: f64 = if k == 0 { 0.0 } else { common::STOPS.map(|stop| p(&before, stop)).iter().sum() };
            let all: f64 = stops + tokens.iter().map(|token| p(&before, *token)).sum::<f64>();
            q *= match z.get(k) {
                Some(token) => p(&before, *token) / all,
                // The longest stop for certain.
                None if k == MAX_LENGTH => 1.0,
                None => stops / all,
            };
        }
        *masses.entry(policy.model.tokenizer.decode(&z)).or_insert(0.0) += q;
    }
    masses
}

fn support() -> Support {
    let TermKind::Table(table) = &common::config(&[TABLE]).reward.terms[0].kind.clone() else { panic!("a table") };
    Support::new(table)
}

#[test]
fn the_distribution_is_that_of_all_sequences_taken_together() {
    let model = common::model("llama-tiny");
    let (tokens, adapter, support) = (tokens(&model), adapter(&model), support());
    assert_eq!(tokens.len(), 8, "each is a token and a byte");
    let allowed = TokenMask::all(model.config.vocab_size).only(&tokens);
    let stops = StopRule::tokens(&common::STOPS);
    let actions = ActionSpace::new(model.config.vocab_size, allowed, stops, 1, MAX_LENGTH).expect("a space");
    let queries = [Query::new(vec![3, 4, 5], vec![]), Query::new(vec![9], vec![])];
    let policy = Policy::adapted(&model, &adapter);
    let all = exact(policy, &queries, &support, &actions, 0.5).expect("it scores");
    for (query, found) in queries.iter().zip(&all) {
        let masses = brute_force(policy, query, &tokens);
        assert!((masses.values().sum::<f64>() - 1.0).abs() < 1e-5);
        assert_is(found, &masses);
    }
    assert_ne!(all[0].distances, all[1].distances);
}

/// There are 2^40 ways to begin it, and none to come to its end.
#[test]
fn a_text_with_more_beginnings_than_can_be_followed_is_given_up() {
    let model = common::model("llama-tiny");
    let allowed = TokenMask::all(model.config.vocab_size).only(&tokens(&model));
    let actions =
        ActionSpace::new(model.config.vocab_size, allowed, StopRule::tokens(&common::STOPS), 1, 40).expect("a space");
    let long = "1".repeat(50);
    let table = format!(r#"reward.terms=[{{kind = "table", before = "", weights = {{"{long}" = 1, "2" = 1}}}}]"#);
    let TermKind::Table(table) = &common::config(&[&table]).reward.terms[0].kind.clone() else { panic!("a table") };
    let query = Query::new(vec![3], vec![]);
    let found = exact(Policy::base(&model), &[query], &Support::new(table), &actions, 1.0).expect("it scores");
    assert!(!found[0].distances.all_spellings);
    let masses: Vec<f64> = found[0].distribution.iter().map(|share| share.policy).collect();
    assert!(masses[0] == 0.0 && masses[1] > 0.0, "{masses:?}");
}

/// Checks the figures by their definitions, with the weights squared at a reward temperature of a half.
fn assert_is(found: &Exact, masses: &BTreeMap<String, f64>) {
    let target =
        BTreeMap::from([("1", 1.0), ("121", 4.0), ("21", 9.0), ("77", 0.25)].map(|(text, w)| (text, w / 14.25)));
    let valid: f64 = target.keys().map(|text| masses[*text]).sum();
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-5 * b.abs().max(1e-2), "{a} {b}");
    for (share, (text, target)) in found.distribution.iter().zip(&target) {
        assert_eq!(&share.text, text);
        close(share.target, *target);
        close(share.policy, masses[*text]);
    }
    assert_eq!(found.distribution.len(), target.len());
    let sum = |term: &dyn Fn(f64, f64) -> f64| target.iter().map(|(text, t)| term(masses[*text], *t)).sum::<f64>();
    let distances = found.distances;
    close(distances.kl, sum(&|q, t| q / valid * (q / valid / t).ln()));
    close(distances.reverse_kl, sum(&|q, t| t * (t / q).ln()));
    close(distances.total_variation, 0.5 * (sum(&|q, t| (q - t).abs()) + 1.0 - valid));
    close(distances.invalid_mass, 1.0 - valid);
    assert!(distances.invalid_mass > 0.1 && distances.all_spellings);
}

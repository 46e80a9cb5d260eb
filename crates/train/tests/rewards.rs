//! Laws of composed rewards: prefixes and wholes agree, a batch equals its parts, exponents scale, and the order of terms
//! does not matter. Each kind of term against its slow, obvious twin.

mod common;

use std::collections::BTreeMap;

use amortize_gfn::{Generator, Query, StopReason, Table, Trajectory};
use amortize_lm::actions::{ActionSpace, StopRule, TokenMask};
use amortize_lm::{Model, Policy};
use amortize_train::config::RewardMask;
use amortize_train::reward::Target;
use rand::RngExt;

/// A term of every kind that needs no other program. Z is of lower-case letters.
const TERMS: [&str; 10] = [
    r#"{kind = "likelihood"}"#,
    r#"{kind = "likelihood", prefix = "", suffix = "{y}{topic}", exponent = -0.5}"#,
    r#"{kind = "likelihood", prefix = "{topic} {x} ", stop = false, exponent = 2}"#,
    r#"{kind = "classifier", template = "{x}{z} so", label = "{y}"}"#,
    r#"{kind = "classifier", template = "{z}", label = "e", others = ["o", "at"], exponent = 1.5}"#,
    r#"{kind = "contains", texts = ["a"], penalty = 1.25}"#,
    r#"{kind = "excludes", texts = ["aa", "b"], penalty = 2}"#,
    r#"{kind = "regex", pattern = "^[ab]*$"}"#,
    r#"{kind = "length", min = 1, max = 3, unit = "characters", penalty = 0.5}"#,
    r#"{kind = "table", weights = {a = 1, ab = 3, abc = 5}, before = "", exponent = 0.5}"#,
];

/// Up to four of the tokens "a", "b" and "c", then one of two stops.
fn actions(model: &Model, min_length: usize) -> ActionSpace {
    let allowed = TokenMask::all(model.config.vocab_size).only(&letters(model));
    ActionSpace::new(model.config.vocab_size, allowed, StopRule::tokens(&common::STOPS), min_length, 4)
        .expect("a space")
}

fn letters(model: &Model) -> Vec<u32> {
    ["a", "b", "c"].iter().flat_map(|letter| tokens(model, letter)).collect()
}

fn tokens(model: &Model, text: &str) -> Vec<u32> {
    model.tokenizer.encode_completion(text).expect("tokens")
}

fn queries(model: &Model) -> Vec<Query> {
    let query = |x: &str, y: &str, topic: &str| {
        let texts = [("x", x), ("y", y), ("topic", topic)].map(|(name, text)| (name.to_string(), text.to_string()));
        let x = model.tokenizer.encode_prompt(x).expect("tokens");
        Query::new(x, tokens(model, y)).with_texts(BTreeMap::from(texts))
    };
    vec![query("She", " sat", "cat"), query("", "e", "hat"), query("She", " sat", "e")]
}

fn target<'a>(model: &'a Model, actions: &'a ActionSpace, terms: &[&str]) -> Target<'a> {
    let terms = common::config(&[&format!("reward.terms=[{}]", terms.join(", "))]).reward.terms;
    Target::product(&terms, Policy::base(model), actions, RewardMask::Zero).expect("a target")
}

fn stopped(z: &[u32]) -> Trajectory {
    Trajectory { z: z.to_vec(), stop: StopReason::Stop { token: common::STOPS[0] } }
}

fn trajectories(model: &Model) -> (Vec<usize>, Vec<Trajectory>) {
    let (mut rng, letters) = (Generator::new(8, "trajectories"), letters(model));
    let z = |_| (0..rng.random_range(0..=4)).map(|_| letters[rng.random_range(0..letters.len())]).collect::<Vec<u32>>();
    let all: Vec<Trajectory> = (0..30).map(z).map(|z| stopped(&z)).collect();
    ((0..30).map(|i| i / 10).collect(), all)
}

fn assert_same(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (a, b) in found.iter().zip(expected) {
        assert!(a == b || (a - b).abs() < 1e-4, "{what}: {found:?} and {expected:?}");
    }
}

fn assert_same_tables(found: &Table, expected: &Table, what: &str) {
    assert_eq!(found.rows(), expected.rows());
    found.iter().zip(expected.iter()).for_each(|(a, b)| assert_same(a, b, what));
}

#[test]
fn every_term_obeys_the_laws_and_so_do_products() {
    let model = common::model("gpt2-tiny");
    let (actions, queries) = (actions(&model, 0), queries(&model));
    let (query_of, trajectories) = trajectories(&model);
    let singles = TERMS.iter().map(|term| vec![*term]);
    let products = [TERMS[..9].to_vec(), TERMS[5..7].to_vec(), vec![TERMS[1], TERMS[0]]];
    for terms in singles.chain(products) {
        let mut target = target(&model, &actions, &terms);
        let whole = target.log_reward(&queries, &query_of, &trajectories).expect("rewards");
        assert!(whole.iter().flatten().any(|log_reward| log_reward.is_finite()), "{terms:?}");
        let last: Vec<f64> = whole.iter().map(|row| row[row.len() - 1]).collect();
        let found = target.final_log_reward(&queries, &query_of, &trajectories).expect("rewards");
        assert_same(&found, &last, &format!("{terms:?}: the end alone"));
        for (i, Trajectory { z, .. }) in trajectories.iter().enumerate() {
            let alone = target.log_reward(&queries, &query_of[i..=i], &trajectories[i..=i]).expect("rewards");
            assert_same(alone.row(0), whole.row(i), &format!("{terms:?}: batch and one by one"));
            for k in 0..=z.len() {
                let cut = target.log_reward(&queries, &query_of[i..=i], &[stopped(&z[..k])]).expect("rewards");
                assert_same(&cut.row(0)[k..], &whole.row(i)[k..=k], &format!("{terms:?}: prefix and whole"));
            }
        }
    }
}

#[test]
fn the_order_of_terms_does_not_matter() {
    let model = common::model("gpt2-tiny");
    let (actions, queries) = (actions(&model, 1), queries(&model));
    let (query_of, trajectories) = trajectories(&model);
    let score = |terms: &[&str]| {
        target(&model, &actions, terms).log_reward(&queries, &query_of, &trajectories).expect("rewards")
    };
    let forwards = score(&TERMS[..9]);
    let backwards: Vec<&str> = TERMS[..9].iter().rev().copied().collect();
    assert_same_tables(&score(&backwards), &forwards, "backwards");
    // And a product is the sum of its terms' logarithms.
    let parts: Vec<Table> = TERMS[..9].iter().map(|term| score(&[term])).collect();
    for i in 0..trajectories.len() {
        let sum: Vec<f64> = (0..forwards.row(i).len()).map(|k| parts.iter().map(|part| part.row(i)[k]).sum()).collect();
        assert_same(forwards.row(i), &sum, "sum of logarithms");
    }
}

#[test]
fn exponents_scale_and_zero_stays_zero() {
    let model = common::model("llama-tiny");
    let (actions, queries) = (actions(&model, 0), queries(&model));
    // The last one has a token that may not be drawn.
    let mut trajectories = trajectories(&model).1;
    trajectories.push(stopped(&[letters(&model)[0], 99]));
    let query_of = vec![0; trajectories.len()];
    let score = |kind: &str, exponent: f64| {
        let term = format!("{{{kind}, exponent = {exponent:?}}}");
        target(&model, &actions, &[&term]).log_reward(&queries, &query_of, &trajectories).expect("rewards")
    };
    for kind in [
        r#"kind = "likelihood""#,
        r#"kind = "regex", pattern = "^a*$""#,
        r#"kind = "contains", texts = ["a"], penalty = 2"#,
    ] {
        let one = score(kind, 1.0);
        for exponent in [0.5, 3.0, -2.0] {
            let scaled = one.map(|value| if value.is_finite() { exponent * value } else { *value });
            assert_same_tables(&score(kind, exponent), &scaled, kind);
        }
    }
    let last = |table: Table| table.row(trajectories.len() - 1)[2];
    assert_eq!(last(score(r#"kind = "likelihood""#, -2.0)), f64::NEG_INFINITY);
}

/// log p(text | x) by the model alone.
fn log_p(model: &Model, x: &[u32], text: &[u32]) -> f64 {
    Policy::base(model).score_completion(x, text).expect("it scores").iter().sum()
}

#[test]
fn likelihoods_and_classifiers_read_the_texts_that_they_name() {
    for model in ["gpt2-tiny", "llama-tiny"].map(common::model) {
        let (actions, queries) = (actions(&model, 0), queries(&model));
        let z = [letters(&model)[1], letters(&model)[0]];
        let value = |term: &str, query: usize| {
            target(&model, &actions, &[term]).log_reward(&queries, &[query], &[stopped(&z)]).expect("rewards").row(0)[2]
        };
        let prompt = |text: &str| model.tokenizer.encode_prompt(text).expect("tokens");
        // p(Z stop suffix | prefix), summed over the stops; the empty prefix is the model's BOS.
        let suffix = tokens(&model, " satcat");
        let way = |stop| log_p(&model, &prompt(""), &[&z[..], &[stop], &suffix].concat()).exp();
        let expected = common::STOPS.map(way).iter().sum::<f64>().ln();
        assert_same(&[value(TERMS[1], 0)], &[-0.5 * expected], "a suffix");
        let expected = log_p(&model, &prompt("cat She"), &z);
        assert_same(&[value(TERMS[2], 0)], &[2.0 * expected], "no stop");
        // p(label | text with Z), Z and the text itself not counted.
        let before = [prompt("She"), z.to_vec(), tokens(&model, " so")].concat();
        assert_same(&[value(TERMS[3], 0)], &[log_p(&model, &before, &tokens(&model, " sat"))], "a label");
        let labels =
            ["e", "o", "at"].map(|label| log_p(&model, &[prompt(""), z.to_vec()].concat(), &tokens(&model, label)));
        let all: f64 = labels.iter().map(|log_p| log_p.exp()).sum();
        assert_same(&[value(TERMS[4], 1)], &[1.5 * (labels[0] - all.ln())], "labels among others");
    }
}

#[test]
fn constraints_are_about_the_text_of_z_without_its_stop() {
    let model = common::model("gpt2-tiny");
    let actions = actions(&model, 0);
    let zero = f64::NEG_INFINITY;
    let values = |term: &str, text: &str| {
        let z = tokens(&model, text);
        assert_eq!(z.len(), text.len(), "a token a letter");
        target(&model, &actions, &[term])
            .log_reward(&queries(&model), &[0], &[stopped(&z)])
            .expect("rewards")
            .row(0)
            .to_vec()
    };
    assert_eq!(values(r#"{kind = "contains", texts = ["b", "ca"]}"#, "bca"), [zero, zero, zero, 0.0]);
    assert_eq!(values(TERMS[6], "aab"), [0.0, 0.0, -2.0, -2.0]);
    assert_eq!(values(r#"{kind = "regex", pattern = "^(ab?)?$"}"#, "aba"), [0.0, 0.0, 0.0, zero]);
    assert_eq!(values(r#"{kind = "length", min = 1, max = 2}"#, "abc"), [zero, 0.0, 0.0, zero]);
    assert_eq!(values(r#"{kind = "length", max = 0, unit = "words", penalty = 1}"#, "ab"), [0.0, -1.0, -1.0]);
    let table = values(TERMS[9], "abca");
    assert_same(&table, &[zero, 0.0, 0.5 * 3f64.ln(), 0.5 * 5f64.ln(), zero], "a table");
}

#[test]
fn a_table_of_what_cannot_be_drawn_is_refused() {
    let model = common::model("gpt2-tiny");
    let actions = actions(&model, 2);
    let refused = |term: &str| {
        let terms = common::config(&[&format!("reward.terms=[{}, {term}]", TERMS[0])]).reward.terms;
        Target::product(&terms, Policy::base(&model), &actions, RewardMask::Zero).err().expect("refused").to_string()
    };
    let table = |text: &str| refused(&format!(r#"{{kind = "table", before = "", weights = {{"{text}" = 1}}}}"#));
    assert!(
        table("a").contains("term 2: \"a\" cannot be drawn: z has 1 tokens, fewer than min_length"),
        "{}",
        table("a")
    );
    assert!(table("aaaaa").contains("more than max_length"), "{}", table("aaaaa"));
    assert!(table("ax").contains("is masked"), "{}", table("ax"));
}

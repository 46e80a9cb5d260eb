//! `amortize sample --decode`.

use serde_json::Value;

use crate::support::*;

const KEYS: [&str; 5] = ["log_q", "log_reward", "log_weight", "text", "tokens"];

fn decode(args: &[&str]) -> Vec<Value> {
    let model = fixture("llama-tiny");
    let shared = ["sample", "--json", "--model", &model, "--prompt", "The cat sat", "--max-length", "6", "--decode"];
    json_lines(&succeed(&[&shared, args].concat()))
}

fn log_reward(sample: &Value) -> f64 {
    sample["log_reward"].as_f64().expect("a reward")
}

#[test]
fn searches_print_their_best_sequences_without_density_or_weight() {
    let greedy = decode(&["greedy"]);
    let best = decode(&["beam", "--beams", "20", "-n", "4"]);
    assert_eq!((greedy.len(), best.len()), (1, 4));
    for sample in greedy.iter().chain(&best) {
        assert_eq!(keys(sample), KEYS);
        assert!(sample["log_q"].is_null() && sample["log_weight"].is_null());
    }
    // The reward of a bare model's continuation is its likelihood, which a forced stop adds to: more beams find more.
    assert!(best.iter().all(|sample| sample["tokens"].as_array().unwrap().len() <= 7));
    let highest = best.iter().map(log_reward).fold(f64::NEG_INFINITY, f64::max);
    let sampled = decode(&["sample", "-n", "50"]).iter().map(log_reward).fold(f64::NEG_INFINITY, f64::max);
    assert!(highest > sampled, "{highest} is the best of beam search, {sampled} of as many draws");
    let diverse = decode(&["diverse-beam", "--beams", "4", "-n", "4", "--diversity-penalty", "50"]);
    let first = |sample: &Value| sample["tokens"][0].as_u64().unwrap();
    let distinct: std::collections::BTreeSet<u64> = diverse.iter().map(first).collect();
    assert_eq!(distinct.len(), 4, "a high penalty keeps groups apart");
}

#[test]
fn truncated_draws_have_a_density_and_no_weight() {
    for args in [["top-p", "--top-p", "0.5", "-n", "8"], ["top-k", "--top-k", "3", "-n", "8"]] {
        let samples = decode(&args);
        assert_eq!(samples.len(), 8);
        for sample in &samples {
            assert!(sample["log_q"].as_f64().unwrap() <= 0.0 && sample["log_weight"].is_null());
        }
    }
    let all = |args: &[&str]| -> Vec<Value> { decode(args).iter().map(|sample| sample["tokens"].clone()).collect() };
    assert_eq!(all(&["top-p", "--top-p", "1", "-n", "8"]), all(&["sample", "-n", "8"]), "nothing is cut off");
    assert_eq!(all(&["top-k", "--top-k", "1", "--seed", "3"]), all(&["top-k", "--top-k", "1", "--seed", "4"]));
}

#[test]
fn options_that_do_not_fit_the_method_are_refused() {
    let model = fixture("llama-tiny");
    let refused = |args: &[&str], part: &str| {
        refuse_saying(&[&["sample", "--model", &model, "--prompt", "The", "--decode"], args].concat(), &[part]);
    };
    refused(&["beam", "--top-k", "5"], "--top-k belongs to --decode top-k, not to --decode beam");
    refused(&["sample", "--beams", "5"], "--beams belongs to --decode beam or --decode diverse-beam");
    refused(&["top-p"], "needs --top-p");
    refused(&["top-k"], "needs --top-k");
    refused(&["greedy", "-n", "2"], "finds one sequence");
    refused(&["beam", "--beams", "3", "-n", "4"], "--beams 3 find 3 sequences at most");
    refused(&["diverse-beam", "--beams", "4", "--groups", "3"], "cannot be split into 3 groups");
    refused(&["beam", "--policy-temperature", "0.5"], "--policy-temperature");
}

//! `amortize evaluate`.

use std::fs;

use serde_json::Value;

use crate::support::*;

const OF_BOTH: [&str; 14] = [
    "distinct_1",
    "distinct_2",
    "distinct_3",
    "elbo",
    "ess",
    "forced_stop_share",
    "kl_from_base",
    "log_w_variance",
    "log_z_is",
    "mean_length",
    "mean_log_p",
    "n",
    "pairwise_edit_distance",
    "zero_reward_share",
];

fn with(more: &[&'static str]) -> Vec<&'static str> {
    let mut keys = [&OF_BOTH[..], more].concat();
    keys.sort_unstable();
    keys
}

fn evaluate(args: &[&str]) -> Value {
    json(&succeed(&[&["evaluate", "--json"], args].concat()))
}

fn mean(samples: &[Value], value: impl Fn(&Value) -> f64) -> f64 {
    samples.iter().map(value).sum::<f64>() / samples.len() as f64
}

/// That an evaluation is about the very draws of `amortize sample`.
fn assert_of_samples(found: &Value, samples: &[Value], reward_temperature: f64) {
    let queries = found["queries"].as_array().unwrap();
    let n = samples.len() / queries.len();
    let field = |key: &'static str| move |sample: &Value| sample[key].as_f64().unwrap();
    let log_p = |sample: &Value| field("log_reward")(sample) * reward_temperature;
    for (query, samples) in queries.iter().zip(samples.chunks(n)) {
        assert_eq!((query["prompt"].clone(), query["n"].as_u64()), (samples[0]["prompt"].clone(), Some(n as u64)));
        let expected = [
            ("mean_log_p", mean(samples, log_p)),
            ("elbo", mean(samples, field("log_weight"))),
            ("kl_from_base", mean(samples, |sample| field("log_q")(sample) - log_p(sample))),
            ("mean_length", mean(samples, |sample| sample["tokens"].as_array().unwrap().len() as f64 - 1.0)),
            ("log_z_is", mean(samples, |sample| field("log_weight")(sample).exp()).ln()),
        ];
        for (key, expected) in expected {
            assert_close(query[key].as_f64().unwrap(), expected, 1e-6);
        }
    }
    assert_close(found["summary"]["mean_log_p"].as_f64().unwrap(), mean(samples, log_p), 1e-6);
    assert_close(found["summary"]["elbo"].as_f64().unwrap(), mean(samples, field("log_weight")), 1e-6);
}

#[test]
fn a_bare_models_figures_are_those_of_its_samples() {
    let place = Place::new();
    // More prompts than are read at once.
    let prompts: Vec<String> = (0..20).map(|number| format!("Day {number}")).collect();
    let data = place.write("many.txt", prompts.join("\n"));
    let model = fixture("llama-tiny");
    let args = ["--model", &model, "--data", &data, "-n", "4", "--seed", "5"];
    let samples = json_lines(&succeed(&[&["sample", "--json"], &args[..]].concat()));
    let found = evaluate(&args);
    assert_eq!(keys(&found), ["queries", "summary"]);
    assert_eq!(keys(&found["summary"]), with(&["n_queries"]));
    assert_eq!(keys(&found["queries"][0]), with(&["prompt"]));
    assert_eq!((found["summary"]["n_queries"].as_u64(), found["summary"]["n"].as_u64()), (Some(20), Some(80)));
    assert_of_samples(&found, &samples, 1.0);
}

#[test]
fn a_runs_figures_are_of_its_validation_prompts_and_its_target() {
    let place = Place::new();
    let run = place.train("run", &["train.steps=8"]);
    let validation = place.write("validation.txt", PROMPTS[8..].join("\n"));
    let found = evaluate(&["--run", &run, "-n", "6", "--seed", "2"]);
    let samples = ["sample", "--json", "--run", &run, "--data", &validation, "-n", "6", "--seed", "2"];
    assert_of_samples(&found, &json_lines(&succeed(&samples)), 0.8);
}

/// What was logged while training can be had again from the run.
#[test]
fn an_evaluation_equals_that_of_the_training() {
    let place = Place::new();
    let run = place.train("run", &["train.steps=8"]);
    let metrics = json_lines(&fs::read_to_string(format!("{run}/metrics.jsonl")).unwrap());
    let mut logged = metrics.last().unwrap().clone();
    for key in ["kind", "step", "best"] {
        logged.as_object_mut().unwrap().remove(key).unwrap();
    }
    let found = evaluate(&["--run", &run, "-n", "4", "--seed", "1", "--threads", "2"]);
    assert_eq!(found["summary"], logged);
}

#[test]
fn other_proposals_estimate_the_same_log_z() {
    let place = Place::new();
    let run = place.train("run", &["train.steps=2"]);
    let found = evaluate(&["--run", &run, "-n", "8", "--proposals"]);
    assert_eq!(keys(&found["queries"][0]), with(&["elbo_base", "log_z_base", "log_z_mixture", "prompt"]));
    // A bare model's own draws are the base model's.
    let found = evaluate(&["--model", &fixture("llama3-rope"), "--data", &place.path("prompts.txt"), "--proposals"]);
    for query in found["queries"].as_array().unwrap() {
        for (own, base) in [("log_z_is", "log_z_base"), ("log_z_is", "log_z_mixture"), ("elbo", "elbo_base")] {
            assert_close(query[base].as_f64().unwrap(), query[own].as_f64().unwrap(), 1e-3);
        }
    }
}

#[test]
fn people_get_every_prompt_and_the_means() {
    let place = Place::new();
    let page =
        succeed(&["evaluate", "--model", &fixture("gpt2-tiny"), "--data", &place.path("prompts.txt"), "-n", "3"]);
    assert!(PROMPTS.iter().all(|prompt| page.lines().any(|line| line.ends_with(prompt))), "{page}");
    assert!(page.contains("10 prompts, 30 draws; means over prompts, in nats; reward temperature 1"), "{page}");
}

#[test]
fn proposals_are_compared_with_the_policy_itself_alone() {
    let place = Place::new();
    let (model, data) = (fixture("llama3-rope"), place.path("prompts.txt"));
    let args = ["evaluate", "--model", &model, "--data", &data, "--proposals", "--policy-temperature", "0.9"];
    refuse_saying(&args, &["leave out --policy-temperature"]);
}

//! `train.method`: the baselines, from the command line.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::support::*;

/// A place with data that have a `z`, and the settings that every method shares.
fn place() -> (Place, Vec<String>) {
    let place = Place::new();
    let line = |i: usize| json!({"x": PROMPTS[i], "z": format!("was day {i}.")}).to_string();
    let data = place.write("data.jsonl", (0..PROMPTS.len()).map(line).collect::<Vec<_>>().join("\n"));
    let sets = ["policy.max_length=12", "optimizer.decay=none", "evaluate.every=3", "train.checkpoint_every=1"];
    let sets = sets.into_iter().map(String::from).chain([format!("data.path={data}")]).collect();
    (place, sets)
}

#[test]
fn runs_of_the_baselines_resume_to_the_same_end() {
    let (place, common) = place();
    for (method, more) in [("ppo", "ppo.kl_target=1.0"), ("sft", "optimizer.beta1=0.8")] {
        let method = format!("train.method={method}");
        let sets = [&strs(&common)[..], &[method.as_str(), more]].concat();
        let whole = place.train(&format!("whole {method}"), &[&sets[..], &["train.steps=6"]].concat());
        let run = place.train(&format!("run {method}"), &[&sets[..], &["train.steps=3"]].concat());
        succeed(&["train", "--resume", &run, "--set", "train.steps=6"]);
        for run in [&whole, &run] {
            let card = format!("{run}/adapter_best/README.md");
            assert!(fs::read_to_string(&card).unwrap().contains("baseline"));
            fs::remove_file(card).unwrap();
        }
        assert_same_run(&whole, &run);
    }
}

#[test]
fn each_method_says_what_it_learnt_from() {
    let (place, common) = place();
    let steps = |method: &str, more: &str| {
        let method = format!("train.method={method}");
        let sets = [&strs(&common)[..], &[method.as_str(), more, "train.steps=4"]].concat();
        let run = place.train(more, &sets);
        let records = json_lines(&fs::read_to_string(Path::new(&run).join("metrics.jsonl")).unwrap());
        records.into_iter().filter(|record| record["kind"] == "train").collect::<Vec<_>>()
    };
    let ppo = steps("ppo", "ppo.epochs=2");
    assert!(ppo.iter().all(|step| step["sources"].as_object().unwrap().keys().eq(["on_policy"])));
    assert_eq!(ppo[0]["ppo"]["kl"].as_f64().map(|kl| kl.abs() < 1e-4), Some(true), "it starts as the base model");
    assert!(ppo[3]["ppo"]["mean_return"].is_number() && ppo[0]["log_z"].is_null());
    let sft = steps("sft", "optimizer.learning_rate=1e-2");
    assert!(sft.iter().all(|step| step["sources"].as_object().unwrap().keys().eq(["data"])));
    let loss = |step: usize| sft[step]["loss"].as_f64().unwrap();
    assert!(loss(3) < loss(0), "{} to {}", loss(0), loss(3));
}

/// Only the paper's method replays: the others are not charged for rewards of what they never read.
#[test]
fn a_buffer_is_seeded_for_the_method_that_replays() {
    let (place, common) = place();
    for (method, seeded) in [("gflownet", true), ("ppo", false), ("sft", false), ("prompt", false)] {
        let method = format!("train.method={method}");
        let sets = [&strs(&common)[..], &[&method, "buffer.seed_from_data=true", "train.steps=1"]].concat();
        let finished = call(&strs(&place.training(&method, &sets)));
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        assert_eq!(finished.stderr.contains("replay buffer: "), seeded, "{method}: {}", finished.stderr);
    }
}

#[test]
fn a_prompt_is_evaluated_and_sampled_like_any_policy() {
    let (place, common) = place();
    let run = place.train("run", &[&strs(&common)[..], &["train.method=prompt"]].concat());
    let records = json_lines(&fs::read_to_string(format!("{run}/metrics.jsonl")).unwrap());
    assert_eq!(records.len(), 1, "an evaluation and no step");
    assert!(records[0]["log_w_variance"].is_number() && Path::new(&format!("{run}/report.html")).exists());
    for sample in json_lines(&succeed(&["sample", "--run", &run, "--prompt", PROMPTS[0], "-n", "4", "--json"])) {
        let tokens = sample["tokens"].as_array().unwrap();
        assert!(tokens.len() <= 13 && sample["log_q"].as_f64().unwrap() < 0.0);
    }
}

#[test]
fn data_without_z_cannot_be_imitated() {
    let (place, mut common) = place();
    common.push(format!("data.path={}", place.write("bare.txt", PROMPTS.join("\n"))));
    let sets = [&strs(&common)[..], &["train.method=sft"]].concat();
    refuse_saying(&strs(&place.training("refused", &sets)), &["bare.txt", "\"z\"", "train.method = \"sft\""]);
    assert!(!Path::new(&place.path("refused")).exists());
    let wrong = [&strs(&common)[..], &["train.method=pop"]].concat();
    refuse_saying(&strs(&place.training("refused", &wrong)), &["\"gflownet\", \"ppo\", \"sft\" or \"prompt\""]);
}

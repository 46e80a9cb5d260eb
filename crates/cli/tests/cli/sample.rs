//! `amortize sample`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::*;

const KEYS: [&str; 5] = ["log_q", "log_reward", "log_weight", "text", "tokens"];

fn number(sample: &Value, key: &str) -> f64 {
    sample[key].as_f64().unwrap_or_else(|| panic!("{key} of {sample} is no number"))
}

/// The samples of `amortize sample --json` with these arguments.
fn sample(args: &[&str]) -> Vec<Value> {
    json_lines(&succeed(&[&["sample", "--json"], args].concat()))
}

#[test]
fn lines_have_the_contracts_keys_and_the_weight_is_reward_over_density() {
    let place = Place::new();
    let (run, prompts) = (place.train("run", &["train.steps=2"]), place.path("prompts.txt"));
    for sample in sample(&["--run", &run, "--prompt", "The sun", "-n", "5"]) {
        assert_eq!(keys(&sample), KEYS);
        assert_eq!(number(&sample, "log_weight"), number(&sample, "log_reward") - number(&sample, "log_q"));
        assert!(sample["text"].as_str().unwrap().ends_with('.'));
        assert!((2..=9).contains(&sample["tokens"].as_array().unwrap().len()));
    }
    // Space at the end is dropped, as it is from a file's prompts.
    let draws = |prompt| sample(&["--run", &run, "--prompt", prompt, "-n", "5"]);
    assert_eq!(draws("The sun "), draws("The sun"));
    let samples = sample(&["--run", &run, "--data", &prompts, "-n", "3"]);
    assert_eq!(samples.len(), 3 * PROMPTS.len());
    for (number, sample) in samples.iter().enumerate() {
        assert_eq!(keys(sample), ["log_q", "log_reward", "log_weight", "prompt", "text", "tokens"]);
        assert_eq!(sample["prompt"], PROMPTS[number / 3]);
    }
}

#[test]
fn a_run_with_one_prompt_needs_none_named() {
    let place = Place::new();
    let data = place.write(
        "one.jsonl",
        [json!({"x": "The sun", "z": "a."}), json!({"x": "The sun", "z": "b."})]
            .map(|line| line.to_string())
            .join("\n"),
    );
    let sets = [&format!("data.path={data}"), "data.validation=0", "train.steps=1"];
    let run = place.train("run", &sets);
    let draws = |more: &[&str]| sample(&[&["--run", &run, "-n", "4"], more].concat());
    assert_eq!(draws(&[]), draws(&["--prompt", "The sun"]));
    assert_ne!(draws(&[]), draws(&["--prompt", ""]), "an empty prompt can still be asked for");
    let several = place.train("several", &["train.steps=1"]);
    let draws = |more: &[&str]| sample(&[&["--run", &several, "-n", "4"], more].concat());
    assert_eq!(draws(&[]), draws(&["--prompt", ""]));
    fs::remove_file(&data).unwrap();
    refuse_saying(&["sample", "--run", &run], &["--prompt is missing", "one.jsonl"]);
    succeed(&["sample", "--run", &run, "--prompt", "The sun"]);
}

#[test]
fn the_seed_decides_and_a_draw_does_not_depend_on_those_around_it() {
    let place = Place::new();
    let model = fixture("llama-tiny");
    // More prompts than are read at once.
    let prompts: Vec<String> = (0..40).map(|number| format!("Day {number}")).collect();
    let data = place.write("many.txt", prompts.join("\n"));
    let all = sample(&["--model", &model, "--data", &data, "-n", "2", "--seed", "3"]);
    assert_eq!(all, sample(&["--model", &model, "--data", &data, "-n", "2", "--seed", "3", "--threads", "1"]));
    assert_ne!(all, sample(&["--model", &model, "--data", &data, "-n", "2", "--seed", "4"]));
    let texts: std::collections::BTreeSet<_> = all.iter().map(|sample| sample["text"].to_string()).collect();
    assert!(texts.len() > 70, "draws differ from each other");
    let shared = |sample: &Value| sample["tokens"].clone();
    let alone = sample(&["--model", &model, "--prompt", &prompts[0], "-n", "1", "--seed", "3"]);
    assert_eq!(shared(&alone[0]), shared(&all[0]));
}

#[test]
fn a_run_is_its_model_with_its_adapter_action_space_and_target() {
    let place = Place::new();
    let run = place.train("run", &["train.steps=8", "policy.max_length=6", "reward.temperature_end=0.7"]);
    let model = fixture("llama3-rope");
    let bare = |more: &[&str]| {
        let space = ["--max-length", "6", "--reward-temperature", "0.7"];
        sample(&[&["--model", &model, "--prompt", "One day", "-n", "8"], &space[..], more].concat())
    };
    let of_run = |more: &[&str]| sample(&[&["--run", &run, "--prompt", "One day", "-n", "8"], more].concat());
    let (last, best) = (format!("{run}/adapter"), format!("{run}/adapter_best"));
    assert_eq!(of_run(&[]), bare(&["--adapter", &last]));
    assert_ne!(of_run(&[]), bare(&[]), "training has changed the model");
    for (name, content) in files(format!("{model}/adapter-rslora")) {
        fs::write(format!("{best}/{}", name.display()), content).unwrap();
    }
    assert_eq!(of_run(&["--best"]), bare(&["--adapter", &best]));
    assert_ne!(of_run(&["--best"]), of_run(&[]));
    assert_eq!(of_run(&["--reward-temperature", "0.7"]), of_run(&[]));
    let moved = place.copy_model("llama3-rope", "moved");
    assert_eq!(of_run(&["--model", &moved]), of_run(&[]));
}

/// q is p renormalised over what may be drawn, and a forced stop is certain: q of a draw is never below its p.
#[test]
fn a_bare_model_is_its_own_target_up_to_masks_and_the_forced_stop() {
    for model in ["gpt2-tiny", "llama-tiny"].map(fixture) {
        let samples = sample(&["--model", &model, "-n", "200", "--max-length", "30"]);
        let weights: Vec<f64> = samples.iter().map(|sample| number(sample, "log_weight")).collect();
        assert!(weights.iter().all(|weight| *weight < 1e-4), "{weights:?}");
        let stopped: Vec<&Value> = samples.iter().filter(|s| s["tokens"].as_array().unwrap().len() < 31).collect();
        assert!(!stopped.is_empty());
        // The only masks are on special tokens, and on the stop in the first place: some 3 tokens out of 100, a time.
        for sample in stopped {
            let length = sample["tokens"].as_array().unwrap().len() as f64;
            assert!(number(sample, "log_weight") > -0.2 * length, "{sample}");
        }
    }
}

#[test]
fn the_reward_of_a_bare_models_sample_is_its_score() {
    let model = fixture("gpt2-tiny");
    for drawn in sample(&["--model", &model, "--prompt", "The sun", "-n", "4"]) {
        let ids: Vec<String> = drawn["tokens"].as_array().unwrap().iter().map(Value::to_string).collect();
        let args = ["score", "--model", &model, "--prompt", "The sun", "--json", "--completion-ids", &ids.join(",")];
        let scored = json(&succeed(&args));
        assert_close(number(&drawn, "log_reward"), number(&scored, "log_prob"), 1e-4);
    }
}

#[test]
fn temperatures_are_of_the_target_and_of_the_policy() {
    let draw =
        |more: &[&str]| sample(&[&["--model", &fixture("llama-tiny"), "--prompt", "A", "-n", "6"], more].concat());
    let (plain, sharp) = (draw(&[]), draw(&["--reward-temperature", "0.5"]));
    for (plain, sharp) in plain.iter().zip(&sharp) {
        assert_eq!(plain["tokens"], sharp["tokens"]);
        assert_eq!(plain["log_q"], sharp["log_q"]);
        assert_eq!(2.0 * number(plain, "log_reward"), number(sharp, "log_reward"));
    }
    let greedy = draw(&["--policy-temperature", "0.001"]);
    for one in &greedy {
        assert_eq!(one["tokens"], greedy[0]["tokens"]);
        assert_close(number(one, "log_q"), 0.0, 1e-3);
    }
}

#[test]
fn the_stop_and_the_lengths_are_those_asked_for() {
    let args = ["--model", &fixture("llama-tiny"), "-n", "30", "--stop", "e", "--stop", "!", "--min-length", "2"];
    let samples = sample(&[&args[..], &["--max-length", "4"]].concat());
    for sample in &samples {
        let (text, length) = (sample["text"].as_str().unwrap(), sample["tokens"].as_array().unwrap().len() - 1);
        assert!(text.ends_with(['e', '!']), "{text:?}");
        assert!((2..=4).contains(&length), "{sample}");
    }
}

#[test]
fn people_get_a_table() {
    let place = Place::new();
    let data = place.write("two.txt", "One\nTwo\n");
    let table = succeed(&["sample", "--model", &fixture("llama-tiny"), "--data", &data, "-n", "2"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!((lines[1], lines[6]), ("One", "Two"));
    assert_eq!(lines[2].split_whitespace().collect::<Vec<_>>(), ["log", "q", "log", "R", "log", "w", "text"]);
    assert_eq!(lines.len(), 10);
}

/// `amortize sample ... | head -1` is no error.
#[test]
fn a_reader_may_leave_early() {
    let args = ["sample", "--model", &fixture("gpt2-tiny"), "-n", "2000", "--max-length", "3", "--json"];
    let mut child = command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(keys(&json(&line)), KEYS);
    let finished = Finished::from(child.wait_with_output().unwrap());
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
}

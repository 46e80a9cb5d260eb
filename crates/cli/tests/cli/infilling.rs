//! Infilling: training, sampling and evaluating between a text X and a text Y.

use std::fs;

use serde_json::{Value, json};

use crate::support::*;

const SHORT: &str = "train.steps=4";

fn stories() -> String {
    let story = |i: usize| json!({"x": PROMPTS[i], "y": format!("It was day {i}."), "z": "passed over"}).to_string();
    (0..PROMPTS.len()).map(story).collect::<Vec<_>>().join("\n")
}

/// A place whose config is about stories.
fn place() -> Place {
    let place = Place::new();
    let stories = place.write("stories.jsonl", stories());
    let config = fs::read_to_string(place.path("config.toml")).unwrap();
    let config = config.replace("\"continuation\"", "\"infilling\"").replace(&place.path("prompts.txt"), &stories);
    place.write("config.toml", config);
    place
}

/// log p(Z stop Y | X) of a sample by `amortize score`, from the ids of the sample and those of Y. It is the reward where
/// one token alone stops.
fn score(model: &str, x: &str, sample: &Value, y: &str) -> f64 {
    let ids = |of: &Value| of["tokens"].as_array().unwrap().iter().map(Value::to_string).collect::<Vec<_>>();
    let scored = |completion: &[&str]| {
        json(&succeed(&[&["score", "--model", model, "--prompt", x, "--json"], completion].concat()))
    };
    let y = ids(&scored(&["--completion", &format!(" {y}")]));
    let all = [ids(sample), y].concat().join(",");
    scored(&["--completion-ids", &all])["log_prob"].as_f64().unwrap()
}

#[test]
fn a_runs_samples_are_worth_the_whole_text_under_the_base_model() {
    let place = place();
    // Two tokens are a full stop: "." and its byte.
    let stop = ["policy.stop_strings=[]", "policy.stop_tokens=[331]"];
    let run = place.train("run", &[&stop[..], &[SHORT, "reward.temperature_end=0.8"]].concat());
    let (x, y) = ("The sun", "It was late.");
    let out = succeed(&["sample", "--run", &run, "--prompt", x, "--suffix", y, "-n", "5", "--json"]);
    for sample in json_lines(&out) {
        assert_eq!(keys(&sample), ["log_q", "log_reward", "log_weight", "text", "tokens"]);
        assert!(sample["text"].as_str().unwrap().ends_with('.'));
        let log_reward = sample["log_reward"].as_f64().unwrap();
        assert_close(0.8 * log_reward, score(&fixture("llama3-rope"), x, &sample, y), 1e-3);
        let weight = log_reward - sample["log_q"].as_f64().unwrap();
        assert_close(sample["log_weight"].as_f64().unwrap(), weight, 1e-12);
    }
    // The policy reads Y: another one makes other draws from the same seed.
    let other = succeed(&["sample", "--run", &run, "--prompt", x, "--suffix", "No.", "-n", "5", "--json"]);
    let tokens = |out: &str| json_lines(out).iter().map(|sample| sample["tokens"].clone()).collect::<Vec<_>>();
    assert_ne!(tokens(&out), tokens(&other));
}

#[test]
fn stories_are_sampled_and_evaluated_by_the_file() {
    let place = place();
    let run = place.train("run", &[SHORT]);
    let data = place.path("stories.jsonl");
    let samples = json_lines(&succeed(&["sample", "--run", &run, "--data", &data, "-n", "3", "--json"]));
    assert_eq!(samples.len(), 3 * PROMPTS.len());
    for (number, sample) in samples.iter().enumerate() {
        let story = number / 3;
        assert_eq!(
            (&sample["prompt"], &sample["suffix"]),
            (&json!(PROMPTS[story]), &json!(format!("It was day {story}.")))
        );
    }
    let found = json(&succeed(&["evaluate", "--run", &run, "--data", &data, "-n", "3", "--json"]));
    for (query, samples) in found["queries"].as_array().unwrap().iter().zip(samples.chunks(3)) {
        assert_eq!((&query["prompt"], &query["suffix"]), (&samples[0]["prompt"], &samples[0]["suffix"]));
        let elbo = samples.iter().map(|sample| sample["log_weight"].as_f64().unwrap()).sum::<f64>() / 3.0;
        assert_close(query["elbo"].as_f64().unwrap(), elbo, 1e-6);
        // p(Z stop | X) is more than p(Z stop Y | X).
        assert!(query["mean_log_p"].as_f64().unwrap() > 0.8 * samples[0]["log_reward"].as_f64().unwrap());
    }
    let table = succeed(&["sample", "--run", &run, "--data", &data]);
    assert!(table.contains("\nThe sun ___ It was day 4.\n"), "{table}");
    // What was logged while training is of the held-out stories, the last two.
    let logged = json_lines(&fs::read_to_string(format!("{run}/metrics.jsonl")).unwrap());
    let own = json(&succeed(&["evaluate", "--run", &run, "-n", "4", "--seed", "1", "--threads", "2", "--json"]));
    assert_eq!(own["summary"]["log_z_is"], logged.last().unwrap()["log_z_is"]);
    assert_eq!(own["queries"][1]["suffix"], "It was day 9.");
    let samples = json_lines(&fs::read_to_string(format!("{run}/samples.jsonl")).unwrap());
    assert!(samples.iter().all(|sample| sample["suffix"].as_str().unwrap().starts_with("It was day ")));
    let report = fs::read_to_string(format!("{run}/report.html")).unwrap();
    assert!(report.contains("infilling") && report.contains(" ___ It was day "), "the page shows X and Y");
}

#[test]
fn a_run_that_is_given_more_steps_equals_a_longer_one() {
    let place = place();
    let sets = ["optimizer.decay=none", "evaluate.every=3"];
    let whole = place.train("whole", &[&sets[..], &["train.steps=6"]].concat());
    let run = place.train("run", &[&sets[..], &["train.steps=3"]].concat());
    succeed(&["train", "--resume", &run, "--set", "train.steps=6"]);
    // The card says how many steps were planned when the best was found.
    [&whole, &run].into_iter().for_each(|run| fs::remove_file(format!("{run}/adapter_best/README.md")).unwrap());
    assert_same_run(&whole, &run);
}

#[test]
fn a_bare_model_infills_where_there_is_a_y() {
    let place = place();
    let model = fixture("gpt2-tiny");
    let args = ["sample", "--model", &model, "--max-length", "4", "-n", "3", "--json"];
    let out = succeed(&[&args[..], &["--prompt", "We", "--suffix", "The end."]].concat());
    for sample in json_lines(&out) {
        assert_close(sample["log_reward"].as_f64().unwrap(), score(&model, "We", &sample, "The end."), 1e-3);
    }
    let (model, data) = (fixture("llama3-rope"), place.path("stories.jsonl"));
    let found = json(&succeed(&["evaluate", "--model", &model, "--data", &data, "-n", "4", "--proposals", "--json"]));
    assert_eq!(found["queries"].as_array().unwrap().len(), PROMPTS.len());
    assert!(found["queries"][0]["suffix"].is_string());
}

#[test]
fn the_template_and_the_separator_are_the_configs() {
    let place = place();
    let model = fixture("llama3-rope");
    // The first step's learning rate is 0: the adapter changes nothing.
    let sets = ["train.steps=1", "optimizer.warmup_steps=2", "reward.temperature_end=1", "task.separator="];
    let run = place.train("run", &[&sets[..], &["task.template=End: {y} Middle: "]].concat());
    let sample = |args: &[&str]| json_lines(&succeed(&[&["sample", "-n", "4", "--json"], args].concat()));
    let infills = sample(&["--run", &run, "--prompt", "A dog", "--suffix", "So."]);
    let prompted = sample(&["--model", &model, "--max-length", "8", "--prompt", "End: So. Middle:"]);
    for (infill, prompted) in infills.iter().zip(&prompted) {
        assert_eq!((&infill["tokens"], &infill["log_q"]), (&prompted["tokens"], &prompted["log_q"]));
        let with_space = score(&model, "A dog", infill, "So.");
        assert!((infill["log_reward"].as_f64().unwrap() - with_space).abs() > 1e-3, "there is no space before Y");
    }
}

#[test]
fn data_that_are_no_stories_are_refused_with_their_line() {
    let place = place();
    let run = place.train("run", &[SHORT, "evaluate.every=0"]);
    let long = json!({"x": "a", "y": "long ".repeat(300)}).to_string();
    let cases = [
        ("Once upon a time.", "bad.jsonl:11: is no JSON"),
        (r#"{"x": "Once"}"#, "bad.jsonl:11: has no \"y\""),
        (r#"{"x": 1, "y": "b"}"#, "bad.jsonl:11: \"x\" is 1, not a text"),
        (r#"{"x": "a", "y": ""}"#, "bad.jsonl:11: \"y\" is empty"),
        (&long, "context of 256"),
    ];
    for (line, message) in cases {
        let data = place.write("bad.jsonl", format!("{}\n{line}\n", stories()));
        for command in ["sample", "evaluate"] {
            refuse_saying(&[command, "--run", &run, "--data", &data], &[message]);
            refuse_saying(&[command, "--model", &fixture("llama3-rope"), "--data", &data], &[message]);
        }
        refuse_saying(&strs(&place.training("refused", &[&format!("data.path={data}")])), &[message]);
    }
    assert!(!std::path::Path::new(&place.path("refused")).exists(), "no run was begun");
    // Prompts without Y are no stories.
    refuse_saying(&["evaluate", "--run", &run, "--data", &place.path("prompts.txt")], &["prompts.txt:1: is no JSON"]);
}

#[test]
fn what_is_missing_or_too_much_is_refused() {
    let place = place();
    let run = place.train("run", &[SHORT, "evaluate.every=0"]);
    refuse_saying(&["sample", "--run", &run, "--prompt", "We"], &["--suffix is missing"]);
    refuse_saying(&["sample", "--run", &run, "--prompt", "We", "--suffix", ""], &["--suffix is missing"]);
    // Space alone is dropped, and is no text.
    refuse_saying(&["sample", "--run", &run, "--prompt", "We", "--suffix", "  "], &["--suffix is missing"]);
    let data = place.path("stories.jsonl");
    refuse_saying(&["sample", "--run", &run, "--data", &data, "--suffix", "So."], &["--data", "--suffix"]);
    refuse_saying(&strs(&place.training("refused", &["task.template=Middle:"])), &["with {x}, {y} or both"]);
}

//! Tasks of users' own: docs/tasks.md runs as written, but for fewer steps, and what goes wrong is told.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::*;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What docs/tasks.md says below a heading: files by name, and commands.
struct Walkthrough {
    files: Vec<(String, String)>,
    commands: Vec<String>,
}

fn walkthrough(heading: &str) -> Walkthrough {
    let text = fs::read_to_string(root().join("docs/tasks.md")).unwrap();
    let (_, section) = text.split_once(&format!("\n## {heading}\n")).expect("a heading");
    let section = section.split("\n## ").next().unwrap();
    let (mut files, mut commands, mut name) = (Vec::new(), Vec::new(), None);
    for paragraph in blocks(section) {
        if let Some(named) = paragraph.strip_prefix('`').and_then(|rest| rest.strip_suffix("`:")) {
            name = Some(named.to_string());
        } else if paragraph.starts_with("    ") {
            let lines: Vec<&str> = paragraph.lines().map(|line| line.strip_prefix("    ").unwrap_or(line)).collect();
            match name.take() {
                Some(name) => files.push((name, lines.join("\n"))),
                None => commands
                    .extend(lines.iter().filter(|line| line.starts_with("amortize ")).map(|line| line.to_string())),
            }
        }
    }
    Walkthrough { files, commands }
}

/// Paragraphs; indented ones with blank lines between them are one.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    for paragraph in text.split("\n\n").map(|paragraph| paragraph.trim_end()) {
        let paragraph = paragraph.trim_start_matches('\n');
        match blocks.last_mut() {
            Some(last) if last.starts_with("    ") && paragraph.starts_with("    ") => {
                *last += &format!("\n\n{paragraph}")
            }
            _ => blocks.push(paragraph.to_string()),
        }
    }
    blocks
}

/// Runs the commands in a directory with the files, training for a few small steps. Returns their outputs.
fn follow(place: &Place, heading: &str) -> Vec<String> {
    let Walkthrough { files, commands } = walkthrough(heading);
    files.iter().for_each(|(name, content)| drop(place.write(name, content)));
    fs::create_dir(place.path("examples")).unwrap();
    fs::copy(root().join("examples/scorer.py"), place.path("examples/scorer.py")).unwrap();
    let outputs = commands.iter().map(|line| {
        let line = line.replace("MODEL", &fixture("llama3-rope"));
        let mut args: Vec<&str> = line.split('"').enumerate().flat_map(words).skip(1).collect();
        if args[0] == "train" {
            args.extend(["--set", "train.steps=2", "--set", "train.samples_per_query=4", "--set", "adapter.rank=2"]);
        }
        let finished: Finished = command(&args).current_dir(place.path("")).output().unwrap().into();
        assert_eq!(finished.code, Some(0), "{line}: {}", finished.stderr);
        finished.stdout + &finished.stderr
    });
    outputs.collect()
}

/// The words of a command line whose parts between quotes are every second one.
fn words((number, part): (usize, &str)) -> Vec<&str> {
    if number % 2 == 1 { vec![part] } else { part.split_whitespace().collect() }
}

#[test]
fn the_walkthrough_with_a_pattern_runs_as_written() {
    let place = Place::new();
    let outputs = follow(&place, "With a pattern");
    assert_eq!(outputs.len(), 3);
    assert!(outputs[0].contains("replay buffer: 2 of the data's 2 z, 0 of which have no reward"), "{}", outputs[0]);
    assert!(
        outputs[1].contains("Once upon a time there was a big park.") && outputs[2].contains("share of zero rewards")
    );
    // What was asked for is what counts: zero reward without a match, and the likelihood with one.
    let args =
        ["sample", "--run", &place.path("heroes-run"), "--data", &place.path("heroes.jsonl"), "-n", "4", "--json"];
    let samples = json_lines(&succeed(&args));
    assert_eq!(samples.len(), 6 * 4);
    for sample in &samples {
        let animal = ["dog", "cat", "bird"].iter().any(|animal| sample["text"].as_str().unwrap().contains(animal));
        assert!(animal || sample["log_reward"].is_null(), "{sample}");
    }
    let card = fs::read_to_string(place.path("heroes-run/adapter/README.md")).unwrap();
    assert!(
        card.contains("{x} {name}") && card.contains("kind = \"regex\"") && card.contains("dog|cat|bird"),
        "{card}"
    );
    // Fields that the command line has no words for.
    let refused = ["sample", "--run", &place.path("heroes-run"), "--prompt", "A day."];
    refuse_saying(&refused, &["reads the field \"name\"", "--data"]);
}

#[test]
fn the_walkthrough_with_a_program_runs_as_written() {
    let place = Place::new();
    let outputs = follow(&place, "With a program of your own");
    assert_eq!(outputs.len(), 3);
    assert!(outputs[1].contains("log R") && outputs[2].contains("prompts"), "{outputs:?}");
    // log R is the scorer's and the model's together.
    let args = ["sample", "--run", &place.path("short-words-run"), "--prompt", "A day.", "-n", "8", "--json"];
    let finished: Finished = command(&args).current_dir(place.path("")).output().unwrap().into();
    let plain = json_lines(&succeed(&["sample", "--model", &fixture("llama3-rope"), "--prompt", "A day.", "--json"]));
    assert_eq!(plain.len(), 1);
    let samples = json_lines(&finished.stdout);
    let positive = samples.iter().filter(|sample| !sample["log_reward"].is_null());
    for sample in positive {
        let ids = sample["tokens"].as_array().unwrap().iter().map(Value::to_string).collect::<Vec<_>>().join(",");
        let args =
            ["score", "--model", &fixture("llama3-rope"), "--prompt", "A day.", "--completion-ids", &ids, "--json"];
        let log_p = json(&succeed(&args))["log_prob"].as_f64().unwrap();
        let text = sample["text"].as_str().unwrap();
        let letters =
            text.trim_end_matches('.').split_whitespace().map(|word| word.trim_matches(['.', ',', '!', '?', '"']));
        let beyond: usize = letters.map(|word| word.chars().count().saturating_sub(4)).sum();
        let own = sample["log_reward"].as_f64().unwrap() + 0.5 * beyond as f64;
        // Its full stop is one of two tokens.
        assert!(own - log_p > -1e-3, "{sample}: {own} {log_p}");
    }
}

/// A config with a scorer that fails at its `fails`-th request and every later one, until a file says it is mended.
fn failing(place: &Place, fails: usize) -> Vec<String> {
    let script = format!(
        r#"import json, os, sys
path = sys.argv[1]
for line in sys.stdin:
    with open(path + "/count", "a") as file:
        file.write("x")
    if os.path.getsize(path + "/count") >= {fails} and not os.path.exists(path + "/mended"):
        sys.exit(9)
    request = json.loads(line)
    log_rewards = [-0.1 * len(item["z"]) for item in request["items"]]
    print(json.dumps({{"id": request["id"], "log_rewards": log_rewards}}), flush=True)
"#
    );
    let script = place.write("failing.py", script);
    let terms =
        format!("reward.terms=[{{kind = \"external\", command = [\"python3\", {script:?}, {:?}]}}]", place.path(""));
    let set = ["--set".to_string(), terms];
    [place.training("run", &["train.steps=8", "evaluate.every=0", "train.checkpoint_every=100"]), set.to_vec()].concat()
}

#[test]
fn a_scorer_that_fails_for_good_ends_a_run_that_can_go_on() {
    let place = Place::new();
    let args = failing(&place, 5);
    let finished = call(&strs(&args));
    assert_eq!(finished.code, Some(1));
    let run = place.path("run");
    for said in [
        "warning: the scorer `python3 ",
        "; starting it again",
        "ended without an answer (exit status: 9), twice in a row",
    ] {
        assert!(finished.stderr.contains(said), "{}", finished.stderr);
    }
    assert!(
        finished.stderr.contains(&format!("saved as of step 4: mend the scorer, and `amortize train --resume {run}`"))
    );
    assert_eq!(saved_step(&run), Some(4));
    place.write("mended", "");
    succeed(&["train", "--resume", &run]);
    // As if nothing had happened.
    let mut whole = args.clone();
    *whole.iter_mut().find(|arg| **arg == run).unwrap() = place.path("whole");
    succeed(&strs(&whole));
    assert_same_run(&place.path("whole"), &run);
}

#[test]
fn a_run_that_is_seeded_resumes_to_the_same_end() {
    let place = Place::new();
    let line = |i: usize| json!({"x": PROMPTS[i], "z": format!("was day {i}.")}).to_string();
    let data = place.write("seeds.jsonl", (0..PROMPTS.len()).map(line).collect::<Vec<_>>().join("\n"));
    let data = format!("data.path={data}");
    let sets =
        [&data, "buffer.seed_from_data=true", "policy.max_length=12", "optimizer.decay=none", "evaluate.every=3"];
    let whole = place.train("whole", &[&sets[..], &["train.steps=6"]].concat());
    let run = place.train("run", &[&sets[..], &["train.steps=3"]].concat());
    succeed(&["train", "--resume", &run, "--set", "train.steps=6"]);
    [&whole, &run].into_iter().for_each(|run| fs::remove_file(format!("{run}/adapter_best/README.md")).unwrap());
    assert_same_run(&whole, &run);
    let first = json_lines(&fs::read_to_string(format!("{run}/metrics.jsonl")).unwrap());
    let buffer = first.iter().find(|record| record["kind"] == "train").unwrap()["buffer_items"].as_u64().unwrap();
    assert!(buffer >= 8, "the eight prompts to train on have a seed each: {buffer}");
    // A seed that cannot be drawn is refused before there is a run.
    let bad = place.write("bad.jsonl", format!("{}\n{}\n", line(0), json!({"x": "We", "z": "a. b."})));
    let sets = [&format!("data.path={bad}"), "buffer.seed_from_data=true", "data.validation=0"];
    refuse_saying(&strs(&place.training("refused", &sets)), &["bad.jsonl:2: \"z\" = \"a. b.\" cannot be drawn"]);
    assert!(!Path::new(&place.path("refused")).exists());
}

#[test]
fn several_y_for_one_x_and_none_before_y() {
    let place = Place::new();
    let lines = [("She", "The end."), ("She", "He ran."), ("", "The end."), ("", "He ran.")];
    let lines = lines.map(|(x, y)| json!({"x": x, "y": y}).to_string()).join("\n");
    let data = format!("data.path={}", place.write("stories.jsonl", lines));
    let run = place.train("run", &["task=infilling", &data, "data.validation=1", "train.steps=2"]);
    let sample =
        |args: &[&str]| json_lines(&succeed(&[&["sample", "--run", &run, "-n", "3", "--json"], args].concat()));
    // Backwards: what leads to Y from the beginning of a text.
    let reverse = sample(&["--suffix", "So."]);
    assert_eq!(reverse.len(), 3);
    assert_ne!(reverse, sample(&["--prompt", "She", "--suffix", "So."]));
    let whole = sample(&["--data", &place.path("stories.jsonl")]);
    assert_eq!((&whole[0]["prompt"], &whole[0]["suffix"]), (&json!("She"), &json!("The end.")));
    assert_eq!((&whole[9]["prompt"], &whole[9]["suffix"]), (&json!(""), &json!("He ran.")));
}

#[test]
fn texts_of_terms_that_are_too_long_are_refused_before_there_is_a_run() {
    let place = Place::new();
    let terms = |suffix: &str| {
        format!(
            "reward.terms=[{{kind = \"regex\", pattern = \"a\"}}, {{kind = \"likelihood\", suffix = \"{suffix}\"}}]"
        )
    };
    let long = terms(&"long ".repeat(300));
    refuse_saying(
        &strs(&place.training("refused", &[&long])),
        &["prompts.txt:1: the prompt", "reward term 2", "context of 256"],
    );
    // A field that the data do not have.
    let set = terms(" {topic}");
    refuse_saying(&strs(&place.training("refused", &[&set])), &["prompts.txt:1: is no JSON", "\"topic\": \"A text.\""]);
    refuse_saying(
        &strs(&place.training("refused", &["reward.terms=[{kind = \"regx\"}]"])),
        &["term 1", "did you mean \"regex\"?"],
    );
    assert!(!Path::new(&place.path("refused")).exists());
}

#[test]
fn an_evaluation_of_a_table_is_exact() {
    let place = Place::new();
    let terms = r#"reward.terms=[{kind = "table", uniform = {low = 1, high = 3}}]"#;
    let sets = [terms, "reward.temperature_end=1", "train.steps=2", "policy.forbid=(?s).\\.$"];
    let run = place.train("run", &sets);
    let found = json(&succeed(&["evaluate", "--run", &run, "-n", "4", "--json"]));
    for place in [&found, &found["queries"][0]] {
        let shares = place["distribution"].as_array().unwrap();
        assert_eq!(shares.iter().map(|share| share["text"].as_str().unwrap()).collect::<Vec<_>>(), ["1", "2", "3"]);
        let valid: f64 = shares.iter().map(|share| share["policy"].as_f64().unwrap()).sum();
        assert_close(place["invalid_mass"].as_f64().unwrap(), 1.0 - valid, 1e-9);
        assert!(place["kl"].as_f64().unwrap() >= 0.0 && place["reverse_kl"].as_f64().unwrap() > 0.0);
        assert!(place["total_variation"].as_f64().unwrap() <= 1.0);
    }
    let table = succeed(&["evaluate", "--run", &run, "-n", "4"]);
    assert!(table.contains("known without draws") && table.contains("mass of invalid texts"), "{table}");
    let logged = json_lines(&fs::read_to_string(format!("{run}/metrics.jsonl")).unwrap());
    let last = logged.iter().rfind(|record| record["kind"] == "evaluate").unwrap();
    assert_close(last["kl"].as_f64().unwrap(), found["kl"].as_f64().unwrap(), 1e-6);
}

//! What determines a run: its config and its seed, and nothing else.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::*;

const SHORT: &str = "train.steps=12";

#[test]
fn a_seed_determines_a_run() {
    let place = Place::new();
    let [first, second] = ["first", "second"].map(|out| place.train(out, &[SHORT]));
    assert_same_run(&first, &second);
    let other = place.train("other", &[SHORT, "train.seed=8"]);
    for file in ["metrics.jsonl", "samples.jsonl", "adapter/adapter_model.safetensors"] {
        let read = |run: &str| fs::read(format!("{run}/{file}")).unwrap();
        assert!(read(&first) != read(&other), "{file} is the same with another seed");
    }
}

/// The samples of a kind in a run.
fn samples_of(run: &str, kind: &str) -> Vec<Value> {
    let samples = json_lines(&fs::read_to_string(format!("{run}/samples.jsonl")).unwrap());
    samples.into_iter().filter(|sample| sample["kind"] == kind).collect()
}

#[test]
fn validation_prompts_are_drawn_for_before_and_after() {
    let place = Place::new();
    let sets = [SHORT, "reward.temperature_end=0.5", "evaluate.every=6", "evaluate.samples_per_query=3"];
    let run = place.train("run", &sets);
    let data = place.write("validation.txt", PROMPTS[8..].join("\n"));
    let sample = |policy: &[&str]| {
        let args = ["sample", "--data", &data, "-n", "3", "--seed", "1", "--threads", "2", "--json"];
        json_lines(&succeed(&[&args, policy].concat()))
    };
    let last = |samples: Vec<Value>| samples.into_iter().filter(|sample| sample["step"] == 12).collect::<Vec<_>>();
    let model = fixture("llama3-rope");
    let base = ["--model", &model, "--max-length", "8", "--reward-temperature", "0.5"];
    let pairs =
        [(samples_of(&run, "before"), sample(&base)), (last(samples_of(&run, "after")), sample(&["--run", &run]))];
    for (logged, drawn) in &pairs {
        assert_eq!(logged.len(), 6);
        for (logged, drawn) in logged.iter().zip(drawn) {
            for key in ["prompt", "text", "log_q", "log_weight"] {
                assert_eq!(logged[key], drawn[key], "{key} of {logged}");
            }
            // The reward of a continuation is its log p; samples have it tempered.
            let [log_p, log_reward] = ["log_p", "log_reward"].map(|key| logged[key].as_f64().unwrap());
            assert!(
                (log_p - log_reward).abs() < 1e-9 && (log_p - 0.5 * drawn["log_reward"].as_f64().unwrap()).abs() < 1e-9
            );
        }
    }
    assert!(pairs[0].0[0]["log_q"] != pairs[1].0[0]["log_q"], "training changed the policy");
    let steps: Vec<_> = samples_of(&run, "after").iter().map(|sample| sample["step"].clone()).collect();
    assert_eq!(steps, [[6; 6], [12; 6]].concat());
    let report = fs::read_to_string(format!("{run}/report.html")).unwrap();
    assert!(report.contains("<b>Before</b> the base model") && report.contains("<b>After</b> step 12"));
}

#[test]
fn events_for_tensorboard_lie_in_the_run() {
    let place = Place::new();
    let run = place.train("run", &["train.steps=2"]);
    let printed = succeed(&["report", &run, "--tensorboard"]);
    assert_eq!(printed, format!("{run}/report.html\n{run}/tensorboard\n"));
    let events = fs::read(format!("{run}/tensorboard/events.out.tfevents.amortize")).unwrap();
    for tag in ["train/loss", "evaluate/log_w_variance", "samples/before"] {
        assert!(events.windows(tag.len()).any(|bytes| bytes == tag.as_bytes()), "{tag}");
    }
}

#[test]
fn a_set_overrides_the_config_and_the_last_one_counts() {
    let place = Place::new();
    let run =
        place.train("run", &["train.steps=3", "reward.temperature_end=0.9", "train.steps=5", "optimizer.clip_norm="]);
    let config = fs::read_to_string(format!("{run}/config.toml")).unwrap();
    for line in ["steps = 5", "temperature_end = 0.9", "seed = 7"] {
        assert!(config.lines().any(|found| found == line), "{line} is not in\n{config}");
    }
    assert!(!config.contains("\nclip_norm"), "{config}");
    assert_eq!(logged_step(&run), Some(5));
}

#[test]
fn the_resolved_config_reproduces_the_run_from_anywhere() {
    let place = Place::new();
    place.write("relative.toml", fs::read_to_string(place.path("config.toml")).unwrap().replace(&place.path(""), ""));
    let args = ["train", "relative.toml", "--set", SHORT, "--out", "run"];
    let output = command(&args).current_dir(place.path("")).output().unwrap();
    assert!(output.status.success(), "{}", Finished::from(output).stderr);
    let (run, again) = (place.path("run"), place.path("again"));
    succeed(&["train", &format!("{run}/config.toml"), "--out", &again]);
    assert_same_run(&run, &again);
}

#[test]
fn a_finished_run_that_is_given_more_steps_equals_a_longer_one() {
    let place = Place::new();
    let sets = ["optimizer.decay=none", "evaluate.every=6"];
    let whole = place.train("whole", &[&sets[..], &["train.steps=24"]].concat());
    let run = place.train("run", &[&sets[..], &["train.steps=12"]].concat());
    succeed(&["train", "--resume", &run, "--set", "train.steps=24"]);
    // The card says how many steps were planned when the best was found.
    [&whole, &run].into_iter().for_each(|run| fs::remove_file(format!("{run}/adapter_best/README.md")).unwrap());
    assert_same_run(&whole, &run);
}

#[test]
fn a_model_that_moved_is_found_from_anywhere_after_a_resume() {
    let place = Place::new();
    let run = place.train("run", &["train.steps=1"]);
    let model = fs::read_to_string(format!("{run}/config.toml")).unwrap();
    let model = model.lines().find_map(|line| line.strip_prefix("path = \"")?.strip_suffix('"')).unwrap();
    place.copy_model(Path::new(model).file_name().unwrap().to_str().unwrap(), "moved");
    let args = ["train", "--resume", &run, "--set", "model.path=moved", "--set", "train.steps=2"];
    let output = command(&args).current_dir(place.path("")).output().unwrap();
    assert!(output.status.success(), "{}", Finished::from(output).stderr);
    succeed(&["sample", "--run", &run, "--prompt", "The sun"]);
}

#[test]
fn resuming_a_finished_run_changes_nothing() {
    let place = Place::new();
    let run = place.train("run", &[SHORT]);
    let before = files(&run);
    succeed(&["train", "--resume", &run]);
    assert_same(&before, &files(&run), "the run");
}

#[test]
fn a_run_starts_from_the_adapter_that_it_is_given() {
    let place = Place::new();
    let adapter = format!("{}/adapter-rslora", fixture("llama3-rope"));
    let run = place.train("run", &["train.steps=1", "optimizer.warmup_steps=2", &format!("model.adapter={adapter}")]);
    // The first step's learning rate is 0.
    let sample = |adapter: &str| {
        let model = fixture("llama3-rope");
        succeed(&["sample", "--model", &model, "--adapter", adapter, "-n", "5", "--json"])
    };
    assert_eq!(sample(&adapter), sample(&format!("{run}/adapter")));
}

#[test]
fn a_run_past_the_steps_asked_for_is_refused_and_left_alone() {
    let place = Place::new();
    let run = place.train("run", &["train.steps=9"]);
    refuse_and_keep(&run, &["train", "--resume", &run, "--set", "train.steps=8"], &["past train.steps = 8"]);
}

#[test]
fn every_shipped_config_trains() {
    let place = Place::new();
    let configs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs");
    let prompts: String = (0..9).map(|i| format!("a cat {i}\n")).collect();
    let stories: String = (0..9).map(|i| format!("{{\"x\": \"a cat {i}\", \"y\": \"so.\"}}\n")).collect();
    let numbers: String = (0..9).map(|i| format!("{{\"x\": \"a cat {i}\", \"z\": {i}}}\n")).collect();
    let prompts = format!("data.path={}", place.write("short.txt", prompts));
    let numbers = format!("data.path={}", place.write("numbers.jsonl", numbers));
    let stories = format!("data.path={}", place.write("short.jsonl", stories));
    let model = format!("model.path={}", fixture("gpt2-tiny"));
    let mut trained = 0;
    for config in fs::read_dir(configs).unwrap().map(|entry| entry.unwrap().path()) {
        let name = config.file_name().unwrap().to_str().unwrap();
        if !name.ends_with(".toml") {
            continue;
        }
        if let Some(command) = ["pretrain", "sft"].into_iter().find(|command| name.starts_with(command)) {
            train_likelihood(&place, command, &config.display().to_string(), &model);
            continue;
        }
        let (config, run) = (config.display().to_string(), place.path(&format!("run{trained}")));
        let sets = [&model, "data.limit=", "data.validation=2", "train.steps=1", "evaluate.every=1"];
        // The model's context is short, and its vocabulary spells.
        let sets = if config.contains("infill") {
            let small = ["task.template={x} {y}", "train.queries_per_step=4", "buffer.seed_from_data=false"];
            [&sets[..], &[&stories], &small].concat()
        } else if ["random-numbers", "quickstart", "rng"].iter().any(|name| config.contains(name)) {
            [&sets[..], &[&numbers, "data.validation_path="]].concat()
        } else {
            [&sets[..], &[&prompts]].concat()
        };
        let sets = sets.iter().flat_map(|set| ["--set", set]);
        succeed(&["train", &config, "--out", &run].into_iter().chain(sets).collect::<Vec<_>>());
        assert_eq!(saved_step(&run), Some(1), "{config}");
        trained += 1;
    }
    assert!(trained >= 2, "there are configs to try");
}

fn train_likelihood(place: &Place, command: &str, config: &str, model: &str) {
    let texts: String = (0..200).map(|i| format!("{{\"text\": \"a cat {i} sat\"}}\n")).collect();
    let texts = format!("data.path={}", place.write("texts.jsonl", texts));
    let run = place.path(Path::new(config).file_stem().unwrap().to_str().unwrap());
    let sets = ["--set", &texts, "--set", "data.validation_path=", "--set", "train.steps=1"];
    let mut args = [&[command, config, "--out", &run], &sets[..]].concat();
    if command == "sft" {
        args.extend(["--set", model]);
    }
    succeed(&args);
    assert_eq!(saved_step(&run), Some(1), "{config}");
}

/// As its users call it, but for the number of steps.
#[test]
fn the_quick_start_brings_the_embedded_model_closer_to_the_uniform_distribution() {
    let place = Place::new();
    let run = place.path("run");
    let sets = ["--set", "train.steps=60", "--set", "evaluate.every=60"];
    let args = [&["train", "configs/quickstart.toml", "--out", &run], &sets[..]].concat();
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let finished = Finished::from(command(&args).current_dir(root).output().unwrap());
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let figures: Vec<(f64, f64)> = json_lines(&fs::read_to_string(format!("{run}/metrics.jsonl")).unwrap())
        .iter()
        .filter(|record| record["kind"] == "evaluate")
        .map(|record| (record["kl"].as_f64().unwrap(), record["invalid_mass"].as_f64().unwrap()))
        .collect();
    let [(kl_before, invalid_before), (kl_after, invalid_after)] = figures[..] else { panic!("{figures:?}") };
    assert!(kl_after < kl_before / 4.0 && invalid_after < invalid_before / 4.0, "{figures:?}");
    for part in ["KL to the target", "before", "after", "report: "] {
        assert!(finished.stderr.contains(part), "{part}: {}", finished.stderr);
    }
    // The run names the model as the user did, and goes on.
    assert!(fs::read_to_string(format!("{run}/config.toml")).unwrap().contains("\"embedded:tiny\""));
    succeed(&["train", "--resume", &run, "--set", "train.steps=61"]);
}

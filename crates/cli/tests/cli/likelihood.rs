//! `amortize pretrain`, `amortize sft` and `amortize merge`.

use std::fs;
use std::path::Path;

use crate::support::*;

const TEXTS: [&str; 5] = [
    "Tom had 12 red balls. He lost one of them.",
    "Lily saw a cat. The cat sat on the mat. The mat was red.",
    "A dog ran to the park.",
    "The dog saw the cat. The cat saw the dog, and ran away. The dog ran too.",
    "Tom and Lily sat on the mat. They saw 3 balls.",
];

/// Everything that a resumed run must take up again: passes over texts, micro-batches, schedules, evaluations and
/// checkpoints at steps of their own.
const PRETRAIN: &str = r#"
data = { path = "TEXTS", validation = 0.2 }
architecture = { layers = 2, width = 32, heads = 4, kv_heads = 2, context = 24 }
tokenizer = { vocabulary = 300 }
optimizer = { learning_rate = 1e-2, warmup_steps = 2, clip_norm = 1.0 }
train = { steps = 40, seed = 7, tokens_per_step = 100, tokens_per_pass = 40, checkpoint_every = 10, threads = 2 }
evaluate = { every = 8, samples = 2, sample_length = 10 }
"#;

const SFT: &str = r#"
model = { path = "MODEL" }
data = { path = "PAIRS", validation = 0.2 }
optimizer = { learning_rate = 1e-3, warmup_steps = 2 }
train = { steps = 20, seed = 7, tokens_per_step = 80, checkpoint_every = 6, threads = 2 }
evaluate = { every = 5, samples = 2, sample_length = 6 }
"#;

/// A place with the configs `pretrain.toml` and `sft.toml`.
fn place() -> Place {
    let place = Place::new();
    let texts: Vec<&str> = TEXTS.iter().cycle().take(40).copied().collect();
    let texts = place.write("texts.txt", texts.join("\n"));
    place.write("pretrain.toml", PRETRAIN.replace("TEXTS", &texts));
    let pair = |i: usize| format!("{{\"prompt\": \"a cat {i}\", \"completion\": \" so {i}.\"}}\n");
    let pairs = place.write("pairs.jsonl", (0..30).map(pair).collect::<String>());
    place.write("sft.toml", SFT.replace("MODEL", &fixture("llama-tiny")).replace("PAIRS", &pairs));
    place
}

fn args(place: &Place, command: &str, out: &str, sets: &[&str]) -> Vec<String> {
    let mut args = vec![command.into(), place.path(&format!("{command}.toml")), "--out".into(), place.path(out)];
    args.extend(sets.iter().flat_map(|set| ["--set".into(), set.to_string()]));
    args
}

fn run(place: &Place, command: &str, out: &str, sets: &[&str]) -> String {
    succeed(&strs(&args(place, command, out, sets)));
    place.path(out)
}

/// Kills a run past a checkpoint, resumes it, and compares it with one that was left alone.
fn killed_and_resumed_equals_uninterrupted(command: &str, sets: &[&str]) {
    let place = place();
    let whole = run(&place, command, "whole", sets);
    let killed = place.path("killed");
    let mut training = Training::start(&strs(&args(&place, command, "killed", sets)));
    training.wait_until(|| logged_step(&killed).zip(saved_step(&killed)).is_some_and(|(l, s)| l > 12 && l > s));
    training.kill();
    assert!(saved_step(&killed) < logged_step(&killed), "it was killed past a checkpoint");
    succeed(&[command, "--resume", &killed]);
    assert_same_run(&whole, &killed);
}

#[test]
fn a_killed_pretraining_resumes_bit_for_bit() {
    killed_and_resumed_equals_uninterrupted("pretrain", &[]);
}

#[test]
fn a_killed_full_fine_tuning_resumes_bit_for_bit() {
    killed_and_resumed_equals_uninterrupted("sft", &[]);
}

#[test]
fn a_killed_fine_tuning_of_an_adapter_resumes_bit_for_bit() {
    killed_and_resumed_equals_uninterrupted("sft", &["adapter.rank=3", "adapter.dropout=0.2"]);
}

#[cfg(unix)]
#[test]
fn an_interrupt_saves_and_names_the_command() {
    let place = place();
    let out = place.path("run");
    let mut training = Training::start(&strs(&args(&place, "pretrain", "run", &["train.steps=4000"])));
    training.wait_until(|| logged_step(&out) >= Some(3));
    let sent = std::process::Command::new("kill").args(["-INT", &training.id().to_string()]).status();
    assert!(sent.unwrap().success());
    let finished = training.finish();
    let step = logged_step(&out).unwrap();
    let message = format!("error: interrupted after step {step}; continue with `amortize pretrain --resume {out}`");
    assert_eq!((finished.code, finished.stderr.lines().last()), (Some(130), Some(message.as_str())));
    assert_eq!(saved_step(&out), Some(step));
}

#[test]
fn a_new_model_is_sampled_fine_tuned_and_merged() {
    let place = place();
    let base = format!("{}/model", run(&place, "pretrain", "base", &[]));
    let first = fs::read_to_string(place.path("base/metrics.jsonl")).unwrap();
    let losses: Vec<f64> =
        json_lines(&first).iter().filter(|r| r["kind"] == "evaluate").map(|r| r["loss"].as_f64().unwrap()).collect();
    assert!(losses.last() < losses.first().map(|loss| loss / 2.0).as_ref(), "{losses:?}");
    let samples = json_lines(&fs::read_to_string(place.path("base/samples.jsonl")).unwrap());
    assert_eq!(samples.len(), 2 * losses.len(), "two an evaluation");
    assert_eq!(json_lines(&succeed(&["sample", "--model", &base, "--prompt", "Tom", "--json"])).len(), 1);

    let model = format!("model.path={base}");
    let tuned = run(&place, "sft", "tuned", &[&model, "adapter.rank=3"]);
    let (adapter, merged) = (format!("{tuned}/adapter"), place.path("merged"));
    succeed(&["merge", "--model", &base, "--adapter", &adapter, "--out", &merged]);
    let score = |args: &[&str]| {
        let texts = ["--prompt", "a cat 3", "--completion", " so 3.", "--json"];
        json(&succeed(&[&["score"], args, &texts].concat()))["log_prob"].as_f64().unwrap()
    };
    let (before, after) = (score(&["--model", &base]), score(&["--model", &base, "--adapter", &adapter]));
    assert!(after > before + 1.0, "{before} to {after}");
    assert_close(score(&["--model", &merged]), after, 1e-4);
    let small = place.path("small");
    succeed(&["merge", "--model", &merged, "--out", &small, "--precision", "bf16"]);
    let size = |dir: &str| fs::metadata(format!("{dir}/model.safetensors")).unwrap().len();
    assert!(size(&small) < size(&merged) * 6 / 10);
    assert_close(score(&["--model", &small]), after, 0.2);
    refuse_saying(&["merge", "--model", &merged, "--out", &small], &["is there already", "--out"]);
    assert!(fs::read_to_string(succeed(&["report", &tuned]).trim()).unwrap().contains("<svg"));
}

#[test]
fn a_checkpoint_holds_what_the_last_model_is() {
    let place = place();
    let run = run(&place, "pretrain", "run", &["train.steps=9"]);
    let weights = |dir: &str| fs::read(Path::new(&run).join(dir).join("model.safetensors")).unwrap();
    assert!(weights("model") == weights("checkpoint/model"));
    let records = json_lines(&fs::read_to_string(Path::new(&run).join("metrics.jsonl")).unwrap());
    let last = records.iter().rfind(|record| record["kind"] == "evaluate").expect("runs end with an evaluation");
    assert_eq!(last["step"], 9);
    assert_eq!(weights("model_best") == weights("model"), last["best"] == true);
}

#[test]
fn bad_configs_texts_and_runs_are_refused() {
    let place = place();
    let config = place.path("pretrain.toml");
    refuse_saying(&["pretrain", &config, "--set", "train.step=4"], &["unknown key", "train.steps"]);
    let refused = call(&["sft", &config, "--out", &place.path("x")]);
    assert_eq!((refused.code, refused.stderr.starts_with("error: ")), (Some(1), true), "{}", refused.stderr);
    for section in ["architecture", "tokenizer"] {
        let lines = refused.stderr.lines().filter(|line| line.contains(&format!("unknown section [{section}]")));
        assert_eq!(lines.count(), 1, "{}", refused.stderr);
    }
    let bad = format!("data.path={}", place.write("bad.jsonl", "{\"text\": \"a\"}\n{\"texts\": \"a\"}\n"));
    refuse_saying(&["pretrain", &config, "--set", &bad, "--out", &place.path("x")], &["bad.jsonl:2", "\"text\""]);
    let run = run(&place, "pretrain", "run", &["train.steps=9"]);
    refuse_and_keep(&run, &["pretrain", "--resume", &run, "--set", "train.seed=9"], &["differs from the run's own"]);
    refuse_and_keep(&run, &["pretrain", "--resume", &run, "--set", "train.steps=8"], &["past train.steps = 8"]);
    let before = files(&run);
    let refused = call(&["train", "--resume", &run]);
    assert_eq!((refused.code, refused.stderr.contains("unknown key")), (Some(1), true), "{}", refused.stderr);
    assert_same(&before, &files(&run), "a run that another command cannot go on with");
}

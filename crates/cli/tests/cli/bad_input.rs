//! Whatever is wrong with the input, the user reads one message that names it, and nothing is harmed.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::*;

const SHORT: &str = "train.steps=3";

/// Replaces `from` in a file by `to`, which must be there.
fn edit(path: impl AsRef<Path>, from: &str, to: &str) {
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from} is not in {}", path.as_ref().display());
    fs::write(path, text.replace(from, to)).unwrap();
}

fn cut(path: impl AsRef<Path>, bytes: usize) {
    let content = fs::read(&path).unwrap();
    fs::write(path, &content[..bytes.min(content.len())]).unwrap();
}

/// Replaces `from` in the header of a safetensors file by `to`, which must be as long.
fn edit_header(path: impl AsRef<Path>, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).expect("it is in the header");
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    fs::write(path, bytes).unwrap();
}

/// That every command refuses these data or that model; `train` must not even begin a run.
fn refuse_everywhere(place: &Place, model: &str, data: &str, parts: &[&str]) {
    refuse_saying(&["sample", "--model", model, "--data", data], parts);
    refuse_saying(&["evaluate", "--model", model, "--data", data], parts);
    let (model, data) = (format!("model.path={model}"), format!("data.path={data}"));
    refuse_saying(&strs(&place.training("refused", &[&model, &data])), parts);
    assert!(!Path::new(&place.path("refused")).exists(), "no run was begun");
}

#[test]
fn a_damaged_model_is_refused_by_name() {
    type Damage = fn(&Path);
    let damages: [(Damage, &[&str]); 13] = [
        (|model| fs::remove_dir_all(model).unwrap(), &["is not a directory", "config.json"]),
        (|model| fs::remove_file(model.join("config.json")).unwrap(), &["cannot read", "config.json"]),
        (|model| cut(model.join("config.json"), 100), &["config.json", "not the JSON expected"]),
        (|model| edit(model.join("config.json"), "\"llama\"", "\"mamba\""), &["mamba", "gpt2 and llama"]),
        (|model| fs::remove_file(model.join("tokenizer.json")).unwrap(), &["tokenizer.json", "missing"]),
        (|model| cut(model.join("tokenizer.json"), 4000), &["tokenizer.json", "not the JSON expected", "line 256"]),
        (|model| edit(model.join("tokenizer.json"), "\"BPE\"", "\"XYZ\""), &["tokenizer.json"]),
        (|model| fs::remove_file(model.join("model.safetensors")).unwrap(), &["no model weights", "model.safetensors"]),
        (|model| cut(model.join("model.safetensors"), 100_000), &["model.safetensors", "100000 bytes", "damaged"]),
        (|model| cut(model.join("model.safetensors"), 0), &["model.safetensors", "0 bytes", "damaged"]),
        (
            |model| edit_header(model.join("model.safetensors"), "[48,32]", "[32,48]"),
            &["model.safetensors", "[32, 48]", "[48, 32]"],
        ),
        (
            |model| edit_header(model.join("model.safetensors"), "layers.1.mlp.up_proj", "layers.1.mlp.xx_proj"),
            &["no tensor \"model.layers.1.mlp.up_proj.weight\"", "the nearest name"],
        ),
        (|model| edit(model.join("config.json"), "\"vocab_size\": 371", "\"vocab_size\": 300"), &["vocab_size = 300"]),
    ];
    let place = Place::new();
    for (number, (damage, parts)) in damages.into_iter().enumerate() {
        let model = place.copy_model("llama-tiny", &format!("model{number}"));
        damage(Path::new(&model));
        refuse_everywhere(&place, &model, &place.path("prompts.txt"), &[&[model.as_str()], parts].concat());
        refuse_saying(&["score", "--model", &model, "--prompt=a", "--completion=b"], parts);
    }
}

#[test]
fn data_that_cannot_be_prompts_are_refused_with_their_line() {
    let place = Place::new();
    // The context has 64 tokens.
    let long = format!("Short.\n{}\nShort.", "long ".repeat(60));
    let cases: [(&str, &[u8], &[&str]); 5] = [
        ("empty.txt", b"", &["has no prompts"]),
        ("bom.txt", b"\xef\xbb\xbf\n", &["has no prompts"]),
        ("blank.txt", b"\n  \n\n", &["has no prompts"]),
        ("latin1.txt", b"One\nTwo\ncaf\xe9\nFour\n", &["latin1.txt:3:", "not UTF-8"]),
        ("long.txt", long.as_bytes(), &["\"long long", "context of 64"]),
    ];
    for (name, content, parts) in cases {
        let data = place.write(name, content);
        refuse_everywhere(&place, &fixture("llama-tiny"), &data, &[&[data.as_str()], parts].concat());
    }
    refuse_everywhere(&place, &fixture("llama-tiny"), &place.path("none.txt"), &["none.txt", "cannot be read"]);
    refuse_everywhere(&place, &fixture("llama-tiny"), &place.path(""), &["cannot be read"]);
}

#[test]
fn held_out_prompts_that_leave_none_to_train_on_are_refused() {
    let place = Place::new();
    refuse_saying(&strs(&place.training("refused", &["data.validation=10"])), &["10 prompts", "data.validation"]);
    assert!(!Path::new(&place.path("refused")).exists());
}

#[test]
fn sequences_that_the_model_cannot_read_are_refused() {
    let model = fixture("llama-tiny");
    let long = "long ".repeat(60);
    refuse_saying(&["sample", "--model", &model, "--prompt", &long], &["--prompt", "context of 64"]);
    let ids = |n: usize| vec!["5"; n].join(",");
    let score = |prompt: &str, completion: &str, parts: &[&str]| {
        refuse_saying(&["score", "--model", &model, "--prompt-ids", prompt, "--completion-ids", completion], parts);
    };
    score("99999", "1", &["99999", "370"]);
    score("1", "371", &["371", "370"]);
    score("1", "-1", &["-1"]);
    score("1", "1.5", &["1.5"]);
    score("", "1", &["--prompt-ids"]);
    score(&ids(60), &ids(6), &["context of 64"]);
    // The last token need not be read, so that the context takes one more.
    succeed(&["score", "--model", &model, "--prompt-ids", &ids(60), "--completion-ids", &ids(5)]);
}

#[test]
fn numbers_that_make_no_sense_are_refused() {
    let place = Place::new();
    let prompts = place.path("prompts.txt");
    for command in ["sample", "evaluate"] {
        let with = |option: &str, value: &str| {
            let args = [command, "--model", &fixture("llama-tiny"), "--data", &prompts, &format!("{option}={value}")];
            refuse_saying(&args, &[option.trim_end_matches("-n")]);
        };
        for option in ["--reward-temperature", "--policy-temperature"] {
            ["NaN", "0", "-1", "inf", "warm"].iter().for_each(|value| with(option, value));
        }
        ["0", "-1", "1.5", "many"].iter().for_each(|value| with("-n", value));
        ["-1", "x"].iter().for_each(|value| with("--seed", value));
        with("--max-length", "x");
    }
    let sample = |more: &[&str], parts: &[&str]| {
        refuse_saying(&[&["sample", "--model", &fixture("llama-tiny")], more].concat(), parts);
    };
    sample(&["--max-length", "0"], &["max_length"]);
    sample(&["--max-length", "3", "--min-length", "4"], &["min_length = 4", "max_length = 3"]);
    sample(&["--max-length", "64"], &["context of 64"]);
    sample(&["--stop", ""], &["empty stop string"]);
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let place = Place::new();
    let run = place.train("run", &[SHORT, "evaluate.every=0"]);
    let model = fixture("llama3-rope");
    let refused = |args: &[&str], parts: &[&str]| refuse_and_keep(&run, args, parts);
    refused(&["sample"], &["--run"]);
    refused(&["sample", "--run", &run, "--suffix", "The end."], &["--suffix", "leave it out"]);
    refused(&["sample", "--run", &run, "--stop", "!"], &["--stop", "--run"]);
    refused(&["sample", "--run", &run, "--max-length", "5"], &["--max-length", "--run"]);
    refused(&["sample", "--run", &run, "--adapter", &run], &["--adapter", "--run"]);
    refused(&["sample", "--run", &run, "--best"], &["no best adapter"]);
    refused(&["sample", "--run", &run, "--prompt", "x", "--data", &place.path("prompts.txt")], &["--prompt", "--data"]);
    refused(&["evaluate", "--model", &model], &["--data"]);
    refused(&["score", "--run", &run, "--prompt", "x"], &["--completion"]);
    refused(&["score", "--run", &run, "--prompt", "x", "--prompt-ids", "1", "--completion", "y"], &["--prompt-ids"]);
    refused(&["train"], &["CONFIG.toml"]);
    refused(&["train", "--resume", &run, "--out", &place.path("other")], &["--resume", "--out"]);
}

#[test]
fn a_wrong_config_is_refused_with_its_place() {
    let place = Place::new();
    let config = fs::read_to_string(place.path("config.toml")).unwrap();
    let with_set = |set: &str, parts: &[&str]| refuse_saying(&strs(&place.training("refused", &[set])), parts);
    with_set("train.step=3", &["--set train.step=3", "unknown key", "did you mean \"train.steps\"?"]);
    with_set("steps=3", &["did you mean \"train.steps\"?"]);
    with_set("train.steps=three", &["--set train.steps=three", "expected a whole number, 1 or more"]);
    with_set("train.steps=0", &["expected a whole number, 1 or more"]);
    with_set("reward.temperature_end=nan", &["expected a finite number above 0"]);
    with_set("reward.temperature_end=0", &["expected a finite number above 0"]);
    with_set("explore.replay=0.5", &["expected a sum of 1"]);
    with_set("policy.forbid=(", &["policy.forbid"]);
    with_set("train.steps", &["--set train.steps", "key=value"]);
    with_set("adapter.target_modules=nothing_proj", &["nothing_proj", "q_proj"]);
    with_set("policy.stop_tokens=[9999]", &["9999"]);
    with_set("policy.allow=^$", &["stop"]);
    let in_file = |from: &str, to: &str, parts: &[&str]| {
        assert!(config.contains(from));
        let file = place.write("wrong.toml", config.replace(from, to));
        refuse_saying(&["train", &file, "--out", &place.path("refused")], &[&[file.as_str()], parts].concat());
    };
    let line = |of: &str| 1 + config.lines().position(|line| line == of).unwrap();
    let (steps, section) =
        (format!("wrong.toml:{}: ", line("steps = 60")), format!("wrong.toml:{}: ", line("[train]")));
    in_file("steps = 60", "step = 60", &[&steps, "unknown key \"train.step\"; did you mean \"train.steps\"?"]);
    in_file("steps = 60", "steps = \"60\"", &[&steps, "expected a whole number"]);
    in_file("[train]", "[train", &[&section]);
    in_file("seed = 7", "", &["train.seed is missing"]);
    refuse_saying(&["train", &place.path("none.toml")], &["none.toml", "cannot read"]);
    assert!(!Path::new(&place.path("refused")).exists(), "no run was begun");
}

/// All that is wrong with a config is told at once, a line each.
#[test]
fn all_problems_of_a_config_are_told_together() {
    let place = Place::new();
    let finished = call(&strs(&place.training("refused", &["train.steps=0", "train.seed=-1"])));
    assert_eq!((finished.code, finished.stderr.lines().count()), (Some(1), 2), "{}", finished.stderr);
}

#[test]
fn a_directory_that_holds_something_is_not_trained_into() {
    let place = Place::new();
    let run = place.train("run", &[SHORT]);
    refuse_and_keep(&run, &strs(&place.training("run", &[SHORT])), &[&run, "already holds a run", "--resume"]);
    fs::create_dir(place.path("thesis")).unwrap();
    place.write("thesis/thesis.tex", "years of work");
    let thesis = place.path("thesis");
    refuse_and_keep(&thesis, &strs(&place.training("thesis", &[SHORT])), &[&thesis, "thesis.tex"]);
    assert_eq!(fs::read_dir(&thesis).unwrap().count(), 1);
    let file = place.write("file", "no directory");
    refuse_saying(&strs(&place.training("file", &[SHORT])), &[&file]);
    assert_eq!(fs::read_to_string(file).unwrap(), "no directory");
}

#[test]
fn a_run_at_work_cannot_be_trained_into_or_resumed_but_can_be_read() {
    let place = Place::new();
    let whole = place.train("whole", &[]);
    let run = place.path("busy");
    let mut training = Training::start(&strs(&place.training("busy", &[])));
    training.wait_until(|| logged_step(&run) >= Some(1));
    refuse_saying(&["train", "--resume", &run], &[&run, "in use"]);
    refuse_saying(&strs(&place.training("busy", &[])), &[&run, "already holds a run"]);
    let finished = training.finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_same_run(&whole, &run);
}

#[test]
fn only_a_run_is_resumed_or_sampled() {
    let place = Place::new();
    fs::create_dir(place.path("empty")).unwrap();
    for path in [place.path("empty"), place.path("nowhere")] {
        refuse_saying(&["train", "--resume", &path], &[&path, "holds no run"]);
        refuse_saying(&["sample", "--run", &path], &[&path, "holds no run"]);
        refuse_saying(&["evaluate", "--run", &path], &[&path, "holds no run"]);
        refuse_saying(&["report", &path], &[&path, "holds no run"]);
    }
    assert_eq!(fs::read_dir(place.path("empty")).unwrap().count(), 0);
    assert!(!Path::new(&place.path("nowhere")).exists());
}

fn edit_state(run: &Path, change: impl FnOnce(&mut Value)) {
    let path = run.join("checkpoint/state.json");
    let mut state = read_json(&path);
    change(&mut state);
    fs::write(path, state.to_string()).unwrap();
}

/// Some trajectory of the replay buffer.
fn replayed(state: &mut Value) -> &mut Value {
    let (_, items) = state["buffer"]["items"].as_object_mut().unwrap().iter_mut().next().unwrap();
    &mut items[0]
}

#[test]
fn a_damaged_checkpoint_is_refused_and_left_alone() {
    type Damage = fn(&Path);
    let damages: [(Damage, &[&str]); 13] = [
        (|run| fs::remove_dir_all(run.join("checkpoint")).unwrap(), &["state.json", "nothing to resume"]),
        (|run| cut(run.join("checkpoint/state.json"), 500), &["state.json", "damaged", "column 500"]),
        (|run| fs::write(run.join("checkpoint/state.json"), "{}").unwrap(), &["state.json", "damaged"]),
        (|run| edit_state(run, |state| state["version"] = json!(1)), &["state.json", "version 1", "reads 2"]),
        // <unk> may not be sampled.
        (|run| edit_state(run, |state| replayed(state)["trajectory"]["z"][0] = json!(0)), &["token 0", "position 0"]),
        (
            |run| edit_state(run, |state| replayed(state)["trajectory"]["stop"] = json!({"stop": {"token": 5}})),
            &["state.json", "token 5", "does not stop"],
        ),
        (
            |run| edit_state(run, |state| drop(replayed(state)["log_reward"].as_array_mut().unwrap().pop())),
            &["state.json", "log rewards", "prefixes"],
        ),
        (
            |run| edit_state(run, |state| drop(state["order"]["order"].as_array_mut().unwrap().pop())),
            &["state.json", "7 training prompts", "8 now"],
        ),
        (|run| cut(run.join("checkpoint/optimizer.safetensors"), 500), &["optimizer.safetensors", "damaged"]),
        (
            |run| fs::remove_file(run.join("checkpoint/adapter/adapter_model.safetensors")).unwrap(),
            &["adapter_model.safetensors"],
        ),
        (|run| edit(run.join("run.json"), "\"format_version\": 1", "\"format_version\": 9"), &["run format 9"]),
        (|run| edit(run.join("config.toml"), "seed = 7", "seed = \"x\""), &["config.toml", "train.seed"]),
        (|run| fs::write(run.join("config.toml"), b"\xff").unwrap(), &["config.toml"]),
    ];
    let place = Place::new();
    let run = place.train("run", &[SHORT]);
    for (number, (damage, parts)) in damages.into_iter().enumerate() {
        let copy = place.path(&format!("copy{number}"));
        copy_dir(&run, &copy);
        damage(Path::new(&copy));
        refuse_and_keep(&copy, &["train", "--resume", &copy, "--set", "train.steps=5"], parts);
    }
}

fn copy_dir(from: &str, to: &str) {
    for (name, content) in files(from) {
        let path = Path::new(to).join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

/// Numbers of a checkpoint that fit its form but no run.
#[test]
fn a_checkpoint_with_an_impossible_order_of_queries_is_refused() {
    let place = Place::new();
    let run = place.train("run", &[SHORT]);
    for (key, value) in [("next", json!(99)), ("order", json!([0, 1, 2, 3, 4, 5, 6, 77]))] {
        edit_state(Path::new(&run), |state| state["order"][key] = value);
        refuse_and_keep(&run, &["train", "--resume", &run, "--set", "train.steps=5"], &["state.json", "order"]);
    }
}

#[test]
fn a_run_is_not_resumed_as_another() {
    let place = Place::new();
    let run = place.train("run", &[SHORT]);
    let refused = |set: &str| refuse_and_keep(&run, &["train", "--resume", &run, "--set", set], &["differs", "--out"]);
    ["train.seed=8", "adapter.rank=5", "evaluate.every=4", "data.limit=9"].into_iter().for_each(refused);
    place.write("prompts.txt", PROMPTS[1..].join("\n"));
    refuse_and_keep(&run, &["train", "--resume", &run], &["8 training prompts", "7 now", "data has changed"]);
    place.write("prompts.txt", PROMPTS.join("\n"));
    let model = format!("model.path={}", fixture("gpt2-tiny"));
    refuse_and_keep(&run, &["train", "--resume", &run, "--set", &model], &[]);
    succeed(&["train", "--resume", &run]);
}

#[test]
fn an_adapter_that_does_not_fit_is_refused() {
    let place = Place::new();
    let (model, run) = (fixture("llama-tiny"), place.train("run", &[SHORT]));
    let foreign = format!("{}/adapter-all", fixture("gpt2-tiny"));
    let train = |adapter: &str, parts: &[&str]| {
        let set = format!("model.adapter={adapter}");
        refuse_saying(&strs(&place.training("refused", &[&set])), parts);
        assert!(!Path::new(&place.path("refused")).exists());
    };
    let sample = |adapter: &str, parts: &[&str]| {
        refuse_saying(&["sample", "--model", &model, "--adapter", adapter], parts);
        refuse_saying(&["score", "--model", &model, "--adapter", adapter, "--prompt=a", "--completion=b"], parts);
        train(adapter, parts);
    };
    sample(&foreign, &["c_attn", "q_proj"]);
    sample(&place.path("nowhere"), &["nowhere", "adapter_config.json"]);
    sample(&model, &["adapter_config.json"]);
    let damaged = |damage: fn(&Path), parts: &[&str]| {
        let copy = place.path("copy");
        copy_dir(&format!("{model}/adapter-all"), &copy);
        damage(Path::new(&copy));
        sample(&copy, parts);
        fs::remove_dir_all(copy).unwrap();
    };
    damaged(|copy| edit(copy.join("adapter_config.json"), "\"r\": 4", "\"r\": 8"), &["[4, 32]", "[8, 32]"]);
    damaged(|copy| edit(copy.join("adapter_config.json"), "\"LORA\"", "\"IA3\""), &["IA3", "LORA"]);
    damaged(|copy| edit(copy.join("adapter_config.json"), "\"use_dora\": false", "\"use_dora\": true"), &["use_dora"]);
    damaged(|copy| cut(copy.join("adapter_model.safetensors"), 5000), &["adapter_model.safetensors", "damaged"]);
    damaged(|copy| edit_header(copy.join("adapter_model.safetensors"), "[4,48]", "[48,4]"), &["[48, 4]", "[4, 48]"]);
    let moved = ["sample", "--run", &run, "--model", &fixture("gpt2-tiny")];
    refuse_and_keep(&run, &moved, &["adapter_model.safetensors"]);
}

#[test]
fn a_run_that_lost_its_model_or_its_adapter_says_so() {
    let place = Place::new();
    let model = place.copy_model("llama3-rope", "model");
    let run = place.train("run", &[SHORT, &format!("model.path={model}")]);
    fs::rename(&model, place.path("moved")).unwrap();
    refuse_and_keep(&run, &["sample", "--run", &run], &[&model, "is not a directory"]);
    refuse_and_keep(&run, &["train", "--resume", &run], &[&model, "is not a directory"]);
    let moved = place.path("moved");
    succeed(&["sample", "--run", &run, "--model", &moved]);
    succeed(&["train", "--resume", &run, "--set", &format!("model.path={moved}")]);
    cut(format!("{run}/adapter/adapter_model.safetensors"), 500);
    refuse_and_keep(&run, &["sample", "--run", &run], &["adapter_model.safetensors", "damaged"]);
    fs::remove_dir_all(format!("{run}/adapter")).unwrap();
    refuse_and_keep(&run, &["sample", "--run", &run], &["adapter"]);
}

#[test]
fn a_training_that_diverges_says_what_to_do() {
    let place = Place::new();
    let sets = ["optimizer.learning_rate=1e7", "optimizer.clip_norm=", &format!("model.path={}", fixture("gpt2-tiny"))];
    diverges(&place, &sets);
    succeed(&["sample", "--run", &place.path("diverged")]);
}

#[test]
fn a_training_that_diverges_while_it_samples_says_what_to_do() {
    diverges(&Place::new(), &["optimizer.learning_rate=1e7", "optimizer.clip_norm="]);
}

fn diverges(place: &Place, sets: &[&str]) {
    let finished = call(&strs(&place.training("diverged", sets)));
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    let last = finished.stderr.lines().last().unwrap();
    assert!(
        last.starts_with("error: ")
            && last.contains("not finite; begin a new run (--out) with a lower optimizer.learning_rate"),
        "{last}"
    );
}

#[test]
fn a_model_of_nan_is_not_sampled() {
    let place = Place::new();
    let model = place.copy_model("llama-tiny", "nan");
    let path = format!("{model}/model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[header..].chunks_mut(4).for_each(|value| value.copy_from_slice(&f32::NAN.to_le_bytes()));
    fs::write(path, bytes).unwrap();
    let data = place.path("prompts.txt");
    refuse_saying(&["sample", "--model", &model, "--data", &data], &["not numbers"]);
    refuse_saying(&["evaluate", "--model", &model, "--data", &data], &["not numbers"]);
    refuse_saying(&["score", "--model", &model, "--prompt", "a", "--completion", "b"], &["not numbers"]);
    let finished = call(&strs(&place.training("run", &[&format!("model.path={model}")])));
    assert_eq!(finished.code, Some(1), "{}", finished.stderr);
    assert!(finished.stderr.lines().last().unwrap().starts_with("error: "), "{}", finished.stderr);
}

//! Latents of the data in the replay buffer.

mod common;

use std::fs;

use amortize_gfn::{Prefixes, ReplayBuffer, StopReason};
use amortize_lm::Policy;
use amortize_train::Result;
use amortize_train::config::Config;
use amortize_train::reward::Target;
use amortize_train::seeds::{self, Seed, Seeded};
use amortize_train::task::Task;
use tempfile::TempDir;

const GOOD: &str = r#"{"x": "She", "y": "So.", "z": ["sat.", " sat on", "\nran."]}"#;

/// A place with data, and a config that trains on all but its last line.
struct Place {
    _dir: TempDir,
    config: Config,
}

fn place(lines: &[&str], sets: &[&str]) -> Place {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("data.jsonl");
    let held_out = r#"{"x": "Held", "y": "out.", "z": 5}"#;
    fs::write(&path, [lines, &[held_out]].concat().join("\n")).expect("a file");
    let path = format!("data.path={}", path.display());
    let all = ["task=infilling", "buffer.seed_from_data=true", "data.validation=1", "policy.max_length=12", &path];
    Place { _dir: dir, config: common::config(&[&all, sets].concat()) }
}

fn read(place: &Place) -> Result<Vec<Seed>> {
    let model = common::model("gpt2-tiny");
    let task = Task::load(&place.config, &model)?;
    seeds::read(&place.config, &model, &task)
}

#[test]
fn z_is_what_the_policy_would_draw() {
    let model = common::model("gpt2-tiny");
    let place = place(&[GOOD, r#"{"x": "He", "y": "No."}"#, r#"{"x": "He", "y": "So.", "z": "lay."}"#], &[]);
    let task = Task::load(&place.config, &model).expect("a task");
    let found = read(&place).expect("seeds");
    let texts: Vec<String> = found.iter().map(|seed| model.tokenizer.decode(&seed.trajectory.z)).collect();
    assert_eq!(texts, [" sat", " sat on", "\nran", " lay"]);
    let queries: Vec<u64> = found.iter().map(|seed| seed.query.id).collect();
    let id = |number: usize| task.train[number].query.id;
    assert_eq!(queries, [id(0), id(0), id(0), id(2)]);
    for Seed { trajectory, .. } in &found {
        let StopReason::Stop { token } = trajectory.stop else { panic!("a stop that is not forced") };
        assert_eq!(model.tokenizer.token_text(token), ".");
        task.actions.check(&trajectory.z, Some(token)).expect("it can be drawn");
    }
}

#[test]
fn one_as_long_as_may_be_has_a_forced_stop() {
    let model = common::model("gpt2-tiny");
    let length = model.tokenizer.encode_completion(" sat").expect("tokens").len();
    let place = place(&[r#"{"x": "a", "y": "b", "z": "sat."}"#], &[&format!("policy.max_length={length}")]);
    assert_eq!(read(&place).expect("seeds")[0].trajectory.stop, StopReason::MaxLength);
}

#[test]
fn what_cannot_be_drawn_is_refused_with_its_line() {
    let cases = [
        (r#"{"x": "a", "y": "b", "z": "much longer than this may be."}"#, "more than max_length = 12"),
        (r#"{"x": "a", "y": "b", "z": "."}"#, "z has 0 tokens, fewer than min_length = 2"),
        (r#"{"x": "a", "y": "b", "z": ["sat.", "a. b."]}"#, "\"z\" = \"a. b.\" cannot be drawn by the policy: "),
        (r#"{"x": "a", "y": "b", "z": "a. b."}"#, "completes a stop, after which z can't go on"),
        (r#"{"x": "a", "y": "b", "z": "a Q b."}"#, "is masked"),
        (r#"{"x": "a", "y": "b", "z": {}}"#, "\"z\" is {}, neither a text nor a list of texts"),
    ];
    for (line, expected) in cases {
        let place = place(&[GOOD, "", line], &["policy.min_length=2", "policy.forbid=Q"]);
        let message = read(&place).expect_err("refused").to_string();
        assert!(message.contains("data.jsonl:3: ") && message.contains(expected), "{message}");
    }
    let message = read(&place(&[r#"{"x": "a", "y": "b"}"#], &[])).expect_err("refused").to_string();
    assert!(message.contains("has no \"z\" on any line"), "{message}");
}

#[test]
fn seeds_are_scored_and_those_without_reward_left_out() {
    let model = common::model("gpt2-tiny");
    let terms = r#"reward.terms=[{kind = "likelihood", suffix = " {y}"}, {kind = "excludes", texts = ["ran"]}]"#;
    let place = place(&[GOOD, r#"{"x": "He", "y": "So.", "z": "lay."}"#], &[terms]);
    let (config, task) = (&place.config, Task::load(&place.config, &model).expect("a task"));
    let found = read(&place).expect("seeds");
    let target = || Target::of(&config.task, &config.reward, Policy::base(&model), &task.actions).expect("a target");
    let mut buffer = ReplayBuffer::new(10, 0.0);
    let seeded = seeds::insert(&found, Prefixes::All, &mut target(), &mut buffer).expect("rewards");
    assert_eq!(seeded, Seeded { seeds: 4, kept: 3, zero_reward: 1 });
    for seed in found.iter().filter(|seed| !model.tokenizer.decode(&seed.trajectory.z).contains("ran")) {
        let trajectory = std::slice::from_ref(&seed.trajectory);
        let alone = target().log_reward(std::slice::from_ref(&seed.query), &[0], trajectory).expect("rewards");
        let items = buffer.items(seed.query.id);
        let item = items.iter().find(|item| item.trajectory == seed.trajectory).expect("it is in the buffer");
        assert!(item.log_reward.iter().zip(alone.row(0)).all(|(a, b)| a == b || (a - b).abs() < 1e-4));
    }
}

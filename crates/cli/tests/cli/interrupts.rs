//! Runs that are killed or interrupted go on as if nothing had happened.

use std::time::Duration;

use crate::support::*;

/// The config's own objective has a learned log Z; this one estimates it, on another kind of model.
const GPT2_VARGRAD: [&str; 4] = [
    "objective.root_flow=vargrad",
    "objective.normaliser=trajectory",
    "buffer.sampling=uniform",
    "train.micro_batch=7",
];

fn gpt2_vargrad() -> Vec<String> {
    let model = format!("model.path={}", fixture("gpt2-tiny"));
    GPT2_VARGRAD.map(String::from).into_iter().chain([model]).collect()
}

/// Kills a training that has logged `step`, and steps that its last checkpoint does not have.
fn kill_past_checkpoint(args: &[&str], run: &str, step: u64) {
    let mut training = Training::start(args);
    training.wait_until(|| {
        let past = saved_step(run).zip(logged_step(run)).is_some_and(|(saved, logged)| logged >= saved + 2);
        past && logged_step(run) >= Some(step)
    });
    training.kill();
    assert!(saved_step(run) < logged_step(run), "it was killed past a checkpoint");
}

fn killed_twice_and_resumed_equals_uninterrupted(sets: &[&str]) {
    let place = Place::new();
    let whole = place.train("whole", sets);
    let run = place.path("killed");
    kill_past_checkpoint(&strs(&place.training("killed", sets)), &run, 22);
    // What memory it may take is no part of what a run is.
    kill_past_checkpoint(&["train", "--resume", &run, "--set", "train.recompute=true"], &run, 42);
    succeed(&["train", "--resume", &run, "--set", "train.recompute=false"]);
    assert_eq!(saved_step(&run), Some(STEPS));
    assert_same_run(&whole, &run);
}

#[test]
fn a_killed_run_with_a_learned_log_z_resumes_bit_for_bit() {
    killed_twice_and_resumed_equals_uninterrupted(&[]);
}

#[test]
fn a_killed_run_with_an_estimated_log_z_resumes_bit_for_bit() {
    killed_twice_and_resumed_equals_uninterrupted(&strs(&gpt2_vargrad()));
}

/// Before the first evaluation's checkpoint its record may be there already.
#[test]
fn a_run_killed_in_its_first_steps_resumes_bit_for_bit() {
    let place = Place::new();
    let whole = place.train("whole", &[]);
    let run = place.path("killed");
    let mut training = Training::start(&strs(&place.training("killed", &[])));
    training.wait_until(|| logged_step(&run).is_some());
    training.kill();
    succeed(&["train", "--resume", &run]);
    assert_same_run(&whole, &run);
}

#[cfg(unix)]
#[test]
fn an_interrupt_saves_the_step_and_says_how_to_go_on() {
    let place = Place::new();
    let sets = gpt2_vargrad();
    let whole = place.train("whole", &strs(&sets));
    let run = place.path("interrupted");
    let mut training = Training::start(&strs(&place.training("interrupted", &strs(&sets))));
    training.wait_until(|| logged_step(&run) >= Some(3));
    let sent = std::process::Command::new("kill").args(["-INT", &training.id().to_string()]).status();
    assert!(sent.unwrap().success());
    let finished = training.finish();
    assert_eq!(finished.code, Some(130), "{}", finished.stderr);
    let step = logged_step(&run).unwrap();
    assert!(step < STEPS, "it was interrupted");
    let message = format!("error: interrupted after step {step}; continue with `amortize train --resume {run}`");
    assert_eq!(finished.stderr.lines().last(), Some(message.as_str()));
    assert_eq!(saved_step(&run), Some(step));
    let adapter = "adapter_model.safetensors";
    assert!(
        files(format!("{run}/adapter"))[adapter.as_ref() as &std::path::Path]
            == files(format!("{run}/checkpoint/adapter"))[adapter.as_ref() as &std::path::Path]
    );
    succeed(&["train", "--resume", &run]);
    assert_same_run(&whole, &run);
}

/// With a checkpoint after every step a training is mostly busy with replacing files.
#[test]
fn a_kill_at_any_moment_leaves_a_whole_adapter_and_a_whole_checkpoint() {
    let place = Place::new();
    let sets = ["train.checkpoint_every=1", "evaluate.every=1", "train.steps=24"];
    let whole = place.train("whole", &sets);
    let run = place.path("killed");
    let mut args = place.training("killed", &sets);
    for round in 0..8 {
        let before = logged_step(&run);
        let mut training = Training::start(&strs(&args));
        training.wait_until(|| logged_step(&run) > before);
        std::thread::sleep(Duration::from_millis(round * 37 % 29));
        training.kill();
        assert_eq!(json_lines(&succeed(&["sample", "--run", &run, "--json"])).len(), 1);
        args = ["train", "--resume", &run].map(String::from).to_vec();
    }
    assert!(saved_step(&run) < Some(24), "it was killed before its end");
    succeed(&strs(&args));
    assert_same_run(&whole, &run);
}

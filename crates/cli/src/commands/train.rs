//! `amortize train`.

use std::path::Path;

use amortize_lm::{Device, Model, ModelInfo};
use amortize_runlog::RunDir;
use amortize_train::config::{Config, TaskKind};
use amortize_train::memory::Forecast;
use amortize_train::seeds::Seeded;
use amortize_train::session::Session;
use amortize_train::settings;
use amortize_train::task::Task;
use anyhow::{Context, Result};

use crate::args::TrainArgs;
use crate::commands::report::Reporting;
use crate::commands::running::{absolute, check_unchanged, default_out, stop_on_interrupt};
use crate::progress::Progress;
use crate::source::use_threads;

pub fn run(args: &TrainArgs) -> Result<()> {
    match &args.resume {
        Some(run) => resume(args, run),
        None => start(args),
    }
}

fn start(args: &TrainArgs) -> Result<()> {
    let path = args.config.as_ref().context("a config is needed")?;
    let config = load(path, &args.sets)?;
    let out = args.out.clone().unwrap_or_else(|| default_out(path));
    let (model, task, forecast) = prepare(&config)?;
    let session = Session::start(&config, &model, &task, &out)?;
    train(session, &config, &task, &forecast)
}

fn resume(args: &TrainArgs, path: &Path) -> Result<()> {
    let run = RunDir::resume(path)?;
    let saved = load(&run.config_path(), &[])?;
    let config = load(args.config.as_ref().unwrap_or(&run.config_path()), &args.sets)?;
    check_same(&saved, &config)?;
    let (model, task, forecast) = prepare(&config)?;
    let session = Session::resume(&config, run, &model, &task)?;
    train(session, &config, &task, &forecast)
}

fn load(path: &Path, sets: &[String]) -> Result<Config> {
    let mut config = Config::load(path, sets)?;
    config.paths_mut().try_for_each(absolute)?;
    Ok(config)
}

/// A resumed run may go on for longer, report more often and use other resources; anything else would make it another run.
fn check_same(saved: &Config, given: &Config) -> Result<()> {
    let mut given = given.clone();
    given.train = given.train.with_resources_of(&saved.train);
    given.train.steps = saved.train.steps;
    given.model.path = saved.model.path.clone();
    check_unchanged(saved, &given)
}

/// Reads all that a run needs, the weights last: a machine that is too small for them hears of it first.
fn prepare(config: &Config) -> Result<(Model, Task, Forecast)> {
    use_threads(config.train.threads)?;
    let model = ModelInfo::read(&config.model.path)?;
    let task = Task::load(config, &model)?;
    let forecast = Forecast::new(config, &model, &task)?;
    forecast.warn_if_short();
    Ok((model.load(&Device::cpu(), settings::precision(config.model.precision))?, task, forecast))
}

fn train(mut session: Session, config: &Config, task: &Task, forecast: &Forecast) -> Result<()> {
    let (step, total) = (session.state().step, config.train.steps as u64);
    eprintln!(
        "{}: {} training prompts, {} for validation, {} trained values, step {step} of {total}",
        session.run_dir().path().display(),
        task.train.len(),
        task.validation.len(),
        session.state().adapter.parameter_count(),
    );
    eprintln!("{forecast}");
    if let Some(Seeded { seeds, kept, zero_reward }) = session.seeded() {
        eprintln!("replay buffer: {kept} of the data's {seeds} z, {zero_reward} of which have no reward");
    }
    let mut observer = Reporting::new(session.run_dir().path(), Progress::new(step, total))?;
    let stop = stop_on_interrupt()?;
    let outcome = session.train(&mut observer, &stop);
    match &outcome {
        Ok(()) => observer.conclude(),
        Err(_) => observer.write(),
    }
    drop(observer);
    outcome?;
    let run = session.run_dir();
    eprintln!("done: the adapter is {}", run.adapter_dir().display());
    eprintln!("report: {}", run.report_path().display());
    let texts = match config.task.kind {
        _ if task.only_prompt().is_some() => "",
        TaskKind::Continuation => " --prompt TEXT",
        TaskKind::Infilling => " --prompt BEFORE --suffix AFTER",
        TaskKind::Custom => " --data FILE",
    };
    eprintln!("try: amortize sample --run {}{texts} -n 5", run.path().display());
    Ok(())
}

//! `amortize pretrain` and `amortize sft`.

use std::path::Path;

use amortize_runlog::RunDir;
use amortize_train::likelihood::session::Session;
use amortize_train::likelihood::start::Start;
use amortize_train::likelihood::{Command, LikelihoodConfig};
use anyhow::{Context, Result};

use crate::args::TrainArgs;
use crate::commands::report::Reporting;
use crate::commands::running::{absolute, check_unchanged, default_out, stop_on_interrupt};
use crate::progress::Progress;
use crate::source::use_threads;

pub fn run(command: Command, args: &TrainArgs) -> Result<()> {
    match &args.resume {
        Some(run) => resume(command, args, run),
        None => start(command, args),
    }
}

fn start(command: Command, args: &TrainArgs) -> Result<()> {
    let path = args.config.as_ref().context("a config is needed")?;
    let config = load(command, path, &args.sets)?;
    let out = args.out.clone().unwrap_or_else(|| default_out(path));
    use_threads(config.train.threads)?;
    let session = Session::start(command, &config, Start::new(&config)?, &out)?;
    train(session, &config)
}

fn resume(command: Command, args: &TrainArgs, path: &Path) -> Result<()> {
    let run = RunDir::resume(path)?;
    let saved = load(command, &run.config_path(), &[])?;
    let config = load(command, args.config.as_ref().unwrap_or(&run.config_path()), &args.sets)?;
    check_same(&saved, &config)?;
    use_threads(config.train.threads)?;
    train(Session::resume(command, &config, run)?, &config)
}

fn load(command: Command, path: &Path, sets: &[String]) -> Result<LikelihoodConfig> {
    let mut config = LikelihoodConfig::load(command, path, sets)?;
    config.paths_mut().try_for_each(absolute)?;
    Ok(config)
}

/// A resumed run may go on for longer and use other resources; anything else would make it another run.
fn check_same(saved: &LikelihoodConfig, given: &LikelihoodConfig) -> Result<()> {
    let mut given = given.clone();
    given.train.steps = saved.train.steps;
    given.train.checkpoint_every = saved.train.checkpoint_every;
    given.train.threads = saved.train.threads;
    given.train.recompute = saved.train.recompute;
    given.model.path = saved.model.path.clone();
    check_unchanged(saved, &given)
}

fn train(mut session: Session, config: &LikelihoodConfig) -> Result<()> {
    let (trainer, total) = (session.trainer(), config.train.steps as u64);
    let step = trainer.state.step;
    eprintln!(
        "{}: {} training tokens in {} sequences, {} for validation, vocabulary {}, {} trained values, step {step} of \
         {total}",
        session.run_dir().path().display(),
        trainer.train.token_count(),
        trainer.train.len(),
        trainer.validation.token_count(),
        trainer.model.config.vocab_size,
        trainer.state.trained.count(&trainer.model),
    );
    let mut observer = Reporting::new(session.run_dir().path(), Progress::new(step, total))?;
    let stop = stop_on_interrupt()?;
    let outcome = session.train(&mut observer, &stop);
    observer.write();
    drop(observer);
    outcome?;
    let output = session.output();
    let kind = if config.adapter.is_some() { "adapter" } else { "model" };
    eprintln!("done: the {kind} is {}", output.display());
    eprintln!("report: {}", session.run_dir().report_path().display());
    match (&config.adapter, &config.model.path) {
        (Some(_), Some(model)) => eprintln!(
            "try: amortize sample --model {} --adapter {} --prompt TEXT -n 5",
            model.display(),
            output.display()
        ),
        _ => eprintln!("try: amortize sample --model {} --prompt TEXT -n 5", output.display()),
    }
    Ok(())
}

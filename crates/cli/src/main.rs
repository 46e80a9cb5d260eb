//! `amortize`: fine-tune language models into samplers of intractable posteriors.

mod args;
mod commands;
mod decode;
mod progress;
mod source;
mod table;
mod warnings;

use std::process::ExitCode;

use amortize_reproduce::ReproduceError;
use amortize_train::{TrainError, likelihood};
use anyhow::Result;
use clap::Parser;

use args::{Cli, Command};

/// Exit code after Ctrl-C, as shells have it.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let cli = Cli::parse();
    warnings::show();
    match run(&cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", message(&error));
            ExitCode::from(if is_interrupt(&error) { INTERRUPTED } else { 1 })
        }
    }
}

fn run(command: &Command) -> Result<()> {
    amortize_lm::kernels().map_err(anyhow::Error::msg)?;
    match command {
        Command::Train(args) => commands::train::run(args),
        Command::Pretrain(args) => commands::likelihood::run(likelihood::Command::Pretrain, args),
        Command::Sft(args) => commands::likelihood::run(likelihood::Command::Sft, args),
        Command::Merge(args) => commands::merge::run(args),
        Command::Sample(args) => commands::sample::run(args),
        Command::Score(args) => commands::score::run(args),
        Command::Evaluate(args) => commands::evaluate::run(args),
        Command::Metrics(args) => commands::metrics::run(args),
        Command::Report(args) => commands::report::run(args),
        Command::Reproduce(args) => commands::reproduce::run(args),
        Command::Corpus(args) => commands::corpus::run(args),
        Command::Bench(args) => commands::bench::run(args),
    }
}

/// The error with its causes, but for those that its own text ends with already.
fn message(error: &anyhow::Error) -> String {
    let causes = error.chain().skip(1).map(ToString::to_string);
    causes.fold(error.to_string(), |text, cause| if text.ends_with(&cause) { text } else { format!("{text}: {cause}") })
}

fn is_interrupt(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(TrainError::Interrupted { .. }))
        || matches!(error.downcast_ref(), Some(ReproduceError::Interrupted))
}

/// Whoever read our output has seen enough, as `head` does.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = |cause: &(dyn std::error::Error + 'static)| cause.downcast_ref::<std::io::Error>().map(|io| io.kind());
    error.chain().any(|cause| io(cause) == Some(std::io::ErrorKind::BrokenPipe))
}

//! What can go wrong while training, sampling or evaluating.

use std::path::PathBuf;

use amortize_lm::LmError;

use crate::config::ConfigError;

/// This crate's result.
pub type Result<T> = std::result::Result<T, TrainError>;

/// A failure with everything that the user needs to mend it.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The config.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The model, the tokenizer or the adapter.
    #[error(transparent)]
    Lm(#[from] LmError),
    /// The run directory.
    #[error(transparent)]
    Run(#[from] amortize_runlog::Error),
    /// A data file.
    #[error("{}{}: {problem}", path.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
    Data {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: Option<usize>,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A checkpoint that cannot be continued.
    #[error("{}: {problem}", path.display())]
    Checkpoint {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A reward of the user's own.
    #[error("reward: {0}")]
    Reward(String),
    /// A scorer of the user's own that failed for good.
    #[error("{0}")]
    Scorer(String),
    /// The same while training; everything up to the last step is saved.
    #[error("{problem}; the run is saved as of step {step}: mend the scorer, and `amortize train --resume {}`", run.display())]
    ScorerFailed {
        /// What went wrong.
        problem: String,
        /// The last finished step of the checkpoint.
        step: u64,
        /// The run directory.
        run: PathBuf,
    },
    /// Training left the numbers that computers have.
    #[error(
        "step {step}: the {what} is not finite; begin a new run (--out) with a lower optimizer.learning_rate, or with \
         optimizer.clip_norm"
    )]
    Diverged {
        /// The optimizer step.
        step: u64,
        /// Loss, gradient or policy.
        what: &'static str,
    },
    /// Ctrl-C; everything up to the last step is saved.
    #[error("interrupted after step {step}; continue with `amortize {command} --resume {}`", run.display())]
    Interrupted {
        /// The command that made the run.
        command: &'static str,
        /// The last finished step.
        step: u64,
        /// The run directory.
        run: PathBuf,
    },
}

impl TrainError {
    /// A model that was fine before the first step and gives no numbers after `step` steps has been led astray.
    pub(crate) fn or_diverged(self, step: u64) -> Self {
        match self {
            Self::Lm(LmError::NotFinite) if step > 0 => Self::Diverged { step, what: "policy" },
            other => other,
        }
    }
}

//! What can go wrong.

use std::io;
use std::path::PathBuf;

use amortize_encoders::EncoderError;
use amortize_raters::RaterError;
use amortize_report::ReportError;
use amortize_train::TrainError;
use amortize_train::config::ConfigError;

/// This crate's result.
pub type Result<T> = std::result::Result<T, ReproduceError>;

/// A failure with everything that the user needs to mend it.
#[derive(Debug, thiserror::Error)]
pub enum ReproduceError {
    /// An option that does not fit the others.
    #[error("{0}")]
    Option(String),
    /// The experiment's config with what overrides it.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A model, data, or measuring.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A run that failed.
    #[error("{run}: {source}")]
    Run {
        /// The run's name.
        run: String,
        /// Why.
        source: TrainError,
    },
    /// A directory or file of a run.
    #[error(transparent)]
    RunLog(#[from] amortize_runlog::Error),
    /// A run's page.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The encoder.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    /// The chat model that rates stories.
    #[error(transparent)]
    Rater(#[from] RaterError),
    /// A directory that the system does not let us make or read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file that holds something else than we wrote.
    #[error("{}: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A run with settings that are not those of the plan.
    #[error("{} was made with other settings ({difference}); choose another --out, or remove that run", run.display())]
    OtherSettings {
        /// The run's directory.
        run: PathBuf,
        /// The first line of the config that differs.
        difference: String,
    },
    /// Ctrl-C; nothing is lost.
    #[error("interrupted; the same command goes on from here")]
    Interrupted,
}

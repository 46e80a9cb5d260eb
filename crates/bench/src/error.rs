//! What can go wrong with a measurement.

use amortize_lm::LmError;
use amortize_train::TrainError;

/// This crate's result.
pub type Result<T> = std::result::Result<T, BenchError>;

/// A case that cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// Sizes that no model of the shape can have.
    #[error("{0}")]
    Sizes(String),
    /// The model refuses.
    #[error(transparent)]
    Model(#[from] LmError),
    /// The training step refuses.
    #[error(transparent)]
    Train(#[from] TrainError),
}

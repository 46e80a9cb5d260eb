//! What can go wrong with an encoder.

use std::path::{Path, PathBuf};

/// This crate's result.
pub type Result<T> = std::result::Result<T, EncoderError>;

/// A failure with everything that the user needs to mend it.
#[derive(Debug, thiserror::Error)]
pub enum EncoderError {
    /// A file that is missing, damaged or not supported.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A text that cannot be encoded.
    #[error("cannot encode {text:?}: {problem}")]
    Text {
        /// Its beginning.
        text: String,
        /// What is wrong.
        problem: String,
    },
    /// The arithmetic itself.
    #[error("the encoder failed: {0}")]
    Candle(#[from] candle_core::Error),
}

impl EncoderError {
    pub(crate) fn file(path: &Path, problem: impl ToString) -> Self {
        Self::File { path: path.to_path_buf(), problem: problem.to_string() }
    }
}

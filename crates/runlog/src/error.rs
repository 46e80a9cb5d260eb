//! What can go wrong with a run directory, and what the user can do about it.

use std::io;
use std::path::{Path, PathBuf};

/// The result of an operation on a run directory.
pub type Result<T> = std::result::Result<T, Error>;

/// An error that names the path and, where there is one, the way out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A new run was to start where there is one already.
    #[error(
        "{} already holds a run; choose another --out, or use --resume to go on with it",
        .0.display()
    )]
    HoldsRun(PathBuf),
    /// A new run was to start among files that belong to something else.
    #[error(
        "{} is not empty (it holds {found:?}) and is no run; choose another --out, or use --resume with a run's directory",
        path.display()
    )]
    NotEmpty {
        /// The directory.
        path: PathBuf,
        /// One of the files in it.
        found: String,
    },
    /// The lock is held.
    #[error(
        "{} is in use by another process; wait for it to end, or choose another --out",
        .0.display()
    )]
    InUse(PathBuf),
    /// No `run.json`.
    #[error("{} holds no run (there is no run.json); check the path", .0.display())]
    NotARun(PathBuf),
    /// The run was written in a format that this version does not know.
    #[error(
        "{} has run format {found}, and this version reads {known}; use the version of amortize that wrote it",
        path.display()
    )]
    Version {
        /// The directory.
        path: PathBuf,
        /// The format found there.
        found: u32,
        /// The format that this version writes and reads.
        known: u32,
    },
    /// A file that does not hold what it should.
    #[error("{}:{line}: {message}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// A record that has no JSON form.
    #[error("cannot write a record to {}: {source}", path.display())]
    Record {
        /// The file that it was meant for.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

impl Error {
    /// For `map_err`: the error of trying to `action` (a verb) on `path`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}

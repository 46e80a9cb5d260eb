//! One self-contained page that shows a run: its figures, curves, samples and config.
//!
//! The page is made from the run directory alone and holds no dates: the same directory gives the same bytes. It needs
//! no network, and without JavaScript only the values under the pointer are missing. A run that is still going, was
//! never evaluated or has figures that are not finite has a page too. Everything that comes from the run is escaped.

mod chart;
mod compare;
mod config;
mod curves;
pub mod document;
mod figures;
pub mod html;
mod page;
mod read;
mod samples;
pub mod scale;
mod series;
mod summary;
pub mod tensorboard;
mod terminal;

use std::io;
use std::path::PathBuf;

use amortize_runlog::{RunDir, write_atomic};

use read::Run;

/// What keeps a page from being made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The run directory, or a file in it.
    #[error(transparent)]
    Run(#[from] amortize_runlog::Error),
    /// A directory that the system does not let us make.
    #[error("cannot make {}: {source}", path.display())]
    MakeDir {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file that the system does not let us read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// The page, HTML.
///
/// # Errors
/// If a file of the run cannot be read, or holds something else than records. A torn last line is no error.
pub fn render(run: &RunDir) -> Result<String, ReportError> {
    Ok(page::page(&Run::read(run)?))
}

/// The run's outcome as plain text: the verdict, the key figures and some draws before and after; nothing of a run that
/// was not evaluated.
///
/// # Errors
/// Those of [`render`].
pub fn overview(run: &RunDir) -> Result<Option<String>, ReportError> {
    Ok(terminal::overview(&Run::read(run)?))
}

/// Writes the page into the run directory, in one go, and returns its path.
///
/// # Errors
/// Those of [`render`], or if the page cannot be written.
pub fn write(run: &RunDir) -> Result<PathBuf, ReportError> {
    let path = run.report_path();
    write_atomic(&path, render(run)?.as_bytes())?;
    Ok(path)
}

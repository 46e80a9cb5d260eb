//! `amortize report`, and the page of a run that is going.

use std::io::Write;
use std::path::Path;

use amortize_runlog::RunDir;
use amortize_train::likelihood::{self, metrics};
use amortize_train::metrics::{EvaluateRecord, StepRecord, TimingRecord};
use amortize_train::session::Observer;
use anyhow::Result;

use crate::args::ReportArgs;

pub fn run(args: &ReportArgs) -> Result<()> {
    let run = RunDir::open_read(&args.run)?;
    writeln!(std::io::stdout(), "{}", amortize_report::write(&run)?.display())?;
    if args.tensorboard {
        writeln!(std::io::stdout(), "{}", amortize_report::tensorboard::write(&run)?.display())?;
    }
    Ok(())
}

/// Keeps a run's page up to date, and tells another observer what it is told.
pub struct Reporting<O> {
    run: RunDir,
    inner: O,
}

impl<O> Reporting<O> {
    /// For the run at `path`, which another owner may have locked.
    pub fn new(path: &Path, inner: O) -> Result<Self> {
        Ok(Self { run: RunDir::open_read(path)?, inner })
    }

    /// Writes the page. A run goes on without one.
    pub fn write(&self) {
        if let Err(error) = amortize_report::write(&self.run) {
            tracing::warn!("there is no new report.html: {error}");
        }
    }

    /// Tells what became of the run: its page, and in short on standard error.
    pub fn conclude(&self) {
        self.write();
        if let Ok(Some(overview)) = amortize_report::overview(&self.run) {
            eprintln!("\n{overview}");
        }
    }
}

impl<O: Observer> Observer for Reporting<O> {
    fn step(&mut self, record: &StepRecord, timing: &TimingRecord, total: u64) {
        self.inner.step(record, timing, total);
    }

    fn evaluated(&mut self, record: &EvaluateRecord) {
        self.inner.evaluated(record);
        self.write();
    }
}

impl<O: likelihood::session::Observer> likelihood::session::Observer for Reporting<O> {
    fn step(&mut self, record: &metrics::StepRecord, timing: &TimingRecord, total: u64) {
        self.inner.step(record, timing, total);
    }

    fn evaluated(&mut self, record: &metrics::EvaluateRecord) {
        self.inner.evaluated(record);
        self.write();
    }
}

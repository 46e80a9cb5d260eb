//! What all runs have in common: their files, and the loop of steps, evaluations and checkpoints.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use amortize_runlog::{JsonlWriter, RunDir, write_atomic};

use crate::error::{Result, TrainError};

/// A run's directory with its logs, open for writing.
#[derive(Debug)]
pub(crate) struct RunFiles {
    pub dir: RunDir,
    pub metrics: JsonlWriter,
    pub timing: JsonlWriter,
    pub samples: JsonlWriter,
}

impl RunFiles {
    /// Opens the logs of a run that begins.
    pub fn open(dir: RunDir) -> Result<Self> {
        let metrics = JsonlWriter::open(&dir.metrics_path())?;
        let timing = JsonlWriter::open(&dir.timing_path())?;
        let samples = JsonlWriter::open(&dir.samples_path())?;
        Ok(Self { dir, metrics, timing, samples })
    }

    /// Opens the logs of a run that goes on after `step`. Records of later steps are dropped: they will be made again.
    /// So are all where the run is before its first evaluation, which may have a record without a checkpoint.
    pub fn reopen(dir: RunDir, step: u64, before_first_evaluation: bool) -> Result<Self> {
        if before_first_evaluation {
            for path in [dir.metrics_path(), dir.samples_path()].iter().filter(|path| path.exists()) {
                write_atomic(path, b"")?;
            }
        }
        let mut files = Self::open(dir)?;
        for log in [&mut files.metrics, &mut files.timing, &mut files.samples] {
            log.truncate_after(step)?;
        }
        Ok(files)
    }

    /// Waits until all records are on the disk: a checkpoint must never be ahead of them.
    pub fn sync(&self) -> Result<()> {
        for log in [&self.metrics, &self.timing, &self.samples] {
            log.sync()?;
        }
        Ok(())
    }
}

/// When a run does what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cadence {
    /// The command that makes the run.
    pub command: &'static str,
    /// The last step.
    pub total: u64,
    /// Steps between evaluations, 0 for none.
    pub evaluate_every: u64,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
}

/// What a run is made of; an observer `O` is told of it.
pub(crate) trait Run<O: ?Sized> {
    /// Finished steps.
    fn reached(&self) -> u64;
    /// Whether the evaluation before the first step is still to come.
    fn before_first_evaluation(&self) -> bool;
    /// One step, with its records.
    fn step(&mut self, observer: &mut O) -> Result<()>;
    /// An evaluation, with its records.
    fn evaluate(&mut self, observer: &mut O) -> Result<()>;
    /// Writes a checkpoint and what was trained.
    fn save(&self) -> Result<()>;
    /// Where it is kept.
    fn path(&self) -> PathBuf;
}

/// Goes on to the last step. When `stop` becomes true the step at work is finished and saved; where a scorer fails in a step,
/// what was reached is saved first. (Not in an evaluation: it would be left out when the run goes on.)
///
/// # Errors
/// If a step fails or a file cannot be written; or [`TrainError::Interrupted`].
pub(crate) fn drive<O: ?Sized>(
    run: &mut impl Run<O>,
    cadence: Cadence,
    observer: &mut O,
    stop: &AtomicBool,
) -> Result<()> {
    let mut saved = run.reached();
    take_steps(run, cadence, observer, stop, &mut saved).map_err(|error| match error {
        TrainError::Scorer(problem) => TrainError::ScorerFailed { problem, step: saved, run: run.path() },
        other => other,
    })
}

/// Keeps account of the last step that was `saved`.
fn take_steps<O: ?Sized>(
    run: &mut impl Run<O>,
    cadence: Cadence,
    observer: &mut O,
    stop: &AtomicBool,
    saved: &mut u64,
) -> Result<()> {
    let Cadence { command, total, evaluate_every, checkpoint_every } = cadence;
    if run.before_first_evaluation() && evaluate_every > 0 {
        run.evaluate(observer)?;
        run.save()?;
    }
    while run.reached() < total {
        if let Err(error) = run.step(observer) {
            if matches!(error, TrainError::Scorer(_)) {
                run.save()?;
                *saved = run.reached();
            }
            return Err(error);
        }
        let step = run.reached();
        let due = |every: u64| every > 0 && step.is_multiple_of(every);
        let last = step == total;
        if due(evaluate_every) || (last && evaluate_every > 0) {
            run.evaluate(observer)?;
        }
        let interrupted = stop.load(Ordering::Relaxed);
        if due(checkpoint_every) || last || interrupted {
            run.save()?;
            *saved = step;
        }
        if interrupted && !last {
            return Err(TrainError::Interrupted { command, step, run: run.path() });
        }
    }
    Ok(())
}

/// Refuses to go on with a run that is past its last step.
///
/// # Errors
/// If `step` is past `steps`.
pub(crate) fn check_not_past(dir: &RunDir, step: u64, steps: usize) -> Result<()> {
    if step > steps as u64 {
        let problem = format!("has finished step {step}, which is past train.steps = {steps}");
        return Err(TrainError::Checkpoint { path: dir.path().to_path_buf(), problem });
    }
    Ok(())
}

//! A run in its directory: the loop around [`Trainer::step`], with logs, evaluations and checkpoints.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use amortize_lm::ModelFiles;
use amortize_lm::weights::Stored;
use amortize_runlog::{RunDir, replace_dir_atomic, write_atomic};

use super::checkpoint;
use super::config::{Command, LikelihoodConfig, SavePrecision};
use super::corpus::Text;
use super::evaluate::{likelihood, samples};
use super::metrics::{EvaluateRecord, Record, StepRecord};
use super::start::Start;
use super::trained::Trained;
use super::trainer::Trainer;
use crate::checkpoint::base_name;
use crate::error::Result;
use crate::metrics::TimingRecord;
use crate::run_loop::{Cadence, Run, RunFiles, check_not_past, drive};

/// What is told of a run as it goes.
pub trait Observer {
    /// A step is done.
    fn step(&mut self, record: &StepRecord, timing: &TimingRecord, total: u64);
    /// An evaluation is done.
    fn evaluated(&mut self, record: &EvaluateRecord);
}

/// A run that can be started or continued.
pub struct Session<'a> {
    command: Command,
    config: &'a LikelihoodConfig,
    run: RunFiles,
    trainer: Trainer,
    files: ModelFiles,
    validation: Vec<Text>,
}

impl<'a> Session<'a> {
    /// Begins a run in an empty or new directory.
    ///
    /// # Errors
    /// If the directory is in use or cannot be written.
    pub fn start(command: Command, config: &'a LikelihoodConfig, start: Start, out: &Path) -> Result<Self> {
        let Start { trainer, files, validation } = start;
        let run = RunDir::create(out, |run| {
            write_atomic(&run.config_path(), config.to_toml()?.as_bytes())?;
            checkpoint::save(run, &trainer, &files)?;
            export(&last(run, &trainer), config, &trainer, &files)
        })?;
        Ok(Self { command, config, run: RunFiles::open(run)?, trainer, files, validation })
    }

    /// Continues a run from its checkpoint. Records of steps after it are dropped: they will be made again.
    ///
    /// # Errors
    /// If the run has no checkpoint that fits the config, or its texts cannot be read.
    pub fn resume(command: Command, config: &'a LikelihoodConfig, run: RunDir) -> Result<Self> {
        let Start { mut trainer, files, validation } = Start::resume(config, &checkpoint::model_dir(&run))?;
        checkpoint::load(&run, &mut trainer)?;
        let step = trainer.state.step;
        check_not_past(&run, step, config.train.steps)?;
        let run = RunFiles::reopen(run, step, before_first_evaluation(&trainer))?;
        // Last: a resume that is refused changes nothing.
        write_atomic(&run.dir.config_path(), config.to_toml()?.as_bytes())?;
        Ok(Self { command, config, run, trainer, files, validation })
    }

    /// The trainer, with what it has reached.
    pub fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    /// The run's directory.
    pub fn run_dir(&self) -> &RunDir {
        &self.run.dir
    }

    /// Where the latest model or adapter is.
    pub fn output(&self) -> PathBuf {
        last(&self.run.dir, &self.trainer)
    }

    /// Trains to the config's last step. When `stop` becomes true the step at work is finished and saved.
    ///
    /// # Errors
    /// If a step fails or a file cannot be written; or [`crate::TrainError::Interrupted`].
    pub fn train(&mut self, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<()> {
        let cadence = Cadence {
            command: self.command.name(),
            total: self.config.train.steps as u64,
            evaluate_every: self.config.evaluate.every as u64,
            checkpoint_every: self.config.train.checkpoint_every as u64,
        };
        drive(self, cadence, observer, stop)
    }
}

impl<'o> Run<dyn Observer + 'o> for Session<'_> {
    fn reached(&self) -> u64 {
        self.trainer.state.step
    }

    fn before_first_evaluation(&self) -> bool {
        before_first_evaluation(&self.trainer)
    }

    fn step(&mut self, observer: &mut (dyn Observer + 'o)) -> Result<()> {
        let started = Instant::now();
        let record = self.trainer.step()?;
        let timing = TimingRecord::new(record.step, record.tokens, started.elapsed());
        self.run.metrics.append(&Record::Train(&record))?;
        self.run.timing.append(&timing)?;
        observer.step(&record, &timing, self.config.train.steps as u64);
        Ok(())
    }

    fn evaluate(&mut self, observer: &mut (dyn Observer + 'o)) -> Result<()> {
        let options = &self.config.evaluate;
        let Trainer { model, validation, state, .. } = &mut self.trainer;
        let policy = state.trained.policy(model);
        let found = likelihood(policy, validation, options.tokens).map_err(|error| error.or_diverged(state.step))?;
        for sample in samples(policy, &self.validation, options, state.step)? {
            self.run.samples.append(&sample)?;
        }
        let Some(found) = found else { return Ok(()) };
        let best = state.best.is_none_or(|best| found.per_token < best);
        let (loss, loss_per_byte, n) = (found.per_token, found.per_byte, found.n);
        let record = EvaluateRecord { step: state.step, best, loss, loss_per_byte, n };
        if best {
            state.best = Some(loss);
            export(&best_dir(&self.run.dir, &self.trainer), self.config, &self.trainer, &self.files)?;
        }
        self.run.metrics.append(&Record::Evaluate(&record))?;
        observer.evaluated(&record);
        Ok(())
    }

    fn save(&self) -> Result<()> {
        self.run.sync()?;
        // The checkpoint last: one of the last step must not stand beside weights of an earlier one.
        export(&self.output(), self.config, &self.trainer, &self.files)?;
        checkpoint::save(&self.run.dir, &self.trainer, &self.files)
    }

    fn path(&self) -> PathBuf {
        self.run.dir.path().to_path_buf()
    }
}

fn before_first_evaluation(trainer: &Trainer) -> bool {
    trainer.state.step == 0 && trainer.state.best.is_none()
}

fn last(run: &RunDir, trainer: &Trainer) -> PathBuf {
    match trainer.state.trained {
        Trained::Base(_) => run.model_dir(),
        Trained::Adapter(_) => run.adapter_dir(),
    }
}

fn best_dir(run: &RunDir, trainer: &Trainer) -> PathBuf {
    match trainer.state.trained {
        Trained::Base(_) => run.best_model_dir(),
        Trained::Adapter(_) => run.best_adapter_dir(),
    }
}

/// Writes what was trained for others to load.
fn export(dir: &Path, config: &LikelihoodConfig, trainer: &Trainer, files: &ModelFiles) -> Result<()> {
    let (model, stored) = (&trainer.model, stored(config.model.save_precision));
    replace_dir_atomic(dir, |dir| {
        match &trainer.state.trained {
            Trained::Base(parameters) => files.write(dir, &model.decoder, parameters, stored)?,
            Trained::Adapter(adapter) => adapter.save(dir, &base_name(model), &model.decoder)?,
        }
        Ok(())
    })
}

/// How weights are saved.
pub fn stored(precision: SavePrecision) -> Stored {
    match precision {
        SavePrecision::F32 => Stored::F32,
        SavePrecision::Bf16 => Stored::Bf16,
    }
}

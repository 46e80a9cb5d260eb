//! From a plan to its files: each run is started, continued or skipped, and measured.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use amortize_encoders::Encoder;
use amortize_lm::{Device, Model, ModelInfo, Policy};
use amortize_runlog::RunDir;
use amortize_train::TrainError;
use amortize_train::config::Config;
use amortize_train::memory::Forecast;
use amortize_train::session::{self, Session};
use amortize_train::settings;
use amortize_train::task::Task;

use crate::data;
use crate::error::{ReproduceError, Result};
use crate::experiment::Subject;
use crate::measured::{self, How, Measured};
use crate::output;
use crate::plan::{Plan, PlannedRun};
use crate::table::Table;
use crate::texts::HeldOut;

/// What becomes of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It begins.
    Starts,
    /// It goes on after this step.
    GoesOn(u64),
    /// It is trained, and measured now.
    Measured,
    /// It was done before.
    Done,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starts => f.write_str("starts"),
            Self::GoesOn(step) => write!(f, "goes on after step {step}"),
            Self::Measured => f.write_str("is measured"),
            Self::Done => f.write_str("is done"),
        }
    }
}

/// What is told of a reproduction as it goes.
pub trait Observer {
    /// The run `name`, at a place that counts from 1 among so many, and of `steps` steps, has come to a stage.
    fn run(&mut self, name: &str, place: (usize, usize), stage: Stage, steps: u64);
    /// Whom the steps of the run at work are told.
    fn steps(&mut self) -> &mut dyn session::Observer;
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// The table.
    pub table: Table,
    /// The same as it is in `table.md`.
    pub markdown: String,
    /// The page with everything.
    pub page: PathBuf,
}

/// What all runs share.
struct Shared<'a> {
    plan: &'a Plan,
    model: Model,
    held_out: HeldOut,
    encoder: Option<Encoder>,
}

impl Plan {
    /// Does what is still to be done, and writes table, figure and page. When `stop` becomes true the step at work is
    /// finished and saved.
    ///
    /// # Errors
    /// If a run has other settings or fails, a file cannot be written; or [`ReproduceError::Interrupted`].
    pub fn carry_out(&self, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<Outcome> {
        // All of them first: a run that is refused should not end hours of others.
        self.runs.iter().try_for_each(|run| check_settings(&self.run_dir(run), &run.config))?;
        if self.writes_data() {
            data::write(&self.data_dir(), &self.experiment.data()?)?;
        }
        let shared = self.shared()?;
        let mut measured = Vec::with_capacity(self.runs.len());
        for number in 0..self.runs.len() {
            if stop.load(Ordering::Relaxed) {
                return Err(ReproduceError::Interrupted);
            }
            measured.push(shared.obtain(number, observer, stop)?);
        }
        output::write(self, &measured)
    }

    fn shared(&self) -> Result<Shared<'_>> {
        let config = &self.runs[0].config;
        let info = ModelInfo::read(&config.model.path).map_err(TrainError::from)?;
        let task = Task::load(config, &info)?;
        let held_out = HeldOut::read(config, &info, &task, self.test_path().as_deref())?;
        self.experiment.check(&held_out.texts)?;
        Forecast::new(config, &info, &task)?.warn_if_short();
        let encoder = self.options.encoder.as_ref().map(|dir| Encoder::load(dir, None)).transpose()?;
        let precision = settings::precision(config.model.precision);
        let model = info.load(&Device::cpu(), precision).map_err(TrainError::from)?;
        Ok(Shared { plan: self, model, held_out, encoder })
    }
}

impl Shared<'_> {
    /// What was measured of a run, once it is trained.
    fn obtain(&self, number: usize, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<Measured> {
        let run = &self.plan.runs[number];
        let name = run.name();
        let dir = self.plan.run_dir(run);
        let (place, steps) = ((number + 1, self.plan.runs.len()), run.config.train.steps as u64);
        let exists = has_run(&dir)?;
        let how = self.how(run);
        if let Some(measured) = measured::read(&dir, &how)?.filter(|_| exists) {
            observer.run(&name, place, Stage::Done, steps);
            return Ok(measured);
        }
        let failed = |error| match error {
            TrainError::Interrupted { .. } => ReproduceError::Interrupted,
            source => ReproduceError::Run { run: name.clone(), source },
        };
        if !exists {
            observer.run(&name, place, Stage::Starts, steps);
        }
        let task = Task::load(&run.config, &self.model)?;
        let mut session = self.open(&dir, exists, run, &task).map_err(failed)?;
        if exists {
            observer.run(&name, place, Stage::GoesOn(session.state().step), steps);
        }
        session.train(observer.steps(), stop).map_err(failed)?;
        amortize_report::write(session.run_dir())?;
        observer.run(&name, place, Stage::Measured, steps);
        let measured = self.measure(run, &task, &session)?;
        measured::write(&dir, how, &measured)?;
        Ok(measured)
    }

    fn open<'s>(
        &'s self,
        dir: &Path,
        exists: bool,
        run: &'s PlannedRun,
        task: &'s Task,
    ) -> std::result::Result<Session<'s>, TrainError> {
        match exists {
            true => Session::resume(&run.config, RunDir::resume(dir)?, &self.model, task),
            false => Session::start(&run.config, &self.model, task, dir),
        }
    }

    fn measure(&self, run: &PlannedRun, task: &Task, session: &Session) -> Result<Measured> {
        let subject = Subject {
            method: run.method,
            seed: run.seed,
            first: self.is_first(run),
            scale: self.plan.options.scale,
            config: &run.config,
            model: &self.model,
            task,
            policy: Policy::adapted(&self.model, &session.state().adapter),
            prompts: &self.held_out.prompts,
            texts: &self.held_out.texts,
            encoder: self.encoder.as_ref(),
            rater: self.plan.options.rater.as_ref(),
        };
        self.plan.experiment.measure(&subject)
    }

    fn how(&self, run: &PlannedRun) -> How {
        let options = &self.plan.options;
        How::new(self.is_first(run), options.encoder.as_deref(), options.rater.as_ref().map(|rater| rater.endpoint()))
    }

    fn is_first(&self, run: &PlannedRun) -> bool {
        run.seed == self.plan.options.first_seed
    }
}

fn has_run(dir: &Path) -> Result<bool> {
    match RunDir::open_read(dir) {
        Ok(_) => Ok(true),
        Err(amortize_runlog::Error::NotARun(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Refuses a run that is there and is not the one that was planned, but for what changes no figure.
fn check_settings(dir: &Path, planned: &Config) -> Result<()> {
    if !has_run(dir)? {
        return Ok(());
    }
    let mut saved = Config::load(&RunDir::open_read(dir)?.config_path(), &[])?;
    saved.train = saved.train.with_resources_of(&planned.train);
    if saved == *planned {
        return Ok(());
    }
    let (saved, planned) = (saved.to_toml()?, planned.to_toml()?);
    let differs = saved.lines().zip(planned.lines()).find(|(saved, planned)| saved != planned);
    let difference = differs.map(|(saved, planned)| format!("{saved}, now {planned}")).unwrap_or_default();
    Err(ReproduceError::OtherSettings { run: dir.to_path_buf(), difference })
}

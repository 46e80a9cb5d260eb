//! A training run in its directory: the loop around [`Trainer::step`], with logs, evaluations and checkpoints.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use amortize_gfn::{Prefixes, Source};
use amortize_lm::{Model, Policy};
use amortize_runlog::{RunDir, replace_dir_atomic, write_atomic};

use crate::card::model_card;
use crate::checkpoint;
use crate::compare::compare;
use crate::config::{Config, MethodName};
use crate::error::{Result, TrainError};
use crate::evaluate::evaluate;
use crate::explore::Explored;
use crate::metrics::{EvaluateRecord, Record, SampleKind, SampleRecord, StepRecord, TimingRecord};
use crate::reward::Target;
use crate::run_loop::{Cadence, Run, RunFiles, check_not_past, drive};
use crate::sampling::{SampleOptions, text_of};
use crate::seeds::{self, Seeded};
use crate::task::Task;
use crate::trainer::{State, Trainer};

/// Samples of a step that are written to `samples.jsonl`.
const SAMPLES_WRITTEN: usize = 4;

/// What is told of a run as it goes: a progress bar, a log, nothing.
pub trait Observer {
    /// A step is done.
    fn step(&mut self, record: &StepRecord, timing: &TimingRecord, total: u64);
    /// An evaluation is done.
    fn evaluated(&mut self, record: &EvaluateRecord);
}

/// A run that can be started or continued.
pub struct Session<'a> {
    config: &'a Config,
    files: RunFiles,
    trainer: Trainer<'a>,
    seeded: Option<Seeded>,
}

impl<'a> Session<'a> {
    /// Begins a run in an empty or new directory.
    ///
    /// # Errors
    /// If the directory is in use, the adapter cannot be made, or a seed of the buffer is none.
    pub fn start(config: &'a Config, model: &'a Model, task: &'a Task, out: &Path) -> Result<Self> {
        let mut trainer = trainer(config, model, task)?;
        // The other methods never read the buffer.
        let seeded = match config.buffer.seed_from_data && config.train.method == MethodName::Gflownet {
            true => {
                let (seeds, prefixes) = (seeds::read(config, model, task)?, trainer.method.learning.prefixes());
                Some(seeds::insert(&seeds, prefixes, &mut trainer.target, &mut trainer.state.buffer)?)
            }
            false => None,
        };
        let run = RunDir::create(out, |run| {
            write_atomic(&run.config_path(), config.to_toml()?.as_bytes())?;
            checkpoint::save(run, &trainer.state, model)?;
            export(&run.adapter_dir(), config, &trainer)
        })?;
        Ok(Self { config, files: RunFiles::open(run)?, trainer, seeded })
    }

    /// Continues a run from its checkpoint. Records of steps after it are dropped: they will be made again.
    ///
    /// # Errors
    /// If the run is in use, or has no checkpoint that fits the config.
    pub fn resume(config: &'a Config, run: RunDir, model: &'a Model, task: &'a Task) -> Result<Self> {
        let mut trainer = trainer(config, model, task)?;
        checkpoint::load(&run, &mut trainer.state, model, task)?;
        let step = trainer.state.step;
        check_not_past(&run, step, config.train.steps)?;
        let files = RunFiles::reopen(run, step, before_first_evaluation(&trainer.state))?;
        // Last: a resume that is refused changes nothing.
        write_atomic(&files.dir.config_path(), config.to_toml()?.as_bytes())?;
        Ok(Self { config, files, trainer, seeded: None })
    }

    /// What became of the data's latents, in a run that has just begun with them.
    pub fn seeded(&self) -> Option<Seeded> {
        self.seeded
    }

    /// What the run has reached.
    pub fn state(&self) -> &State {
        &self.trainer.state
    }

    /// The run's directory.
    pub fn run_dir(&self) -> &RunDir {
        &self.files.dir
    }

    /// Trains to the config's last step. When `stop` becomes true the step at work is finished and saved.
    ///
    /// # Errors
    /// If a step fails or a file cannot be written; or [`TrainError::Interrupted`]. Where a scorer fails in a step,
    /// what was reached is saved first.
    pub fn train(&mut self, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<()> {
        let cadence = Cadence {
            command: "train",
            total: self.config.train.steps as u64,
            evaluate_every: self.config.evaluate.every as u64,
            checkpoint_every: self.config.train.checkpoint_every as u64,
        };
        drive(self, cadence, observer, stop)
    }

    fn log(
        &mut self,
        record: &StepRecord,
        explored: &Explored,
        took: Duration,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        self.files.metrics.append(&Record::Train(record))?;
        let timing = TimingRecord::new(record.step, record.tokens, took);
        self.files.timing.append(&timing)?;
        let every = self.config.train.samples_every as u64;
        if every > 0 && record.step.is_multiple_of(every) {
            self.log_samples(record.step, explored)?;
        }
        observer.step(record, &timing, self.config.train.steps as u64);
        Ok(())
    }

    fn log_samples(&mut self, step: u64, explored: &Explored) -> Result<()> {
        let own = (0..explored.sources.len()).filter(|row| explored.sources[*row] == Source::OnPolicy);
        let (model, task) = (self.trainer.model, self.trainer.task);
        for row in own.take(SAMPLES_WRITTEN) {
            let query = explored.queries[explored.query_of[row]].id;
            let prompt = task.train.iter().find(|prompt| prompt.query.id == query);
            let text = text_of(model, &explored.trajectories[row], &task.actions).0;
            self.files.samples.append(&SampleRecord {
                step,
                kind: SampleKind::Train,
                prompt: prompt.map_or("", |prompt| &prompt.text),
                suffix: prompt.and_then(|prompt| prompt.suffix.as_deref()),
                text,
                log_p: None,
                log_q: explored.log_q[row].unwrap_or(f64::NAN),
                log_reward: explored.log_reward.row(row).last().copied().unwrap_or(f64::NEG_INFINITY),
                log_weight: None,
            })?;
        }
        Ok(())
    }

    /// Evaluates on the validation queries, against the target at the end of the temperature's schedule, and keeps the
    /// adapter if it is the best so far.
    fn evaluate_validation(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let task = self.trainer.task;
        if task.validation.is_empty() {
            return Ok(());
        }
        let options = SampleOptions {
            n: self.config.evaluate.samples_per_query,
            seed: self.config.evaluate.seed,
            first: 0,
            policy_temperature: 1.0,
            reward_temperature: self.config.reward.temperature_end,
        };
        let Trainer { model, state, target, .. } = &mut self.trainer;
        let policy = Policy::adapted(model, &state.adapter);
        let found = evaluate(policy, target, &task.validation, &task.actions, &options, false)
            .map_err(|error| error.or_diverged(state.step))?;
        let variance = found.summary.log_w_variance;
        let best = variance.is_some_and(|variance| state.best.is_none_or(|best| variance < best));
        let exact = found.exact.map(|exact| exact.distances);
        let record = EvaluateRecord { step: state.step, best, summary: found.summary, exact };
        if best {
            state.best = variance;
            export(&self.files.dir.best_adapter_dir(), self.config, &self.trainer)?;
        }
        self.files.metrics.append(&Record::Evaluate(&record))?;
        self.log_comparison(&options)?;
        observer.evaluated(&record);
        Ok(())
    }

    /// A few of the evaluation's draws: of the base model before the first step, of the policy after others.
    fn log_comparison(&mut self, options: &SampleOptions) -> Result<()> {
        let Trainer { model, state, target, task, .. } = &mut self.trainer;
        let (policy, kind) = match state.step {
            0 => (Policy::base(model), SampleKind::Before),
            _ => (Policy::adapted(model, &state.adapter), SampleKind::After),
        };
        let records = compare(policy, target, &task.validation, &task.actions, options, (state.step, kind))
            .map_err(|error| error.or_diverged(state.step))?;
        records.iter().try_for_each(|record| self.files.samples.append(record))?;
        Ok(())
    }
}

impl<'o> Run<dyn Observer + 'o> for Session<'_> {
    fn reached(&self) -> u64 {
        self.trainer.state.step
    }

    fn before_first_evaluation(&self) -> bool {
        before_first_evaluation(&self.trainer.state)
    }

    fn step(&mut self, observer: &mut (dyn Observer + 'o)) -> Result<()> {
        let started = Instant::now();
        let (record, explored) = self.trainer.step()?;
        self.log(&record, &explored, started.elapsed(), observer)
    }

    fn evaluate(&mut self, observer: &mut (dyn Observer + 'o)) -> Result<()> {
        self.evaluate_validation(observer)
    }

    fn save(&self) -> Result<()> {
        self.files.sync()?;
        // The checkpoint last: one of the last step must not stand beside an adapter of an earlier one.
        export(&self.files.dir.adapter_dir(), self.config, &self.trainer)?;
        checkpoint::save(&self.files.dir, &self.trainer.state, self.trainer.model)
    }

    fn path(&self) -> PathBuf {
        self.files.dir.path().to_path_buf()
    }
}

/// Writes the adapter in PEFT's format with its model card.
fn export(dir: &Path, config: &Config, trainer: &Trainer) -> Result<()> {
    let (model, state) = (trainer.model, &trainer.state);
    replace_dir_atomic(dir, |dir| {
        state.adapter.save(dir, &checkpoint::base_name(model), &model.decoder)?;
        let card = model_card(config, state, model);
        std::fs::write(dir.join("README.md"), card).map_err(|error| TrainError::Checkpoint {
            path: dir.join("README.md"),
            problem: format!("cannot be written: {error}"),
        })
    })
}

fn before_first_evaluation(state: &State) -> bool {
    state.step == 0 && state.best.is_none()
}

/// A trainer before its first step.
fn trainer<'a>(config: &'a Config, model: &'a Model, task: &'a Task) -> Result<Trainer<'a>> {
    let target = Target::of(&config.task, &config.reward, Policy::base(model), &task.actions)?;
    let mut trainer = Trainer::new(config, model, task, target)?;
    if config.train.method == MethodName::Sft {
        let seeds = seeds::read(config, model, task)?;
        let demonstrations = seeds::demonstrations(&seeds, Prefixes::Whole, &mut trainer.target)?;
        trainer.demonstrate(demonstrations);
    }
    Ok(trainer)
}

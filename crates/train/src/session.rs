//! A training run in its directory: the loop around [`Trainer::step`], with logs, evaluations and checkpoints.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use amortize_gfn::Source;
use amortize_lm::{Model, Policy};
use amortize_runlog::{JsonlWriter, RunDir, replace_dir_atomic, write_atomic};

use crate::card::model_card;
use crate::checkpoint;
use crate::compare::compare;
use crate::config::Config;
use crate::error::{Result, TrainError};
use crate::evaluate::evaluate;
use crate::explore::Explored;
use crate::memory;
use crate::metrics::{EvaluateRecord, Record, SampleKind, SampleRecord, StepRecord, TimingRecord};
use crate::reward::Target;
use crate::sampling::{SampleOptions, text_of};
use crate::seeds::{self, Seeded};
use crate::settings;
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
    run: RunDir,
    trainer: Trainer<'a>,
    metrics: JsonlWriter,
    timing: JsonlWriter,
    samples: JsonlWriter,
    seeded: Option<Seeded>,
}

impl<'a> Session<'a> {
    /// Begins a run in an empty or new directory.
    ///
    /// # Errors
    /// If the directory is in use, the adapter cannot be made, or a seed of the buffer is none.
    pub fn start(config: &'a Config, model: &'a Model, task: &'a Task, out: &Path) -> Result<Self> {
        let mut trainer = trainer(config, model, task)?;
        let seeds = seeds::read(config, model, task)?;
        let seeded = seeds::insert(&seeds, &mut trainer.target, &mut trainer.state.buffer)?;
        let run = RunDir::create(out, |run| {
            write_atomic(&run.config_path(), config.to_toml()?.as_bytes())?;
            checkpoint::save(run, &trainer.state, model)?;
            export(&run.adapter_dir(), config, &trainer)
        })?;
        let session = Self::open(config, run, trainer)?;
        Ok(Self { seeded: config.buffer.seed_from_data.then_some(seeded), ..session })
    }

    /// Continues a run from its checkpoint. Records of steps after it are dropped: they will be made again.
    ///
    /// # Errors
    /// If the run is in use, or has no checkpoint that fits the config.
    pub fn resume(config: &'a Config, run: RunDir, model: &'a Model, task: &'a Task) -> Result<Self> {
        let mut trainer = trainer(config, model, task)?;
        checkpoint::load(&run, &mut trainer.state, model, task)?;
        let (step, steps) = (trainer.state.step, config.train.steps as u64);
        if step > steps {
            let problem = format!("has finished step {step}, which is past train.steps = {steps}");
            return Err(TrainError::Checkpoint { path: run.path().to_path_buf(), problem });
        }
        if before_first_evaluation(&trainer.state) {
            // The first evaluation's records may be there without its checkpoint: they will be written again.
            for path in [run.metrics_path(), run.samples_path()].iter().filter(|path| path.exists()) {
                write_atomic(path, b"")?;
            }
        }
        let mut session = Self::open(config, run, trainer)?;
        session.metrics.truncate_after(step)?;
        session.timing.truncate_after(step)?;
        session.samples.truncate_after(step)?;
        // Last: a resume that is refused changes nothing.
        write_atomic(&session.run.config_path(), config.to_toml()?.as_bytes())?;
        Ok(session)
    }

    fn open(config: &'a Config, run: RunDir, trainer: Trainer<'a>) -> Result<Self> {
        let metrics = JsonlWriter::open(&run.metrics_path())?;
        let timing = JsonlWriter::open(&run.timing_path())?;
        let samples = JsonlWriter::open(&run.samples_path())?;
        Ok(Self { config, run, trainer, metrics, timing, samples, seeded: None })
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
        &self.run
    }

    /// Trains to the config's last step. When `stop` becomes true the step at work is finished and saved.
    ///
    /// # Errors
    /// If a step fails or a file cannot be written; or [`TrainError::Interrupted`]. Where a scorer fails, what was reached
    /// is saved first.
    pub fn train(&mut self, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<()> {
        let mut saved = self.trainer.state.step;
        self.take_steps(observer, stop, &mut saved).map_err(|error| match error {
            TrainError::Scorer(problem) => {
                TrainError::ScorerFailed { problem, step: saved, run: self.run.path().to_path_buf() }
            }
            other => other,
        })
    }

    /// Keeps account of the last step that was `saved`.
    fn take_steps(&mut self, observer: &mut dyn Observer, stop: &AtomicBool, saved: &mut u64) -> Result<()> {
        let total = self.config.train.steps as u64;
        if before_first_evaluation(&self.trainer.state) && self.config.evaluate.every > 0 {
            self.evaluate(observer)?;
            self.save()?;
        }
        while self.trainer.state.step < total {
            let started = Instant::now();
            let (record, explored) = match self.trainer.step() {
                Err(error @ TrainError::Scorer(_)) => {
                    self.save()?;
                    *saved = self.trainer.state.step;
                    return Err(error);
                }
                step => step?,
            };
            self.log(&record, &explored, started.elapsed(), observer)?;
            let due = |every: usize| every > 0 && record.step.is_multiple_of(every as u64);
            let last = record.step == total;
            if due(self.config.evaluate.every) || (last && self.config.evaluate.every > 0) {
                self.evaluate(observer)?;
            }
            let interrupted = stop.load(Ordering::Relaxed);
            if due(self.config.train.checkpoint_every) || last || interrupted {
                self.save()?;
                *saved = record.step;
            }
            if interrupted && !last {
                return Err(TrainError::Interrupted { step: record.step, run: self.run.path().to_path_buf() });
            }
        }
        Ok(())
    }

    fn log(
        &mut self,
        record: &StepRecord,
        explored: &Explored,
        took: Duration,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        self.metrics.append(&Record::Train(record))?;
        let seconds = took.as_secs_f64();
        let timing = TimingRecord {
            step: record.step,
            seconds,
            tokens_per_second: record.tokens as f64 / seconds,
            peak_rss_mb: memory::peak_rss_mib(),
        };
        self.timing.append(&timing)?;
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
            self.samples.append(&SampleRecord {
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
    fn evaluate(&mut self, observer: &mut dyn Observer) -> Result<()> {
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
            export(&self.run.best_adapter_dir(), self.config, &self.trainer)?;
        }
        self.metrics.append(&Record::Evaluate(&record))?;
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
        records.iter().try_for_each(|record| self.samples.append(record))?;
        Ok(())
    }

    fn save(&self) -> Result<()> {
        // Records first: a checkpoint must never be ahead of them.
        for log in [&self.metrics, &self.timing, &self.samples] {
            log.sync()?;
        }
        checkpoint::save(&self.run, &self.trainer.state, self.trainer.model)?;
        export(&self.run.adapter_dir(), self.config, &self.trainer)
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

fn trainer<'a>(config: &'a Config, model: &'a Model, task: &'a Task) -> Result<Trainer<'a>> {
    let target = Target::of(&config.task, &config.reward, Policy::base(model), &task.actions)?;
    let state = State::new(config, model, task)?;
    Ok(Trainer { model, task, target, method: settings::method(config), state })
}

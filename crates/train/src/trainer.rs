//! The training step: query -> explore -> reward -> score with gradient -> objective -> optimizer.
//!
//! Nothing here touches a file: see [`crate::session`] for runs.

use std::collections::BTreeMap;
use std::ops::Range;

use amortize_engine::ops::dropout::mix;
use amortize_engine::optim::AdamW;
use amortize_gfn::{
    Batch, Generator, LearningRate, Linear, Mix, Objective, Query, ReplayBuffer, ReplaySampling, Source, Table,
};
use amortize_lm::adapter::AdapterGradients;
use amortize_lm::decoder::{Activations, Gradients};
use amortize_lm::{Adapter, Model, Policy};

use crate::config::Config;
use crate::error::Result;
use crate::evaluate::diagnose;
use crate::explore::{Explored, Explorer};
use crate::metrics::{SourceRecord, StepRecord};
use crate::optimizer::{LogZ, Optimizer, clip, finite_norm};
use crate::order::QueryOrder;
use crate::reward::Target;
use crate::settings;
use crate::tables::{PackedTrajectories, PolicyQuestions};
use crate::task::Task;

/// How a run trains: the config's values in the method's terms.
#[derive(Clone, Debug)]
pub struct Method {
    /// The loss.
    pub objective: Objective,
    /// The shares of the sources.
    pub mix: Mix,
    /// How trajectories are taken from the buffer.
    pub replay_sampling: ReplaySampling,
    /// The reward temperature by step.
    pub reward_temperature: Linear,
    /// Training target where the reward is zero, in nats.
    pub floor: f64,
    /// The learning rate by step.
    pub learning_rate: LearningRate,
    /// The learning rate of a learned log Z, at the schedule's peak.
    pub log_z_learning_rate: f64,
    /// Limit of the gradient's norm.
    pub clip_norm: Option<f64>,
    /// Queries a step.
    pub queries_per_step: usize,
    /// Trajectories a query.
    pub samples_per_query: usize,
    /// Trajectories a forward and backward pass, 0 for all.
    pub micro_batch: usize,
    /// What a pass keeps for the backward pass.
    pub activations: Activations,
    /// The run's seed.
    pub seed: u64,
}

/// Everything that changes while training, and that a checkpoint holds.
#[derive(Debug)]
pub struct State {
    /// Finished steps.
    pub step: u64,
    /// The policy's adapter.
    pub adapter: Adapter,
    /// Its optimizer.
    pub optimizer: Optimizer,
    /// Learned values of log Z, where the objective has them.
    pub log_z: LogZ,
    /// The best trajectories of every query.
    pub buffer: ReplayBuffer,
    /// Which queries come next.
    pub order: QueryOrder,
    /// Decides what is explored.
    pub explore_rng: Generator,
    /// The lowest validation variance of log w so far.
    pub best: Option<f64>,
}

impl State {
    /// The state before the first step, with a new adapter or one to start from.
    ///
    /// # Errors
    /// If the adapter cannot be made or loaded.
    pub fn new(config: &Config, model: &Model, task: &Task) -> Result<Self> {
        let seed = config.train.seed;
        let adapter = match &config.model.adapter {
            Some(dir) => Adapter::load(dir, &model.decoder)?,
            None => {
                Adapter::new(&model.decoder, settings::adapter(&config.adapter), &mut Generator::new(seed, "adapter"))?
            }
        };
        let optimizer = Optimizer::new(settings::adamw(&config.optimizer), adapter.named().map(|(_, tensor)| tensor));
        Ok(Self {
            step: 0,
            adapter,
            optimizer,
            log_z: LogZ::default(),
            buffer: ReplayBuffer::new(config.buffer.capacity, config.buffer.similarity_tolerance),
            order: QueryOrder::new(task.train.len(), Generator::new(seed, "queries")),
            explore_rng: Generator::new(seed, "explore"),
            best: None,
        })
    }
}

/// Trains an adapter of a model towards a target.
pub struct Trainer<'a> {
    /// The base model.
    pub model: &'a Model,
    /// Queries and actions.
    pub task: &'a Task,
    /// The reward.
    pub target: Target<'a>,
    /// How.
    pub method: Method,
    /// What has been reached.
    pub state: State,
}

/// A part of a step's rows that goes through the model at once.
struct MicroBatch {
    packed: PackedTrajectories,
    asked: PolicyQuestions,
}

impl<'a> Trainer<'a> {
    /// The policy as it is now.
    pub fn policy(&self) -> Policy<'_> {
        Policy::adapted(self.model, &self.state.adapter)
    }

    /// One optimizer step. Returns its figures and its trajectories.
    ///
    /// # Errors
    /// If the model or the reward fails: then nothing was changed; or loss or gradient are not finite: then nothing was
    /// changed but the buffer and what decides the next trajectories.
    pub fn step(&mut self) -> Result<(StepRecord, Explored)> {
        let explored = self.explore_next()?;
        let reward_temperature = self.method.reward_temperature.at(self.state.step);
        let target = amortize_gfn::target(&explored.log_reward, reward_temperature, self.method.floor);
        let step = self.state.step;
        let (objective, mut gradients) = self.gradients(&explored, &target).map_err(|error| error.or_diverged(step))?;
        let gradient_norm = finite_norm(self.state.step + 1, objective.loss, gradients.tensors())?;
        if let Some(limit) = self.method.clip_norm {
            clip(gradients.tensors_mut(), gradient_norm, limit);
        }
        let learning_rate = self.method.learning_rate.at(self.state.step);
        self.state.optimizer.update(self.state.adapter.tensors_mut(), gradients.tensors(), learning_rate);
        // A learned log Z follows the same schedule: it would keep a decayed policy moving otherwise.
        let log_z_rate = self.method.log_z_learning_rate * learning_rate / self.method.learning_rate.peak;
        self.update_log_z(&explored.queries, &objective.d_log_z, log_z_rate);
        self.state.step += 1;
        let on_policy = diagnose(self.model, &explored, reward_temperature, self.target.is_base_log_prob);
        let record = StepRecord {
            step: self.state.step,
            loss: objective.loss,
            gradient_norm,
            learning_rate,
            reward_temperature,
            log_z: mean(objective.log_z.iter().copied().filter(|log_z| log_z.is_finite())),
            sources: by_source(&explored),
            on_policy,
            buffer_items: self.state.buffer.iter().count(),
            tokens: explored.trajectories.iter().map(|trajectory| trajectory.len()).sum(),
        };
        Ok((record, explored))
    }

    fn next_queries(&mut self) -> Vec<Query> {
        let numbers = self.state.order.next(self.method.queries_per_step);
        numbers.into_iter().map(|number| self.task.train[number].query.clone()).collect()
    }

    /// Explores the next queries. Where that fails, they are still the next ones.
    fn explore_next(&mut self) -> Result<Explored> {
        let before = (self.state.order.clone(), self.state.explore_rng.clone());
        let queries = self.next_queries();
        let explored = self.explore(queries);
        if explored.is_err() {
            (self.state.order, self.state.explore_rng) = before;
        }
        explored
    }

    fn explore(&mut self, queries: Vec<Query>) -> Result<Explored> {
        let explorer = Explorer {
            policy: Policy::adapted(self.model, &self.state.adapter),
            actions: &self.task.actions,
            mix: self.method.mix,
            replay_sampling: self.method.replay_sampling,
            buffer: &mut self.state.buffer,
            target: &mut self.target,
            rng: &mut self.state.explore_rng,
        };
        let step = self.state.step;
        explorer.explore(queries, self.method.samples_per_query).map_err(|error| error.or_diverged(step))
    }

    /// The objective on the whole batch and its gradient, whatever the size of the micro-batches.
    ///
    /// Normalisers and batch estimates of log Z are over the whole batch, so where there are several micro-batches
    /// a first pass scores them all and a second one goes back through each (method: objectives see whole tables).
    pub fn gradients(
        &mut self,
        batch: &Explored,
        target: &Table,
    ) -> Result<(amortize_gfn::Gradients, AdapterGradients)> {
        let parts = self.micro_batches(batch);
        let log_z = self.learned_log_z(batch, target);
        let policy = self.policy().with_dropout(self.dropout_seed()).with_activations(self.method.activations);
        let adapter = Some(AdapterGradients::zeros(self.model.decoder.device(), &self.state.adapter));
        let mut gradients = Gradients { adapter, base: None };
        let objective = match parts.as_slice() {
            [part] => {
                let scored = policy.score_with_tape(&part.packed.forest, &part.asked.questions)?;
                let objective = self.evaluate(batch, target, [(part, &scored.log_probs)], log_z.as_deref());
                let coefficients =
                    part.asked.coefficients(&scored.log_probs, &objective.d_log_pf, &objective.d_log_pterm);
                policy.backward(&part.packed.forest, &part.asked.questions, &scored, &coefficients, &mut gradients);
                objective
            }
            parts => {
                let answers: Vec<Vec<f64>> = parts
                    .iter()
                    .map(|part| policy.score(&part.packed.forest, &part.asked.questions))
                    .collect::<std::result::Result<_, _>>()?;
                let objective = self.evaluate(batch, target, parts.iter().zip(&answers), log_z.as_deref());
                for (part, rows) in parts.iter().zip(self.chunks(batch.trajectories.len())) {
                    let scored = policy.score_with_tape(&part.packed.forest, &part.asked.questions)?;
                    let (d_log_pf, d_log_pterm) =
                        (slice(&objective.d_log_pf, &rows), slice(&objective.d_log_pterm, &rows));
                    let coefficients = part.asked.coefficients(&scored.log_probs, &d_log_pf, &d_log_pterm);
                    policy.backward(&part.packed.forest, &part.asked.questions, &scored, &coefficients, &mut gradients);
                }
                objective
            }
        };
        Ok((objective, gradients.adapter.expect("asked for above")))
    }

    fn chunks(&self, rows: usize) -> Vec<Range<usize>> {
        let size = if self.method.micro_batch == 0 { rows } else { self.method.micro_batch };
        (0..rows).step_by(size.max(1)).map(|start| start..rows.min(start + size)).collect()
    }

    fn micro_batches(&self, batch: &Explored) -> Vec<MicroBatch> {
        let part = |rows: Range<usize>| {
            let trajectories = &batch.trajectories[rows.clone()];
            let packed = PackedTrajectories::new(&batch.queries, &batch.query_of[rows], trajectories);
            let asked = PolicyQuestions::new(&packed, trajectories, &self.task.actions);
            MicroBatch { packed, asked }
        };
        self.chunks(batch.trajectories.len()).into_iter().map(part).collect()
    }

    fn evaluate<'p>(
        &self,
        batch: &Explored,
        target: &Table,
        parts: impl IntoIterator<Item = (&'p MicroBatch, &'p Vec<f64>)>,
        log_z: Option<&[f64]>,
    ) -> amortize_gfn::Gradients {
        let (mut log_pf, mut log_pterm, mut endpoint) = (Vec::new(), Vec::new(), Vec::new());
        for (part, answers) in parts {
            let tables = part.asked.tables(answers);
            log_pf.extend(tables.0.into_rows());
            log_pterm.extend(tables.1.into_rows());
            endpoint.extend(tables.2.into_rows());
        }
        let batch = Batch {
            log_pf: &Table::from_rows(log_pf),
            log_pterm: &Table::from_rows(log_pterm),
            log_reward: target,
            endpoint: &Table::from_rows(endpoint),
            query_of: &batch.query_of,
            n_queries: batch.queries.len(),
        };
        self.method.objective.evaluate(&batch, log_z)
    }

    fn dropout_seed(&self) -> u64 {
        mix(self.method.seed ^ mix(self.state.step))
    }

    /// Learned log Z of the batch's queries; a query seen first starts at the mean log R of its trajectories, which is
    /// of the right order.
    fn learned_log_z(&mut self, batch: &Explored, target: &Table) -> Option<Vec<f64>> {
        if !self.method.objective.needs_log_z() {
            return None;
        }
        let start = |number: usize| {
            let rows = (0..batch.query_of.len()).filter(|row| batch.query_of[*row] == number);
            mean(rows.filter_map(|row| target.row(row).last().copied())).unwrap_or(0.0)
        };
        let queries = batch.queries.iter().enumerate();
        Some(queries.map(|(number, query)| self.state.log_z.get(query.id, start(number))).collect())
    }

    fn update_log_z(&mut self, queries: &[Query], d_log_z: &[f64], learning_rate: f64) {
        let adamw: AdamW = self.state.optimizer.adamw;
        for (query, gradient) in queries.iter().zip(d_log_z) {
            self.state.log_z.update(query.id, *gradient, learning_rate, &adamw);
        }
    }
}

fn slice(table: &Table, rows: &Range<usize>) -> Table {
    Table::from_rows(rows.clone().map(|row| table.row(row).to_vec()).collect())
}

/// The mean, or `None` of nothing.
pub(crate) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.fold((0.0, 0), |(sum, n), value| (sum + value, n + 1));
    (n > 0).then(|| sum / n as f64)
}

fn by_source(explored: &Explored) -> BTreeMap<Source, SourceRecord> {
    let mut records = BTreeMap::new();
    for source in [Source::OnPolicy, Source::Tempered, Source::Replay] {
        let rows: Vec<usize> = (0..explored.sources.len()).filter(|row| explored.sources[*row] == source).collect();
        if rows.is_empty() {
            continue;
        }
        let share = |count: usize| count as f64 / rows.len() as f64;
        let log_reward = |row: &usize| explored.log_reward.row(*row).last().copied().unwrap_or(f64::NEG_INFINITY);
        let trajectories = || rows.iter().map(|row| &explored.trajectories[*row]);
        records.insert(
            source,
            SourceRecord {
                n: rows.len(),
                mean_log_reward: mean(rows.iter().map(log_reward).filter(|log_reward| log_reward.is_finite())),
                zero_reward_share: share(rows.iter().filter(|row| log_reward(row) == f64::NEG_INFINITY).count()),
                mean_length: mean(trajectories().map(|trajectory| trajectory.len() as f64)).unwrap_or(0.0),
                forced_stop_share: share(trajectories().filter(|trajectory| trajectory.forced_stop()).count()),
            },
        );
    }
    records
}

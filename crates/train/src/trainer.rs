//! The training step: query -> explore -> reward -> score with gradient -> objective -> optimizer. The baselines PPO and
//! supervised fine-tuning differ in the objective, and in where trajectories come from.
//!
//! Nothing here touches a file: see [`crate::session`] for runs.

mod balance;
mod passes;
mod ppo;
mod record;

use amortize_gfn::ppo::AdaptiveKl;
use amortize_gfn::sft::negative_log_likelihood;
use amortize_gfn::{
    Generator, LearningRate, Linear, Mix, Objective, Prefixes, Query, ReplayBuffer, ReplaySampling, Source, Table,
};
use amortize_lm::adapter::AdapterGradients;
use amortize_lm::decoder::Activations;
use amortize_lm::{Adapter, Model, Policy};

use crate::config::Config;
use crate::error::Result;
use crate::evaluate::diagnose;
use crate::explore::{Explored, Explorer};
use crate::metrics::{PpoRecord, StepRecord};
use crate::optimizer::{LogZ, Optimizer, clip, finite_norm};
use crate::order::QueryOrder;
use crate::reward::Target;
use crate::seeds::Demonstration;
use crate::settings;
use crate::task::Task;

/// What is learnt from trajectories, in one place: all else is common to all methods.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Learning {
    /// The paper's method: to sample in proportion to the target.
    Balance(Objective),
    /// To maximise the target, by proximal policy optimisation.
    Ppo(Ppo),
    /// To say what the data says.
    Imitate,
}

impl Learning {
    /// Whose rewards are read.
    pub fn prefixes(&self) -> Prefixes {
        match self {
            Self::Balance(objective) => objective.prefixes(),
            Self::Ppo(_) | Self::Imitate => Prefixes::Whole,
        }
    }
}

/// The settings of proximal policy optimisation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ppo {
    /// How far the ratio of probabilities may go from 1.
    pub clip: f64,
    /// Passes over a step's trajectories.
    pub epochs: usize,
    /// Updates a pass.
    pub minibatches: usize,
    /// The first coefficient of the KL penalty.
    pub kl_coefficient: f64,
    /// How it is adapted.
    pub kl: AdaptiveKl,
}

/// How a run trains: the config's values in the method's terms.
#[derive(Clone, Debug)]
pub struct Method {
    /// What is learnt from trajectories.
    pub learning: Learning,
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
    /// PPO's coefficient of the KL penalty.
    pub kl_coefficient: f64,
    /// The best trajectories of every query.
    pub buffer: ReplayBuffer,
    /// Which queries come next; where the data is imitated, which of its demonstrations.
    pub order: QueryOrder,
    /// Decides what is explored, and in what order PPO passes over it.
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
            kl_coefficient: config.ppo.kl_coefficient,
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
    /// What is imitated, where it is the data.
    pub demonstrations: Vec<Demonstration>,
    /// What has been reached.
    pub state: State,
}

/// What a step's updates have come to.
struct Update {
    /// Before the first update.
    loss: f64,
    /// Of the first update's gradient, before clipping.
    gradient_norm: f64,
    /// The mean over queries that have one.
    log_z: Option<f64>,
    ppo: Option<PpoRecord>,
}

impl<'a> Trainer<'a> {
    /// A trainer before its first step. Where the data is to be imitated, it comes later, by [`Trainer::demonstrate`].
    ///
    /// # Errors
    /// If the adapter cannot be made or loaded.
    pub fn new(config: &Config, model: &'a Model, task: &'a Task, target: Target<'a>) -> Result<Self> {
        let state = State::new(config, model, task)?;
        Ok(Self { model, task, target, method: settings::method(config), demonstrations: Vec::new(), state })
    }

    /// Gives what is to be imitated, to a trainer that has not begun.
    pub fn demonstrate(&mut self, demonstrations: Vec<Demonstration>) {
        self.state.order = QueryOrder::new(demonstrations.len(), Generator::new(self.method.seed, "queries"));
        self.demonstrations = demonstrations;
    }

    /// The policy as it is now.
    pub fn policy(&self) -> Policy<'_> {
        Policy::adapted(self.model, &self.state.adapter)
    }

    /// One step. Returns its figures and its trajectories.
    ///
    /// # Errors
    /// If the model or the reward fails: then nothing was changed; or loss or gradient are not finite: then nothing was
    /// changed but the buffer, what decides the next trajectories, and what PPO's earlier updates of the step did.
    pub fn step(&mut self) -> Result<(StepRecord, Explored)> {
        let explored = match self.method.learning {
            Learning::Imitate => self.next_demonstrations(),
            Learning::Balance(_) | Learning::Ppo(_) => self.explore_next()?,
        };
        let (step, reward_temperature) = (self.state.step, self.method.reward_temperature.at(self.state.step));
        let target = amortize_gfn::target(&explored.log_reward, reward_temperature, self.method.floor);
        let update = match self.method.learning {
            Learning::Balance(objective) => self.balance(objective, &explored, &target),
            Learning::Ppo(ppo) => self.reinforce(ppo, &explored, &target),
            Learning::Imitate => self.imitate(&explored),
        };
        let update = update.map_err(|error| error.or_diverged(step + 1))?;
        self.state.step += 1;
        let on_policy = diagnose(self.model, &explored, reward_temperature, self.target.is_base_log_prob);
        let record = StepRecord {
            step: self.state.step,
            loss: update.loss,
            gradient_norm: update.gradient_norm,
            learning_rate: self.method.learning_rate.at(step),
            reward_temperature,
            log_z: update.log_z,
            ppo: update.ppo,
            sources: record::by_source(&explored),
            on_policy,
            buffer_items: self.state.buffer.iter().count(),
            tokens: explored.trajectories.iter().map(|trajectory| trajectory.len()).sum(),
        };
        Ok((record, explored))
    }

    /// One update of the adapter. Returns the norm that the gradient had.
    fn descend(&mut self, loss: f64, mut gradients: AdapterGradients) -> Result<f64> {
        let norm = finite_norm(self.state.step + 1, loss, gradients.tensors())?;
        if let Some(limit) = self.method.clip_norm {
            clip(gradients.tensors_mut(), norm, limit);
        }
        let learning_rate = self.method.learning_rate.at(self.state.step);
        self.state.optimizer.update(self.state.adapter.tensors_mut(), gradients.tensors(), learning_rate);
        Ok(norm)
    }

    fn imitate(&mut self, batch: &Explored) -> Result<Update> {
        let (found, gradients) =
            self.backward(batch, |scores| negative_log_likelihood(&scores.log_pf, &scores.log_pterm))?;
        let gradient_norm = self.descend(found.loss, gradients)?;
        Ok(Update { loss: found.loss, gradient_norm, log_z: None, ppo: None })
    }

    /// As many demonstrations as other methods have trajectories.
    fn next_demonstrations(&mut self) -> Explored {
        let numbers = self.state.order.next(self.method.queries_per_step * self.method.samples_per_query);
        let chosen: Vec<&Demonstration> = numbers.into_iter().map(|number| &self.demonstrations[number]).collect();
        let (queries, query_of) = distinct(chosen.iter().map(|demonstration| &demonstration.query));
        Explored {
            queries,
            query_of,
            sources: vec![Source::Data; chosen.len()],
            log_q: vec![None; chosen.len()],
            log_reward: Table::from_rows(chosen.iter().map(|one| one.log_reward.clone()).collect()),
            trajectories: chosen.into_iter().map(|one| one.trajectory.clone()).collect(),
        }
    }

    /// The next queries, and how many trajectories each is to have. One that comes twice, because its text stands on several
    /// lines or a new pass begins, is one query with twice as many: its log Z is that of all of them.
    fn next_queries(&mut self) -> (Vec<Query>, Vec<usize>) {
        let numbers = self.state.order.next(self.method.queries_per_step);
        let (queries, query_of) = distinct(numbers.into_iter().map(|number| &self.task.train[number].query));
        let mut samples = vec![0; queries.len()];
        query_of.into_iter().for_each(|query| samples[query] += self.method.samples_per_query);
        (queries, samples)
    }

    /// Explores the next queries. Where that fails, they are still the next ones.
    fn explore_next(&mut self) -> Result<Explored> {
        let before = (self.state.order.clone(), self.state.explore_rng.clone());
        let (queries, samples) = self.next_queries();
        let explored = self.explore(queries, &samples);
        if explored.is_err() {
            (self.state.order, self.state.explore_rng) = before;
        }
        explored
    }

    fn explore(&mut self, queries: Vec<Query>, samples: &[usize]) -> Result<Explored> {
        let explorer = Explorer {
            policy: Policy::adapted(self.model, &self.state.adapter),
            actions: &self.task.actions,
            mix: self.method.mix,
            replay_sampling: self.method.replay_sampling,
            buffer: &mut self.state.buffer,
            prefixes: self.method.learning.prefixes(),
            target: &mut self.target,
            rng: &mut self.state.explore_rng,
        };
        let step = self.state.step + 1;
        explorer.explore(queries, samples).map_err(|error| error.or_diverged(step))
    }
}

/// Each query once, in the order in which they come first, and which of them each one given is.
fn distinct<'q>(given: impl Iterator<Item = &'q Query>) -> (Vec<Query>, Vec<usize>) {
    let (mut queries, mut query_of): (Vec<Query>, Vec<usize>) = (Vec::new(), Vec::new());
    for query in given {
        let known = queries.iter().position(|known| known.id == query.id);
        query_of.push(known.unwrap_or(queries.len()));
        queries.extend(known.is_none().then(|| query.clone()));
    }
    (queries, query_of)
}

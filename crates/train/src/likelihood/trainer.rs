//! The training step: batch -> likelihood -> gradients -> optimizer.
//!
//! Nothing here touches a file: see [`super::session`] for runs.

use amortize_engine::Precision;
use amortize_engine::ops::dropout::mix;
use amortize_gfn::{Generator, LearningRate};
use amortize_lm::decoder::{Activations, Gradients};
use amortize_lm::{LmError, Model};

use super::config::LikelihoodConfig;
use super::documents::Documents;
use super::metrics::StepRecord;
use super::trained::{Trained, tensors_mut};
use crate::error::Result;
use crate::optimizer::{Optimizer, clip, finite_norm};
use crate::order::QueryOrder;
use crate::settings;

/// How a run trains.
#[derive(Clone, Debug)]
pub struct Method {
    /// The learning rate by step.
    pub learning_rate: LearningRate,
    /// Limit of the gradient's norm.
    pub clip_norm: Option<f64>,
    /// Tokens that a batch is filled to.
    pub tokens_per_step: usize,
    /// Tokens a forward and backward pass, 0 for all.
    pub tokens_per_pass: usize,
    /// What a pass keeps for the backward pass.
    pub activations: Activations,
    /// How the weights are multiplied.
    pub precision: Precision,
    /// The run's seed.
    pub seed: u64,
}

impl Method {
    /// That of a config.
    pub fn new(config: &LikelihoodConfig) -> Self {
        let train = &config.train;
        Self {
            learning_rate: settings::learning_rate(&config.optimizer, train.steps),
            clip_norm: config.optimizer.clip_norm,
            tokens_per_step: train.tokens_per_step,
            tokens_per_pass: train.tokens_per_pass,
            activations: settings::activations(train.recompute),
            precision: settings::precision(config.model.precision),
            seed: train.seed,
        }
    }
}

/// Everything that changes while training, and that a checkpoint holds.
#[derive(Debug)]
pub struct State {
    /// Finished steps.
    pub step: u64,
    /// What is trained.
    pub trained: Trained,
    /// Its optimizer.
    pub optimizer: Optimizer,
    /// Which windows come next.
    pub order: QueryOrder,
    /// The lowest validation loss so far, in nats a token.
    pub best: Option<f64>,
}

impl State {
    /// The state before the first step.
    pub fn new(config: &LikelihoodConfig, model: &Model, trained: Trained, train: &Documents) -> Self {
        let optimizer = trained.optimizer(model, settings::adamw(&config.optimizer));
        let order = QueryOrder::new(train.len(), Generator::new(config.train.seed, "documents"));
        Self { step: 0, trained, optimizer, order, best: None }
    }
}

/// Trains a model, or an adapter of it, to predict texts.
#[derive(Debug)]
pub struct Trainer {
    /// The model.
    pub model: Model,
    /// Training texts.
    pub train: Documents,
    /// Held-out texts.
    pub validation: Documents,
    /// How.
    pub method: Method,
    /// What has been reached.
    pub state: State,
}

impl Trainer {
    /// One optimizer step. Returns its figures.
    ///
    /// # Errors
    /// If the model fails, or loss or gradient are not finite: then nothing was changed but the order of texts.
    pub fn step(&mut self) -> Result<StepRecord> {
        let batch = self.next_batch();
        self.step_on(&batch)
    }

    /// The same on a batch of windows of one's own choice.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn step_on(&mut self, batch: &[usize]) -> Result<StepRecord> {
        let step = self.state.step;
        let (loss, mut gradients) = self.gradients(batch).map_err(|error| error.or_diverged(step + 1))?;
        let gradients = tensors_mut(&mut gradients);
        let gradient_norm = finite_norm(step + 1, loss, gradients)?;
        if let Some(limit) = self.method.clip_norm {
            clip(gradients, gradient_norm, limit);
        }
        let learning_rate = self.method.learning_rate.at(step);
        let State { trained, optimizer, .. } = &mut self.state;
        trained.update(&mut self.model, optimizer, gradients, learning_rate, self.method.precision);
        self.state.step += 1;
        Ok(StepRecord {
            step: self.state.step,
            loss,
            gradient_norm,
            learning_rate,
            tokens: self.rows(batch),
            learnt_tokens: self.learnt(batch),
        })
    }

    /// Windows until no other fits; one is always taken.
    fn next_batch(&mut self) -> Vec<usize> {
        let (mut batch, mut rows) = (Vec::new(), 0);
        loop {
            rows += self.train.sequence(self.state.order.peek()).rows();
            if rows > self.method.tokens_per_step && !batch.is_empty() {
                return batch;
            }
            batch.extend(self.state.order.next(1));
        }
    }

    /// Mean negative log-likelihood of a batch's learnt tokens, in nats, and its gradient, whatever the size of passes.
    ///
    /// # Errors
    /// If the model cannot read a sequence.
    pub fn gradients(&self, batch: &[usize]) -> Result<(f64, Gradients)> {
        let (model, trained) = (&self.model, &self.state.trained);
        let policy = trained.policy(model).with_dropout(mix(self.method.seed ^ mix(self.state.step)));
        let policy = policy.with_activations(self.method.activations);
        let weight = 1.0 / self.learnt(batch) as f64;
        let (mut loss, mut gradients) = (0.0, trained.zero_gradients(model));
        for windows in self.passes(batch) {
            let (forest, questions) = self.train.pack(windows);
            let scored = policy.score_with_tape(&forest, &questions)?;
            if scored.log_probs.iter().any(|log_prob| log_prob.is_nan()) {
                return Err(LmError::NotFinite.into());
            }
            loss -= weight * scored.log_probs.iter().sum::<f64>();
            let coefficients = vec![-weight; questions.len()];
            policy.backward(&forest, &questions, &scored, &coefficients, &mut gradients);
        }
        Ok((loss, gradients))
    }

    /// A batch in parts of neighbouring windows.
    fn passes<'b>(&self, batch: &'b [usize]) -> Vec<&'b [usize]> {
        let most = if self.method.tokens_per_pass == 0 { usize::MAX } else { self.method.tokens_per_pass };
        let (mut parts, mut first, mut rows) = (Vec::new(), 0, 0);
        for (i, window) in batch.iter().enumerate() {
            let more = self.train.sequence(*window).rows();
            if rows + more > most && i > first {
                parts.push(&batch[first..i]);
                (first, rows) = (i, 0);
            }
            rows += more;
        }
        parts.push(&batch[first..]);
        parts
    }

    fn rows(&self, batch: &[usize]) -> usize {
        batch.iter().map(|window| self.train.sequence(*window).rows()).sum()
    }

    fn learnt(&self, batch: &[usize]) -> usize {
        batch.iter().map(|window| self.train.sequence(*window).learnt().len()).sum()
    }
}

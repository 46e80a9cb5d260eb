//! The records of a run, beside those that all runs have.

use serde::Serialize;

/// A line of `metrics.jsonl`: figures that a seed determines.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Record<'a> {
    /// A training step.
    Train(&'a StepRecord),
    /// An evaluation on the validation texts.
    Evaluate(&'a EvaluateRecord),
}

/// Figures of one training step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepRecord {
    /// The step, from 1.
    pub step: u64,
    /// Mean negative log-likelihood of the batch before the update, in nats a learnt token.
    pub loss: f64,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// The learning rate of the update.
    pub learning_rate: f64,
    /// Tokens that the model read.
    pub tokens: usize,
    /// Tokens that it learnt to predict.
    pub learnt_tokens: usize,
}

/// An evaluation on the validation texts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EvaluateRecord {
    /// Finished training steps.
    pub step: u64,
    /// Whether it is the best so far, by its loss.
    pub best: bool,
    /// Mean negative log-likelihood in nats a token, ends of texts included.
    pub loss: f64,
    /// The same in nats a byte of text.
    pub loss_per_byte: f64,
    /// Tokens that were predicted.
    pub n: usize,
}

/// A line of `samples.jsonl`: a draw from the model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SampleRecord {
    /// Finished training steps.
    pub step: u64,
    /// What it follows; empty where nothing.
    pub prompt: String,
    /// The text, without its end.
    pub text: String,
    /// Its log-probability in nats, its end included where it came to one.
    pub log_q: f64,
}

//! The records of `metrics.jsonl`, `timing.jsonl` and `samples.jsonl`.

use std::collections::BTreeMap;
use std::time::Duration;

use amortize_gfn::{Source, Summary};
use serde::Serialize;

use crate::exact::Distances;
use crate::memory::peak_rss_mib;

/// A line of `metrics.jsonl`: figures that a seed determines.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Record<'a> {
    /// A training step.
    Train(&'a StepRecord),
    /// An evaluation on the validation queries.
    Evaluate(&'a EvaluateRecord),
}

/// Figures of one training step.
#[derive(Clone, Debug, Serialize)]
pub struct StepRecord {
    /// The step, from 1.
    pub step: u64,
    /// The objective's value before the update.
    pub loss: f64,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// The learning rate of the update.
    pub learning_rate: f64,
    /// The reward temperature of the target.
    pub reward_temperature: f64,
    /// Mean flow of the root over queries where it was estimated or learned, in nats.
    pub log_z: Option<f64>,
    /// Figures of PPO.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ppo: Option<PpoRecord>,
    /// Figures per source of trajectories.
    pub sources: BTreeMap<Source, SourceRecord>,
    /// Diagnostics of the policy's own draws in this step's target; absent if it drew none.
    pub on_policy: Option<Summary>,
    /// Trajectories in the replay buffer, over all queries.
    pub buffer_items: usize,
    /// Tokens of all trajectories.
    pub tokens: usize,
}

/// Figures of one step of PPO.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PpoRecord {
    /// Mean return: tempered and floored log R less the penalty, in nats.
    pub mean_return: f64,
    /// Mean of log q - log p over the step's trajectories: an estimate of the KL from the base model, in nats.
    pub kl: f64,
    /// What it is multiplied by in the return.
    pub kl_coefficient: f64,
    /// Share of actions whose gradient was stopped by clipping.
    pub clipped_share: f64,
}

/// Figures of the trajectories of one source.
#[derive(Clone, Debug, Serialize)]
pub struct SourceRecord {
    /// How many.
    pub n: usize,
    /// Mean untempered log R of those that have a reward, in nats.
    pub mean_log_reward: Option<f64>,
    /// Share without a reward.
    pub zero_reward_share: f64,
    /// Mean number of tokens before the stop.
    pub mean_length: f64,
    /// Share that the longest length stopped.
    pub forced_stop_share: f64,
}

/// An evaluation on the validation queries.
#[derive(Clone, Debug, Serialize)]
pub struct EvaluateRecord {
    /// Finished training steps.
    pub step: u64,
    /// Whether it is the best so far, by the variance of log w within a query.
    pub best: bool,
    /// The figures, for the run's target (the end of the reward temperature's schedule).
    #[serde(flatten)]
    pub summary: Summary,
    /// What is known without draws, where all texts with a reward can be listed.
    #[serde(flatten)]
    pub exact: Option<Distances>,
}

/// A line of `timing.jsonl`: figures that differ from run to run.
#[derive(Clone, Debug, Serialize)]
pub struct TimingRecord {
    /// The step, from 1.
    pub step: u64,
    /// Seconds that the step took.
    pub seconds: f64,
    /// Sampled tokens per second; where likelihoods are trained, tokens that the model read.
    pub tokens_per_second: f64,
    /// The most memory that the process has taken so far, in MiB; `null` where the system does not tell.
    pub peak_rss_mb: Option<f64>,
}

impl TimingRecord {
    /// Of a step that took so long for so many tokens, now.
    pub fn new(step: u64, tokens: usize, took: Duration) -> Self {
        let seconds = took.as_secs_f64();
        let tokens_per_second = tokens as f64 / seconds;
        Self { step, seconds, tokens_per_second, peak_rss_mb: peak_rss_mib() }
    }
}

/// Of what a line of `samples.jsonl` is a draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SampleKind {
    /// The policy within a training step.
    Train,
    /// The base model, for a validation prompt, at the first evaluation.
    Before,
    /// The policy, for the same prompt with the same seed, at a later evaluation.
    After,
}

/// A line of `samples.jsonl`: a trajectory with its log-probabilities.
#[derive(Clone, Debug, Serialize)]
pub struct SampleRecord<'a> {
    /// Finished training steps; of a training step's own draws that step, from 1.
    pub step: u64,
    /// Of what it is a draw.
    pub kind: SampleKind,
    /// X.
    pub prompt: &'a str,
    /// Y; absent where the task has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suffix: Option<&'a str>,
    /// Z, its stop included.
    pub text: String,
    /// log p(Z stop | X) under the base model, untempered, in nats; absent of draws of a training step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_p: Option<f64>,
    /// log q under what it was drawn from, in nats.
    pub log_q: f64,
    /// Untempered log R in nats; `null` where the reward is zero.
    pub log_reward: f64,
    /// log w = log R / T - log q in nats, where T is the end of the reward temperature's schedule; absent of draws of a
    /// training step, `null` where the reward is zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_weight: Option<f64>,
}

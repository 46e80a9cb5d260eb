//! The records of `metrics.jsonl`, `timing.jsonl` and `samples.jsonl`.

use std::collections::BTreeMap;

use amortize_gfn::{Source, Summary};
use serde::Serialize;

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
    /// Figures per source of trajectories.
    pub sources: BTreeMap<Source, SourceRecord>,
    /// Diagnostics of the policy's own draws in this step's target; absent if it drew none.
    pub on_policy: Option<Summary>,
    /// Trajectories in the replay buffer, over all queries.
    pub buffer_items: usize,
    /// Tokens of all trajectories.
    pub tokens: usize,
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
}

/// A line of `timing.jsonl`: figures that differ from run to run.
#[derive(Clone, Debug, Serialize)]
pub struct TimingRecord {
    /// The step, from 1.
    pub step: u64,
    /// Seconds that the step took.
    pub seconds: f64,
    /// Sampled tokens per second.
    pub tokens_per_second: f64,
    /// The most memory that the process has taken so far, in MiB; `null` where the system does not tell.
    pub peak_rss_mb: Option<f64>,
}

/// A line of `samples.jsonl`: a trajectory of the policy itself.
#[derive(Clone, Debug, Serialize)]
pub struct SampleRecord<'a> {
    /// The step, from 1.
    pub step: u64,
    /// X.
    pub prompt: &'a str,
    /// Y; absent where the task has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suffix: Option<&'a str>,
    /// Z, its stop included.
    pub text: String,
    /// log q in nats.
    pub log_q: f64,
    /// Untempered log R in nats; `null` where the reward is zero.
    pub log_reward: f64,
}

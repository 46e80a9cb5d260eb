//! The resolved config: plain data, every value checked and in its place.
//!
//! docs/configuration.md says for each key what the paper used. `resolve.rs` holds defaults and ranges.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Decay, Normaliser, ReplaySampling, RootFlow, Term};

/// What a run does, and how. Made by [`Config::load`] or [`Config::from_toml`], which check every value;
/// the derived `Deserialize` checks types only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// What X, Y and Z are to each other.
    pub task: TaskSection,
    /// The base model: the teacher p, and the policy's starting point.
    pub model: ModelSection,
    /// The prompts.
    pub data: DataSection,
    /// The policy's LoRA adapter.
    pub adapter: AdapterSection,
    /// Which sequences the policy can sample.
    pub policy: PolicySection,
    /// The target distribution.
    pub reward: RewardSection,
    /// The loss.
    pub objective: ObjectiveSection,
    /// What `train.method = "ppo"` does instead.
    pub ppo: PpoSection,
    /// Where training trajectories come from.
    pub explore: ExploreSection,
    /// The replay buffer.
    pub buffer: BufferSection,
    /// AdamW and its learning rate.
    pub optimizer: OptimizerSection,
    /// The loop.
    pub train: TrainSection,
    /// Evaluation on held-out prompts while training.
    pub evaluate: EvaluateSection,
}

/// What X, Y and Z are to each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskSection {
    /// Which task.
    pub kind: TaskKind,
    /// Other tasks than continuation: what the policy reads, with X for `{x}`, Y for `{y}` and other fields of the data.
    pub template: String,
    /// Other tasks than continuation: the text between the stop and Y, for the reward.
    pub separator: String,
}

impl TaskSection {
    /// A task with the default template and separator.
    pub fn new(kind: TaskKind) -> Self {
        let template = match kind {
            // Continuation has no use for it; configs of its runs have always said this.
            TaskKind::Continuation | TaskKind::Infilling => "Beginning: {x}\nEnd: {y}\nMiddle:",
            TaskKind::Custom => "{x}",
        };
        Self { kind, template: template.into(), separator: " ".into() }
    }
}

/// The tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// Section 4.1: the next sentence after a prompt, from the tempered p(Z | X).
    Continuation,
    /// Section 4.2: the sentence between two texts, from the tempered p(Z | X, Y).
    Infilling,
    /// Whatever data, template and the terms of the reward make of it.
    Custom,
}

/// The base model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSection {
    /// A directory with a Hugging Face model and its tokenizer.
    pub path: PathBuf,
    /// A PEFT adapter for the policy to start from; a fresh one if there is none.
    pub adapter: Option<PathBuf>,
    /// How the frozen weights are stored.
    pub precision: Precision,
}

/// How frozen weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32 bits.
    F32,
    /// 16 bits, with f32's exponent.
    Bf16,
    /// 8 bits, with scales.
    Int8,
}

/// The prompts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSection {
    /// The file of prompts: a line of text each, or JSON lines with `x`, `y`, `z` and other fields.
    pub path: PathBuf,
    /// Only the first so many prompts of `path` are used, the held-out ones among them.
    pub limit: Option<usize>,
    /// A file of validation prompts.
    pub validation_path: Option<PathBuf>,
    /// How many prompts at the end of `path` are held out when there is no `validation_path`.
    pub validation: usize,
}

/// LoRA, in PEFT's terms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdapterSection {
    /// The rank r of the update.
    pub rank: usize,
    /// The update is scaled by alpha / r, or alpha / sqrt(r) when rank-stabilised.
    pub alpha: f64,
    /// The probability with which an input channel of the adapter is dropped while training.
    pub dropout: f64,
    /// Which linear modules are adapted.
    pub target_modules: TargetModules,
    /// Whether the scale is alpha / sqrt(r).
    pub rank_stabilised: bool,
}

/// Which linear modules are adapted, as PEFT's `target_modules`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TargetModules {
    /// Modules whose name is, or ends in a dot and, one of these.
    Names(Vec<String>),
    /// `"all-linear"`, or a regex for the whole of a module's name.
    Pattern(String),
}

/// Which sequences the policy can sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySection {
    /// The fewest tokens before the stop.
    pub min_length: usize,
    /// The most tokens before the stop, which is then forced.
    pub max_length: usize,
    /// A token ends a sequence if the text then ends in one of these. Empty where `stop_tokens` are given.
    pub stop_strings: Vec<String>,
    /// Token ids that end a sequence. Empty where `stop_strings` are given.
    pub stop_tokens: Vec<u32>,
    /// A regex that a token's text must match to be sampled.
    pub allow: Option<String>,
    /// A regex that a token's text must not match to be sampled.
    pub forbid: Option<String>,
    /// Whether the tokenizer's special tokens (BOS, EOS and so on) may be sampled.
    pub special_tokens: bool,
}

/// The target distribution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewardSection {
    /// The reward temperature at step 0.
    pub temperature_start: f64,
    /// The reward temperature from step `temperature_horizon` on: that of the run's target.
    pub temperature_end: f64,
    /// The steps over which the reward temperature goes from start to end, in a straight line.
    pub temperature_horizon: usize,
    /// In nats, outside tempering: the training target for log R where the reward is zero.
    pub floor: f64,
    /// What the policy's `allow` and `forbid` do to the reward.
    pub mask: RewardMask,
    /// What the reward is the product of; none for the task's own reward.
    pub terms: Vec<Term>,
}

impl Default for RewardSection {
    fn default() -> Self {
        Self {
            temperature_start: 1.0,
            temperature_end: 0.8,
            temperature_horizon: 750,
            floor: -100.0,
            mask: RewardMask::Zero,
            terms: Vec::new(),
        }
    }
}

/// What the policy's `allow` and `forbid` do to the reward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RewardMask {
    /// The model's own log p, and a reward of zero where a token is disallowed: the posterior given
    /// that every token is allowed.
    Zero,
    /// The model's log p, renormalised at each position over the allowed tokens, as in the public code:
    /// another distribution.
    Renormalise,
}

/// The loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectiveSection {
    /// Which objective.
    pub name: ObjectiveName,
    /// SubTB's weight of a sub-trajectory is lambda^(length - 1).
    pub lambda: f64,
    /// What the sum of squares is divided by.
    pub normaliser: Normaliser,
    /// The root's flow log Z(x), where the policy can't stop at once.
    pub root_flow: RootFlow,
    /// The learning rate of a learned log Z.
    pub log_z_learning_rate: f64,
}

/// The objectives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectiveName {
    /// Sub-trajectory balance, the paper's equation 3.
    Subtb,
    /// Detailed balance.
    Db,
    /// Trajectory balance.
    Tb,
    /// The variance, per query, of log R - log q.
    Vargrad,
}

/// Proximal policy optimisation, with the mean return of a query's other trajectories as baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PpoSection {
    /// How far an action's probability may go from what it was, as a ratio to it, before its gradient is stopped.
    pub clip: f64,
    /// Passes over a step's trajectories.
    pub epochs: usize,
    /// Updates a pass.
    pub minibatches: usize,
    /// The weight of the KL from the base model in the return, at the first step.
    pub kl_coefficient: f64,
    /// The KL that the weight is adapted to, in nats a trajectory; it stays as it is if there is none.
    pub kl_target: Option<f64>,
    /// Trajectories over which the weight may grow by a fifth.
    pub kl_horizon: f64,
}

/// How the policy is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MethodName {
    /// The paper's: it samples in proportion to the reward.
    Gflownet,
    /// Reward maximisation by proximal policy optimisation.
    Ppo,
    /// Supervised fine-tuning on the `z` of the data.
    Sft,
    /// The base model as the prompt makes it: nothing is trained.
    Prompt,
}

/// Where training trajectories come from: three probabilities that sum to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExploreSection {
    /// From the policy as it is.
    pub on_policy: f64,
    /// From the policy at a temperature drawn uniformly from the range below.
    pub tempered: f64,
    /// From the replay buffer.
    pub replay: f64,
    /// The lowest policy temperature.
    pub temperature_min: f64,
    /// The highest policy temperature.
    pub temperature_max: f64,
}

/// The replay buffer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BufferSection {
    /// The most trajectories kept per query, the best ones.
    pub capacity: usize,
    /// Two trajectories are one if their edit distance is under this times the sum of their lengths.
    pub similarity_tolerance: f64,
    /// How a trajectory is drawn.
    pub sampling: ReplaySampling,
    /// Whether it begins with the `z` of the training data.
    pub seed_from_data: bool,
}

/// AdamW and its learning rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerSection {
    /// The learning rate after the warm-up.
    pub learning_rate: f64,
    /// The steps over which the learning rate rises from 0, in a straight line.
    pub warmup_steps: usize,
    /// What the learning rate does after the warm-up.
    pub decay: Decay,
    /// Adam's decay of the mean gradient.
    pub beta1: f64,
    /// Adam's decay of the mean squared gradient.
    pub beta2: f64,
    /// Adam's epsilon.
    pub epsilon: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// The gradient's norm is cut down to this; not at all if there is none.
    pub clip_norm: Option<f64>,
}

/// The loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSection {
    /// How the policy is made.
    pub method: MethodName,
    /// Steps: of PPO several updates each, of other methods one. 0 where nothing is trained.
    pub steps: usize,
    /// The seed of every random draw of the training.
    pub seed: u64,
    /// Queries in a step's batch.
    pub queries_per_step: usize,
    /// Trajectories per query in a step's batch.
    pub samples_per_query: usize,
    /// Trajectories per forward and backward pass, 0 for all at once; the gradients equal the whole batch's.
    pub micro_batch: usize,
    /// Whether the backward pass computes activations again instead of keeping them; the gradients are the same.
    pub recompute: bool,
    /// Steps between checkpoints.
    pub checkpoint_every: usize,
    /// Steps between writes of `samples.jsonl`.
    pub samples_every: usize,
    /// Threads, 0 for one per core.
    pub threads: usize,
}

impl TrainSection {
    /// The same with the resources of `other`, and its checkpoints: what changes no figure of a run.
    pub fn with_resources_of(self, other: &Self) -> Self {
        let Self { recompute, checkpoint_every, threads, .. } = *other;
        Self { recompute, checkpoint_every, threads, ..self }
    }
}

/// Evaluation on held-out prompts while training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluateSection {
    /// Steps between evaluations, 0 for none.
    pub every: usize,
    /// Sequences drawn from the policy per prompt.
    pub samples_per_query: usize,
    /// The seed of the draws, the same at every evaluation.
    pub seed: u64,
}

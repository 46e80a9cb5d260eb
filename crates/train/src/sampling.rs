//! Samples with their log-probabilities, rewards and importance weights.

use amortize_engine::ops::dropout::mix;
use amortize_gfn::{Query, StopReason, Trajectory};
use amortize_lm::actions::ActionSpace;
use amortize_lm::{Draw, Model, Policy, generate};
use serde::Serialize;

use crate::error::Result;
use crate::explore::trajectory;
use crate::reward::Target;
use crate::task::Prompt;

/// How many sequences are drawn, and from what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleOptions {
    /// Sequences per prompt.
    pub n: usize,
    /// Decides all draws.
    pub seed: u64,
    /// Number of the first prompt in the whole job: cutting a job in parts changes no draw.
    pub first: usize,
    /// Temperature of the token distributions; 1 is the policy itself.
    pub policy_temperature: f64,
    /// The reward temperature of the target.
    pub reward_temperature: f64,
}

/// Sequences drawn for some prompts, `n` neighbours each.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// One per prompt.
    pub queries: Vec<Query>,
    /// Which of them each row belongs to.  `[rows]`
    pub query_of: Vec<usize>,
    /// `[rows]`
    pub trajectories: Vec<Trajectory>,
    /// log q under the distribution really sampled, in nats.  `[rows]`
    pub log_q: Vec<f64>,
    /// log R of the tempered target, in nats; minus infinity for zero.  `[rows]`
    pub log_reward: Vec<f64>,
}

impl Drawn {
    /// Rows of a query.
    pub fn rows_of(&self, query: usize) -> impl Iterator<Item = usize> {
        (0..self.query_of.len()).filter(move |row| self.query_of[*row] == query)
    }
}

/// Draws sequences and gives their tempered rewards.
///
/// # Errors
/// If the model cannot read a prompt, or the reward fails.
pub fn draw(
    policy: Policy,
    target: &mut Target,
    prompts: &[Prompt],
    actions: &ActionSpace,
    options: &SampleOptions,
) -> Result<Drawn> {
    let queries: Vec<Query> = prompts.iter().map(|prompt| prompt.query.clone()).collect();
    let tokens: Vec<Vec<u32>> = queries.iter().map(|query| query.prompt.clone()).collect();
    let draws: Vec<Draw> = (0..prompts.len())
        .flat_map(|prompt| (0..options.n).map(move |i| (prompt, i)))
        .map(|(prompt, i)| Draw {
            prompt,
            policy_temperature: options.policy_temperature,
            seed: mix(options.seed ^ mix((options.first + prompt) as u64 ^ mix(i as u64))),
        })
        .collect();
    let (mut trajectories, mut log_q) = (Vec::new(), Vec::new());
    for generated in generate(policy, &tokens, &draws, actions)? {
        log_q.push(generated.log_q);
        trajectories.push(trajectory(generated));
    }
    let query_of: Vec<usize> = draws.iter().map(|draw| draw.prompt).collect();
    let table = target.log_reward(&queries, &query_of, &trajectories)?;
    let last = |row: &[f64]| row.last().copied().unwrap_or(f64::NEG_INFINITY) / options.reward_temperature;
    let log_reward = table.iter().map(last).collect();
    Ok(Drawn { queries, query_of, trajectories, log_q, log_reward })
}

/// A sample as `amortize sample` prints it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// Z, its stop included.
    pub text: String,
    /// Its token ids, the stop included.
    pub tokens: Vec<u32>,
    /// log q under the distribution really sampled, in nats.
    pub log_q: f64,
    /// log R of the tempered target, in nats; `null` where the reward is zero.
    pub log_reward: Option<f64>,
    /// `log_reward - log_q`; `null` where the reward is zero.
    pub log_weight: Option<f64>,
}

/// Draws samples for every prompt, `options.n` each.
///
/// # Errors
/// As [`draw`].
pub fn sample(
    policy: Policy,
    target: &mut Target,
    prompts: &[Prompt],
    actions: &ActionSpace,
    options: &SampleOptions,
) -> Result<Vec<Vec<Sample>>> {
    let drawn = draw(policy, target, prompts, actions, options)?;
    let sample = |row: usize| {
        let (text, tokens) = text_of(policy.model, &drawn.trajectories[row], actions);
        let (log_q, log_reward) = (drawn.log_q[row], drawn.log_reward[row]);
        let log_reward = log_reward.is_finite().then_some(log_reward);
        Sample { text, tokens, log_q, log_reward, log_weight: log_reward.map(|log_reward| log_reward - log_q) }
    };
    Ok((0..prompts.len()).map(|prompt| drawn.rows_of(prompt).map(sample).collect()).collect())
}

/// Text and tokens with the stop. Where the longest length forced it, it is written as the shortest stop token, as the
/// paper forces a full stop (appendix B).
pub(crate) fn text_of(model: &Model, trajectory: &Trajectory, actions: &ActionSpace) -> (String, Vec<u32>) {
    let mut tokens = trajectory.z.clone();
    match trajectory.stop {
        StopReason::Stop { token } => tokens.push(token),
        StopReason::MaxLength => {
            let stops = actions.at(&trajectory.z).stop;
            tokens.extend(stops.iter().min_by_key(|stop| model.tokenizer.token_text(**stop).len()));
        }
    }
    (model.tokenizer.decode(&tokens), tokens)
}

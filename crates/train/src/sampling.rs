//! Samples with their log-probabilities, rewards and importance weights.

use amortize_engine::ops::dropout::mix;
use amortize_gfn::{Query, StopReason, Trajectory};
use amortize_lm::actions::ActionSpace;
use amortize_lm::{Draw, Model, Policy, generate};
use serde::Serialize;

use crate::decoding::{Decoded, Decoding, decode};
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
    let draws = draws(prompts.len(), options);
    let (mut trajectories, mut log_q) = (Vec::new(), Vec::new());
    for generated in generate(policy, &tokens, &draws, actions)? {
        log_q.push(generated.log_q);
        trajectories.push(trajectory(generated));
    }
    let query_of: Vec<usize> = draws.iter().map(|draw| draw.prompt).collect();
    let log_reward = tempered(target, &queries, &query_of, &trajectories, options)?;
    Ok(Drawn { queries, query_of, trajectories, log_q, log_reward })
}

/// The draws of every prompt, each with a seed of its own.
pub(crate) fn draws(prompts: usize, options: &SampleOptions) -> Vec<Draw> {
    (0..prompts)
        .flat_map(|prompt| (0..options.n).map(move |i| (prompt, i)))
        .map(|(prompt, i)| Draw {
            prompt,
            policy_temperature: options.policy_temperature,
            seed: mix(options.seed ^ mix((options.first + prompt) as u64 ^ mix(i as u64))),
        })
        .collect()
}

/// log R of the tempered target for every trajectory, in nats.
fn tempered(
    target: &mut Target,
    queries: &[Query],
    query_of: &[usize],
    trajectories: &[Trajectory],
    options: &SampleOptions,
) -> Result<Vec<f64>> {
    let untempered = target.final_log_reward(queries, query_of, trajectories)?;
    Ok(untempered.into_iter().map(|log_reward| log_reward / options.reward_temperature).collect())
}

/// A sample as `amortize sample` prints it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// Z, its stop included.
    pub text: String,
    /// Its token ids, the stop included.
    pub tokens: Vec<u32>,
    /// log q under the distribution really sampled, in nats; `null` where nothing was drawn, as in beam search.
    pub log_q: Option<f64>,
    /// log R of the tempered target, in nats; `null` where the reward is zero.
    pub log_reward: Option<f64>,
    /// `log_reward - log_q`; `null` where the reward is zero, and where what was drawn from leaves out sequences that
    /// the target has.
    pub log_weight: Option<f64>,
}

/// Samples for every prompt, `options.n` each where the decoding finds so many.
///
/// # Errors
/// As [`draw`], or if the options of a beam search do not fit.
pub fn sample(
    policy: Policy,
    target: &mut Target,
    prompts: &[Prompt],
    actions: &ActionSpace,
    options: &SampleOptions,
    decoding: &Decoding,
) -> Result<Vec<Vec<Sample>>> {
    let queries: Vec<Query> = prompts.iter().map(|prompt| prompt.query.clone()).collect();
    let Decoded { query_of, trajectories, log_q } = decode(policy, &queries, actions, options, decoding)?;
    let log_reward = tempered(target, &queries, &query_of, &trajectories, options)?;
    let is_proposal = *decoding == Decoding::OWN;
    let sample = |row: usize| {
        let (text, tokens) = text_of(policy.model, &trajectories[row], actions);
        let log_reward = Some(log_reward[row]).filter(|log_reward| log_reward.is_finite());
        let weight = |(log_reward, log_q)| log_reward - log_q;
        let log_weight = log_reward.zip(log_q[row]).map(weight).filter(|_| is_proposal);
        Sample { text, tokens, log_q: log_q[row], log_reward, log_weight }
    };
    let of = |prompt: usize| (0..query_of.len()).filter(|row| query_of[*row] == prompt).map(sample).collect();
    Ok((0..prompts.len()).map(of).collect())
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

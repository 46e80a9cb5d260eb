//! Latents that come with the data: for the replay buffer to begin with (paper, section 3.3), or to be imitated by
//! supervised fine-tuning.

use amortize_gfn::{Inserted, Item, Prefixes, Query, ReplayBuffer, StopReason, Trajectory};
use amortize_lm::ModelInfo;

use crate::config::{Config, MethodName};
use crate::data::{Needs, Text};
use crate::error::{Result, TrainError};
use crate::reward::Target;
use crate::task::{Task, needs, split};

/// Seeds whose rewards are computed at once.
const AT_ONCE: usize = 256;

/// A Z of the data.
#[derive(Clone, Debug, PartialEq)]
pub struct Seed {
    /// What it belongs to.
    pub query: Query,
    /// Z as tokens.
    pub trajectory: Trajectory,
}

/// A Z of the data to be imitated.
#[derive(Clone, Debug, PartialEq)]
pub struct Demonstration {
    /// What it belongs to.
    pub query: Query,
    /// Z as tokens.
    pub trajectory: Trajectory,
    /// Untempered log R of every prefix, in nats: for a run's figures, not for its training.  `[len+1]`
    pub log_reward: Vec<f64>,
}

/// What became of the seeds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seeded {
    /// All of them.
    pub seeds: usize,
    /// Those in the buffer.
    pub kept: usize,
    /// Those without a reward.
    pub zero_reward: usize,
}

/// The latents of a run's training data.
///
/// # Errors
/// If the data cannot be read, or the policy could not draw a seed: one with a masked token, a length out of bounds, or a
/// stop before its end. The message names its line.
pub fn read(config: &Config, model: &ModelInfo, task: &Task) -> Result<Vec<Seed>> {
    let needs = Needs { z: true, ..needs(&config.task, &config.reward) };
    let (train, _) = split(&config.data, &needs)?;
    let mut seeds = Vec::new();
    for (text, prompt) in train.iter().zip(&task.train) {
        for z in &text.z {
            let trajectory = trajectory(config, model, task, z).map_err(|problem| bad(config, text, z, &problem))?;
            seeds.push(Seed { query: prompt.query.clone(), trajectory });
        }
    }
    if seeds.is_empty() {
        let imitates = config.train.method == MethodName::Sft;
        let key = if imitates { "train.method = \"sft\"" } else { "buffer.seed_from_data = true" };
        let problem = format!("has no \"z\" on any line to train on, though {key} needs some");
        return Err(TrainError::Data { path: config.data.path.clone(), line: None, problem });
    }
    Ok(seeds)
}

fn bad(config: &Config, text: &Text, z: &str, problem: &str) -> TrainError {
    let problem = format!("\"z\" = {z:?} cannot be drawn by the policy: {problem}");
    TrainError::Data { path: config.data.path.clone(), line: text.line, problem }
}

/// Z as the policy would draw it: it begins with a space unless it is written with other white space there, and may be
/// written with or without its stop.
fn trajectory(config: &Config, model: &ModelInfo, task: &Task, z: &str) -> std::result::Result<Trajectory, String> {
    let stops = config.policy.stop_strings.iter().filter_map(|stop| z.strip_suffix(stop.as_str()));
    let body = stops.min_by_key(|rest| rest.len()).unwrap_or(z);
    let space = if body.is_empty() || body.starts_with(char::is_whitespace) { "" } else { " " };
    let tokens = model.tokenizer.encode_completion(&format!("{space}{body}")).map_err(|error| error.to_string())?;
    let z = match tokens.split_last() {
        Some((last, rest)) if config.policy.stop_tokens.contains(last) => rest.to_vec(),
        _ => tokens,
    };
    task.actions.check(&z, None)?;
    let step = task.actions.at(&z);
    let shortest = step.stop.iter().min_by_key(|stop| model.tokenizer.token_text(**stop).len());
    let stop = match shortest {
        Some(token) if !step.forced => StopReason::Stop { token: *token },
        _ => StopReason::MaxLength,
    };
    Ok(Trajectory { z, stop })
}

/// Scores the seeds and puts them in the buffer.
///
/// # Errors
/// If the reward fails.
pub fn insert(seeds: &[Seed], prefixes: Prefixes, target: &mut Target, buffer: &mut ReplayBuffer) -> Result<Seeded> {
    let mut seeded = Seeded { seeds: seeds.len(), ..Seeded::default() };
    for Demonstration { query, trajectory, log_reward } in demonstrations(seeds, prefixes, target)? {
        let item = Item::new(trajectory, log_reward).map_err(|error| TrainError::Reward(error.to_string()))?;
        seeded.zero_reward += usize::from(buffer.insert(query.id, item) == Inserted::ZeroReward);
    }
    seeded.kept = buffer.iter().count();
    Ok(seeded)
}

/// The seeds with their rewards.
///
/// # Errors
/// If the reward fails.
pub fn demonstrations(seeds: &[Seed], prefixes: Prefixes, target: &mut Target) -> Result<Vec<Demonstration>> {
    let mut scored = Vec::with_capacity(seeds.len());
    for part in seeds.chunks(AT_ONCE) {
        let queries: Vec<Query> = part.iter().map(|seed| seed.query.clone()).collect();
        let trajectories: Vec<Trajectory> = part.iter().map(|seed| seed.trajectory.clone()).collect();
        let numbers: Vec<usize> = (0..part.len()).collect();
        let rewards = target.log_reward_of(prefixes, &queries, &numbers, &trajectories)?;
        let of = |(seed, log_reward): (&Seed, Vec<f64>)| {
            let Seed { query, trajectory } = seed.clone();
            Demonstration { query, trajectory, log_reward }
        };
        scored.extend(part.iter().zip(rewards.into_rows()).map(of));
    }
    Ok(scored)
}

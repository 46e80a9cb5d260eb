//! Rewards that a language model gives, and the reward of a run.

mod likelihood;

use amortize_gfn::{Query, Reward, Table, Trajectory};
use amortize_lm::Policy;
use amortize_lm::actions::ActionSpace;

use crate::config::{RewardMask, TaskKind};
use crate::error::{Result, TrainError};
pub use likelihood::LikelihoodReward;

/// The reward of a run.
pub struct Target<'a> {
    reward: Box<dyn Reward<Error = TrainError> + 'a>,
    /// Whether log R is the base model's own log p(Z stop | X), so that it need not be computed twice.
    pub is_base_log_prob: bool,
}

impl<'a> Target<'a> {
    /// A reward of any kind.
    pub fn new(reward: impl Reward<Error = TrainError> + 'a) -> Self {
        Self { reward: Box::new(reward), is_base_log_prob: false }
    }

    /// The reward of a task.
    pub fn of(kind: TaskKind, base: Policy<'a>, actions: &'a ActionSpace, mask: RewardMask) -> Self {
        match kind {
            TaskKind::Continuation => Self::continuation(base, actions, mask),
            TaskKind::Infilling => Self::infilling(base, actions, mask),
        }
    }

    /// The base model's probability of the continuation.
    pub fn continuation(base: Policy<'a>, actions: &'a ActionSpace, mask: RewardMask) -> Self {
        let reward = LikelihoodReward::continuation(base, actions, mask);
        Self { reward: Box::new(reward), is_base_log_prob: mask == RewardMask::Zero }
    }

    /// The base model's probability of the text between X and Y, and of Y after it.
    pub fn infilling(base: Policy<'a>, actions: &'a ActionSpace, mask: RewardMask) -> Self {
        Self::new(LikelihoodReward::infilling(base, actions, mask))
    }

    /// Untempered log R of every prefix, in nats.  `[n, len+1]`
    ///
    /// # Errors
    /// If the reward fails, or is not a number below infinity where the policy may stop.
    pub fn log_reward(&mut self, queries: &[Query], query_of: &[usize], trajectories: &[Trajectory]) -> Result<Table> {
        let table = self.reward.log_reward(queries, query_of, trajectories)?;
        let fits = table.rows() == trajectories.len()
            && table.iter().zip(trajectories).all(|(row, trajectory)| row.len() == trajectory.len() + 1);
        if !fits {
            let problem =
                "gave a table that is not [n, len+1]: one value per prefix of every trajectory, the empty one included";
            return Err(TrainError::Reward(problem.into()));
        }
        if let Some(bad) = table.iter().flatten().find(|value| value.is_nan() || **value == f64::INFINITY) {
            return Err(TrainError::Reward(format!("gave a log reward of {bad}")));
        }
        Ok(table)
    }
}

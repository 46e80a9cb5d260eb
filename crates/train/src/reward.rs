//! Rewards that a language model gives.

use amortize_gfn::diagnostics::log_sum_exp;
use amortize_gfn::{Query, Reward, Table, Trajectory};
use amortize_lm::actions::{ActionSpace, TokenMask};
use amortize_lm::{Policy, Questions};

use crate::config::RewardMask;
use crate::error::{Result, TrainError};
use crate::tables::PackedTrajectories;

/// The untempered reward of continuation, R(Z) = p_LM(Z stop | X) (paper equation 5): the stop belongs to the text.
///
/// With several stop tokens their probabilities add up. A token that the action space does not allow makes the
/// reward zero.
#[derive(Clone, Debug)]
pub struct ContinuationReward<'a> {
    base: Policy<'a>,
    actions: &'a ActionSpace,
    /// All tokens that some step allows.
    allowed: TokenMask,
    mask: RewardMask,
}

impl<'a> ContinuationReward<'a> {
    /// The reward under `base`, usually the frozen model itself.
    pub fn new(base: Policy<'a>, actions: &'a ActionSpace, mask: RewardMask) -> Self {
        let allowed = TokenMask::from_fn(base.model.config.vocab_size, |token| {
            actions.masks().iter().any(|mask| mask.allowed(token))
        });
        Self { base, actions, allowed, mask }
    }

    /// Answers about z_1 .. z_len, then about the stops after every prefix where one may stop.
    fn row(
        &self,
        answers: &[f64],
        trajectory: &Trajectory,
        stops: &[std::ops::Range<usize>],
        first: usize,
    ) -> Vec<f64> {
        let mut log_p = 0.0;
        let mut row = Vec::with_capacity(stops.len());
        for (k, stop) in stops.iter().enumerate() {
            row.push(log_p + log_sum_exp(&answers[stop.clone()]));
            if let Some(token) = trajectory.z.get(k) {
                log_p += if self.allowed.allowed(*token) { answers[first + k] } else { f64::NEG_INFINITY };
            }
        }
        row
    }
}

impl Reward for ContinuationReward<'_> {
    type Error = TrainError;

    fn log_reward(&mut self, queries: &[Query], query_of: &[usize], trajectories: &[Trajectory]) -> Result<Table> {
        if trajectories.is_empty() {
            return Ok(Table::from_rows(Vec::new()));
        }
        let packed = PackedTrajectories::new(queries, query_of, trajectories);
        let mut questions = Questions::new();
        let mask = match self.mask {
            RewardMask::Zero => None,
            RewardMask::Renormalise => Some(questions.add_mask(self.allowed.clone())),
        };
        let mut asked = Vec::with_capacity(trajectories.len());
        for (i, Trajectory { z, .. }) in trajectories.iter().enumerate() {
            let first = questions.len();
            for (k, token) in z.iter().enumerate() {
                questions.ask(packed.row(i, k), *token, mask);
            }
            let mut stops = Vec::with_capacity(z.len() + 1);
            for k in 0..=z.len() {
                let begin = questions.len();
                for stop in self.actions.at(&z[..k]).stop.iter() {
                    questions.ask(packed.row(i, k), *stop, mask);
                }
                stops.push(begin..questions.len());
            }
            asked.push((first, stops));
        }
        let answers = self.base.score(&packed.forest, &questions)?;
        let rows = trajectories
            .iter()
            .zip(&asked)
            .map(|(trajectory, (first, stops))| self.row(&answers, trajectory, stops, *first));
        Ok(Table::from_rows(rows.collect()))
    }
}

/// The reward of a run.
pub struct Target<'a> {
    reward: Box<dyn Reward<Error = TrainError> + 'a>,
    /// Whether log R is the base model's own log p of the sequence, so that it need not be computed twice.
    pub is_base_log_prob: bool,
}

impl<'a> Target<'a> {
    /// A reward of any kind.
    pub fn new(reward: impl Reward<Error = TrainError> + 'a) -> Self {
        Self { reward: Box::new(reward), is_base_log_prob: false }
    }

    /// The base model's probability of the continuation.
    pub fn continuation(base: Policy<'a>, actions: &'a ActionSpace, mask: RewardMask) -> Self {
        let reward = ContinuationReward::new(base, actions, mask);
        Self { reward: Box::new(reward), is_base_log_prob: mask == RewardMask::Zero }
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

//! Rewards, and the tempered target of training.

use crate::{Query, Table, Trajectory};

/// An unnormalised log density over complete trajectories, known for all of their prefixes.
pub trait Reward {
    /// What may go wrong while computing rewards.
    type Error;

    /// log R(z_1:k stop) of every prefix of every trajectory, were it stopped there: `[n, len+1]`,
    /// in nats, untempered, -inf for zero reward. Row `i` is for `trajectories[i]`, sampled for
    /// `queries[query_of[i]]`. Entries at prefixes where the policy may not stop are never used.
    fn log_reward(
        &mut self,
        queries: &[Query],
        query_of: &[usize],
        trajectories: &[Trajectory],
    ) -> Result<Table, Self::Error>;

    /// log R of the trajectories themselves, the last entries of [`Reward::log_reward`]: `[n]`. Worth a way of its own where
    /// prefixes cost something.
    fn final_log_reward(
        &mut self,
        queries: &[Query],
        query_of: &[usize],
        trajectories: &[Trajectory],
    ) -> Result<Vec<f64>, Self::Error> {
        let table = self.log_reward(queries, query_of, trajectories)?;
        Ok(table.iter().map(|row| row.last().copied().unwrap_or(f64::NEG_INFINITY)).collect())
    }
}

/// Whose rewards an objective reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefixes {
    /// Those of all prefixes of a trajectory.
    All,
    /// That of the trajectory alone.
    Whole,
}

/// The target of training, R^(1/T): log R / T, with zero rewards (-inf) replaced by `floor`.
///
/// The floor stands outside the tempering, so it means the same throughout a temperature schedule.
/// A prefix with zero reward where stopping is allowed thus stays an endpoint and teaches the policy
/// not to stop there. Only zero rewards are replaced, a positive one is never raised to the floor:
/// choose it below every tempered positive log reward, or zero would be preferred to little.
///
/// `log_reward` is `[n, len+1]`, untempered, in nats; so is the result, tempered. A NaN stays NaN.
///
/// # Panics
/// If `reward_temperature` is not positive or `floor` is not finite.
pub fn target(log_reward: &Table, reward_temperature: f64, floor: f64) -> Table {
    assert!(reward_temperature > 0.0, "reward_temperature must be positive, not {reward_temperature}");
    assert!(floor.is_finite(), "the floor must be finite, not {floor}");
    // The division comes first: a finite reward may be out of reach of any number after it.
    log_reward.map(|&value| match value / reward_temperature {
        f64::NEG_INFINITY => floor,
        tempered => tempered,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_not_tempered_and_replaces_zero_rewards_only() {
        let log_reward = Table::from_rows(vec![vec![-3.0, f64::NEG_INFINITY], vec![-200.0], vec![f64::MIN]]);
        let tempered = target(&log_reward, 0.5, -99.0);
        assert_eq!(tempered, Table::from_rows(vec![vec![-6.0, -99.0], vec![-400.0], vec![-99.0]]));
    }
}

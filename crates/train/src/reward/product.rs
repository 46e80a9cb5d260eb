//! Rewards that multiply.

use amortize_gfn::{Query, Reward, Table, Trajectory};

use super::BoxedReward;
use crate::error::{Result, TrainError};

/// The product of rewards, each raised to a power: log R = Σ exponent · log R_i. Where a factor is zero so is the product,
/// whatever the exponents.
pub struct Product<'a> {
    factors: Vec<(f64, BoxedReward<'a>)>,
}

impl<'a> Product<'a> {
    /// The product of `(exponent, factor)`.
    pub fn new(factors: Vec<(f64, BoxedReward<'a>)>) -> Self {
        Self { factors }
    }
}

impl Reward for Product<'_> {
    type Error = TrainError;

    fn log_reward(&mut self, queries: &[Query], query_of: &[usize], trajectories: &[Trajectory]) -> Result<Table> {
        let zeros = trajectories.iter().map(|trajectory| vec![0.0; trajectory.len() + 1]);
        let mut product = Table::from_rows(zeros.collect());
        for (exponent, factor) in &mut self.factors {
            let table = factor.log_reward(queries, query_of, trajectories)?;
            for (i, row) in table.iter().enumerate() {
                product.row_mut(i).iter_mut().zip(row).for_each(|(sum, log)| *sum += raised(*log, *exponent));
            }
        }
        Ok(product)
    }

    fn final_log_reward(
        &mut self,
        queries: &[Query],
        query_of: &[usize],
        trajectories: &[Trajectory],
    ) -> Result<Vec<f64>> {
        let mut product = vec![0.0; trajectories.len()];
        for (exponent, factor) in &mut self.factors {
            let values = factor.final_log_reward(queries, query_of, trajectories)?;
            product.iter_mut().zip(values).for_each(|(sum, log)| *sum += raised(log, *exponent));
        }
        Ok(product)
    }
}

/// log R^exponent, where zero stays zero.
pub(super) fn raised(log_reward: f64, exponent: f64) -> f64 {
    if log_reward == f64::NEG_INFINITY { log_reward } else { exponent * log_reward }
}

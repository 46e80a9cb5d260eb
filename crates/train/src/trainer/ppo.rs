//! Reward maximisation, the baseline of the paper's sections 2 and 4.4.

use amortize_gfn::Table;
use amortize_gfn::ppo::{Experience, advantages, clipped_surrogate};
use amortize_gfn::table::log_q;
use amortize_lm::Policy;
use rand::seq::SliceRandom;

use super::passes::{Scores, score};
use super::record::mean;
use super::{Ppo, Trainer, Update};
use crate::error::Result;
use crate::explore::Explored;
use crate::metrics::PpoRecord;

impl Trainer<'_> {
    /// A step's updates: some passes over what the policy drew, in minibatches.
    pub(super) fn reinforce(&mut self, settings: Ppo, batch: &Explored, target: &Table) -> Result<Update> {
        let parts = self.micro_batches(batch);
        let (drawn, base) = (score(self.policy(), &parts)?, score(Policy::base(self.model), &parts)?);
        let [log_q, log_p] = [&drawn, &base].map(|scores| log_q(&scores.log_pf, &scores.log_pterm));
        let log_ratio: Vec<f64> = log_q.into_iter().zip(log_p).map(|(log_q, log_p)| log_q - log_p).collect();
        let coefficient = self.state.kl_coefficient;
        let rewards = target.iter().map(|row| row.last().copied().unwrap_or(0.0));
        let returns: Vec<f64> = rewards.zip(&log_ratio).map(|(reward, ratio)| reward - coefficient * ratio).collect();
        let advantages = advantages(&returns, &batch.query_of);
        let kl = mean(log_ratio.into_iter()).unwrap_or(0.0);
        let mut updates = Vec::new();
        for rows in self.minibatches(settings, returns.len()) {
            updates.push(self.update_on(settings, batch, &drawn, &advantages, &rows)?);
        }
        self.state.kl_coefficient = settings.kl.update(coefficient, kl, returns.len());
        let clipped_share = mean(updates.iter().map(|(_, _, clipped)| *clipped)).unwrap_or(0.0);
        let (loss, gradient_norm, _) = updates.first().copied().unwrap_or_default();
        let mean_return = mean(returns.into_iter()).unwrap_or(0.0);
        let ppo = Some(PpoRecord { mean_return, kl, kl_coefficient: coefficient, clipped_share });
        Ok(Update { loss, gradient_norm, log_z: None, ppo })
    }

    /// The rows of every update: all of them once a pass, each pass in an order of its own.
    fn minibatches(&mut self, settings: Ppo, rows: usize) -> Vec<Vec<usize>> {
        let size = rows.div_ceil(settings.minibatches).max(1);
        let mut order: Vec<usize> = (0..rows).collect();
        let mut minibatches = Vec::new();
        for _ in 0..settings.epochs {
            order.shuffle(&mut self.state.explore_rng);
            minibatches.extend(order.chunks(size).map(<[usize]>::to_vec));
        }
        minibatches
    }

    /// Loss, gradient norm and share of clipped actions of one update.
    fn update_on(
        &mut self,
        settings: Ppo,
        batch: &Explored,
        drawn: &Scores,
        advantages: &[f64],
        rows: &[usize],
    ) -> Result<(f64, f64, f64)> {
        let (part, log_pf, log_pterm) = (batch.select(rows), drawn.log_pf.select(rows), drawn.log_pterm.select(rows));
        let advantages: Vec<f64> = rows.iter().map(|row| advantages[*row]).collect();
        let experience = Experience { log_pf: &log_pf, log_pterm: &log_pterm, advantages: &advantages };
        let mut clipped = 0.0;
        let (found, gradients) = self.backward(&part, |scores| {
            let (found, share) = clipped_surrogate(experience, &scores.log_pf, &scores.log_pterm, settings.clip);
            clipped = share;
            found
        })?;
        Ok((found.loss, self.descend(found.loss, gradients)?, clipped))
    }
}

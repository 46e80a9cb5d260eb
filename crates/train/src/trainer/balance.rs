//! The paper's method: a GFlowNet objective, whose target is sampled in proportion to it.

use amortize_engine::optim::AdamW;
use amortize_gfn::{Batch, Gradients, Objective, Query, Table};
use amortize_lm::adapter::AdapterGradients;

use super::record::mean;
use super::{Trainer, Update};
use crate::error::Result;
use crate::explore::Explored;

impl Trainer<'_> {
    /// One update towards balance.
    pub(super) fn balance(&mut self, objective: Objective, batch: &Explored, target: &Table) -> Result<Update> {
        let (found, gradients) = self.balance_gradients(objective, batch, target)?;
        let gradient_norm = self.descend(found.loss, gradients)?;
        // A learned log Z follows the same schedule: it would keep a decayed policy moving otherwise.
        let (rate, peak) = (self.method.learning_rate.at(self.state.step), self.method.learning_rate.peak);
        self.update_log_z(&batch.queries, &found.d_log_z, self.method.log_z_learning_rate * rate / peak);
        let log_z = mean(found.log_z.into_iter().filter(|log_z| log_z.is_finite()));
        Ok(Update { loss: found.loss, gradient_norm, log_z, ppo: None })
    }

    /// The objective on the whole batch and its gradient. `target` is log R, tempered and floored.  `[n, len+1]`
    ///
    /// # Errors
    /// If the model cannot read a sequence.
    pub fn balance_gradients(
        &mut self,
        objective: Objective,
        batch: &Explored,
        target: &Table,
    ) -> Result<(Gradients, AdapterGradients)> {
        let log_z = objective.needs_log_z().then(|| self.learned_log_z(batch, target));
        self.backward(batch, |scores| {
            let batch = Batch {
                log_pf: &scores.log_pf,
                log_pterm: &scores.log_pterm,
                log_reward: target,
                endpoint: &scores.endpoint,
                query_of: &batch.query_of,
                n_queries: batch.queries.len(),
            };
            objective.evaluate(&batch, log_z.as_deref())
        })
    }

    /// Learned log Z of the batch's queries; a query seen first starts at the mean log R of its trajectories, which is
    /// of the right order.
    fn learned_log_z(&mut self, batch: &Explored, target: &Table) -> Vec<f64> {
        let start = |number: usize| {
            let rows = (0..batch.query_of.len()).filter(|row| batch.query_of[*row] == number);
            mean(rows.filter_map(|row| target.row(row).last().copied())).unwrap_or(0.0)
        };
        let queries = batch.queries.iter().enumerate();
        queries.map(|(number, query)| self.state.log_z.get(query.id, start(number))).collect()
    }

    fn update_log_z(&mut self, queries: &[Query], d_log_z: &[f64], learning_rate: f64) {
        let adamw: AdamW = self.state.optimizer.adamw;
        for (query, gradient) in queries.iter().zip(d_log_z) {
            self.state.log_z.update(query.id, *gradient, learning_rate, &adamw);
        }
    }
}

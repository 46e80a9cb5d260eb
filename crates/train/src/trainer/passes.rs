//! The policy's tables of a whole batch, and the way back through them, some trajectories at a time.

use std::ops::Range;

use amortize_engine::ops::dropout::mix;
use amortize_gfn::{Gradients, Table};
use amortize_lm::adapter::AdapterGradients;
use amortize_lm::decoder;
use amortize_lm::{Policy, ScoredWithTape};

use super::Trainer;
use crate::error::Result;
use crate::explore::Explored;
use crate::tables::{PackedTrajectories, PolicyQuestions};

/// What a policy makes of a batch, in nats.  `[n, len+1]` each
pub(super) struct Scores {
    /// log q(z_k given z_<k).
    pub log_pf: Table,
    /// log q(stop given z_1:k).
    pub log_pterm: Table,
    /// Where the policy may stop.
    pub endpoint: Table<bool>,
}

/// A part of a batch that goes through the model at once.
pub(super) struct MicroBatch {
    packed: PackedTrajectories,
    asked: PolicyQuestions,
}

impl MicroBatch {
    fn score_with_tape(&self, policy: Policy) -> Result<ScoredWithTape> {
        Ok(policy.score_with_tape(&self.packed.forest, &self.asked.questions)?)
    }
}

impl Trainer<'_> {
    /// A loss on the whole batch's scores and its gradient, whatever the size of the micro-batches.
    ///
    /// Normalisers and batch estimates of log Z are over the whole batch, so where there are several micro-batches
    /// a first pass scores them all and a second one goes back through each (method: objectives see whole tables).
    ///
    /// # Errors
    /// If the model cannot read a sequence.
    pub(super) fn backward(
        &self,
        batch: &Explored,
        loss: impl FnOnce(&Scores) -> Gradients,
    ) -> Result<(Gradients, AdapterGradients)> {
        let policy = self.policy().with_dropout(self.dropout_seed()).with_activations(self.method.activations);
        let adapter = Some(AdapterGradients::zeros(self.model.decoder.device(), &self.state.adapter));
        let mut gradients = decoder::Gradients { adapter, base: None };
        let parts = self.micro_batches(batch);
        let (found, mut taped) = match parts.as_slice() {
            // The tape of a lone part serves for the way back.
            [part] => {
                let scored = part.score_with_tape(policy)?;
                (loss(&tables([(part, &scored.log_probs)])), Some(scored))
            }
            parts => (loss(&score(policy, parts)?), None),
        };
        for (part, rows) in parts.iter().zip(self.chunks(batch.trajectories.len())) {
            let scored = taped.take().map_or_else(|| part.score_with_tape(policy), Ok)?;
            let rows: Vec<usize> = rows.collect();
            let (d_log_pf, d_log_pterm) = (found.d_log_pf.select(&rows), found.d_log_pterm.select(&rows));
            let coefficients = part.asked.coefficients(&scored.log_probs, &d_log_pf, &d_log_pterm);
            policy.backward(&part.packed.forest, &part.asked.questions, &scored, &coefficients, &mut gradients);
        }
        Ok((found, gradients.adapter.expect("asked for above")))
    }

    fn chunks(&self, rows: usize) -> Vec<Range<usize>> {
        let size = if self.method.micro_batch == 0 { rows } else { self.method.micro_batch };
        (0..rows).step_by(size.max(1)).map(|start| start..rows.min(start + size)).collect()
    }

    /// A batch in parts of neighbouring rows, packed.
    pub(super) fn micro_batches(&self, batch: &Explored) -> Vec<MicroBatch> {
        let part = |rows: Range<usize>| {
            let trajectories = &batch.trajectories[rows.clone()];
            let packed = PackedTrajectories::new(&batch.queries, &batch.query_of[rows], trajectories);
            let asked = PolicyQuestions::new(&packed, trajectories, &self.task.actions);
            MicroBatch { packed, asked }
        };
        self.chunks(batch.trajectories.len()).into_iter().map(part).collect()
    }

    fn dropout_seed(&self) -> u64 {
        mix(self.method.seed ^ mix(self.state.step))
    }
}

/// What `policy` makes of all parts.
///
/// # Errors
/// If the model cannot read a sequence.
pub(super) fn score(policy: Policy, parts: &[MicroBatch]) -> Result<Scores> {
    let answer = |part: &MicroBatch| policy.score(&part.packed.forest, &part.asked.questions);
    let answers: Vec<Vec<f64>> = parts.iter().map(answer).collect::<std::result::Result<_, _>>()?;
    Ok(tables(parts.iter().zip(&answers)))
}

/// The answers of all parts in one place.
fn tables<'p>(parts: impl IntoIterator<Item = (&'p MicroBatch, &'p Vec<f64>)>) -> Scores {
    let (mut log_pf, mut log_pterm, mut endpoint) = (Vec::new(), Vec::new(), Vec::new());
    for (part, answers) in parts {
        let tables = part.asked.tables(answers);
        log_pf.extend(tables.0.into_rows());
        log_pterm.extend(tables.1.into_rows());
        endpoint.extend(tables.2.into_rows());
    }
    Scores {
        log_pf: Table::from_rows(log_pf),
        log_pterm: Table::from_rows(log_pterm),
        endpoint: Table::from_rows(endpoint),
    }
}

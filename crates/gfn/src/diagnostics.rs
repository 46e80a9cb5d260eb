//! Diagnostics: how close the policy is to its target, as far as its own draws can tell.
//!
//! Draws of the policy cannot see modes that it never visits. Estimates of log Z from several proposals (the policy,
//! the base model, a mixture of the two) are stochastic lower bounds: where they differ, the lower ones miss something.
//! With exact posterior samples [`eubo`] bounds it from above. At a reward temperature other than 1, log Z is not
//! log p(Y given X).
//!
//! Everything is in nats, log w = log R - log q, and log R is that of the tempered target, not floored: -inf for zero
//! reward.

use std::hash::Hash;

use serde::Serialize;

mod diversity;
mod estimates;
mod summary;

pub use diversity::{distinct_n, pairwise_edit_distance};
pub use estimates::{elbo, ess, eubo, log_mean_exp, log_mixture, log_sum_exp};
pub use summary::Summary;

/// Draws of the policy itself for one query: neither tempered nor replayed, which have another density. Every slice is
/// `[n]`; `W` is a word.
#[derive(Clone, Copy, Debug)]
pub struct Draws<'a, W> {
    /// log q(z stop) under the distribution that was sampled, its masks and forced stop included.
    pub log_q: &'a [f64],
    /// log R(z) of the tempered target; -inf for zero reward.
    pub log_reward: &'a [f64],
    /// log p(z stop given X) under the base model; empty where there is none.
    pub log_p: &'a [f64],
    /// The number of tokens, the stop excluded.
    pub lengths: &'a [usize],
    /// Whether the stop was forced by the maximum length.
    pub forced: &'a [bool],
    /// The tokens, of which edit distance is counted.
    pub tokens: &'a [&'a [u32]],
    /// The words, of which distinct n-grams are counted.
    pub words: &'a [Vec<W>],
}

/// What the draws of one query say. `None` is for what they cannot say; in JSON that and infinite values are `null`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QueryDiagnostics {
    /// The number of draws.
    pub n: usize,
    /// The sample variance (divided by n - 1) of log w over draws of positive reward: 0 for a perfect policy. `None`
    /// for fewer than two.
    pub log_w_variance: Option<f64>,
    /// The importance-sampling estimate of log Z, log mean w, zero rewards counting as weight 0: a lower bound in
    /// expectation. -inf if all rewards are zero.
    pub log_z_is: f64,
    /// The effective sample size (sum w)^2 / (n sum w^2) as a share of n, from 1/n to 1; 0 if all rewards are zero.
    pub ess: f64,
    /// Mean log w, a lower bound on log Z in expectation; -inf as soon as one reward is zero.
    pub elbo: f64,
    /// The share of draws of zero reward.
    pub zero_reward_share: f64,
    /// The mean number of tokens, the stop excluded.
    pub mean_length: f64,
    /// The share of draws that the maximum length stopped.
    pub forced_stop_share: f64,
    /// Mean log p(z stop given X) under the base model.
    pub mean_log_p: Option<f64>,
    /// Mean log q - log p, an estimate of KL(q, p) from the base model p; infinite if it could not have drawn one.
    pub kl_from_base: Option<f64>,
    /// The share of distinct words among all words of all draws.
    pub distinct_1: Option<f64>,
    /// The share of distinct pairs of neighbours.
    pub distinct_2: Option<f64>,
    /// The share of distinct triples of neighbours.
    pub distinct_3: Option<f64>,
    /// Mean over pairs of draws of edit distance over tokens by the longer length, from 0 to 1.
    pub pairwise_edit_distance: Option<f64>,
}

impl QueryDiagnostics {
    /// Diagnoses the draws of one query.
    ///
    /// # Panics
    /// If there are no draws, or the slices' lengths differ.
    pub fn of<W: Hash + Eq>(draws: &Draws<W>) -> Self {
        draws.assert_consistent();
        let n = draws.log_q.len();
        let share = |count: usize| count as f64 / n as f64;
        let log_w = draws.log_w();
        let finite: Vec<f64> = log_w.iter().copied().filter(|&w| w != f64::NEG_INFINITY).collect();
        let log_p = (!draws.log_p.is_empty()).then_some(draws.log_p);
        Self {
            n,
            log_w_variance: estimates::variance(&finite),
            log_z_is: log_mean_exp(&log_w),
            ess: ess(&log_w) / n as f64,
            elbo: estimates::mean(&log_w),
            zero_reward_share: share(n - finite.len()),
            mean_length: draws.lengths.iter().sum::<usize>() as f64 / n as f64,
            forced_stop_share: share(draws.forced.iter().filter(|&&forced| forced).count()),
            mean_log_p: log_p.map(estimates::mean),
            kl_from_base: log_p.map(|log_p| -elbo(draws.log_q, log_p)),
            distinct_1: distinct_n(draws.words, 1),
            distinct_2: distinct_n(draws.words, 2),
            distinct_3: distinct_n(draws.words, 3),
            pairwise_edit_distance: pairwise_edit_distance(draws.tokens),
        }
    }
}

impl<W> Draws<'_, W> {
    fn assert_consistent(&self) {
        let n = self.log_q.len();
        assert!(n > 0, "no draws to diagnose");
        let lengths =
            [self.log_reward.len(), self.lengths.len(), self.forced.len(), self.tokens.len(), self.words.len()];
        assert_eq!(lengths, [n; 5], "the draws' slices differ in length");
        assert!(self.log_p.is_empty() || self.log_p.len() == n, "one log p per draw");
    }

    /// log w = log R - log q of each draw.
    fn log_w(&self) -> Vec<f64> {
        self.log_reward.iter().zip(self.log_q).map(|(log_reward, log_q)| log_reward - log_q).collect()
    }
}

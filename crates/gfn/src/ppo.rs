//! Proximal policy optimisation (Schulman et al., 2017): the paper's reward-maximising baseline.
//!
//! It maximises E_q\[r(Z)\] - beta KL(q || p), where r is the log of the target. The return of a trajectory is
//!
//! G = r(z) - beta (log q(z stop) - log p(z stop)),
//!
//! p being the base model within the same action space. There is no critic: the baseline of a trajectory is the mean return
//! of the query's other trajectories, which leaves the gradient unbiased. Advantages are divided by their root mean square
//! over the batch. The stop is an action like any token.

use crate::{Gradients, Table};

/// The advantage of every trajectory: its return less the mean return of the query's others, in units of the root mean
/// square over the batch.  `[n]`
///
/// A query's only trajectory has nothing to be compared with, and so the advantage 0.
pub fn advantages(returns: &[f64], query_of: &[usize]) -> Vec<f64> {
    let n_queries = query_of.iter().max().map_or(0, |most| most + 1);
    let (mut sums, mut counts) = (vec![0.0; n_queries], vec![0_usize; n_queries]);
    for (value, &query) in returns.iter().zip(query_of) {
        sums[query] += value;
        counts[query] += 1;
    }
    let of_one = |(value, &query): (&f64, &usize)| match counts[query] {
        1 => 0.0,
        n => value - (sums[query] - value) / (n - 1) as f64,
    };
    let raw: Vec<f64> = returns.iter().zip(query_of).map(of_one).collect();
    let mean_square = raw.iter().map(|value| value * value).sum::<f64>() / raw.len() as f64;
    let scale = if mean_square > 0.0 { mean_square.sqrt().recip() } else { 0.0 };
    raw.into_iter().map(|value| value * scale).collect()
}

/// Some trajectories' actions under the policy that drew them, and what came of them.
#[derive(Clone, Copy, Debug)]
pub struct Experience<'a> {
    /// log q(z_k given z_<k) when they were drawn.  `[n, len+1]`
    pub log_pf: &'a Table,
    /// log q(stop given z_1:k) when they were drawn; only each row's last entry was an action.  `[n, len+1]`
    pub log_pterm: &'a Table,
    /// `[n]`
    pub advantages: &'a [f64],
}

/// The clipped surrogate loss and its gradients: minus the mean over trajectories of the sum over actions of
/// min(rho A, clip(rho, 1 - clip, 1 + clip) A), where rho is q / q_old of an action. Also the share of actions whose
/// gradient the clipping has stopped.
///
/// # Panics
/// If shapes disagree.
pub fn clipped_surrogate(experience: Experience, log_pf: &Table, log_pterm: &Table, clip: f64) -> (Gradients, f64) {
    assert!(log_pf.same_shape(experience.log_pf) && log_pterm.same_shape(experience.log_pterm), "other trajectories");
    assert_eq!(log_pf.rows(), experience.advantages.len(), "one advantage per row");
    let mut found = Gradients::zeros(log_pf);
    let (mut actions, mut stopped) = (0_usize, 0_usize);
    for (row, advantage) in experience.advantages.iter().enumerate() {
        let mut act = |old: f64, new: f64, d: &mut f64| {
            let (value, slope) = surrogate(new - old, *advantage, clip);
            found.loss -= value / log_pf.rows() as f64;
            *d = -slope / log_pf.rows() as f64;
            actions += 1;
            stopped += usize::from(slope == 0.0 && *advantage != 0.0);
        };
        let tokens = experience.log_pf.row(row).iter().zip(log_pf.row(row)).zip(found.d_log_pf.row_mut(row));
        tokens.skip(1).for_each(|((old, new), d)| act(*old, *new, d));
        let last = log_pf.row(row).len() - 1;
        let (old, new) = (experience.log_pterm.row(row)[last], log_pterm.row(row)[last]);
        act(old, new, &mut found.d_log_pterm.row_mut(row)[last]);
    }
    (found, stopped as f64 / actions.max(1) as f64)
}

/// min(rho A, clip(rho) A) and its derivative by log rho.
fn surrogate(log_ratio: f64, advantage: f64, clip: f64) -> (f64, f64) {
    let ratio = log_ratio.exp();
    let clipped = ratio.clamp(1.0 - clip, 1.0 + clip);
    match ratio * advantage <= clipped * advantage {
        true => (ratio * advantage, ratio * advantage),
        false => (clipped * advantage, 0.0),
    }
}

/// The coefficient beta of the KL penalty, which follows the KL that is found (Ziegler et al., 2019).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaptiveKl {
    /// The KL from the base model to aim at, in nats a trajectory; beta stays as it is if there is none.
    pub target: Option<f64>,
    /// The trajectories over which beta may change by a fifth.
    pub horizon: f64,
}

impl AdaptiveKl {
    /// beta after a batch of `n` trajectories whose mean KL was `kl` nats.
    pub fn update(&self, beta: f64, kl: f64, n: usize) -> f64 {
        match self.target {
            // No batch changes it by more than a fifth, be it longer than the horizon.
            Some(target) => beta * (1.0 + (kl / target - 1.0).clamp(-0.2, 0.2) * (n as f64 / self.horizon).min(1.0)),
            None => beta,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(shift: f64) -> (Table, Table) {
        let log_pf = vec![vec![0.0, -0.5 + shift, -1.0], vec![0.0, -0.3 - 2.0 * shift], vec![0.0]];
        let log_pterm = vec![vec![-1.0, -2.0, -0.7 - shift], vec![f64::NEG_INFINITY, -0.4 + shift], vec![-1.5]];
        (Table::from_rows(log_pf), Table::from_rows(log_pterm))
    }

    #[test]
    fn an_advantage_is_over_the_querys_other_trajectories() {
        let found = advantages(&[1.0, 3.0, 5.0, 9.0], &[1, 1, 1, 0]);
        let raw = [1.0 - 4.0, 3.0 - 3.0, 5.0 - 2.0, 0.0];
        let scale = (18.0_f64 / 4.0).sqrt();
        found.iter().zip(raw).for_each(|(found, raw)| assert!((found - raw / scale).abs() < 1e-12));
        assert_eq!(advantages(&[2.0, 2.0], &[0, 0]), [0.0, 0.0]);
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        let (old_pf, old_pterm) = tables(0.0);
        let advantages = [0.8, -1.3, 0.4];
        let experience = Experience { log_pf: &old_pf, log_pterm: &old_pterm, advantages: &advantages };
        let (log_pf, log_pterm) = tables(0.13);
        let loss = |log_pf: &Table, log_pterm: &Table| clipped_surrogate(experience, log_pf, log_pterm, 0.2).0.loss;
        let (found, _) = clipped_surrogate(experience, &log_pf, &log_pterm, 0.2);
        for (row, k) in [(0, 1), (0, 2), (1, 1)] {
            let moved = |by: f64| {
                let mut log_pf = log_pf.clone();
                log_pf.row_mut(row)[k] += by;
                loss(&log_pf, &log_pterm)
            };
            let expected = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            assert!((found.d_log_pf.row(row)[k] - expected).abs() < 1e-7, "token {row} {k}");
        }
        for (row, k) in [(0, 0), (0, 2), (1, 1), (2, 0)] {
            let moved = |by: f64| {
                let mut log_pterm = log_pterm.clone();
                log_pterm.row_mut(row)[k] += by;
                loss(&log_pf, &log_pterm)
            };
            let expected = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            assert!((found.d_log_pterm.row(row)[k] - expected).abs() < 1e-7, "stop {row} {k}");
        }
    }

    #[test]
    fn clipping_stops_what_has_gone_far_enough_and_nothing_that_goes_back() {
        let slope = |log_ratio, advantage| surrogate(log_ratio, advantage, 0.2).1;
        assert_eq!((slope(0.5, 1.0), slope(-0.5, -1.0)), (0.0, 0.0));
        assert!(slope(-0.5, 1.0) > 0.0 && slope(0.5, -1.0) < 0.0 && slope(0.1, 1.0) > 0.0);
    }

    #[test]
    fn beta_follows_the_kl() {
        let kl = AdaptiveKl { target: Some(2.0), horizon: 1000.0 };
        assert!((kl.update(0.1, 100.0, 500) - 0.1 * 1.1).abs() < 1e-12);
        assert!((kl.update(0.1, 1.8, 500) - 0.1 * 0.95).abs() < 1e-12);
        assert_eq!(AdaptiveKl { target: None, horizon: 1000.0 }.update(0.1, 100.0, 500), 0.1);
        let short = AdaptiveKl { target: Some(2.0), horizon: 10.0 };
        assert!((short.update(0.1, 0.0, 500) - 0.08).abs() < 1e-12, "a batch beyond the horizon never turns it around");
    }
}

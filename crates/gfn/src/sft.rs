//! Supervised fine-tuning: the baseline that needs samples of what the others only need a density of.

use crate::table::log_q;
use crate::{Gradients, Table};

/// Minus the mean over trajectories of log q(z stop), in nats, and its gradients. Both tables are `[n, len+1]`.
pub fn negative_log_likelihood(log_pf: &Table, log_pterm: &Table) -> Gradients {
    let (mut found, share) = (Gradients::zeros(log_pf), 1.0 / log_pf.rows() as f64);
    for (row, log_q) in log_q(log_pf, log_pterm).into_iter().enumerate() {
        found.loss -= share * log_q;
        found.d_log_pf.row_mut(row)[1..].fill(-share);
        *found.d_log_pterm.row_mut(row).last_mut().expect("the empty prefix has an entry") = -share;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_counts_and_no_stop_that_was_not_taken() {
        let log_pf = Table::from_rows(vec![vec![0.0, -0.5, -1.0], vec![0.0]]);
        let log_pterm = Table::from_rows(vec![vec![-3.0, f64::NEG_INFINITY, -0.25], vec![-2.0]]);
        let found = negative_log_likelihood(&log_pf, &log_pterm);
        assert_eq!(found.loss, (1.75 + 2.0) / 2.0);
        assert_eq!(found.d_log_pf, Table::from_rows(vec![vec![0.0, -0.5, -0.5], vec![0.0]]));
        assert_eq!(found.d_log_pterm, Table::from_rows(vec![vec![0.0, 0.0, -0.5], vec![-0.5]]));
    }
}

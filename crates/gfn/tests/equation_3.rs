//! The objectives against slow, obvious twins: Eq. 3 as the paper prints it, with products of
//! probabilities and rewards, in O(n^3).

mod common;

use amortize_gfn::{Normaliser, Objective, RootFlow};
use common::Tables;
use proptest::prelude::*;

/// The weight and the square of every term of one row. `pair` says whether (i, j) makes a term.
fn terms(
    tables: &Tables,
    row: usize,
    lambda: f64,
    z: f64,
    pair: impl Fn(&[bool], usize, usize) -> bool,
) -> Vec<(f64, f64)> {
    let q = |k: usize| tables.log_pf.row(row)[k].exp();
    let q_stop = |k: usize| tables.log_pterm.row(row)[k].exp();
    let r = |k: usize| tables.log_reward.row(row)[k].exp();
    let endpoint = tables.endpoint.row(row);
    let len = endpoint.len() - 1;
    let mut terms = Vec::new();
    for i in 0..=len {
        for j in i + 1..=len {
            if !(endpoint[j] && (endpoint[i] || i == 0) && pair(endpoint, i, j)) {
                continue;
            }
            let product: f64 = (i + 1..=j).map(q).product();
            // At a root where the policy may not stop, R(z_1:0 stop) / q(stop) is log Z's flow.
            let ratio = if endpoint[i] {
                r(i) * product * q_stop(j) / (r(j) * q_stop(i))
            } else {
                z * product * q_stop(j) / r(j)
            };
            terms.push((lambda.powi((j - i - 1) as i32), ratio.ln().powi(2)));
        }
    }
    terms
}

fn any_pair(_: &[bool], _: usize, _: usize) -> bool {
    true
}

fn consecutive(endpoint: &[bool], i: usize, j: usize) -> bool {
    !endpoint[i + 1..j].contains(&true)
}

fn slow_loss(rows: &[Vec<(f64, f64)>], normaliser: Normaliser) -> f64 {
    let weight = |row: &[(f64, f64)]| row.iter().map(|(weight, _)| weight).sum::<f64>();
    let sum = |row: &[(f64, f64)]| row.iter().map(|(weight, square)| weight * square).sum::<f64>();
    match normaliser {
        Normaliser::Trajectory => {
            let mean = |row: &Vec<_>| if row.is_empty() { 0.0 } else { sum(row) / weight(row) };
            rows.iter().map(mean).sum::<f64>() / rows.len() as f64
        }
        Normaliser::Pooled => {
            let weights: f64 = rows.iter().map(|row| weight(row)).sum();
            if weights == 0.0 { 0.0 } else { rows.iter().map(|row| sum(row)).sum::<f64>() / weights }
        }
    }
}

fn assert_close(fast: f64, slow: f64) {
    assert!((fast - slow).abs() < 1e-9 * (1.0 + slow.abs()), "{fast} but {slow}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn subtb_is_equation_3(seed: u64, n in 1..9_usize, lambda in 0.1..1.0_f64) {
        let tables = Tables::random(seed, n, 6);
        for lambda in [1.0, lambda] {
            for normaliser in [Normaliser::Trajectory, Normaliser::Pooled] {
                for root_flow in [RootFlow::Learned, RootFlow::Vargrad] {
                    let fast = tables.evaluate(&Objective::Subtb { lambda, normaliser, root_flow });
                    let of_row = |row: usize| {
                        let z = fast.log_z[tables.query_of[row]].exp();
                        terms(&tables, row, lambda, z, any_pair)
                    };
                    let rows: Vec<_> = (0..n).map(of_row).collect();
                    assert_close(fast.loss, slow_loss(&rows, normaliser));
                }
            }
        }
    }

    #[test]
    fn detailed_balance_is_its_consecutive_terms(seed: u64, n in 1..9_usize) {
        let tables = Tables::random(seed, n, 6);
        for normaliser in [Normaliser::Trajectory, Normaliser::Pooled] {
            let root_flow = RootFlow::Learned;
            let fast = tables.evaluate(&Objective::DetailedBalance { normaliser, root_flow });
            let of_row = |row: usize| {
                let z = tables.log_z[tables.query_of[row]].exp();
                terms(&tables, row, 1.0, z, consecutive)
            };
            let rows: Vec<_> = (0..n).map(of_row).collect();
            assert_close(fast.loss, slow_loss(&rows, normaliser));
        }
    }

    #[test]
    fn trajectory_balance_is_about_whole_trajectories(seed: u64, n in 1..9_usize) {
        let tables = Tables::random(seed, n, 6);
        let fast = tables.evaluate(&Objective::TrajectoryBalance { root_flow: RootFlow::Learned });
        let squares = (0..n).map(|row| {
            let z = tables.log_z[tables.query_of[row]].exp();
            (z / weight(&tables, row)).ln().powi(2)
        });
        assert_close(fast.loss, squares.sum::<f64>() / n as f64);
    }

    #[test]
    fn vargrad_is_the_mean_sample_variance(seed: u64, n in 1..9_usize) {
        let tables = Tables::random(seed, n, 6);
        let fast = tables.evaluate(&Objective::Vargrad);
        let mut variances = Vec::new();
        for query in 0..3 {
            let rows = (0..n).filter(|&row| tables.query_of[row] == query);
            let log_w: Vec<f64> = rows.map(|row| weight(&tables, row).ln()).collect();
            if log_w.is_empty() {
                prop_assert!(fast.log_z[query].is_nan());
                continue;
            }
            let mean = log_w.iter().sum::<f64>() / log_w.len() as f64;
            assert_close(fast.log_z[query], mean);
            let squares: f64 = log_w.iter().map(|w| (w - mean).powi(2)).sum();
            variances.push(if log_w.len() > 1 { squares / (log_w.len() - 1) as f64 } else { 0.0 });
        }
        assert_close(fast.loss, variances.iter().sum::<f64>() / variances.len() as f64);
    }
}

/// R(z) / q(z stop) of a row's own trajectory.
fn weight(tables: &Tables, row: usize) -> f64 {
    let last = tables.endpoint.row(row).len() - 1;
    let q: f64 = tables.log_pf.row(row)[1..].iter().map(|log_q| log_q.exp()).product();
    let q_stop = tables.log_pterm.row(row)[last].exp();
    tables.log_reward.row(row)[last].exp() / (q * q_stop)
}

/// Four tokens and no mask: ten pairs, each once. (The public code's infilling task counted those
/// that end in the last state twice, fifteen.)
#[test]
fn each_pair_counts_once() {
    let row = |value: f64| amortize_gfn::Table::from_rows(vec![vec![value; 5]]);
    let mut tables = Tables {
        log_pf: row(0.0),
        log_pterm: row(0.0),
        log_reward: row(0.0),
        endpoint: row(0.0).like(true),
        query_of: vec![0],
        log_z: vec![0.0],
    };
    // Only the last flow differs, by one: 4 of the 10 pairs have a square of one.
    tables.log_reward.row_mut(0)[4] = 1.0;
    assert_close(tables.evaluate(&Objective::default()).loss, 0.4);
}

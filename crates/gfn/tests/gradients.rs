//! Every gradient against finite differences, and the laws that batches obey.

mod common;

use amortize_gfn::{Gradients, Normaliser, Objective, Prefixes, RootFlow, Table};
use common::{Tables, all_objectives};
use proptest::prelude::*;

/// Losses are quadratic in every entry, so central differences are exact but for rounding.
const STEP: f64 = 1e-2;
const TOLERANCE: f64 = 1e-9;

/// d loss / d entry, with `entry` picking one number out of the tables. VarGrad's root flow is
/// recomputed on both sides: its dependence on the entry is included.
fn finite_difference(tables: &Tables, objective: &Objective, entry: impl Fn(&mut Tables) -> &mut f64) -> f64 {
    let mut moved = tables.clone();
    *entry(&mut moved) += STEP;
    let above = moved.evaluate(objective).loss;
    *entry(&mut moved) -= 2.0 * STEP;
    let below = moved.evaluate(objective).loss;
    (above - below) / (2.0 * STEP)
}

fn assert_close(analytic: f64, numeric: f64, loss: f64, what: &str, objective: &Objective) {
    let error = (analytic - numeric).abs();
    let scale = 1.0 + analytic.abs() + loss;
    assert!(error < TOLERANCE * scale, "{what}: {analytic} but {numeric} ({objective:?})");
}

fn check_tables(tables: &Tables, objective: &Objective) {
    let gradients = tables.evaluate(objective);
    let check = |analytic, numeric, what: String| {
        assert_close(analytic, numeric, gradients.loss, &what, objective);
    };
    for (row, endpoint) in tables.endpoint.iter().enumerate() {
        assert_eq!(gradients.d_log_pf.row(row)[0], 0.0);
        for (k, &allowed) in endpoint.iter().enumerate() {
            if k > 0 {
                let numeric = finite_difference(tables, objective, |t| &mut t.log_pf.row_mut(row)[k]);
                check(gradients.d_log_pf.row(row)[k], numeric, format!("log_pf[{row}][{k}]"));
            }
            let analytic = gradients.d_log_pterm.row(row)[k];
            if allowed {
                let numeric = finite_difference(tables, objective, |t| &mut t.log_pterm.row_mut(row)[k]);
                check(analytic, numeric, format!("log_pterm[{row}][{k}]"));
            } else {
                assert_eq!(analytic, 0.0);
            }
        }
    }
    for (query, &analytic) in gradients.d_log_z.iter().enumerate() {
        let numeric = finite_difference(tables, objective, |t| &mut t.log_z[query]);
        check(analytic, numeric, format!("log_z[{query}]"));
    }
    let learned = if objective.needs_log_z() { tables.log_z.len() } else { 0 };
    assert_eq!(gradients.d_log_z.len(), learned);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn gradients_are_the_derivatives(seed: u64, n in 1..9_usize, max_len in 0..6_usize) {
        let tables = Tables::random(seed, n, max_len);
        for objective in all_objectives() {
            check_tables(&tables, &objective);
        }
    }

    #[test]
    fn objectives_that_say_so_read_the_rewards_of_ends_alone(seed: u64, n in 1..9_usize) {
        let tables = Tables::random(seed, n, 4);
        let mut ends = tables.clone();
        for row in 0..n {
            let before = ends.log_reward.row(row).len() - 1;
            ends.log_reward.row_mut(row)[..before].fill(-50.0);
        }
        for objective in all_objectives().into_iter().filter(|objective| objective.prefixes() == Prefixes::Whole) {
            let [all, ends] = [&tables, &ends].map(|tables| tables.evaluate(&objective));
            prop_assert_eq!((all.loss, all.d_log_pf, all.d_log_pterm), (ends.loss, ends.d_log_pf, ends.d_log_pterm));
            prop_assert_eq!(all.d_log_z, ends.d_log_z);
        }
    }

    #[test]
    fn the_order_of_rows_is_irrelevant(seed: u64, n in 1..9_usize) {
        let tables = Tables::random(seed, n, 4);
        let reversed = permuted(&tables, &(0..n).rev().collect::<Vec<_>>());
        for objective in all_objectives() {
            let there = tables.evaluate(&objective);
            let back = reversed.evaluate(&objective);
            prop_assert!((there.loss - back.loss).abs() < 1e-12 * (1.0 + there.loss));
            for row in 0..n {
                assert_rows_close(there.d_log_pf.row(row), back.d_log_pf.row(n - 1 - row));
                assert_rows_close(there.d_log_pterm.row(row), back.d_log_pterm.row(n - 1 - row));
            }
            assert_rows_close(&there.d_log_z, &back.d_log_z);
        }
    }

    /// A trajectory that appears twice keeps its multiplicity, and a batch doubled has the same loss,
    /// but for the sample variance's n - 1.
    #[test]
    fn doubling_the_batch_keeps_the_loss(seed: u64, n in 1..9_usize) {
        let tables = Tables::random(seed, n, 4);
        let doubled = permuted(&tables, &(0..2 * n).map(|row| row % n).collect::<Vec<_>>());
        for objective in all_objectives() {
            if objective != Objective::Vargrad {
                let (once, twice) = (tables.evaluate(&objective), doubled.evaluate(&objective));
                prop_assert!((once.loss - twice.loss).abs() < 1e-12 * (1.0 + once.loss));
            }
        }
    }

    /// VarGrad's root flow minimises the loss: no learned value does better.
    #[test]
    fn vargrad_is_the_best_learned_log_z(seed: u64, n in 1..9_usize, shift in -3.0..3.0_f64) {
        let mut tables = Tables::random(seed, n, 4);
        for (best, learned) in root_flow_twins() {
            let at_best = tables.evaluate(&best);
            for (query, log_z) in at_best.log_z.iter().enumerate() {
                tables.log_z[query] = if log_z.is_nan() { 0.0 } else { *log_z };
            }
            let same = tables.evaluate(&learned);
            prop_assert!((same.loss - at_best.loss).abs() < 1e-12 * (1.0 + same.loss));
            prop_assert!(same.d_log_z.iter().all(|d| d.abs() < 1e-12 * (1.0 + same.loss)));
            tables.log_z.iter_mut().for_each(|log_z| *log_z += shift);
            prop_assert!(tables.evaluate(&learned).loss >= at_best.loss - 1e-12);
        }
    }
}

fn root_flow_twins() -> Vec<(Objective, Objective)> {
    let with = |root_flow| {
        let normaliser = Normaliser::Pooled;
        [
            Objective::Subtb { lambda: 0.9, normaliser, root_flow },
            Objective::Subtb { lambda: 0.9, normaliser: Normaliser::Trajectory, root_flow },
            Objective::DetailedBalance { normaliser, root_flow },
            Objective::TrajectoryBalance { root_flow },
        ]
    };
    with(RootFlow::Vargrad).into_iter().zip(with(RootFlow::Learned)).collect()
}

fn permuted(tables: &Tables, rows: &[usize]) -> Tables {
    fn pick<T: Clone>(table: &Table<T>, rows: &[usize]) -> Table<T> {
        Table::from_rows(rows.iter().map(|&row| table.row(row).to_vec()).collect())
    }
    Tables {
        log_pf: pick(&tables.log_pf, rows),
        log_pterm: pick(&tables.log_pterm, rows),
        log_reward: pick(&tables.log_reward, rows),
        endpoint: pick(&tables.endpoint, rows),
        query_of: rows.iter().map(|&row| tables.query_of[row]).collect(),
        log_z: tables.log_z.clone(),
    }
}

fn assert_rows_close(a: &[f64], b: &[f64]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() < 1e-11 * (1.0 + a.abs()), "{a} but {b}");
    }
}

/// The test behind two-pass accumulation: parts evaluated by themselves are another loss. The whole
/// batch has to be seen, because VarGrad's means and the pooled count are over all of it.
#[test]
fn parts_of_a_batch_do_not_add_up() {
    let tables = Tables::random(3, 8, 4);
    let (first, second) = (permuted(&tables, &[0, 1, 2, 3]), permuted(&tables, &[4, 5, 6, 7]));
    let normaliser = Normaliser::Pooled;
    let root_flow = RootFlow::Vargrad;
    for objective in [Objective::Vargrad, Objective::Subtb { lambda: 1.0, normaliser, root_flow }] {
        let loss = |tables: &Tables| tables.evaluate(&objective).loss;
        let parts = 0.5 * (loss(&first) + loss(&second));
        assert!((loss(&tables) - parts).abs() > 1e-3, "{objective:?}");
    }
}

/// Where nothing couples the rows, evaluated by parts and averaged they do add up.
#[test]
fn parts_add_up_for_learned_log_z_normalised_per_trajectory() {
    let tables = Tables::random(3, 8, 4);
    let (first, second) = (permuted(&tables, &[0, 1, 2, 3]), permuted(&tables, &[4, 5, 6, 7]));
    let objective = Objective::Subtb { lambda: 0.9, normaliser: Normaliser::Trajectory, root_flow: RootFlow::Learned };
    let whole = tables.evaluate(&objective);
    let parts: [Gradients; 2] = [first.evaluate(&objective), second.evaluate(&objective)];
    assert!((whole.loss - 0.5 * (parts[0].loss + parts[1].loss)).abs() < 1e-12);
    for row in 0..8 {
        let part: Vec<f64> = parts[row / 4].d_log_pf.row(row % 4).iter().map(|d| 0.5 * d).collect();
        assert_rows_close(whole.d_log_pf.row(row), &part);
    }
}

#[test]
fn a_diverged_policy_gives_a_loss_that_is_not_finite() {
    let mut tables = Tables::random(3, 8, 4);
    let last = tables.log_pterm.row(0).len() - 1;
    tables.log_pterm.row_mut(0)[last] = f64::NAN;
    let objective = Objective::TrajectoryBalance { root_flow: RootFlow::Learned };
    assert!(!tables.evaluate(&objective).loss.is_finite());
}

#[test]
#[should_panic(expected = "does not end in an endpoint")]
fn a_row_must_end_in_an_endpoint() {
    let mut tables = Tables::random(3, 8, 4);
    *tables.endpoint.row_mut(2).last_mut().unwrap() = false;
    tables.evaluate(&Objective::default());
}

#[test]
#[should_panic(expected = "must be floored")]
fn a_zero_reward_must_be_floored() {
    let mut tables = Tables::random(3, 8, 4);
    *tables.log_reward.row_mut(2).last_mut().unwrap() = f64::NEG_INFINITY;
    tables.evaluate(&Objective::default());
}

#[test]
fn an_empty_batch_has_no_loss() {
    let tables = Tables::random(3, 0, 4);
    for objective in all_objectives() {
        assert_eq!(tables.evaluate(&objective).loss, 0.0);
    }
}

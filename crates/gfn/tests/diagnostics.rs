//! Diagnostics against numbers worked out by hand.

use amortize_gfn::diagnostics::{
    distinct_n, elbo, ess, eubo, log_mean_exp, log_mixture, log_sum_exp, pairwise_edit_distance,
};
use amortize_gfn::{Draws, QueryDiagnostics, Summary};

const ZERO: f64 = f64::NEG_INFINITY;

fn assert_close(value: f64, expected: f64) {
    assert!((value - expected).abs() < 1e-12, "{value} but {expected}");
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn diagnose(log_w: &[f64]) -> QueryDiagnostics {
    let n = log_w.len();
    let log_q = vec![-2.0; n];
    let log_reward: Vec<f64> = log_w.iter().map(|w| w - 2.0).collect();
    QueryDiagnostics::of(&Draws::<&str> {
        log_q: &log_q,
        log_reward: &log_reward,
        log_p: &[],
        lengths: &vec![1; n],
        forced: &vec![false; n],
        tokens: &vec![&[7][..]; n],
        words: &vec![vec![]; n],
    })
}

#[test]
fn one_query_by_hand() {
    let weights = [1.0_f64, 2.0, 4.0, 0.0];
    let log_q = [-1.0, -2.0, -3.0, -4.0];
    let log_reward: Vec<f64> = weights.iter().zip(log_q).map(|(w, log_q)| w.ln() + log_q).collect();
    let diagnostics = QueryDiagnostics::of(&Draws {
        log_q: &log_q,
        log_reward: &log_reward,
        log_p: &[-2.0, -2.5, -4.0, -7.5],
        lengths: &[4, 3, 2, 0],
        forced: &[true, false, false, false],
        tokens: &[&[1, 2, 3, 4], &[1, 2, 5], &[1, 2], &[]],
        words: &[words("a b c"), words("a b d"), words("a b c"), words("")],
    });
    let ln2 = 2.0_f64.ln();
    assert_eq!(diagnostics.n, 4);
    assert_close(diagnostics.log_w_variance.unwrap(), ln2 * ln2); // of 0, ln 2, 2 ln 2
    assert_close(diagnostics.log_z_is, (7.0_f64 / 4.0).ln());
    assert_close(diagnostics.ess, 49.0 / 84.0);
    assert_eq!(diagnostics.elbo, ZERO);
    assert_close(diagnostics.zero_reward_share, 0.25);
    assert_close(diagnostics.mean_length, 9.0 / 4.0);
    assert_close(diagnostics.forced_stop_share, 0.25);
    assert_close(diagnostics.mean_log_p.unwrap(), -4.0);
    assert_close(diagnostics.kl_from_base.unwrap(), 1.5);
    assert_close(diagnostics.distinct_1.unwrap(), 4.0 / 9.0); // a b c d
    assert_close(diagnostics.distinct_2.unwrap(), 3.0 / 6.0); // ab bc bd
    assert_close(diagnostics.distinct_3.unwrap(), 2.0 / 3.0);
    // Pairs: 2/4, 2/4, 4/4, 1/3, 3/3, 2/2.
    assert_close(diagnostics.pairwise_edit_distance.unwrap(), (4.0 + 1.0 / 3.0) / 6.0);
}

#[test]
fn a_perfect_policy_has_no_variance_and_full_ess() {
    let diagnostics = diagnose(&[-700.0; 5]);
    assert_close(diagnostics.log_w_variance.unwrap(), 0.0);
    assert_close(diagnostics.ess, 1.0);
    assert_close(diagnostics.log_z_is, -700.0);
    assert_close(diagnostics.elbo, -700.0);
    assert_eq!(diagnostics.mean_log_p, None);
}

#[test]
fn zero_rewards_alone_say_little() {
    let diagnostics = diagnose(&[ZERO, ZERO]);
    assert_eq!(diagnostics.log_w_variance, None);
    assert_eq!(diagnostics.log_z_is, ZERO);
    assert_eq!(diagnostics.ess, 0.0);
    assert_eq!(diagnostics.zero_reward_share, 1.0);
    assert_eq!(diagnostics.distinct_1, None);
    let json: serde_json::Value = serde_json::to_value(&diagnostics).unwrap();
    assert!(json["log_z_is"].is_null() && json["log_w_variance"].is_null());
}

#[test]
fn a_diverged_policy_is_not_taken_for_zero_rewards() {
    let diagnostics = diagnose(&[f64::NAN, -1.0]);
    assert_eq!(diagnostics.zero_reward_share, 0.0);
    assert!(diagnostics.log_z_is.is_nan() && diagnostics.elbo.is_nan() && diagnostics.ess.is_nan());
}

/// Two queries, each sampled perfectly, whose log Z differ by 10: pooled, the variance would be over
/// 25 though nothing is wrong. (The paper's public code pools.)
#[test]
fn variance_is_within_queries() {
    let queries = [diagnose(&[0.0, 0.0]), diagnose(&[10.0, 10.0])];
    let summary = Summary::over(&queries);
    assert_eq!(summary.log_w_variance, Some(0.0));
    assert_eq!(summary.log_z_is, Some(5.0));
    assert_eq!((summary.n_queries, summary.n), (2, 4));
}

#[test]
fn a_summary_is_over_the_queries_that_define_a_figure() {
    let summary = Summary::over(&[diagnose(&[0.0, 2.0]), diagnose(&[ZERO, ZERO]), diagnose(&[1.0])]);
    assert_eq!(summary.log_w_variance, Some(2.0));
    assert_close(summary.zero_reward_share.unwrap(), 1.0 / 3.0);
    assert_eq!(summary.elbo, Some(ZERO));
    assert_eq!(summary.mean_log_p, None);
    assert_eq!(Summary::over(&[]).ess, None);
}

#[test]
fn log_space_sums_are_stable() {
    assert_close(log_sum_exp(&[-1e4, -1e4]), -1e4 + 2.0_f64.ln());
    assert_eq!(log_sum_exp(&[]), ZERO);
    assert_eq!(log_sum_exp(&[ZERO, ZERO]), ZERO);
    assert!(log_sum_exp(&[f64::NAN]).is_nan());
    assert_close(log_mean_exp(&[0.0, ZERO]), -2.0_f64.ln());
    assert!(log_mean_exp(&[]).is_nan());
    assert_close(ess(&[-5e3, -5e3, ZERO]), 2.0);
    assert_close(log_mixture(&[0.25, 0.75], &[4.0_f64.ln(), ZERO]), 0.0);
}

/// A proposal that misses a mode: from its own draws everything looks perfect, and the estimate of
/// log Z is too low. The mixture's estimate and the upper bound reveal it.
#[test]
fn bounds_from_other_proposals_reveal_a_missed_mode() {
    let log_reward = [0.0, 0.0]; // two outcomes, Z = 2
    let policy = [1.0_f64.ln(), 1e-9_f64.ln()];
    let uniform = [0.5_f64.ln(); 2];
    let log_w = |outcome: usize, log_q: f64| log_reward[outcome] - log_q;

    let from_policy = log_mean_exp(&[log_w(0, policy[0]); 8]);
    assert_close(from_policy, 0.0);
    let mixture = |outcome: usize| log_mixture(&[0.5, 0.5], &[policy[outcome], uniform[outcome]]);
    // Draws of the mixture in proportion: three quarters the first outcome.
    let draws = [0, 0, 0, 1].map(|outcome| log_w(outcome, mixture(outcome)));
    assert!((log_mean_exp(&draws) - 2.0_f64.ln()).abs() < 1e-6);

    // Exact posterior draws: each outcome half of the time.
    let upper = eubo(&policy, &log_reward);
    assert!(upper > 2.0_f64.ln());
    assert!(elbo(&[policy[0]], &[log_reward[0]]) < 2.0_f64.ln());
    assert_close(eubo(&uniform, &log_reward), 2.0_f64.ln());
}

#[test]
fn diversity_of_little() {
    assert_eq!(distinct_n(&[words("a")], 2), None);
    assert_eq!(distinct_n(&[words("a a a")], 1), Some(1.0 / 3.0));
    assert_eq!(pairwise_edit_distance(&[&[1]]), None);
    assert_eq!(pairwise_edit_distance::<u32>(&[&[], &[]]), Some(0.0));
}

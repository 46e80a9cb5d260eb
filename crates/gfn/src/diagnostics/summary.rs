//! Diagnostics averaged over queries.

use serde::Serialize;

use super::QueryDiagnostics;

/// The means over queries of the fields of [`QueryDiagnostics`], each query counting the same.
///
/// Variances are taken within each query and then averaged: log Z differs from query to query, so the variance over
/// pooled draws would not vanish even for a perfect policy. Each mean is over the queries that define it, and `None`
/// where none does. One query at -inf makes a mean -inf.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The number of queries.
    pub n_queries: usize,
    /// The number of draws of all queries.
    pub n: usize,
    /// Mean within-query variance of log w.
    pub log_w_variance: Option<f64>,
    /// Mean importance-sampling estimate of log Z.
    pub log_z_is: Option<f64>,
    /// Mean effective sample size, as a share of the query's draws.
    pub ess: Option<f64>,
    /// Mean lower bound on log Z.
    pub elbo: Option<f64>,
    /// Mean share of draws of zero reward.
    pub zero_reward_share: Option<f64>,
    /// Mean number of tokens.
    pub mean_length: Option<f64>,
    /// Mean share of draws that the maximum length stopped.
    pub forced_stop_share: Option<f64>,
    /// Mean log-probability under the base model.
    pub mean_log_p: Option<f64>,
    /// Mean KL from the base model.
    pub kl_from_base: Option<f64>,
    /// Mean share of distinct words.
    pub distinct_1: Option<f64>,
    /// Mean share of distinct pairs of neighbours.
    pub distinct_2: Option<f64>,
    /// Mean share of distinct triples of neighbours.
    pub distinct_3: Option<f64>,
    /// Mean normalised edit distance between draws of one query.
    pub pairwise_edit_distance: Option<f64>,
}

impl Summary {
    /// Averages over queries.
    pub fn over(queries: &[QueryDiagnostics]) -> Self {
        let mean = |field: fn(&QueryDiagnostics) -> Option<f64>| mean_of_defined(queries, field);
        Self {
            n_queries: queries.len(),
            n: queries.iter().map(|query| query.n).sum(),
            log_w_variance: mean(|q| q.log_w_variance),
            log_z_is: mean(|q| Some(q.log_z_is)),
            ess: mean(|q| Some(q.ess)),
            elbo: mean(|q| Some(q.elbo)),
            zero_reward_share: mean(|q| Some(q.zero_reward_share)),
            mean_length: mean(|q| Some(q.mean_length)),
            forced_stop_share: mean(|q| Some(q.forced_stop_share)),
            mean_log_p: mean(|q| q.mean_log_p),
            kl_from_base: mean(|q| q.kl_from_base),
            distinct_1: mean(|q| q.distinct_1),
            distinct_2: mean(|q| q.distinct_2),
            distinct_3: mean(|q| q.distinct_3),
            pairwise_edit_distance: mean(|q| q.pairwise_edit_distance),
        }
    }
}

fn mean_of_defined(queries: &[QueryDiagnostics], field: impl Fn(&QueryDiagnostics) -> Option<f64>) -> Option<f64> {
    let defined: Vec<f64> = queries.iter().filter_map(field).collect();
    (!defined.is_empty()).then(|| defined.iter().sum::<f64>() / defined.len() as f64)
}

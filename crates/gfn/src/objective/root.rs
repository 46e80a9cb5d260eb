//! The flow of roots at which the policy may not stop: log Z of each query.

use super::Batch;
use super::chain::{Chain, Pairs};

/// VarGrad's log Z, `[n_queries]`: the minimiser of the loss, which is each query's mean of phi_j
/// over the terms (root, j), weighted as in the loss. NaN for queries that need none.
pub(super) fn minimisers(batch: &Batch, chains: &[Chain], scales: &[f64], pairs: &Pairs) -> Vec<f64> {
    let mut weighted_sum = vec![0.0; batch.n_queries];
    let mut total_weight = vec![0.0; batch.n_queries];
    for ((chain, &scale), &query) in chains.iter().zip(scales).zip(batch.query_of) {
        if chain.open_root {
            for (phi, weight) in chain.root_terms(pairs) {
                weighted_sum[query] += scale * weight * phi;
                total_weight[query] += scale * weight;
            }
        }
    }
    let mean = |(sum, weight): (f64, f64)| sum / weight;
    weighted_sum.into_iter().zip(total_weight).map(mean).collect()
}

/// The learned log Z, `[n_queries]`, where it is needed, else NaN.
pub(super) fn learned(batch: &Batch, chains: &[Chain], learned_log_z: Option<&[f64]>) -> Vec<f64> {
    let given = learned_log_z.expect("this objective learns log Z: pass its values");
    assert_eq!(given.len(), batch.n_queries, "one log Z per query");
    let mut log_z = vec![f64::NAN; batch.n_queries];
    for (chain, &query) in chains.iter().zip(batch.query_of) {
        if chain.open_root {
            log_z[query] = given[query];
        }
    }
    log_z
}

//! How much the draws of one query differ.

use std::collections::HashSet;
use std::hash::Hash;

use crate::edit_distance::edit_distance;

/// The share of distinct n-grams among all n-grams of the draws; `None` where there are none.
///
/// # Panics
/// If `n` is 0.
pub fn distinct_n<W: Hash + Eq>(draws: &[Vec<W>], n: usize) -> Option<f64> {
    let distinct: HashSet<&[W]> = draws.iter().flat_map(|draw| draw.windows(n)).collect();
    let total: usize = draws.iter().map(|draw| draw.windows(n).len()).sum();
    (total > 0).then(|| distinct.len() as f64 / total as f64)
}

/// The mean over pairs of draws of their edit distance by the longer length, 0 for two empty draws; `None` for fewer
/// than two draws.
pub fn pairwise_edit_distance<T: PartialEq>(draws: &[&[T]]) -> Option<f64> {
    let mut sum = 0.0;
    let mut pairs = 0_usize;
    for (i, a) in draws.iter().enumerate() {
        for b in &draws[i + 1..] {
            let longest = a.len().max(b.len()).max(1);
            sum += edit_distance(a, b) as f64 / longest as f64;
            pairs += 1;
        }
    }
    (pairs > 0).then(|| sum / pairs as f64)
}

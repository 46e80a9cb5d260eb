//! The likeliest tokens of a row of logits, and distributions cut down to them (top-k and nucleus sampling).

use std::cmp::Ordering;

/// Which tokens of a distribution are left to be drawn, renormalised.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Truncation {
    /// All of them.
    #[default]
    None,
    /// The likeliest ones, so many; at least one.
    TopK(usize),
    /// The likeliest ones that together reach this probability, as few as can be and at least one.
    TopP(f64),
}

/// Sets the logits of what `truncation` cuts off to minus infinity. Of equal logits the lower ids are kept. Where a logit
/// is no number nothing is cut off, so that it shows.
pub(crate) fn apply(logits: &mut [f32], truncation: Truncation) {
    if truncation != Truncation::None && logits.iter().any(|logit| logit.is_nan()) {
        return;
    }
    let kept = match truncation {
        Truncation::None => return,
        Truncation::TopK(k) => likeliest(logits, k.max(1)),
        Truncation::TopP(p) => nucleus(logits, p),
    };
    let values: Vec<f32> = kept.iter().map(|id| logits[*id as usize]).collect();
    logits.fill(f32::NEG_INFINITY);
    kept.iter().zip(values).for_each(|(id, value)| logits[*id as usize] = value);
}

/// The ids of the `k` greatest logits, greatest first and equals by id; all of them if there are fewer.
pub(crate) fn likeliest(logits: &[f32], k: usize) -> Vec<u32> {
    let mut ids: Vec<u32> = (0..logits.len() as u32).collect();
    let order = |a: &u32, b: &u32| compare(logits, *a, *b);
    if k < ids.len() {
        ids.select_nth_unstable_by(k, order);
        ids.truncate(k);
    }
    ids.sort_unstable_by(order);
    ids
}

fn compare(logits: &[f32], a: u32, b: u32) -> Ordering {
    logits[b as usize].total_cmp(&logits[a as usize]).then(a.cmp(&b))
}

/// The fewest likeliest ids whose probabilities sum to `p`. A nucleus is mostly small: ever more tokens are put in order
/// until they reach it.
fn nucleus(logits: &[f32], p: f64) -> Vec<u32> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight = |logit: f32| f64::from(logit - max).exp();
    let wanted = p * logits.iter().map(|logit| weight(*logit)).sum::<f64>();
    let mut tried = 128;
    loop {
        let mut ids = likeliest(logits, tried);
        let mut sum = 0.0;
        let reached = ids.iter().position(|id| {
            sum += weight(logits[*id as usize]);
            sum >= wanted
        });
        match reached {
            Some(last) => ids.truncate(last + 1),
            None if tried < logits.len() => {
                tried *= 8;
                continue;
            }
            // Rounding left the sum of all a crumb below.
            None => {}
        }
        return ids;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::numbers;

    /// Every id with its probability, likeliest first, by sorting them all.
    fn sorted(logits: &[f32]) -> Vec<(usize, f64)> {
        let total: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
        let mut all: Vec<(usize, f64)> =
            logits.iter().map(|logit| f64::from(*logit).exp() / total).enumerate().collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        all
    }

    fn kept(logits: &[f32], truncation: Truncation) -> Vec<usize> {
        let mut cut = logits.to_vec();
        apply(&mut cut, truncation);
        let kept: Vec<usize> = (0..cut.len()).filter(|id| cut[*id] > f32::NEG_INFINITY).collect();
        assert!(kept.iter().all(|id| cut[*id] == logits[*id]), "what is kept is not changed");
        kept
    }

    #[test]
    fn the_tokens_kept_are_those_of_a_full_sort() {
        for (seed, len) in [(1, 5), (2, 300), (3, 2000)] {
            let logits: Vec<f32> = numbers(seed, len).iter().map(|x| 2.0 * x).collect();
            let sorted = sorted(&logits);
            for k in [1, 4, len, len + 7] {
                let mut expected: Vec<usize> = sorted.iter().take(k).map(|(id, _)| *id).collect();
                expected.sort_unstable();
                assert_eq!(kept(&logits, Truncation::TopK(k)), expected, "k = {k} of {len}");
            }
            for p in [1e-9, 0.3, 0.9, 0.999] {
                let mut sum = 0.0;
                let short = sorted.iter().take_while(|(_, probability)| {
                    sum += probability;
                    sum < p
                });
                let count = short.count() + 1;
                let mut expected: Vec<usize> = sorted.iter().take(count).map(|(id, _)| *id).collect();
                expected.sort_unstable();
                assert_eq!(kept(&logits, Truncation::TopP(p)), expected, "p = {p} of {len}");
            }
        }
    }

    #[test]
    fn equal_logits_are_kept_in_the_order_of_their_ids() {
        let logits = [1.0, 3.0, 3.0, f32::NEG_INFINITY, 3.0];
        assert_eq!(likeliest(&logits, 3), [1, 2, 4]);
        assert_eq!(kept(&logits, Truncation::TopK(2)), [1, 2]);
        // Masked tokens stay out even where more are asked for than there are.
        assert_eq!(kept(&logits, Truncation::TopK(5)), [0, 1, 2, 4]);
        assert_eq!(kept(&logits, Truncation::TopP(1.0)), [0, 1, 2, 4]);
    }
}

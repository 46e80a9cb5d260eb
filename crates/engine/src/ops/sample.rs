//! Masked, tempered softmax distributions: draws from them, and their exact log-probabilities.

use super::head::MaskBits;
use super::truncate::{self, Truncation};
use crate::Tensor;
use crate::cpu::rows;
use crate::cpu::simd;

/// What one row is sampled from.
#[derive(Clone, Copy, Debug)]
pub struct Distribution<'a> {
    /// Allowed tokens; at least one.
    pub mask: MaskBits<'a>,
    /// One over the temperature.
    pub inverse_temperature: f32,
    /// Which of the allowed tokens are left, once tempered.
    pub truncation: Truncation,
    /// A draw from the uniform distribution on `[0, 1)`, which decides the token.
    pub uniform: f64,
}

/// One distribution a row.
#[derive(Debug)]
pub struct Distributions {
    /// Tempered logits, minus infinity where masked or cut off.  `[rows, vocab]`
    logits: Tensor,
    /// Their log-normalisers.  `[rows]`
    lse: Vec<f64>,
}

impl Distributions {
    /// Whether every row is a distribution: no logit NaN or infinite, some token allowed.
    pub fn is_finite(&self) -> bool {
        self.lse.iter().all(|lse| lse.is_finite())
    }

    /// log p of a token in a row's distribution, in nats.
    pub fn log_prob(&self, row: usize, id: u32) -> f64 {
        f64::from(self.logits.row(row)[id as usize]) - self.lse[row]
    }

    /// log of the probability of drawing any of `ids`, in nats.
    pub fn log_prob_of_any(&self, row: usize, ids: &[u32]) -> f64 {
        ids.iter().map(|id| self.log_prob(row, *id).exp()).sum::<f64>().ln()
    }

    /// The `k` likeliest tokens of a row, likeliest first and equals by id; fewer where fewer are allowed.
    pub fn likeliest(&self, row: usize, k: usize) -> Vec<u32> {
        let logits = self.logits.row(row);
        let mut ids = truncate::likeliest(logits, k);
        ids.retain(|id| logits[*id as usize] > f32::NEG_INFINITY);
        ids
    }
}

/// The tokens drawn, and their distributions.
#[derive(Debug)]
pub struct Sampled {
    ids: Vec<u32>,
    /// What they were drawn from.
    pub distributions: Distributions,
}

impl Sampled {
    /// The token drawn in a row.
    pub fn id(&self, row: usize) -> u32 {
        self.ids[row]
    }
}

/// Draws one token a row by inverting the distribution function: logits `[rows, vocab]`.
pub fn categorical(mut logits: Tensor, distributions: &[Distribution]) -> Sampled {
    assert_eq!(logits.rows(), distributions.len());
    let mut drawn: Vec<(u32, f64)> = vec![(0, 0.0); distributions.len()];
    rows::for_each_with(
        &mut logits,
        &mut drawn,
        #[inline(always)]
        |row, logits, drawn| {
            let wish = &distributions[row];
            simd::scale(logits, wish.inverse_temperature);
            super::head::apply_mask(logits, wish.mask, 0);
            truncate::apply(logits, wish.truncation);
            *drawn = invert(logits, wish.uniform);
        },
    );
    let (ids, lse) = drawn.into_iter().unzip();
    Sampled { ids, distributions: Distributions { logits, lse } }
}

/// The distributions of rows over their masks' tokens, without a draw: logits `[rows, vocab]`, a mask a row.
pub fn normalise(mut logits: Tensor, masks: &[MaskBits]) -> Distributions {
    assert_eq!(logits.rows(), masks.len());
    let mut lse = vec![0.0; masks.len()];
    rows::for_each_with(
        &mut logits,
        &mut lse,
        #[inline(always)]
        |row, logits, lse| {
            super::head::apply_mask(logits, masks[row], 0);
            let max = simd::max(logits);
            *lse = f64::from(max) + masses(logits, max).iter().sum::<f64>().ln();
        },
    );
    Distributions { logits, lse }
}

/// Logits whose exponentials are formed at once.
const BLOCK: usize = 256;

/// `Σ exp(logit - max)` of every block.
#[inline(always)]
fn masses(logits: &[f32], max: f32) -> Vec<f64> {
    let mut masses = Vec::with_capacity(logits.len().div_ceil(BLOCK));
    // A plain loop: a closure that is not inlined would lose the instruction set.
    for block in logits.chunks(BLOCK) {
        masses.push(block_mass(block, max));
    }
    masses
}

/// The same of up to [`BLOCK`] logits.
#[inline(always)]
fn block_mass(block: &[f32], max: f32) -> f64 {
    let mut exponentials = [0.0f32; BLOCK];
    let exponentials = &mut exponentials[..block.len()];
    exponentials.copy_from_slice(block);
    f64::from(simd::exp_in_place(exponentials, max))
}

/// The token at which the distribution function passes `uniform`, and the log-normaliser.
#[inline(always)]
fn invert(logits: &[f32], uniform: f64) -> (u32, f64) {
    let max = simd::max(logits);
    let masses = masses(logits, max);
    let total: f64 = masses.iter().sum();
    let mut left = uniform * total;
    let mut chosen = None;
    for (number, (block, mass)) in logits.chunks(BLOCK).zip(masses).enumerate() {
        if left >= mass {
            left -= mass;
            continue;
        }
        for (i, logit) in block.iter().enumerate().filter(|(_, logit)| **logit > f32::NEG_INFINITY) {
            chosen = Some(number * BLOCK + i);
            left -= f64::from(simd::exp(logit - max));
            if left < 0.0 {
                return ((number * BLOCK + i) as u32, f64::from(max) + total.ln());
            }
        }
        // Rounding left a crumb past the block's last allowed token, which then is the one.
        left = 0.0;
        if chosen.is_some() {
            break;
        }
    }
    let last = || logits.iter().rposition(|logit| *logit > f32::NEG_INFINITY).unwrap_or(0);
    (chosen.unwrap_or_else(last) as u32, f64::from(max) + total.ln())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{numbers, tensor};

    #[test]
    fn the_whole_unit_interval_maps_to_tokens_in_their_proportions() {
        let vocabulary = 300;
        let logits = tensor(1, 1, vocabulary);
        let mut mask = vec![u64::MAX; 5];
        mask[0] = !0b1011;
        mask[4] &= !(1 << 40);
        let draws = 200_000;
        let mut counts = vec![0usize; vocabulary];
        for i in 0..draws {
            let uniform = (i as f64 + 0.5) / draws as f64;
            let wish = Distribution { mask: &mask, inverse_temperature: 1.3, truncation: Truncation::None, uniform };
            counts[categorical(logits.clone(), &[wish]).id(0) as usize] += 1;
        }
        let wish = Distribution { mask: &mask, inverse_temperature: 1.3, truncation: Truncation::None, uniform: 0.0 };
        let sampled = categorical(logits, &[wish]);
        let everything: Vec<u32> = (0..vocabulary as u32).collect();
        assert!(sampled.distributions.log_prob_of_any(0, &everything).abs() < 1e-6);
        for (id, count) in counts.iter().enumerate() {
            let expected = sampled.distributions.log_prob(0, id as u32).exp() * draws as f64;
            // A grid of uniforms hits each interval to within one point, plus the rounding of f32 masses.
            assert!((*count as f64 - expected).abs() < 2.0, "token {id}: {count} of {expected}");
        }
    }

    #[test]
    fn logits_that_are_no_numbers_show() {
        let truncations = [Truncation::None, Truncation::TopK(3), Truncation::TopP(0.5)];
        // The second is what a processor makes of infinity less infinity.
        for (bad, truncation) in
            [f32::NAN, -f32::NAN, f32::INFINITY].into_iter().flat_map(|bad| truncations.map(|of| (bad, of)))
        {
            let mut logits = tensor(1, 1, 300);
            logits.host_mut()[280] = bad;
            let wish = Distribution { mask: &[u64::MAX; 5], inverse_temperature: 1.0, truncation, uniform: 0.5 };
            assert!(!categorical(logits, &[wish]).distributions.is_finite(), "{bad} {truncation:?}");
        }
    }

    #[test]
    fn the_last_uniform_draws_an_allowed_token() {
        for seed in 0..200 {
            let logits = crate::Device::cpu().from_host(1, 700, &numbers(seed, 700));
            let mut mask = vec![0u64; 11];
            mask[3] = 0b100;
            mask[8] = 0b1;
            let wish = Distribution {
                mask: &mask,
                inverse_temperature: 1.0,
                truncation: Truncation::None,
                uniform: 1.0 - f64::EPSILON / 2.0,
            };
            assert_eq!(categorical(logits, &[wish]).id(0), 512);
        }
    }
}

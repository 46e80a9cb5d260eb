//! Dropout whose mask is a function of a key per row and the channel, so that it can be made again anywhere:
//! in the backward pass, in another micro-batch, or for the same prefix of another sample.

use crate::Tensor;
use crate::cpu::rows;

/// A well-mixed 64-bit value of x (the finaliser of SplitMix64).
#[inline(always)]
pub fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Hashes that are made together.
const TOGETHER: usize = 16;
/// Channels that they decide for.
const BLOCK: usize = 4 * TOGETHER;

/// Which values are dropped: each with probability `rate`; the others grow by `1 / (1 - rate)`.
#[derive(Clone, Debug)]
pub struct Dropout<'a> {
    /// Probability of a zero, in `0..1`.
    pub rate: f32,
    /// Seed of this place in the network at this step.
    pub seed: u64,
    /// What tells a row's token path from others.  `[n]`
    pub row_keys: &'a [u64],
}

impl Dropout<'_> {
    /// Calls `f(out, factor, x)` for every channel of a row: the factor is what the mask multiplies x with.
    #[inline(always)]
    fn apply(&self, row: usize, out: &mut [f32], x: &[f32], f: impl Fn(&mut f32, f32, f32)) {
        let key = mix(self.seed ^ mix(self.row_keys[row]));
        let (outs, out_rest) = out.as_chunks_mut::<BLOCK>();
        let (xs, x_rest) = x.as_chunks::<BLOCK>();
        let whole = outs.len();
        for (block, (out, x)) in outs.iter_mut().zip(xs).enumerate() {
            let factors = self.factors(key, block);
            // A loop of known length over arrays becomes a few vectors.
            for i in 0..BLOCK {
                f(&mut out[i], factors[i], x[i]);
            }
        }
        if !out_rest.is_empty() {
            for ((out, x), factor) in out_rest.iter_mut().zip(x_rest).zip(self.factors(key, whole)) {
                f(out, factor, *x);
            }
        }
    }

    /// What the mask multiplies the channels of a block with.
    ///
    /// One hash decides for four channels, by 16 bits each. They lie apart, so that [`TOGETHER`] hashes are two vectors, whose quarters
    /// decide for neighbours.
    #[inline(always)]
    fn factors(&self, key: u64, block: usize) -> [f32; BLOCK] {
        let threshold = (f64::from(self.rate) * 2f64.powi(16)).round() as u32;
        let grow = 1.0 / (1.0 - self.rate);
        let mut hashes = [0; TOGETHER];
        for (i, hash) in hashes.iter_mut().enumerate() {
            *hash = mix(key.wrapping_add((block * TOGETHER + i) as u64));
        }
        let mut factors = [0.0; BLOCK];
        for (quarter, factors) in factors.chunks_exact_mut(TOGETHER).enumerate() {
            for (factor, hash) in factors.iter_mut().zip(&hashes) {
                let bits = (hash >> (16 * quarter)) as u32 & 0xffff;
                *factor = if bits >= threshold { grow } else { 0.0 };
            }
        }
        factors
    }

    fn check(&self, x: &Tensor) {
        assert_eq!(x.rows(), self.row_keys.len());
        assert!((0.0..1.0).contains(&self.rate), "a dropout rate of {}", self.rate);
    }
}

/// `y = mask(x) / (1 - rate)`: `[n, d] -> [n, d]`.
pub fn forward(x: &Tensor, dropout: &Dropout) -> Tensor {
    dropout.check(x);
    let mut y = x.device().scratch(x.rows(), x.cols());
    rows::for_each(
        &mut y,
        #[inline(always)]
        |row, y| {
            dropout.apply(
                row,
                y,
                x.row(row),
                #[inline(always)]
                |y, factor, x| *y = factor * x,
            );
        },
    );
    y
}

/// `dx += mask(dy) / (1 - rate)`: `[n, d]` both.
pub fn backward(dy: &Tensor, dropout: &Dropout, dx: &mut Tensor) {
    dropout.check(dy);
    assert_eq!((dx.rows(), dx.cols()), (dy.rows(), dy.cols()));
    rows::for_each(
        dx,
        #[inline(always)]
        |row, dx| {
            dropout.apply(
                row,
                dx,
                dy.row(row),
                #[inline(always)]
                |dx, factor, dy| *dx += factor * dy,
            );
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{gradient, tensor, weighted_sum};

    #[test]
    fn passes_finite_differences() {
        // More channels than are decided together, and no multiple of them.
        let (x, c) = (tensor(1, 4, 150), tensor(2, 4, 150));
        let dropout = Dropout { rate: 0.4, seed: 3, row_keys: &[1, 2, 1, 9] };
        let mut dx = x.device().zeros(4, 150);
        backward(&c, &dropout, &mut dx);
        gradient(&x, &dx, |x| weighted_sum(&forward(x, &dropout), &c));
    }

    #[test]
    fn rows_with_one_key_share_a_mask_and_others_do_not() {
        let x = tensor(1, 1, 64);
        let keys = [5, 5, 6];
        let same = x.device().from_host(3, 64, &x.host().repeat(3));
        let y = forward(&same, &Dropout { rate: 0.5, seed: 1, row_keys: &keys });
        assert_eq!(y.row(0), y.row(1));
        assert_ne!(y.row(0), y.row(2));
    }

    #[test]
    fn drops_the_stated_share_and_keeps_the_mean() {
        let x = crate::Device::cpu().from_host(100, 1000, &[1.0; 100_000]);
        let keys: Vec<u64> = (0..100).collect();
        let y = forward(&x, &Dropout { rate: 0.1, seed: 7, row_keys: &keys });
        let dropped = y.host().iter().filter(|y| **y == 0.0).count() as f64 / 1e5;
        let mean = y.host().iter().map(|y| *y as f64).sum::<f64>() / 1e5;
        // Standard errors are 0.001 each.
        assert!((dropped - 0.1).abs() < 0.005 && (mean - 1.0).abs() < 0.005, "{dropped} {mean}");
    }
}

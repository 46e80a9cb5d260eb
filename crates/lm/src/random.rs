//! Weights that nobody trained, for models that are measured rather than used: the decoder is built from them by the
//! code that builds it from files.

use amortize_engine::ops::dropout::mix;
use rayon::prelude::*;

use crate::error::Result;
use crate::weights::TensorSource;

/// Standard deviation of a matrix's values, as GPT-2 and Llama are initialised.
const STANDARD_DEVIATION: f32 = 0.02;

/// Values that one task draws, from a generator of its own, so that the number of threads changes nothing.
const BLOCK: usize = 1 << 14;

/// Random tensors of any name and shape. A tensor depends on the seed and its name alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RandomWeights {
    pub seed: u64,
}

impl TensorSource for RandomWeights {
    /// Matrices are uniform around zero; a norm's weights are ones and all biases zeros, as before training.
    fn take(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let len = shape.iter().product();
        Ok(match shape {
            [_] if name.ends_with("bias") => vec![0.0; len],
            [_] => vec![1.0; len],
            _ => uniform(self.seed_of(name), len),
        })
    }

    fn prefix<'a>(&self, candidates: &[&'a str], _probe: &str) -> Result<&'a str> {
        Ok(candidates[0])
    }
}

impl RandomWeights {
    fn seed_of(&self, name: &str) -> u64 {
        name.bytes().fold(mix(self.seed), |hash, byte| mix(hash ^ u64::from(byte)))
    }
}

/// `len` values, uniform with mean 0 and the standard deviation above.
fn uniform(seed: u64, len: usize) -> Vec<f32> {
    let bound = STANDARD_DEVIATION * 3f32.sqrt();
    // 24 bits are as many as an f32 in -1..1 can tell apart.
    let value = |bits: u64| bound * ((bits & 0xff_ffff) as f32 / (1 << 23) as f32 - 1.0);
    let mut values = vec![0.0; len];
    values.par_chunks_mut(BLOCK).enumerate().for_each(|(block, values)| {
        let start = mix(seed ^ mix(block as u64));
        for (i, pair) in values.chunks_mut(2).enumerate() {
            let bits = mix(start.wrapping_add(i as u64));
            pair.iter_mut().zip([bits, bits >> 32]).for_each(|(slot, bits)| *slot = value(bits));
        }
    });
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(seed: u64, name: &str, shape: &[usize]) -> Vec<f32> {
        RandomWeights { seed }.take(name, shape).expect("random numbers never run out")
    }

    #[test]
    fn a_matrix_has_the_moments_of_an_untrained_one() {
        let values = take(1, "h.0.attn.c_attn.weight", &[300, 401]);
        let mean = |f: &dyn Fn(f64) -> f64| values.iter().map(|x| f(f64::from(*x))).sum::<f64>() / values.len() as f64;
        assert_eq!(values.len(), 300 * 401);
        assert!(mean(&|x| x).abs() < 5e-4);
        assert!((mean(&|x| x * x).sqrt() - 0.02).abs() < 2e-4);
        let neighbours: f64 = values.windows(2).map(|pair| f64::from(pair[0] * pair[1])).sum();
        assert!((neighbours / values.len() as f64).abs() < 1e-2 * 0.02 * 0.02, "neighbours are independent");
    }

    #[test]
    fn a_tensor_depends_on_its_name_and_the_seed() {
        let values = take(1, "a.weight", &[8, 5]);
        assert_eq!(values, take(1, "a.weight", &[8, 5]));
        assert_ne!(values, take(1, "b.weight", &[8, 5]));
        assert_ne!(values, take(2, "a.weight", &[8, 5]));
    }

    #[test]
    fn norms_and_biases_are_as_before_training() {
        assert_eq!(take(1, "h.0.ln_1.weight", &[3]), [1.0; 3]);
        assert_eq!(take(1, "h.0.ln_1.bias", &[3]), [0.0; 3]);
        assert_eq!(take(1, "norm.weight", &[2]), [1.0; 2]);
    }
}

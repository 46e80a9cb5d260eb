//! Weights that nobody trained, for models that are measured rather than used: the decoder is built from them by the
//! code that builds it from files.

use amortize_engine::ops::dropout::mix;
use rayon::prelude::*;

use crate::error::Result;
use crate::weights::{BLOCK, TensorSource};

/// Standard deviation of a matrix's values, as GPT-2 and Llama are initialised.
const STANDARD_DEVIATION: f32 = 0.02;

/// Values that one thread draws at once.
const WORTH_A_THREAD: usize = 1 << 14;

/// Random tensors of any name and shape. A tensor depends on the seed and its name alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RandomWeights {
    pub seed: u64,
}

impl TensorSource for RandomWeights {
    fn check(&self, _name: &str, _shape: &[usize]) -> Result<()> {
        Ok(())
    }

    /// Matrices are uniform around zero; a norm's weights are ones and all biases zeros, as before training.
    fn take(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let mut values = vec![0.0; shape.iter().product()];
        match shape {
            [_] if name.ends_with("bias") => {}
            [_] => values.fill(1.0),
            _ => uniform(self.seed_of(name), 0, &mut values),
        }
        Ok(values)
    }

    fn for_rows(&self, name: &str, [rows, cols]: [usize; 2], f: &mut dyn FnMut(usize, &[f32])) -> Result<()> {
        let (seed, step) = (self.seed_of(name), (BLOCK / cols.max(1)).max(1));
        let mut values = Vec::new();
        for first in (0..rows).step_by(step) {
            values.resize(step.min(rows - first) * cols, 0.0);
            uniform(seed, first * cols, &mut values);
            f(first, &values);
        }
        Ok(())
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

/// A tensor's values from number `first` on, uniform with mean 0 and the standard deviation above. Each depends on its
/// number alone.
fn uniform(seed: u64, first: usize, values: &mut [f32]) {
    let bound = STANDARD_DEVIATION * 3f32.sqrt();
    values.par_chunks_mut(WORTH_A_THREAD).enumerate().for_each(|(chunk, values)| {
        let first = first + chunk * WORTH_A_THREAD;
        for (i, value) in values.iter_mut().enumerate() {
            // 24 bits are as many as an f32 in -1..1 can tell apart.
            let bits = mix(seed.wrapping_add((first + i) as u64)) & 0xff_ffff;
            *value = bound * (bits as f32 / (1 << 23) as f32 - 1.0);
        }
    });
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
    fn rows_of_a_matrix_are_those_of_the_whole() {
        let [rows, cols] = [50, BLOCK / 20 + 1];
        let mut found = Vec::new();
        let mut note = |first: usize, values: &[f32]| {
            assert_eq!(first * cols, found.len());
            found.extend_from_slice(values);
        };
        RandomWeights { seed: 1 }.for_rows("a.weight", [rows, cols], &mut note).expect("random numbers never run out");
        assert!(found == take(1, "a.weight", &[rows, cols]));
    }

    #[test]
    fn norms_and_biases_are_as_before_training() {
        assert_eq!(take(1, "h.0.ln_1.weight", &[3]), [1.0; 3]);
        assert_eq!(take(1, "h.0.ln_1.bias", &[3]), [0.0; 3]);
        assert_eq!(take(1, "norm.weight", &[2]), [1.0; 2]);
    }
}

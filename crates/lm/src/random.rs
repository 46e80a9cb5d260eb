//! Weights that nobody trained yet: of a model that is about to be, or of one that is measured rather than used. The
//! decoder is built from them by the code that builds it from files.

use amortize_engine::ops::dropout::mix;
use rayon::prelude::*;

use crate::config::{Family, ModelConfig};
use crate::error::Result;
use crate::weights::{BLOCK, TensorSource};

/// Values that one thread draws at once.
const WORTH_A_THREAD: usize = 1 << 14;

/// Random tensors of any name and shape. A tensor depends on the seed and its name alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RandomWeights {
    seed: u64,
    /// Standard deviation of a matrix's values.
    deviation: f32,
    /// What that is multiplied by where a block's result is added to the residual stream.
    residual_scale: f32,
    /// A value from the seed of its own, with mean 0 and standard deviation 1.
    draw: fn(u64) -> f32,
}

impl TensorSource for RandomWeights {
    fn check(&self, _name: &str, _shape: &[usize]) -> Result<()> {
        Ok(())
    }

    /// Matrices are drawn; a norm's weights are ones and all biases zeros, as before training.
    fn take(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let mut values = vec![0.0; shape.iter().product()];
        match shape {
            [_] if name.ends_with("bias") => {}
            [_] => values.fill(1.0),
            _ => self.fill(name, 0, &mut values),
        }
        Ok(values)
    }

    fn for_rows(&self, name: &str, [rows, cols]: [usize; 2], f: &mut dyn FnMut(usize, &[f32])) -> Result<()> {
        let step = (BLOCK / cols.max(1)).max(1);
        let mut values = Vec::new();
        for first in (0..rows).step_by(step) {
            values.resize(step.min(rows - first) * cols, 0.0);
            self.fill(name, first * cols, &mut values);
            f(first, &values);
        }
        Ok(())
    }

    fn prefix<'a>(&self, candidates: &[&'a str], _probe: &str) -> Result<&'a str> {
        Ok(candidates[0])
    }
}

impl RandomWeights {
    /// Of a model to be measured: uniform values, which are drawn fast.
    pub(crate) fn uniform(seed: u64) -> Self {
        Self { seed, deviation: 0.02, residual_scale: 1.0, draw: uniform }
    }

    /// Of a model to be trained: normal values with the deviation of its config; GPT-2 divides that of the projections
    /// back into the residual stream, of which there are two a block, by the root of their number.
    pub(crate) fn initial(seed: u64, config: &ModelConfig) -> Self {
        let residual_scale = match config.family {
            Family::Gpt2 => 1.0 / ((2 * config.layers) as f32).sqrt(),
            Family::Llama => 1.0,
        };
        Self { seed, deviation: config.initializer_range, residual_scale, draw: normal }
    }

    fn seed_of(&self, name: &str) -> u64 {
        name.bytes().fold(mix(self.seed), |hash, byte| mix(hash ^ u64::from(byte)))
    }

    /// A tensor's values from number `first` on. Each depends on its number alone.
    fn fill(&self, name: &str, first: usize, values: &mut [f32]) {
        let (seed, draw) = (self.seed_of(name), self.draw);
        let scale = if name.ends_with("c_proj.weight") { self.residual_scale } else { 1.0 };
        values.par_chunks_mut(WORTH_A_THREAD).enumerate().for_each(|(chunk, values)| {
            let first = first + chunk * WORTH_A_THREAD;
            for (i, value) in values.iter_mut().enumerate() {
                *value = scale * self.deviation * draw(seed.wrapping_add((first + i) as u64));
            }
        });
    }
}

/// A number from -1 to below 1; 24 bits are as many as an f32 there can tell apart.
fn symmetric(seed: u64) -> f32 {
    (mix(seed) & 0xff_ffff) as f32 / (1 << 23) as f32 - 1.0
}

fn uniform(seed: u64) -> f32 {
    3f32.sqrt() * symmetric(seed)
}

/// Box and Muller's transform of two uniform numbers.
fn normal(seed: u64) -> f32 {
    let bits = mix(seed);
    // Never 0, whose logarithm is infinite.
    let radius = ((bits >> 40) as f64 + 0.5) / (1u64 << 24) as f64;
    let angle = (bits & 0xffff_ffff) as f64 / (1u64 << 32) as f64;
    ((-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(seed: u64, name: &str, shape: &[usize]) -> Vec<f32> {
        RandomWeights::uniform(seed).take(name, shape).expect("random numbers never run out")
    }

    /// Mean of powers 1, 2 and 4.
    fn moments(values: &[f32]) -> [f64; 3] {
        let mean = |power: i32| values.iter().map(|x| f64::from(*x).powi(power)).sum::<f64>() / values.len() as f64;
        [mean(1), mean(2), mean(4)]
    }

    #[test]
    fn initial_values_are_normal_and_smaller_on_the_way_back_into_the_residual_stream() {
        let text = r#"{"model_type": "gpt2", "vocab_size": 100, "n_embd": 12, "n_layer": 8, "n_head": 3,
                       "n_positions": 32, "initializer_range": 0.1}"#;
        let config = ModelConfig::from_json(text, std::path::Path::new("config.json")).expect("a config");
        let source = RandomWeights::initial(1, &config);
        for (name, deviation) in [("wte.weight", 0.1), ("h.0.attn.c_proj.weight", 0.1 / 4.0)] {
            let [mean, square, fourth] = moments(&source.take(name, &[300, 401]).expect("numbers"));
            assert!(mean.abs() < 0.01 * deviation && (square.sqrt() / deviation - 1.0).abs() < 0.01, "{name}");
            // A normal distribution's kurtosis.
            assert!((fourth / (square * square) - 3.0).abs() < 0.1, "{name}");
        }
    }

    #[test]
    fn a_matrix_has_the_moments_of_an_untrained_one() {
        let values = take(1, "h.0.attn.c_attn.weight", &[300, 401]);
        assert_eq!(values.len(), 300 * 401);
        let [mean, square, _] = moments(&values);
        assert!(mean.abs() < 5e-4 && (square.sqrt() - 0.02).abs() < 2e-4);
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
        RandomWeights::uniform(1).for_rows("a.weight", [rows, cols], &mut note).expect("random numbers never run out");
        assert!(found == take(1, "a.weight", &[rows, cols]));
    }

    #[test]
    fn norms_and_biases_are_as_before_training() {
        assert_eq!(take(1, "h.0.ln_1.weight", &[3]), [1.0; 3]);
        assert_eq!(take(1, "h.0.ln_1.bias", &[3]), [0.0; 3]);
        assert_eq!(take(1, "norm.weight", &[2]), [1.0; 2]);
    }
}

//! What a workload cannot do without, counted from its sizes: the least time that it can take on a machine.
//!
//! Counted are the matrix products of an ideal program: every prompt once, logits only at rows that are asked about, no
//! gradient of frozen weights, nothing computed twice for the backward pass. What is not a product of matrices (norms,
//! softmax, sampling, the optimizer) counts as free. A multiplication and an addition are two flops.

mod architecture;
mod passes;

use std::fmt;
use std::str::FromStr;

use amortize_engine::probe;
use amortize_lm::Precision;

pub use architecture::Architecture;
pub use passes::{Kind, Pass, passes};

/// What a machine can do. Written and read as both numbers with a comma between them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    /// Arithmetic of large matrix products with weights in the workload's precision, in flop/s.
    pub product_rate: f64,
    /// Reading from memory, in bytes/s.
    pub bandwidth: f64,
}

impl Machine {
    /// Measures this machine with rayon's current threads, which takes a second or two and half a GiB.
    pub fn measure(precision: Precision) -> Self {
        Self { product_rate: probe::product_rate(precision), bandwidth: probe::memory_bandwidth() }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{},{}", self.product_rate, self.bandwidth)
    }
}

impl FromStr for Machine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rate = |text: &str| text.parse().ok().filter(|rate: &f64| *rate > 0.0 && rate.is_finite());
        let rates = text.split_once(',').and_then(|(product, bytes)| Some((rate(product)?, rate(bytes)?)));
        let (product_rate, bandwidth) = rates.ok_or("flop/s and bytes/s are needed, such as 4e11,2e10")?;
        Ok(Self { product_rate, bandwidth })
    }
}

/// The least seconds that passes through a model take, one after the other: each has its products to compute and its
/// weights to read, of which the slower counts. `bytes_per_weight` is of the frozen weights.
pub fn seconds(passes: &[Pass], model: &Architecture, bytes_per_weight: f64, machine: Machine) -> f64 {
    let of_pass = |pass: &Pass| {
        let products = model.flops(pass) as f64 / machine.product_rate;
        let reading = model.bytes(pass, bytes_per_weight) / machine.bandwidth;
        products.max(reading)
    };
    passes.iter().map(of_pass).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Shape, Sizes, Workload};

    #[test]
    fn a_machine_is_read_as_it_is_written() {
        let machine = Machine { product_rate: 3.987654321e11, bandwidth: 2.0e10 / 3.0 };
        assert_eq!(machine.to_string().parse(), Ok(machine));
        for text in ["4e11", "4e11,0", "x,2e10", "4e11,inf"] {
            assert!(text.parse::<Machine>().unwrap_err().contains("4e11,2e10"), "{text}");
        }
    }

    /// Decoding reads all weights for a few rows; training has hundreds of rows for each.
    #[test]
    fn the_slower_of_arithmetic_and_reading_counts_in_every_pass() {
        let sizes = Sizes { samples: 16, tokens: 24, prompt: 32, suffix: 12 };
        let model = Architecture::of(&Shape::Gpt2.config(), &Workload::Train.lora());
        let (train, sample) = (passes(Workload::Train, &sizes), passes(Workload::Sample, &sizes));
        let machine = Machine { product_rate: 4e11, bandwidth: 2e10 };
        let flops = |passes: &[Pass]| passes.iter().map(|pass| model.flops(pass)).sum::<u64>() as f64;
        let bytes = |passes: &[Pass]| passes.iter().map(|pass| model.bytes(pass, 4.0)).sum::<f64>();
        let close = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-12;
        assert!(close(seconds(&train, &model, 4.0, machine), flops(&train) / 4e11));
        assert!(close(seconds(&sample, &model, 4.0, machine), bytes(&sample) / 2e10));
        // On a machine that reads at once, the arithmetic remains.
        let machine = Machine { bandwidth: 1e18, ..machine };
        assert!(close(seconds(&sample, &model, 4.0, machine), flops(&sample) / 4e11));
    }
}

//! One measurement and its result.

use amortize_lm::{Device, Model, Precision};
use amortize_train::memory::peak_rss_mib;
use serde::{Deserialize, Serialize};

use crate::floor::{self, Architecture, Machine};
use crate::{Result, Shape, Sizes, Workload, timing};

/// Decides the weights.
const SEED: u64 = 0;

/// One workload on one shape in one precision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Case {
    /// The model's shape.
    pub shape: Shape,
    /// What it does.
    pub workload: Workload,
    /// How its frozen weights are stored.
    pub precision: Precision,
    /// How much there is to do.
    pub sizes: Sizes,
    /// Timed runs.
    pub repeats: usize,
}

/// What was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// The workload's name.
    pub workload: String,
    /// The precision's name.
    pub precision: String,
    /// Seconds of a run: the median.
    pub seconds: f64,
    /// Tokens of all samples over the seconds.
    pub tokens_per_s: f64,
    /// The process's resident memory at its highest, in MiB, loading included; absent where the system does not tell.
    pub peak_rss_mb: Option<f64>,
    /// `floor_seconds` over `seconds`: 1 is as fast as the machine can be.
    pub floor_share: f64,
    /// The least seconds that the workload's matrix products and weights allow on this machine.
    pub floor_seconds: f64,
    /// Seconds of the fastest run.
    pub seconds_min: f64,
    /// Timed runs.
    pub repeats: usize,
    /// The shape's name.
    pub shape: String,
    /// How much there was to do.
    #[serde(flatten)]
    pub sizes: Sizes,
    /// Threads that computed.
    pub threads: usize,
    /// Arithmetic of large matrix products in this precision, in flop/s.
    pub product_rate: f64,
    /// Reading from memory, in bytes/s.
    pub memory_bandwidth: f64,
}

impl Case {
    /// Whether the case can be measured at all.
    ///
    /// # Errors
    /// If its sizes do not fit its shape.
    pub fn check(&self) -> Result<()> {
        self.sizes.check(self.workload, &self.shape.config())
    }

    /// Makes the model and runs the workload with rayon's current threads. The machine is measured unless it was before.
    ///
    /// # Errors
    /// As [`Case::check`].
    pub fn run(&self, machine: Option<Machine>) -> Result<Outcome> {
        self.check()?;
        let model = Model::random(self.shape.config(), SEED, &Device::cpu(), self.precision)?;
        let taken = self.workload.seconds(&model, &self.sizes, self.repeats)?;
        // Before the machine is measured, which takes memory of its own.
        let peak_rss_mb = peak_rss_mib();
        let machine = machine.unwrap_or_else(|| Machine::measure(self.precision));
        let seconds = timing::median(&taken);
        let floor_seconds = self.floor_seconds(machine);
        Ok(Outcome {
            workload: self.workload.to_string(),
            precision: self.precision.to_string(),
            seconds,
            tokens_per_s: (self.sizes.samples * self.sizes.tokens) as f64 / seconds,
            peak_rss_mb,
            floor_share: floor_seconds / seconds,
            floor_seconds,
            seconds_min: taken.iter().copied().fold(f64::INFINITY, f64::min),
            repeats: self.repeats,
            shape: self.shape.to_string(),
            sizes: self.sizes,
            threads: rayon::current_num_threads(),
            product_rate: machine.product_rate,
            memory_bandwidth: machine.bandwidth,
        })
    }

    fn floor_seconds(&self, machine: Machine) -> f64 {
        let model = Architecture::of(&self.shape.config(), &self.workload.lora());
        let passes = floor::passes(self.workload, &self.sizes);
        floor::seconds(&passes, &model, self.precision.bytes_per_value(), machine)
    }
}

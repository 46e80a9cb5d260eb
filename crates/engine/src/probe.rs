//! What this machine can do at best: the floors that a workload's time is held against.

use std::hint::black_box;
use std::time::Instant;

use rayon::prelude::*;

use crate::buffer::Buffer;
use crate::cpu::simd;
use crate::{Device, Precision, Weight, ops};

/// Multiplications and additions a second in a large product of `x Wᵀ` with a packed weight, on all of rayon's threads: the best of
/// some repetitions, which take about a second.
pub fn product_rate(precision: Precision) -> f64 {
    const ROWS: usize = 480;
    const OUTPUTS: usize = 3072;
    const INPUTS: usize = 1024;
    const REPEATS: usize = 40;
    let device = Device::cpu();
    let ramp = |n: usize| -> Vec<f32> { (0..n).map(|i| (i % 251) as f32 / 251.0 - 0.5).collect() };
    let weight = Weight::new(&device, OUTPUTS, INPUTS, &ramp(OUTPUTS * INPUTS), precision);
    let x = device.from_host(ROWS, INPUTS, &ramp(ROWS * INPUTS));
    let seconds = best_of(REPEATS, || {
        black_box(ops::linear::forward(&x, &weight, None));
    });
    2.0 * (ROWS * OUTPUTS * INPUTS) as f64 / seconds
}

/// Bytes a second that all of rayon's threads together read from memory, in buffers that no cache can hold.
pub fn memory_bandwidth() -> f64 {
    const FLOATS: usize = 128 << 20;
    const CHUNK: usize = 1 << 20;
    // On the pages that weights have.
    let mut data = Buffer::<f32>::zeros(FLOATS);
    data.fill(1.0);
    let seconds = best_of(5, || {
        let total: f32 = data.par_chunks(CHUNK).map(|chunk| simd::vectorised(|| simd::sum(chunk))).sum();
        black_box(total);
    });
    (FLOATS * size_of::<f32>()) as f64 / seconds
}

fn best_of(repeats: usize, mut body: impl FnMut()) -> f64 {
    body();
    let time = |_| {
        let started = Instant::now();
        body();
        started.elapsed().as_secs_f64()
    };
    (0..repeats).map(time).fold(f64::INFINITY, f64::min)
}

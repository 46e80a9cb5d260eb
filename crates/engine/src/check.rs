//! Finite differences, for the tests of every op.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{Device, Tensor};

/// Numbers of about unit size from a seed.
pub(crate) fn numbers(seed: u64, n: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..n).map(|_| normalish(&mut rng)).collect()
}

fn normalish(rng: &mut impl Rng) -> f32 {
    (0..4).map(|_| rng.random_range(-0.85..0.85)).sum()
}

/// A tensor of about unit-sized numbers from a seed.
pub(crate) fn tensor(seed: u64, rows: usize, cols: usize) -> Tensor {
    Device::cpu().from_host(rows, cols, &numbers(seed, rows * cols))
}

/// `Σ c_i x_i` in f64: a scalar loss whose gradient with respect to the tensor is `c`.
pub(crate) fn weighted_sum(x: &Tensor, c: &Tensor) -> f64 {
    x.host().iter().zip(c.host()).map(|(x, c)| *x as f64 * *c as f64).sum()
}

/// Compares `analytic` with the five-point finite difference of `loss` at `x`, element by element, and demands
/// agreement to 5e-4 of the largest gradient.
pub(crate) fn gradient(x: &Tensor, analytic: &Tensor, loss: impl Fn(&Tensor) -> f64) {
    assert_eq!((x.rows(), x.cols()), (analytic.rows(), analytic.cols()));
    let largest = analytic.host().iter().fold(0.0f32, |a, b| a.max(b.abs())) as f64;
    assert!(largest > 1e-3, "a gradient that is zero everywhere shows nothing");
    for i in 0..x.host().len() {
        let numeric = five_point(x, i, &loss);
        let found = analytic.host()[i] as f64;
        assert!((found - numeric).abs() < 5e-4 * largest.max(1.0), "element {i}: analytic {found}, numeric {numeric}");
    }
}

fn five_point(x: &Tensor, i: usize, loss: &impl Fn(&Tensor) -> f64) -> f64 {
    let step = 0.02;
    let at = |offset: f32| {
        let mut moved = x.clone();
        moved.host_mut()[i] += offset;
        loss(&moved)
    };
    let near = at(step) - at(-step);
    let far = at(2.0 * step) - at(-2.0 * step);
    (8.0 * near - far) / (12.0 * step as f64)
}

//! Root-mean-square normalisation: `y = x / sqrt(mean(x²) + eps) * w`.

use crate::Tensor;
use crate::cpu::rows;
use crate::cpu::simd::{dot, sum_of_squares};

#[inline(always)]
fn inverse_rms(x: &[f32], eps: f32) -> f32 {
    1.0 / (sum_of_squares(x, 0.0) / x.len() as f32 + eps).sqrt()
}

/// x `[n, d]`, w `[1, d]` -> y `[n, d]`.
pub fn forward(x: &Tensor, weight: &Tensor, eps: f32) -> Tensor {
    let mut y = x.device().scratch(x.rows(), x.cols());
    let weight = weight.host();
    rows::for_each(
        &mut y,
        #[inline(always)]
        |row, y| {
            let x = x.row(row);
            let inverse = inverse_rms(x, eps);
            for ((y, x), w) in y.iter_mut().zip(x).zip(weight) {
                *y = x * inverse * w;
            }
        },
    );
    y
}

/// With g = w dy and r = 1 / rms: `dx += r g - x r³ mean(g x)`.
pub fn backward_input(dy: &Tensor, x: &Tensor, weight: &Tensor, eps: f32, dx: &mut Tensor) {
    let weight = weight.host();
    rows::for_each(
        dx,
        #[inline(always)]
        |row, dx| {
            let (x, dy) = (x.row(row), dy.row(row));
            let inverse = inverse_rms(x, eps);
            let along = weighted_dot(dy, weight, x) * inverse * inverse * inverse / x.len() as f32;
            for (((dx, dy), w), x) in dx.iter_mut().zip(dy).zip(weight).zip(x) {
                *dx += inverse * dy * w - along * x;
            }
        },
    );
}

#[inline(always)]
fn weighted_dot(dy: &[f32], weight: &[f32], x: &[f32]) -> f32 {
    const CHUNK: usize = 256;
    let mut products = [0.0f32; CHUNK];
    let mut total = 0.0;
    for ((dy, w), x) in dy.chunks(CHUNK).zip(weight.chunks(CHUNK)).zip(x.chunks(CHUNK)) {
        let products = &mut products[..x.len()];
        for ((p, dy), w) in products.iter_mut().zip(dy).zip(w) {
            *p = dy * w;
        }
        total += dot(products, x);
    }
    total
}

/// `dw += Σ_rows dy x / rms`: dw `[1, d]`. Only where the weight is trained.
pub fn backward_weight(dy: &Tensor, x: &Tensor, eps: f32, dw: &mut Tensor) {
    rows::accumulate(
        dw.host_mut(),
        x.rows(),
        #[inline(always)]
        |row, sums| {
            let (x, dy) = (x.row(row), dy.row(row));
            let inverse = inverse_rms(x, eps);
            for ((sum, x), dy) in sums.iter_mut().zip(x).zip(dy) {
                *sum += dy * x * inverse;
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{gradient, tensor, weighted_sum};

    #[test]
    fn passes_finite_differences() {
        let (x, w, c) = (tensor(1, 3, 19), tensor(2, 1, 19), tensor(3, 3, 19));
        let device = x.device();
        let (mut dx, mut dw) = (device.zeros(3, 19), device.zeros(1, 19));
        backward_input(&c, &x, &w, 1e-5, &mut dx);
        backward_weight(&c, &x, 1e-5, &mut dw);
        gradient(&x, &dx, |x| weighted_sum(&forward(x, &w, 1e-5), &c));
        gradient(&w, &dw, |w| weighted_sum(&forward(&x, w, 1e-5), &c));
    }
}

//! Layer normalisation: `y = (x - mean) / sqrt(var + eps) * w + b`.

use crate::Tensor;
use crate::cpu::rows;
use crate::cpu::simd::{centred_dot, sum, sum_of_squares};

/// Mean and inverse standard deviation of a row.
#[inline(always)]
fn statistics(x: &[f32], eps: f32) -> (f32, f32) {
    let mean = sum(x) / x.len() as f32;
    (mean, 1.0 / (sum_of_squares(x, mean) / x.len() as f32 + eps).sqrt())
}

/// x `[n, d]`, w and b `[1, d]` -> y `[n, d]`.
pub fn forward(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f32) -> Tensor {
    let mut y = x.device().scratch(x.rows(), x.cols());
    let (weight, bias) = (weight.host(), bias.host());
    rows::for_each(
        &mut y,
        #[inline(always)]
        |row, y| {
            let x = x.row(row);
            let (mean, inverse) = statistics(x, eps);
            for (((y, x), w), b) in y.iter_mut().zip(x).zip(weight).zip(bias) {
                *y = (x - mean) * inverse * w + b;
            }
        },
    );
    y
}

/// With g = w dy and x̂ the normalised x: `dx += (g - mean(g) - x̂ mean(g x̂)) / sd`.
pub fn backward_input(dy: &Tensor, x: &Tensor, weight: &Tensor, eps: f32, dx: &mut Tensor) {
    let weight = weight.host();
    let mut g = dy.clone();
    rows::for_each_pair(
        dx,
        &mut g,
        #[inline(always)]
        |row, dx, g| {
            let x = x.row(row);
            let (mean, inverse) = statistics(x, eps);
            for (g, w) in g.iter_mut().zip(weight) {
                *g *= w;
            }
            let g_mean = sum(g) / x.len() as f32;
            let along = centred_dot(g, x, mean) * inverse * inverse / x.len() as f32;
            for ((dx, g), x) in dx.iter_mut().zip(g.iter()).zip(x) {
                *dx += inverse * (g - g_mean - (x - mean) * along);
            }
        },
    );
}

/// `dw += Σ_rows dy x̂`, `db += Σ_rows dy`: both `[1, d]`. Only where they are trained.
pub fn backward_weight(dy: &Tensor, x: &Tensor, eps: f32, dw: &mut Tensor, db: &mut Tensor) {
    rows::accumulate(
        dw.host_mut(),
        x.rows(),
        #[inline(always)]
        |row, sums| {
            let (x, dy) = (x.row(row), dy.row(row));
            let (mean, inverse) = statistics(x, eps);
            for ((sum, x), dy) in sums.iter_mut().zip(x).zip(dy) {
                *sum += dy * (x - mean) * inverse;
            }
        },
    );
    super::linear::backward_bias(dy, db);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{gradient, tensor, weighted_sum};

    #[test]
    fn passes_finite_differences() {
        let (x, w, b, c) = (tensor(1, 3, 21), tensor(2, 1, 21), tensor(3, 1, 21), tensor(4, 3, 21));
        let device = x.device();
        let (mut dx, mut dw, mut db) = (device.zeros(3, 21), device.zeros(1, 21), device.zeros(1, 21));
        backward_input(&c, &x, &w, 1e-5, &mut dx);
        backward_weight(&c, &x, 1e-5, &mut dw, &mut db);
        gradient(&x, &dx, |x| weighted_sum(&forward(x, &w, &b, 1e-5), &c));
        gradient(&w, &dw, |w| weighted_sum(&forward(&x, w, &b, 1e-5), &c));
        gradient(&b, &db, |b| weighted_sum(&forward(&x, &w, b, 1e-5), &c));
    }
}

//! The nonlinearity of the feed-forward block, plain or gated.

use crate::Tensor;
use crate::cpu::rows;
use crate::cpu::simd::{exp, sigmoid, tanh};

/// Which function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// GELU by its tanh approximation (`gelu_new`, `gelu_pytorch_tanh`).
    GeluTanh,
    /// GELU by the error function (`gelu`).
    GeluExact,
    /// `max(x, 0)`
    Relu,
    /// `x sigmoid(x)` (`silu`, `swish`).
    Silu,
}

const SQRT_2_OVER_PI: f32 = 0.797_884_6;
const GELU_CUBIC: f32 = 0.044_715;

#[inline(always)]
fn gelu_tanh(x: f32) -> (f32, f32) {
    let t = tanh(SQRT_2_OVER_PI * (x + GELU_CUBIC * x * x * x));
    let slope = SQRT_2_OVER_PI * (1.0 + 3.0 * GELU_CUBIC * x * x);
    (0.5 * x * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * slope)
}

/// The error function to 1.5e-7 (Abramowitz and Stegun, 7.1.26).
#[inline(always)]
fn erf(x: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let poly = ((((1.061_405_4 * t - 1.453_152) * t + 1.421_413_8) * t - 0.284_496_74) * t + 0.254_829_6) * t;
    (1.0 - poly * exp(-x * x)).copysign(x)
}

#[inline(always)]
fn gelu_exact(x: f32) -> (f32, f32) {
    let below = 0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2));
    (x * below, below + x * 0.398_942_3 * exp(-0.5 * x * x))
}

#[inline(always)]
fn relu(x: f32) -> (f32, f32) {
    (x.max(0.0), if x > 0.0 { 1.0 } else { 0.0 })
}

#[inline(always)]
fn silu(x: f32) -> (f32, f32) {
    let s = sigmoid(x);
    (x * s, s * (1.0 + x * (1.0 - s)))
}

/// Calls `$body` with `$f` bound to the chosen function, so that each choice is a loop of its own.
macro_rules! with_function {
    ($activation:expr, $f:ident => $body:expr) => {
        match $activation {
            Activation::GeluTanh => {
                let $f = gelu_tanh;
                $body
            }
            Activation::GeluExact => {
                let $f = gelu_exact;
                $body
            }
            Activation::Relu => {
                let $f = relu;
                $body
            }
            Activation::Silu => {
                let $f = silu;
                $body
            }
        }
    };
}

/// `y = f(x)`: `[n, d] -> [n, d]`.
pub fn forward(activation: Activation, x: &Tensor) -> Tensor {
    let mut y = x.device().scratch(x.rows(), x.cols());
    with_function!(activation, f => rows::for_each(&mut y, #[inline(always)] |row, y| {
        for (y, x) in y.iter_mut().zip(x.row(row)) {
            *y = f(*x).0;
        }
    }));
    y
}

/// The gradient of x, `f'(x) dy`, in place of dy, and `f(x)` again, which is made of the same exponential.
pub fn backward(activation: Activation, x: &Tensor, dy: &mut Tensor) -> Tensor {
    let mut y = x.device().scratch(x.rows(), x.cols());
    with_function!(activation, f => rows::for_each_pair(dy, &mut y, #[inline(always)] |row, dy, y| {
        for ((dy, y), x) in dy.iter_mut().zip(y).zip(x.row(row)) {
            let (value, slope) = f(*x);
            *dy *= slope;
            *y = value;
        }
    }));
    y
}

/// `y = f(gate) up`, where x holds gate and up side by side: `[n, 2 d] -> [n, d]`.
pub fn gated_forward(activation: Activation, x: &Tensor) -> Tensor {
    let width = x.cols() / 2;
    let mut y = x.device().scratch(x.rows(), width);
    with_function!(activation, f => rows::for_each(&mut y, #[inline(always)] |row, y| {
        let (gate, up) = x.row(row).split_at(width);
        for ((y, gate), up) in y.iter_mut().zip(gate).zip(up) {
            *y = f(*gate).0 * up;
        }
    }));
    y
}

/// The gradient of gate and up side by side, and `f(gate) up` again, in place of dy: dy `[n, d] -> [n, 2 d]`.
pub fn gated_backward(activation: Activation, x: &Tensor, dy: &mut Tensor) -> Tensor {
    let width = dy.cols();
    let mut dx = x.device().scratch(x.rows(), 2 * width);
    with_function!(activation, f => rows::for_each_pair(&mut dx, dy, #[inline(always)] |row, dx, dy| {
        let (gate, up) = x.row(row).split_at(width);
        let (d_gate, d_up) = dx.split_at_mut(width);
        for (((dg, du), dy), (gate, up)) in d_gate.iter_mut().zip(d_up).zip(dy).zip(gate.iter().zip(up)) {
            let (value, slope) = f(*gate);
            *dg = *dy * up * slope;
            *du = *dy * value;
            *dy = value * up;
        }
    }));
    dx
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{gradient, tensor, weighted_sum};

    const ALL: [Activation; 4] = [Activation::GeluTanh, Activation::GeluExact, Activation::Relu, Activation::Silu];

    #[test]
    fn passes_finite_differences() {
        for activation in ALL {
            let (mut x, c) = (tensor(1, 3, 20), tensor(2, 3, 20));
            if activation == Activation::Relu {
                // Away from the kink, where there is no derivative to compare with.
                x.host_mut().iter_mut().for_each(|x| *x += 0.1f32.copysign(*x));
            }
            let mut dx = c.clone();
            let y = backward(activation, &x, &mut dx);
            assert_eq!(y.host(), forward(activation, &x).host());
            gradient(&x, &dx, |x| weighted_sum(&forward(activation, x), &c));
        }
    }

    #[test]
    fn gated_passes_finite_differences() {
        for activation in [Activation::Silu, Activation::GeluTanh] {
            let (x, c) = (tensor(1, 3, 20), tensor(2, 3, 10));
            let mut y = c.clone();
            let dx = gated_backward(activation, &x, &mut y);
            assert_eq!(y.host(), gated_forward(activation, &x).host());
            gradient(&x, &dx, |x| weighted_sum(&gated_forward(activation, x), &c));
        }
    }

    #[test]
    fn exact_gelu_has_known_values() {
        let x = crate::Device::cpu().from_host(1, 4, &[-1.0, 0.0, 0.5, 3.0]);
        let expected = [-0.158_655_25, 0.0, 0.345_731_23, 2.995_950_3];
        for (found, expected) in forward(Activation::GeluExact, &x).host().iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6);
        }
    }
}

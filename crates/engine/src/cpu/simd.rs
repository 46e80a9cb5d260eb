//! Loops compiled once per instruction set and chosen at run time, and the functions that they are made of.
//!
//! Everything called inside [`vectorised`] must be `#[inline(always)]`, so that it is compiled with the
//! instruction set of the caller. Sums run in [`LANES`] independent partial sums: floating-point addition may not
//! be reordered by the compiler, so a plain loop would stay scalar.

pub(crate) use super::arch::call as vectorised;

/// Partial sums of a reduction: four AVX-512 registers, for an addition takes as long as four can be begun in.
const LANES: usize = 64;

/// `exp(x)` to a relative error of about 2e-7; 0 below -87.3.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to an integer in the low bits, without a conversion instruction.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let clamped = x.clamp(-87.3, 88.0);
    let rounded = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = clamped - n * LN_2_HIGH - n * LN_2_LOW;
    // Taylor coefficients up to the sixth power: enough on |r| <= ln(2) / 2.
    let mut p = 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    let scaled = f32::from_bits(p.to_bits().wrapping_add(rounded.to_bits() << 23));
    if x < -87.3 { 0.0 } else { scaled }
}

/// `tanh(x)`, through [`exp`].
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

/// `1 / (1 + exp(-x))`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Folds `f(x, y)` of two slices' values over [`LANES`] partial results in a fixed order.
#[inline(always)]
fn fold(x: &[f32], y: &[f32], zero: f32, f: impl Fn(f32, f32) -> f32, join: impl Fn(f32, f32) -> f32) -> f32 {
    // Arrays, whose indices need no check: a loop with checks is not made of vectors.
    let (xs, x_rest) = x.as_chunks::<LANES>();
    let (ys, y_rest) = y.as_chunks::<LANES>();
    let mut lanes = [zero; LANES];
    for (x, y) in xs.iter().zip(ys) {
        for lane in 0..LANES {
            lanes[lane] = join(lanes[lane], f(x[lane], y[lane]));
        }
    }
    if !x_rest.is_empty() {
        // In an array of its own: one that is indexed by a variable is kept in memory.
        let mut rest = [zero; LANES];
        for ((rest, x), y) in rest.iter_mut().zip(x_rest).zip(y_rest) {
            *rest = f(*x, *y);
        }
        for lane in 0..LANES {
            lanes[lane] = join(lanes[lane], rest[lane]);
        }
    }
    halve::<32>(&mut lanes, &join);
    halve::<16>(&mut lanes, &join);
    halve::<8>(&mut lanes, &join);
    halve::<4>(&mut lanes, &join);
    halve::<2>(&mut lanes, &join);
    halve::<1>(&mut lanes, &join);
    lanes[0]
}

/// Joins the first WIDTH partial results with as many behind them. The width is a constant, so that there are no loops left.
#[inline(always)]
fn halve<const WIDTH: usize>(lanes: &mut [f32; LANES], join: &impl Fn(f32, f32) -> f32) {
    for lane in 0..WIDTH {
        lanes[lane] = join(lanes[lane], lanes[lane + WIDTH]);
    }
}

/// `Σ x`
#[inline(always)]
pub(crate) fn sum(x: &[f32]) -> f32 {
    fold(x, x, 0.0, |x, _| x, |a, b| a + b)
}

/// `Σ x y`
#[inline(always)]
pub(crate) fn dot(x: &[f32], y: &[f32]) -> f32 {
    let n = x.len().min(y.len());
    fold(&x[..n], &y[..n], 0.0, |x, y| x * y, |a, b| a + b)
}

/// `Σ x (y - mean)`, without the cancellation of subtracting two large sums.
#[inline(always)]
pub(crate) fn centred_dot(x: &[f32], y: &[f32], mean: f32) -> f32 {
    let n = x.len().min(y.len());
    fold(&x[..n], &y[..n], 0.0, |x, y| x * (y - mean), |a, b| a + b)
}

/// `Σ (x - mean)²`
#[inline(always)]
pub(crate) fn sum_of_squares(x: &[f32], mean: f32) -> f32 {
    fold(x, x, 0.0, |x, _| (x - mean) * (x - mean), |a, b| a + b)
}

/// The largest value, or minus infinity of none.
#[inline(always)]
pub(crate) fn max(x: &[f32]) -> f32 {
    fold(x, x, f32::NEG_INFINITY, |x, _| x, |a, b| if b > a { b } else { a })
}

/// `x[i] = exp(x[i] - shift)`; returns their sum.
#[inline(always)]
pub(crate) fn exp_in_place(x: &mut [f32], shift: f32) -> f32 {
    for value in x.iter_mut() {
        *value = exp(*value - shift);
    }
    sum(x)
}

/// `y += scale * x`
#[inline(always)]
pub(crate) fn axpy(y: &mut [f32], scale: f32, x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += scale * x;
    }
}

/// `x *= scale`
#[inline(always)]
pub(crate) fn scale(x: &mut [f32], scale: f32) {
    for x in x {
        *x *= scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_accurate_to_a_few_units_in_the_last_place() {
        for i in -87_000..88_000 {
            let x = i as f32 * 1e-3;
            let expected = (x as f64).exp();
            let relative = (vectorised(|| exp(x)) as f64 - expected).abs() / expected;
            assert!(relative < 3e-7, "exp({x}): {relative}");
        }
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-100.0), 0.0);
    }

    #[test]
    fn tanh_is_accurate() {
        for i in -10_000..10_000 {
            let x = i as f32 * 1e-3;
            assert!((tanh(x) as f64 - (x as f64).tanh()).abs() < 4e-7, "tanh({x})");
        }
    }

    #[test]
    fn reductions_agree_with_plain_loops() {
        for n in [0, 1, 15, 16, 17, 100] {
            let x: Vec<f32> = (0..n).map(|i| (i as f32 * 0.37).sin()).collect();
            let plain: f64 = x.iter().map(|v| *v as f64).sum();
            assert!((sum(&x) as f64 - plain).abs() < 1e-5);
            assert_eq!(max(&x), x.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            let squares: f64 = x.iter().map(|v| *v as f64 * *v as f64).sum();
            assert!((dot(&x, &x) as f64 - squares).abs() < 1e-5);
            assert!((sum_of_squares(&x, 0.0) as f64 - squares).abs() < 1e-5);
        }
    }
}

//! Sums of tensors.

use crate::Tensor;
use crate::cpu::rows;
use crate::cpu::simd::axpy;

/// `x += y`: the residual connection, whose backward pass is the identity on both.
pub fn add(x: &mut Tensor, y: &Tensor) {
    assert_eq!((x.rows(), x.cols()), (y.rows(), y.cols()));
    rows::for_each(
        x,
        #[inline(always)]
        |row, x| axpy(x, 1.0, y.row(row)),
    );
}

/// `x *= factor`.
pub fn scale(x: &mut Tensor, factor: f32) {
    rows::for_each(
        x,
        #[inline(always)]
        |_, x| crate::cpu::simd::scale(x, factor),
    );
}

/// `Σ x²`, in f64 and in a fixed order.
pub fn sum_of_squares(x: &Tensor) -> f64 {
    x.host().iter().map(|x| *x as f64 * *x as f64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tensor;

    #[test]
    fn adds_and_scales() {
        let (x, y) = (tensor(1, 3, 5), tensor(2, 3, 5));
        let mut z = x.clone();
        add(&mut z, &y);
        scale(&mut z, 2.0);
        for ((z, x), y) in z.host().iter().zip(x.host()).zip(y.host()) {
            assert_eq!(*z, 2.0 * (x + y));
        }
        assert!((sum_of_squares(&x) - x.host().iter().map(|x| (x * x) as f64).sum::<f64>()).abs() < 1e-5);
    }
}

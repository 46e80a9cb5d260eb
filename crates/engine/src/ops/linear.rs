//! `y = x Wᵀ + b`.

use crate::cpu::gradient::add_transposed;
use crate::cpu::panels::{Start, Update};
use crate::cpu::rows;
use crate::{Precision, Tensor, Weight};

/// `y = x Wᵀ + b`: x `[n, in]`, W `[out, in]`, b `[1, out]` -> y `[n, out]`.
pub fn forward(x: &Tensor, weight: &Weight, bias: Option<&Tensor>) -> Tensor {
    forward_updated(x, weight, bias, &[])
}

/// The same with what low-rank updates add to some columns.
pub(super) fn forward_updated(x: &Tensor, weight: &Weight, bias: Option<&Tensor>, updates: &[Update]) -> Tensor {
    let mut y = x.device().scratch(x.rows(), weight.outputs());
    let panels = weight.panels();
    let start = bias.map_or(Start::Zero, |bias| Start::Bias(bias.host()));
    let x = panels.operand(x.view().rows_view(), 1.0, x.device());
    panels.forward_updated(&x, updates, start, y.target());
    y
}

/// `dx = dy W`: dy `[n, out]` -> dx `[n, in]`.
pub fn backward_input(dy: &Tensor, weight: &Weight) -> Tensor {
    let panels = weight.panels();
    let mut dx = dy.device().scratch(dy.rows(), weight.inputs());
    let dy = panels.operand(dy.view().rows_view(), 1.0, dy.device());
    panels.backward(0..panels.count(), &dy, Start::Zero, dx.target());
    dx
}

/// `dW += dyᵀ x`: dW `[out, in]`, for a W in this precision. Only for weights that are trained.
pub fn backward_weight(dy: &Tensor, x: &Tensor, precision: Precision, dw: &mut Tensor) {
    assert_eq!((dw.rows(), dw.cols()), (dy.cols(), x.cols()));
    add_transposed(dw.host_mut(), &dy.view(), &x.view(), 1.0, precision);
}

/// `db += Σ_rows dy`: db `[1, out]`. Only for biases that are trained.
pub fn backward_bias(dy: &Tensor, db: &mut Tensor) {
    rows::accumulate(
        db.host_mut(),
        dy.rows(),
        #[inline(always)]
        |row, sums| {
            for (sum, value) in sums.iter_mut().zip(dy.row(row)) {
                *sum += value;
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
        let (x, w, b, c) = (tensor(1, 5, 4), tensor(2, 3, 4), tensor(3, 1, 3), tensor(4, 5, 3));
        let weight = |w: &Tensor| Weight::new(w.device(), 3, 4, w.host(), Precision::F32);
        let loss = |x: &Tensor, w: &Tensor, b: &Tensor| weighted_sum(&forward(x, &weight(w), Some(b)), &c);
        let device = x.device();
        let (mut dw, mut db) = (device.zeros(3, 4), device.zeros(1, 3));
        let dx = backward_input(&c, &weight(&w));
        backward_weight(&c, &x, Precision::F32, &mut dw);
        backward_bias(&c, &mut db);
        gradient(&x, &dx, |x| loss(x, &w, &b));
        gradient(&w, &dw, |w| loss(&x, w, &b));
        gradient(&b, &db, |b| loss(&x, &w, b));
    }
}

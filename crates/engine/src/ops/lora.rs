//! The low-rank update of a projection, `y += scale (x Aᵀ) Bᵀ` (Hu et al. 2022), on some of its output columns.

use std::ops::Range;

use crate::Tensor;
use crate::cpu::gemm::{Into, MatMut, Threads, matmul};

/// `u = x Aᵀ`; `y[:, columns] += scale u Bᵀ`: x `[n, in]` (after dropout), A `[rank, in]`, B `[columns, rank]`.
///
/// Returns u `[n, rank]`, which the backward pass needs.
pub fn forward(x: &Tensor, a: &Tensor, b: &Tensor, scale: f32, y: &mut Tensor, columns: Range<usize>) -> Tensor {
    let (n, rank) = (x.rows(), a.rows());
    let mut u = x.device().scratch(n, rank);
    let product = MatMut::new(u.host_mut(), n, rank);
    matmul(product, x.view().mat(), a.view().mat().t(), 1.0, Into::Overwrite, Threads::All);
    let (rows, cols) = (y.rows(), y.cols());
    let y = MatMut::new(y.host_mut(), rows, cols).columns(columns);
    matmul(y, u.view().mat(), b.view().mat().t(), scale, Into::Add, Threads::All);
    u
}

/// The gradients of one low-rank update.
#[derive(Debug)]
pub struct Gradients<'a> {
    /// `[rank, in]`
    pub a: &'a mut Tensor,
    /// `[columns, rank]`
    pub b: &'a mut Tensor,
}

/// With g = `scale dy[:, columns]`: `dB += gᵀ u`, `dA += (g B)ᵀ x`. Returns `g B A`, the gradient of x `[n, in]`
/// (before the caller takes it back through dropout), where `want_dx`.
#[allow(clippy::too_many_arguments)]
pub fn backward(
    dy: &Tensor,
    columns: Range<usize>,
    x: &Tensor,
    u: &Tensor,
    a: &Tensor,
    b: &Tensor,
    scale: f32,
    gradients: Gradients,
    want_dx: bool,
) -> Option<Tensor> {
    let (n, rank, input) = (x.rows(), a.rows(), a.cols());
    let dy = dy.columns(columns).mat();
    let Gradients { a: da, b: db } = gradients;
    let outputs = db.rows();
    matmul(MatMut::new(db.host_mut(), outputs, rank), dy.t(), u.view().mat(), scale, Into::Add, Threads::All);
    let mut du = x.device().scratch(n, rank);
    matmul(MatMut::new(du.host_mut(), n, rank), dy, b.view().mat(), scale, Into::Overwrite, Threads::All);
    let du = du.view().mat();
    matmul(MatMut::new(da.host_mut(), rank, input), du.t(), x.view().mat(), 1.0, Into::Add, Threads::All);
    want_dx.then(|| {
        let mut dx = x.device().scratch(n, input);
        matmul(MatMut::new(dx.host_mut(), n, input), du, a.view().mat(), 1.0, Into::Overwrite, Threads::All);
        dx
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{gradient, tensor, weighted_sum};

    #[test]
    fn passes_finite_differences_on_a_part_of_the_columns() {
        let (x, a, b, c) = (tensor(1, 5, 4), tensor(2, 2, 4), tensor(3, 3, 2), tensor(4, 5, 7));
        let loss = |x: &Tensor, a: &Tensor, b: &Tensor| {
            let mut y = x.device().zeros(5, 7);
            forward(x, a, b, 0.7, &mut y, 2..5);
            weighted_sum(&y, &c)
        };
        let device = x.device();
        let (mut da, mut db) = (device.zeros(2, 4), device.zeros(3, 2));
        let u = forward(&x, &a, &b, 0.7, &mut device.zeros(5, 7), 2..5);
        let gradients = Gradients { a: &mut da, b: &mut db };
        let dx = backward(&c, 2..5, &x, &u, &a, &b, 0.7, gradients, true).expect("asked for");
        gradient(&x, &dx, |x| loss(x, &a, &b));
        gradient(&a, &da, |a| loss(&x, a, &b));
        gradient(&b, &db, |b| loss(&x, &a, b));
    }
}

//! A projection with low-rank updates, `y = x Wᵀ + b + scale (x Aᵀ) Bᵀ` (Hu et al. 2022), each on some of its output columns.

use std::ops::Range;

use crate::cpu::gradient::add_transposed;
use crate::cpu::panels::{Operand, Start, Update};
use crate::ops::linear;
use crate::{Precision, Tensor, Weight};

/// The two factors of an update, packed for products. They change with every optimizer step, and are packed anew then.
#[derive(Clone, Debug)]
pub struct LowRank {
    /// `[rank, in]`
    a: Weight,
    /// `[out, rank]`
    b: Weight,
}

impl LowRank {
    /// Packs A `[rank, in]` and B `[out, rank]`.
    pub fn new(a: &Tensor, b: &Tensor, precision: Precision) -> Self {
        let pack = |x: &Tensor| Weight::new(x.device(), x.rows(), x.cols(), x.host(), precision);
        Self { a: pack(a), b: pack(b) }
    }

    /// How the factors are stored.
    pub fn precision(&self) -> Precision {
        self.a.precision()
    }

    fn rank(&self) -> usize {
        self.a.outputs()
    }
}

/// `u = x Aᵀ`, all that the backward pass needs of an update: x `[n, in]` (after dropout) -> u `[n, rank]`.
pub fn inner(x: &Tensor, update: &LowRank) -> Tensor {
    let a = update.a.panels();
    let mut u = x.device().scratch(x.rows(), update.rank());
    a.forward(0..a.count(), &a.operand(x.view().rows_view(), 1.0, x.device()), Start::Zero, u.target());
    u
}

/// An update that is to be added to a projection's output.
#[derive(Clone, Debug)]
pub struct Inner<'a> {
    /// What it read, as [`inner`] made it.  `[n, rank]`
    pub u: &'a Tensor,
    /// Its factors.
    pub update: &'a LowRank,
    /// What its result is multiplied by.
    pub scale: f32,
    /// The columns that it is added to.
    pub columns: Range<usize>,
}

impl Inner<'_> {
    fn operand(&self) -> Operand {
        self.update.b.panels().operand(self.u.view().rows_view(), self.scale, self.u.device())
    }

    fn times<'a>(&'a self, u: &'a Operand) -> Update<'a> {
        assert_eq!(self.columns.len(), self.update.b.outputs());
        Update { b: self.update.b.panels(), u, columns: self.columns.clone() }
    }
}

/// `y = x Wᵀ + b`, and `y[:, columns] += scale u Bᵀ` for every update: x `[n, in]`, W `[out, in]`, b `[1, out]` -> y `[n, out]`.
pub fn forward(x: &Tensor, weight: &Weight, bias: Option<&Tensor>, updates: &[Inner]) -> Tensor {
    let operands: Vec<Operand> = updates.iter().map(Inner::operand).collect();
    let updates: Vec<Update> = updates.iter().zip(&operands).map(|(inner, u)| inner.times(u)).collect();
    linear::forward_updated(x, weight, bias, &updates)
}

/// The gradient of u, from which that of x is made: `du = scale dy[:, columns] B`.  `[n, rank]`
pub fn backward_inner(dy: &Tensor, update: &LowRank, scale: f32, columns: Range<usize>) -> Tensor {
    let mut du = dy.device().scratch(dy.rows(), update.rank());
    let b = update.b.panels();
    let g = b.operand(dy.columns(columns).rows_view(), scale, dy.device());
    b.backward(0..b.count(), &g, Start::Zero, du.target());
    du
}

/// The gradients of one low-rank update.
#[derive(Debug)]
pub struct Gradients<'a> {
    /// `[rank, in]`
    pub a: &'a mut Tensor,
    /// `[columns, rank]`
    pub b: &'a mut Tensor,
}

/// `dB += scale dy[:, columns]ᵀ u` and `dA += duᵀ x`, with du of [`backward_inner`] and the x of [`inner`].
pub fn backward_weights(dy: &Tensor, du: &Tensor, x: &Tensor, applied: &Inner, gradients: Gradients) {
    let Inner { u, update, scale, columns } = applied;
    let precision = update.precision();
    add_transposed(gradients.b.host_mut(), &dy.columns(columns.clone()), &u.view(), *scale, precision);
    add_transposed(gradients.a.host_mut(), &du.view(), &x.view(), 1.0, precision);
}

/// `dx = du A`: du `[n, rank]` -> dx `[n, in]`, before the caller takes it back through dropout.
pub fn backward_input(du: &Tensor, update: &LowRank) -> Tensor {
    linear::backward_input(du, &update.a)
}

/// `dx += du A`, where there is no dropout.
pub fn add_backward_input(du: &Tensor, update: &LowRank, dx: &mut Tensor) {
    let a = update.a.panels();
    a.backward(0..a.count(), &a.operand(du.view().rows_view(), 1.0, du.device()), Start::There, dx.target());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{gradient, tensor, weighted_sum};
    use crate::ops::elementwise;

    #[test]
    fn passes_finite_differences_on_a_part_of_the_columns() {
        let (x, a, b, c) = (tensor(1, 5, 4), tensor(2, 2, 4), tensor(3, 3, 2), tensor(4, 5, 7));
        let pack = |a: &Tensor, b: &Tensor| LowRank::new(a, b, Precision::F32);
        let weight = Weight::new(x.device(), 7, 4, tensor(5, 7, 4).host(), Precision::F32);
        let project = |x: &Tensor, update: &LowRank, u: &Tensor| {
            forward(x, &weight, None, &[Inner { u, update, scale: 0.7, columns: 2..5 }])
        };
        let loss = |x: &Tensor, a: &Tensor, b: &Tensor| {
            let update = pack(a, b);
            weighted_sum(&project(x, &update, &inner(x, &update)), &c)
        };
        let device = x.device();
        let (mut da, mut db, mut dx) = (device.zeros(2, 4), device.zeros(3, 2), device.zeros(5, 4));
        let u = inner(&x, &pack(&a, &b));
        let gradients = Gradients { a: &mut da, b: &mut db };
        let update = pack(&a, &b);
        let applied = Inner { u: &u, update: &update, scale: 0.7, columns: 2..5 };
        let du = backward_inner(&c, &update, 0.7, 2..5);
        backward_weights(&c, &du, &x, &applied, gradients);
        add_backward_input(&du, &update, &mut dx);
        assert_eq!(backward_input(&du, &update).host(), dx.host());
        elementwise::add(&mut dx, &linear::backward_input(&c, &weight));
        gradient(&x, &dx, |x| loss(x, &a, &b));
        gradient(&a, &da, |a| loss(&x, a, &b));
        gradient(&b, &db, |b| loss(&x, &a, b));
    }
}

//! Gradients of weights: products over all rows of a batch, by the loop that suits their shape.

use super::matmul::{Into, MatMut, Threads, matmul};
use super::panels::{self, Start, Target, WIDTH};
use crate::{Columns, Precision};

/// `c += scale aᵀ b`: a `[n, rows of c]`, b `[n, columns of c]`. The operands are rounded as those of products with a weight in this precision.
pub(crate) fn add_transposed(c: &mut [f32], a: &Columns, b: &Columns, scale: f32, precision: Precision) {
    let (rows, cols) = (a.cols(), b.cols());
    if cols <= WIDTH / 2 {
        // A panel would be half empty: gradients of an adapter's B.
        let c = MatMut::new(c, rows, cols);
        return matmul(c, a.mat().t(), b.mat(), scale, Into::Add, Threads::All);
    }
    let into = (Start::There, Target::new(c, cols));
    panels::multiply_transposed(a.rows_view(), b.rows_view(), scale, into, precision, a.device());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tensor;
    use crate::cpu::arch;

    /// Shapes to either side of the choice, and columns of wider tensors.
    #[test]
    fn agrees_with_three_loops_on_every_instruction_set() {
        for (n, rows, cols) in [(1, 1, 1), (7, 5, 16), (7, 5, 17), (40, 13, 70), (0, 3, 40)] {
            let (a, b, before) = (tensor(1, n, rows + 3), tensor(2, n, cols + 2), tensor(3, rows, cols));
            let (a, b) = (a.columns(2..2 + rows), b.columns(1..1 + cols));
            for force in arch::available() {
                arch::with(force, || {
                    let mut found = before.to_host();
                    add_transposed(&mut found, &a, &b, 0.5, Precision::F32);
                    for (i, j) in (0..rows).flat_map(|i| (0..cols).map(move |j| (i, j))) {
                        let sum: f32 = (0..n).map(|row| a.row(row)[i] * b.row(row)[j]).sum();
                        let expected = before.row(i)[j] + 0.5 * sum;
                        let found = found[i * cols + j];
                        assert!((found - expected).abs() < 1e-4 * expected.abs().max(1.0), "{found} {expected}");
                    }
                });
            }
        }
    }
}

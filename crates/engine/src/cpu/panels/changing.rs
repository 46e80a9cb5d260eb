//! Products whose operands both change, over many rows: gradients of weights. Each operand is packed once a product.

use std::ops::Range;

use super::kernel::Start;
use super::product::{Shape, Strips, multiply};
use super::store::Line;
use super::tiles::{RowTiles, RowsView};
use super::{Target, WIDTH};
use crate::Device;

/// `c = start + scale aᵀ b`: a `[n, rows of c]`, b `[n, columns of c]`.
pub(crate) fn multiply_transposed(a: RowsView, b: RowsView, scale: f32, start: Start, c: Target, device: &Device) {
    assert_eq!(a.rows(), b.rows(), "rows of a product");
    let shape = Shape { parts: b.width().div_ceil(WIDTH), depth: b.rows() };
    let columns = |part: usize| part * WIDTH..b.width().min((part + 1) * WIDTH);
    let a = RowTiles::pack_columns(a, scale, device);
    multiply(&Rows(b), shape, &a, c, |part| (columns(part), start.of(columns(part))));
}

/// 32 columns a part, down the rows.
struct Rows<'a>(RowsView<'a>);

impl Strips<Line> for Rows<'_> {
    #[inline(always)]
    fn lines<'a>(&'a self, part: usize, depth: Range<usize>, scratch: &'a mut Vec<Line>) -> &'a [Line] {
        let len = depth.len();
        if scratch.len() < len {
            scratch.resize(len, Line::ZERO);
        }
        for (line, row) in scratch.iter_mut().zip(depth) {
            let rest = &self.0.row(row)[part * WIDTH..];
            // A copy of a length that the compiler knows is a few instructions, and any other a call.
            match rest.first_chunk::<WIDTH>() {
                Some(whole) => line.0 = *whole,
                None => {
                    line.0[..rest.len()].copy_from_slice(rest);
                    line.0[rest.len()..].fill(0.0);
                }
            }
        }
        &scratch[..len]
    }
}

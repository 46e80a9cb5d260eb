//! Products whose operands both change, over many rows: gradients of weights. Each operand is packed once a product.

use std::ops::Range;

use super::kernel::Start;
use super::product::{Places, Shape, Step, Strips, multiply};
use super::steps::TileRow;
use super::store::{Line, PairLine};
use super::strips::Forward;
use super::tiles::{RowTiles, RowsView};
use super::{Steps, Target, WIDTH, native};
use crate::{Device, Precision};

/// `c = start + scale aᵀ b`: a `[n, rows of c]`, b `[n, columns of c]`. With weights in less than f32, bf16 are multiplied where the CPU can,
/// as in the products with them.
pub(crate) fn multiply_transposed(
    a: RowsView,
    b: RowsView,
    scale: f32,
    (start, c): (Start, Target),
    precision: Precision,
    device: &Device,
) {
    assert_eq!(a.rows(), b.rows(), "rows of a product");
    match Steps::of(precision) {
        Steps::Singles => by::<f32>(a, b, scale, (start, c), device),
        Steps::Pairs => by::<u32>(a, b, scale, (start, c), device),
        Steps::Tiles => by::<TileRow>(a, b, scale, (start, c), device),
    }
}

/// The same by one kind of steps.
fn by<X: Step>(a: RowsView, b: RowsView, scale: f32, (start, c): (Start, Target), device: &Device)
where
    for<'b> Rows<'b>: Strips<X::Line>,
    for<'w> Forward<'w>: Strips<X::Line>,
{
    let shape = Shape { parts: b.width().div_ceil(WIDTH), depth: b.rows() };
    let columns = |part: usize| part * WIDTH..b.width().min((part + 1) * WIDTH);
    let a = RowTiles::<X>::columns_of(a, scale, device);
    multiply(&Rows(b), shape, (&a, &[]), c, |part| (columns(part), start.of(columns(part))));
}

/// 32 columns a part, down the rows.
struct Rows<'a>(RowsView<'a>);

impl Rows<'_> {
    /// A row from a part's columns on.
    #[inline(always)]
    fn rest(&self, part: usize, row: usize) -> &[f32] {
        &self.0.row(row)[part * WIDTH..]
    }

    /// A part's columns of a row; zeros past the last.
    #[inline(always)]
    fn line(&self, part: usize, row: usize) -> Line {
        let rest = self.rest(part, row);
        // A copy of a length that the compiler knows is a few instructions, and any other a call.
        match rest.first_chunk::<WIDTH>() {
            Some(whole) => Line(*whole),
            None => {
                let mut line = Line::ZERO;
                line.0[..rest.len()].copy_from_slice(rest);
                line
            }
        }
    }
}

/// Nothing is asked for: rows are copied when their turn comes.
impl Places for Rows<'_> {}

impl Strips<Line> for Rows<'_> {
    #[inline(always)]
    fn lines<'a>(&'a self, part: usize, depth: Range<usize>, scratch: &'a mut Vec<Line>) -> &'a [Line] {
        scratch.clear();
        for row in depth {
            scratch.push(self.line(part, row));
        }
        scratch
    }
}

impl Strips<PairLine> for Rows<'_> {
    #[inline(always)]
    fn lines<'a>(&'a self, part: usize, depth: Range<usize>, scratch: &'a mut Vec<PairLine>) -> &'a [PairLine] {
        scratch.clear();
        // A part's columns of a row. There is no row after the last, whose pair is filled up with zeros.
        let row = |row: usize| if row < depth.end { self.rest(part, row) } else { &[] };
        native::pair_lines(depth.len().div_ceil(2), |i| row(depth.start + i), scratch);
        scratch
    }
}

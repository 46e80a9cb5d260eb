//! The loops around the kernel: a product's right operand in parts of 32 columns, and those in strips that stay in the cache.

use std::ops::Range;

use rayon::prelude::*;

use super::kernel::{PanelProduct, Start};
use super::store::{Line, PairLine};
use super::tiles::RowTiles;
use super::{Target, WIDTH};
use crate::cpu::arch;
use crate::cpu::simd::vectorised;

/// Bytes of a strip that all rows pass over at once, so that it stays in the second-level cache.
const STRIP: usize = 64 * 1024;
/// Multiplications below which a second thread costs more than it saves.
const WORTH_A_THREAD: usize = 1 << 20;

/// Parts of a product that go to different tasks, and the length of the sums.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub parts: usize,
    pub depth: usize,
}

/// A step of a row, which a kernel multiplies with a line of the right operand.
pub(super) trait Step: Sync + Sized {
    /// As many values for each of 32 columns.
    type Line: Send;
    /// Values of a step.
    const VALUES: usize;
    fn run(product: PanelProduct<Self::Line, Self>);
}

impl Step for f32 {
    type Line = Line;
    const VALUES: usize = 1;
    fn run(product: PanelProduct<Line, f32>) {
        arch::run(product);
    }
}

/// A pair of bf16.
impl Step for u32 {
    type Line = PairLine;
    const VALUES: usize = 2;
    fn run(product: PanelProduct<PairLine, u32>) {
        product.run_pairs();
    }
}

/// Where a product's right operand comes from, part by part: 32 columns of it each.
pub(super) trait Strips<L>: Sync {
    /// Some of a part: as it is stored, or made in `scratch`. Must be `#[inline(always)]`.
    fn lines<'a>(&'a self, part: usize, depth: Range<usize>, scratch: &'a mut Vec<L>) -> &'a [L];

    /// Where the values lie that a strip is made of, if that is one place.
    fn addresses(&self, _part: usize, _depth: Range<usize>) -> Range<usize> {
        0..0
    }
}

/// Where the values lie of the strip that comes after the one that begins at `first`: further down the part, or on top of the next.
fn ahead<L>(strips: &impl Strips<L>, shape: Shape, part: usize, first: usize, depth_of_strip: usize) -> Range<usize> {
    let next = first + depth_of_strip;
    match (next < shape.depth, part + 1 < shape.parts) {
        // With AVX-512 it was not measured.
        _ if arch::is_avx512() => 0..0,
        (true, _) => strips.addresses(part, next..shape.depth.min(next + depth_of_strip)),
        (false, true) => strips.addresses(part + 1, 0..shape.depth.min(depth_of_strip)),
        (false, false) => 0..0,
    }
}

/// `y[:, columns of part] = start + x strips[part]` for all parts; `place` names a part's columns and what they start from.
pub(super) fn multiply<'a, X: Step>(
    strips: &impl Strips<X::Line>,
    shape: Shape,
    x: &RowTiles<X>,
    y: Target,
    place: impl Fn(usize) -> (Range<usize>, Start<'a>) + Sync,
) {
    let n = x.rows();
    if n == 0 || shape.parts == 0 {
        return;
    }
    let parts_per_task = WORTH_A_THREAD.div_ceil(n * shape.depth.max(1) * WIDTH);
    let parts = (0..shape.parts).into_par_iter().with_min_len(parts_per_task);
    parts.for_each_init(Vec::new, |scratch: &mut Vec<X::Line>, part| {
        let (columns, mut start) = place(part);
        let columns = columns.start + y.first..columns.end + y.first;
        let depth_of_strip = X::VALUES * STRIP / size_of::<X::Line>();
        for first in (0..shape.depth.max(1)).step_by(depth_of_strip) {
            let depth = first..shape.depth.min(first + depth_of_strip);
            let steps = depth.start / X::VALUES..depth.end.div_ceil(X::VALUES);
            let lines = vectorised(
                #[inline(always)]
                || strips.lines(part, depth, scratch),
            );
            let ahead = ahead(strips, shape, part, first, depth_of_strip);
            X::run(PanelProduct { lines, x, steps, y: y.rows, columns: columns.clone(), start, ahead });
            start = Start::There;
        }
    });
}

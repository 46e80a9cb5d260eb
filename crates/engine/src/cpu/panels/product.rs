//! The loops around the kernel: a product's right operand in parts of 32 columns, and those in strips that stay in the cache; its rows in
//! blocks that stay there too, from part to part.

use std::ops::Range;

use bytemuck::Pod;

use super::ahead::Runs;
use super::kernel::{Ahead, PanelProduct, Start};
use super::store::{Line, PairLine};
use super::tiles::RowTiles;
use super::{Target, WIDTH};
use crate::cpu::arch;
use crate::cpu::simd::vectorised;
use crate::threads::share_numbers;

/// Bytes of a strip that all rows pass over at once, so that it stays in the second-level cache.
const STRIP: usize = 128 * 1024;
/// Bytes of a block of rows.
const BLOCK: usize = 1024 * 1024;
/// Rows of a block at least, where strips are made for every block anew: enough to hide what that costs. Rows that no cache holds are
/// asked for ahead.
const ROWS_PER_STRIP_MADE: usize = 1024;
/// Multiplications below which a second thread costs more than it saves.
const WORTH_A_THREAD: usize = 1 << 20;

/// Parts of a product that go to different tasks, and the length of the sums.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub parts: usize,
    pub depth: usize,
}

/// A step of a row, which a kernel multiplies with a line of the right operand.
pub(super) trait Step: Pod + Send + Sync {
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

    /// Whether strips are read where they are stored, and need not be made.
    fn are_stored(&self) -> bool {
        false
    }

    /// Where the values lie that a strip is made of, if they are to be asked for.
    fn places(&self, _part: usize, _depth: Range<usize>) -> Runs {
        Runs::default()
    }
}

/// Where the values lie of the strip that comes after the one that begins at `first`: further down the part, or on top of the next.
fn next_strip<L>(
    strips: &impl Strips<L>,
    shape: Shape,
    part: usize,
    first: usize,
    depth_of_strip: usize,
) -> Runs {
    let next = first + depth_of_strip;
    match (next < shape.depth, part + 1 < shape.parts) {
        (true, _) => strips.places(part, next..shape.depth.min(next + depth_of_strip)),
        (false, true) => strips.places(part + 1, 0..shape.depth.min(depth_of_strip)),
        (false, false) => Runs::default(),
    }
}

/// The depth of strips of about one height, none higher than `most`. It begins and ends with a panel.
fn depth_of_strip(depth: usize, most: usize) -> usize {
    let count = depth.div_ceil(most).max(1);
    depth.div_ceil(count).next_multiple_of(WIDTH).max(WIDTH)
}

fn bytes_of_row<X: Step>(shape: Shape) -> usize {
    (shape.depth.div_ceil(X::VALUES) * size_of::<X>()).max(1)
}

/// The rows' tiles in blocks of about one height: few enough rows to stay in a cache, and enough blocks that every thread has some.
fn blocks<'x, X: Step>(strips: &impl Strips<X::Line>, shape: Shape, x: &'x RowTiles<X>) -> Vec<&'x [Range<usize>]> {
    let least = if strips.are_stored() { 1 } else { ROWS_PER_STRIP_MADE };
    let for_cache = x.rows().div_ceil((BLOCK / bytes_of_row::<X>(shape)).max(least));
    let for_threads = rayon::current_num_threads().div_ceil(shape.parts.max(1));
    let count = for_cache.max(for_threads);
    x.tiles.chunks(x.tiles.len().div_ceil(count).max(1)).collect()
}

/// `y[:, columns of part] = start + x strips[part]` for all parts; `place` names a part's columns and what they start from.
pub(super) fn multiply<'a, X: Step>(
    strips: &impl Strips<X::Line>,
    shape: Shape,
    x: &RowTiles<X>,
    y: Target,
    place: impl Fn(usize) -> (Range<usize>, Start<'a>) + Sync,
) {
    let blocks = blocks(strips, shape, x);
    let Some(rows) = blocks.first().map(|tiles| tiles.iter().map(Range::len).sum::<usize>()) else { return };
    let depth_of_strip = depth_of_strip(shape.depth, X::VALUES * STRIP / size_of::<X::Line>());
    let rows_are_far = rows * bytes_of_row::<X>(shape) > BLOCK - 2 * STRIP;
    let together = WORTH_A_THREAD.div_ceil(rows * shape.depth.max(1) * WIDTH);
    // All parts of a block and then those of the next: neighbours are done by one thread, one after the other.
    share_numbers(blocks.len() * shape.parts, together, Vec::new, |scratch: &mut Vec<X::Line>, task| {
        let (tiles, part) = (blocks[task / shape.parts], task % shape.parts);
        let (columns, mut start) = place(part);
        let columns = columns.start + y.first..columns.end + y.first;
        for first in (0..shape.depth.max(1)).step_by(depth_of_strip) {
            let depth = first..shape.depth.min(first + depth_of_strip);
            let steps = depth.start / X::VALUES..depth.end.div_ceil(X::VALUES);
            let lines = vectorised(
                #[inline(always)]
                || strips.lines(part, depth, scratch),
            );
            let ahead = Ahead { strip: next_strip(strips, shape, part, first, depth_of_strip), rows: rows_are_far };
            X::run(PanelProduct { lines, x, tiles, steps, y: y.rows, columns: columns.clone(), start, ahead });
            start = Start::There;
        }
    });
}

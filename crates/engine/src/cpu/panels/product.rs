//! The loops around the kernel: a product's right operand in parts of 32 columns, and those in strips that stay in the cache; its rows in
//! blocks that stay there too, from part to part.

use std::ops::Range;

use bytemuck::Pod;

use super::ahead::Runs;
use super::kernel::{Ahead, PanelProduct, Start, Term};
use super::store::{Line, PairLine};
use super::strips::Forward;
use super::tiles::{Operand, RowTiles};
use super::{Panels, Target, WIDTH};
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
    /// An operand's tiles.
    ///
    /// # Panics
    /// If it is packed in other steps.
    fn tiles(operand: &Operand) -> &RowTiles<Self>;
}

impl Step for f32 {
    type Line = Line;
    const VALUES: usize = 1;
    fn run(product: PanelProduct<Line, f32>) {
        arch::run(product);
    }

    fn tiles(operand: &Operand) -> &RowTiles<f32> {
        match operand {
            Operand::Singles(tiles) => tiles,
            Operand::Pairs(_) => panic!("operands of one product are packed alike"),
        }
    }
}

/// A pair of bf16.
impl Step for u32 {
    type Line = PairLine;
    const VALUES: usize = 2;
    fn run(product: PanelProduct<PairLine, u32>) {
        product.run_pairs();
    }

    fn tiles(operand: &Operand) -> &RowTiles<u32> {
        match operand {
            Operand::Pairs(tiles) => tiles,
            Operand::Singles(_) => panic!("operands of one product are packed alike"),
        }
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

/// A product with a weight of its own, of the same rows, that is added to some parts of another.
pub(super) struct Added<'a, X> {
    /// The first part that it is added to: one for each of its panels.
    pub first: usize,
    pub weight: &'a Panels,
    pub x: &'a RowTiles<X>,
}

/// Where the values lie of the strip that comes after the one that begins at `first`: further down the part, or on top of the next.
fn next_strip<L>(strips: &impl Strips<L>, shape: Shape, part: usize, first: usize, depth_of_strip: usize) -> Runs {
    let next = first + depth_of_strip;
    match (next < shape.depth, part + 1 < shape.parts) {
        (true, _) => strips.places(part, next..shape.depth.min(next + depth_of_strip)),
        (false, true) => strips.places(part + 1, 0..shape.depth.min(depth_of_strip)),
        (false, false) => Runs::default(),
    }
}

/// Where the values lie that are added to a part.
fn next_added<X>(added: &[Added<X>], part: usize) -> Runs {
    let of_part = |added: &Added<X>| {
        let panel = added.parts().contains(&part).then(|| part - added.first)?;
        Some(Forward { weight: added.weight, first: 0 }.places_of(panel, 0..added.weight.inputs()))
    };
    added.iter().find_map(of_part).unwrap_or_default()
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

/// `y[:, columns of part] = start + x strips[part] + what is added to the part` for all parts; `place` names a part's columns and what
/// they start from.
pub(super) fn multiply<'a, X: Step>(
    strips: &impl Strips<X::Line>,
    shape: Shape,
    (x, added): (&RowTiles<X>, &[Added<X>]),
    y: Target,
    place: impl Fn(usize) -> (Range<usize>, Start<'a>) + Sync,
) where
    for<'w> Forward<'w>: Strips<X::Line>,
{
    let blocks = blocks(strips, shape, x);
    let Some(rows) = blocks.first().map(|tiles| tiles.iter().map(Range::len).sum::<usize>()) else { return };
    let depth_of_strip = depth_of_strip(shape.depth, X::VALUES * STRIP / size_of::<X::Line>());
    let rows_are_far = rows * bytes_of_row::<X>(shape) > BLOCK - 2 * STRIP;
    let together = WORTH_A_THREAD.div_ceil(rows * shape.depth.max(1) * WIDTH);
    // All parts of a block and then those of the next: neighbours are done by one thread, one after the other.
    share_numbers(blocks.len() * shape.parts, together, Default::default, |scratch: &mut Scratch<X>, task| {
        let (tiles, part) = (blocks[task / shape.parts], task % shape.parts);
        let (columns, mut start) = place(part);
        let columns = columns.start + y.first..columns.end + y.first;
        for first in (0..shape.depth.max(1)).step_by(depth_of_strip) {
            let depth = first..shape.depth.min(first + depth_of_strip);
            let is_last = depth.end == shape.depth;
            let ahead = Ahead {
                strip: next_strip(strips, shape, part, first, depth_of_strip),
                added: if is_last { next_added(added, part + 1) } else { Runs::default() },
                rows: rows_are_far,
            };
            let [scratch, scratch_of_added] = scratch;
            let term = term(strips, part, depth, x, scratch);
            let product = |terms: &[_]| {
                X::run(PanelProduct { terms, tiles, y: y.rows, columns: columns.clone(), start, ahead });
            };
            match added.iter().find(|added| is_last && added.parts().contains(&part)) {
                Some(Added { first, weight, x }) => {
                    let strips = Forward { weight, first: 0 };
                    let also = self::term(&strips, part - first, 0..weight.inputs(), x, scratch_of_added);
                    product(&[term, also]);
                }
                None => product(&[term]),
            }
            start = Start::There;
        }
    });
}

/// Room for a strip, and for one of what is added.
type Scratch<X> = [Vec<<X as Step>::Line>; 2];

impl<X> Added<'_, X> {
    fn parts(&self) -> Range<usize> {
        self.first..self.first + self.weight.count()
    }
}

/// What one strip adds to a product.
#[inline(always)]
fn term<'a, X: Step>(
    strips: &'a impl Strips<X::Line>,
    part: usize,
    depth: Range<usize>,
    x: &'a RowTiles<X>,
    scratch: &'a mut Vec<X::Line>,
) -> Term<'a, X::Line, X> {
    let steps = depth.start / X::VALUES..depth.end.div_ceil(X::VALUES);
    let lines = vectorised(
        #[inline(always)]
        || strips.lines(part, depth, scratch),
    );
    Term { x, steps, lines }
}

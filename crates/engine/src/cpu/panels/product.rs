//! The loops around the kernel: a product's right operand in parts of 32 columns, and those in strips that stay in the cache; its rows in
//! blocks that stay there too, from part to part.

use std::ops::Range;

use super::ahead::Runs;
use super::kernel::{Ahead, PanelProduct, Start, Term};
use super::steps::{RowStep, TileRow};
use super::store::{Line, PairLine};
use super::strips::Forward;
use super::tiles::{Operand, RowTiles};
use super::{Panels, Target, WIDTH, native};
use crate::cpu::arch;
use crate::cpu::simd::vectorised;
use crate::threads::share_numbers;

/// Bytes of a strip that all rows pass over at once, so that it stays in the second-level cache.
const STRIP: usize = 128 * 1024;
/// Bytes of rows that no second-level cache keeps beside two strips.
const FAR: usize = 768 * 1024;
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

/// A step of a row, which a kernel multiplies with one line of the right operand or more.
pub(super) trait Step: RowStep {
    /// One value, or as many as a line has, for each of 32 columns.
    type Line: Send;
    /// Lines of a step.
    const LINES: usize = 1;
    /// Values of a line.
    const VALUES_OF_LINE: usize = Self::VALUES / Self::LINES;
    /// Bytes of a block of rows.
    const BLOCK: usize = 1024 * 1024;
    fn run(product: PanelProduct<Self::Line, Self>);
    /// An operand's tiles, or `None` if it is packed in other steps.
    fn of(operand: &Operand) -> Option<&RowTiles<Self>>;
    /// An operand's tiles.
    ///
    /// # Panics
    /// If it is packed in other steps.
    fn tiles(operand: &Operand) -> &RowTiles<Self> {
        Self::of(operand).expect("operands of one product are packed alike")
    }
}

impl Step for f32 {
    type Line = Line;

    fn run(product: PanelProduct<Line, f32>) {
        arch::run(product);
    }

    fn of(operand: &Operand) -> Option<&RowTiles<f32>> {
        if let Operand::Singles(tiles) = operand { Some(tiles) } else { None }
    }
}

impl Step for u32 {
    type Line = PairLine;

    fn run(product: PanelProduct<PairLine, u32>) {
        native::run_pairs(&product);
    }

    fn of(operand: &Operand) -> Option<&RowTiles<u32>> {
        if let Operand::Pairs(tiles) = operand { Some(tiles) } else { None }
    }
}

impl Step for TileRow {
    type Line = PairLine;
    const LINES: usize = 16;
    /// Less than what keeps rows in the second-level cache at all: they are read so fast that results must not push them out.
    const BLOCK: usize = 384 * 1024;

    fn run(product: PanelProduct<PairLine, TileRow>) {
        native::run_tiles(&product);
    }

    fn of(operand: &Operand) -> Option<&RowTiles<TileRow>> {
        if let Operand::Tiles(tiles) = operand { Some(tiles) } else { None }
    }
}

/// Where the values of a product's right operand lie.
pub(super) trait Places: Sync {
    /// Those that a strip is made of, if they are to be asked for.
    fn places(&self, _part: usize, _depth: Range<usize>) -> Runs {
        Runs::default()
    }
}

/// Where a product's right operand comes from, part by part: 32 columns of it each.
pub(super) trait Strips<L>: Places {
    /// Some of a part: as it is stored, or made in `scratch`. Must be `#[inline(always)]`.
    fn lines<'a>(&'a self, part: usize, depth: Range<usize>, scratch: &'a mut Vec<L>) -> &'a [L];

    /// Whether strips are read where they are stored, and need not be made.
    fn are_stored(&self) -> bool {
        false
    }
}

/// A product with a weight of its own, of the same rows, that is added to some parts of another.
pub(super) struct Added<'a, X> {
    /// The first part that it is added to: one for each of its panels.
    pub first: usize,
    pub weight: &'a Panels,
    pub x: &'a RowTiles<X>,
}

impl<X> Added<'_, X> {
    fn parts(&self) -> Range<usize> {
        self.first..self.first + self.weight.count()
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
    let for_cache = x.rows().div_ceil((X::BLOCK / bytes_of_row::<X>(shape)).max(least));
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
    let depth_of_strip = depth_of_strip(shape.depth, X::VALUES_OF_LINE * STRIP / size_of::<X::Line>());
    let rows_are_far = rows * bytes_of_row::<X>(shape) > FAR;
    let product = Product { strips, shape, x, added, y, depth_of_strip, rows_are_far };
    let together = WORTH_A_THREAD.div_ceil(rows * shape.depth.max(1) * WIDTH);
    // All parts of a block and then those of the next: neighbours are done by one thread, one after the other.
    share_numbers(blocks.len() * shape.parts, together, Default::default, |scratch: &mut [Vec<X::Line>; 2], task| {
        let part = task % shape.parts;
        product.part(part, blocks[task / shape.parts], place(part), scratch);
    });
}

/// What all tasks of a product share.
struct Product<'p, S, X> {
    strips: &'p S,
    shape: Shape,
    x: &'p RowTiles<X>,
    added: &'p [Added<'p, X>],
    y: Target<'p>,
    depth_of_strip: usize,
    rows_are_far: bool,
}

impl<S: Strips<X::Line>, X: Step> Product<'_, S, X>
where
    for<'w> Forward<'w>: Strips<X::Line>,
{
    /// A part's columns of some rows, strip by strip. The last strip and what is added to the part are one pass.
    fn part(
        &self,
        part: usize,
        tiles: &[Range<usize>],
        (columns, mut start): (Range<usize>, Start),
        [scratch, scratch_of_added]: &mut [Vec<X::Line>; 2],
    ) {
        let columns = columns.start + self.y.first..columns.end + self.y.first;
        for first in (0..self.shape.depth.max(1)).step_by(self.depth_of_strip) {
            let depth = first..self.shape.depth.min(first + self.depth_of_strip);
            let is_last = depth.end == self.shape.depth;
            let term = term(self.strips, part, depth, self.x, scratch);
            let run = |terms: &[_]| {
                let (y, columns, ahead) = (self.y.rows, columns.clone(), self.ahead(part, first));
                X::run(PanelProduct { terms, tiles, y, columns, start, ahead });
            };
            match self.added_to(part).filter(|_| is_last) {
                Some((strips, x)) => {
                    run(&[term, self::term(&strips, 0, 0..strips.weight.inputs(), x, scratch_of_added)]);
                }
                None => run(&[term]),
            }
            start = Start::There;
        }
    }

    /// What is added to a part, as a product's only part.
    fn added_to(&self, part: usize) -> Option<(Forward<'_>, &RowTiles<X>)> {
        let added = self.added.iter().find(|added| added.parts().contains(&part))?;
        Some((Forward { weight: added.weight, first: part - added.first }, added.x))
    }

    /// What comes after the strip of a part that begins at `first`: the strip further down, or that on top of the next part and what is
    /// added to it.
    fn ahead(&self, part: usize, first: usize) -> Ahead {
        let (Shape { parts, depth }, next) = (self.shape, first + self.depth_of_strip);
        let until = |end: usize| depth.min(end + self.depth_of_strip);
        let (strip, added) = match (next < depth, part + 1 < parts) {
            (true, _) => (self.strips.places(part, next..until(next)), Runs::default()),
            (false, true) => (self.strips.places(part + 1, 0..until(0)), self.places_of_added(part + 1)),
            (false, false) => Default::default(),
        };
        Ahead { strip, added, rows: self.rows_are_far }
    }

    fn places_of_added(&self, part: usize) -> Runs {
        self.added_to(part).map_or(Runs::default(), |(strips, _)| strips.places(0, 0..strips.weight.inputs()))
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

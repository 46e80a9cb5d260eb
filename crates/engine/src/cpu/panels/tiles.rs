//! The left operand of a packed product, in the order in which the kernel reads it.

use std::ops::Range;

use rayon::prelude::*;

use super::native;
use crate::cpu::arch;

/// Values below which a second thread costs more than it saves.
const WORTH_A_THREAD: usize = 1 << 16;

/// Rows to be multiplied: some columns of a row-major buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowsView<'a> {
    data: &'a [f32],
    stride: usize,
    first: usize,
    width: usize,
}

impl<'a> RowsView<'a> {
    /// A row-major matrix.  `[n, width]`
    pub(crate) fn new(data: &'a [f32], width: usize) -> Self {
        Self::columns(data, width, 0..width)
    }

    /// Some columns of a row-major matrix.  `[n, columns]`
    pub(crate) fn columns(data: &'a [f32], stride: usize, columns: Range<usize>) -> Self {
        assert!(columns.end <= stride && data.len().is_multiple_of(stride.max(1)));
        Self { data, stride, first: columns.start, width: columns.len() }
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.data.len() / self.stride.max(1)
    }

    /// Number of columns.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    #[inline(always)]
    pub(super) fn row(&self, row: usize) -> &'a [f32] {
        let first = row * self.stride + self.first;
        &self.data[first..first + self.width]
    }
}

/// The highest tile of a product: with 16 lanes two vectors of outputs for 12 rows fill 24 of 32 registers; with fewer lanes two
/// vectors (four where there are 32 registers) for 6 rows fill 12 of 16.
fn most_rows(lanes: usize) -> usize {
    if lanes == 16 { 12 } else { 6 }
}

/// Rows in tiles of a kernel.
fn cut(n: usize, lanes: usize) -> Vec<Range<usize>> {
    let most = most_rows(lanes);
    if lanes == 16 {
        // As high as they get, rather than of equal height: where rows are few the first tile waits for memory, which costs least if
        // it has most of the arithmetic.
        return (0..n).step_by(most).map(|first| first..n.min(first + most)).collect();
    }
    // A low tile has too few sums to hide the latency of an addition, so that no tile is more than one row lower than another.
    let count = n.div_ceil(most);
    (0..count).map(|i| i * n / count..(i + 1) * n / count).collect()
}

/// Rows in tiles as high as a kernel's register tile: `[tile, step, row of the tile]`, a step being one value, or two as a pair.
#[derive(Debug)]
pub(crate) struct RowTiles<T> {
    values: Vec<T>,
    steps: usize,
    /// Rows of every tile.
    pub(super) tiles: Vec<Range<usize>>,
}

impl<T: Copy + Default + Send> RowTiles<T> {
    /// `fill(tile, to)` writes a tile.  `[step, row of the tile]`
    fn pack(n: usize, steps: usize, fill: impl Fn(Range<usize>, &mut [T]) + Sync) -> Self {
        let lanes = arch::lanes();
        let (most, tiles) = (most_rows(lanes), cut(n, lanes));
        let mut values = vec![T::default(); n * steps];
        let mut rest = values.as_mut_slice();
        let mut parts = Vec::with_capacity(tiles.len());
        for tile in &tiles {
            let (part, after) = rest.split_at_mut(tile.len() * steps);
            parts.push((tile.clone(), part));
            rest = after;
        }
        let tiles_per_task = WORTH_A_THREAD.div_ceil(steps * most + 1);
        parts.into_par_iter().with_min_len(tiles_per_task).for_each(|(tile, part)| fill(tile, part));
        Self { values, steps, tiles }
    }

    /// Some steps of a tile.
    #[inline(always)]
    pub(super) fn part(&self, tile: &Range<usize>, steps: &Range<usize>) -> &[T] {
        let first = tile.start * self.steps;
        &self.values[first + steps.start * tile.len()..first + steps.end * tile.len()]
    }
}

/// What [`native::pack_singles`] does, one value at a time.
pub(super) fn pack_plainly(x: RowsView, tile: Range<usize>, scale: f32, to: &mut [f32]) {
    let height = tile.len();
    for (i, row) in tile.enumerate() {
        for (slot, value) in to[i..].iter_mut().step_by(height).zip(x.row(row)) {
            *slot = scale * value;
        }
    }
}

/// Rows that are ready to be multiplied with any weight that has as many inputs and the same kind of kernel.
#[derive(Debug)]
pub(crate) enum Operand {
    /// For kernels that multiply f32.
    Singles(RowTiles<f32>),
    /// For kernels that multiply pairs of bf16.
    Pairs(RowTiles<u32>),
}

impl Operand {
    /// Packs `scale x`, as pairs of bf16 where `pairs` says so.
    pub(super) fn pack(x: RowsView, scale: f32, pairs: bool) -> Self {
        if pairs {
            let fill = |tile: Range<usize>, to: &mut [u32]| {
                native::pack_pairs(tile.len(), |i| x.row(tile.start + i), scale, to);
            };
            return Self::Pairs(RowTiles::pack(x.rows(), x.width().div_ceil(2), fill));
        }
        let fill = |tile: Range<usize>, to: &mut [f32]| match native::has_transposes() {
            true => native::pack_singles(tile.len(), |i| x.row(tile.start + i), scale, to),
            false => pack_plainly(x, tile, scale, to),
        };
        Self::Singles(RowTiles::pack(x.rows(), x.width(), fill))
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.tiles().last().map_or(0, |tile| tile.end)
    }

    pub(super) fn tiles(&self) -> &[Range<usize>] {
        match self {
            Self::Singles(tiles) => &tiles.tiles,
            Self::Pairs(tiles) => &tiles.tiles,
        }
    }
}

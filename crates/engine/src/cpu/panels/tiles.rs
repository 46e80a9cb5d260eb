//! The left operand of a packed product, in the order in which the kernel reads it.

use std::marker::PhantomData;
use std::ops::Range;

use bytemuck::{Pod, Zeroable, cast_slice, cast_slice_mut};

use super::kernel::with_height;
use super::{Steps, native};
use crate::cpu::arch;
use crate::{Device, Tensor, threads};

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
    #[cfg(test)]
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

/// 32 values of a row as bf16: a row of a matrix register.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C, align(64))]
pub(crate) struct TileRow(pub [u32; 16]);

/// A step of a row in a left operand: one value, a pair of bf16, or a row of a matrix register.
pub(crate) trait RowStep: Pod + Send + Sync {
    /// Rows of a kernel's highest tile.
    fn most_rows() -> usize;

    /// `0..n` in a kernel's tiles. As high as they get, rather than of equal height: where rows are few the first tile waits for memory,
    /// which costs least if it has most of the arithmetic.
    fn cut(n: usize) -> Vec<Range<usize>> {
        let most = Self::most_rows();
        (0..n).step_by(most).map(|first| first..n.min(first + most)).collect()
    }
}

impl RowStep for f32 {
    /// With 16 lanes two vectors of outputs for 12 rows fill 24 of 32 registers; with fewer lanes two vectors (four where there are 32
    /// registers) for 6 rows fill 12 of 16.
    fn most_rows() -> usize {
        if arch::lanes() == 16 { u32::most_rows() } else { 6 }
    }

    fn cut(n: usize) -> Vec<Range<usize>> {
        if arch::lanes() == 16 {
            return u32::cut(n);
        }
        // A low tile has too few sums to hide the latency of an addition, so that no tile is more than one row lower than another.
        let count = n.div_ceil(Self::most_rows());
        (0..count).map(|i| i * n / count..(i + 1) * n / count).collect()
    }
}

/// A pair of bf16.
impl RowStep for u32 {
    fn most_rows() -> usize {
        12
    }
}

impl RowStep for TileRow {
    /// Two registers of rows by two of columns take four for the sums, and four are left for the factors.
    fn most_rows() -> usize {
        32
    }
}

/// Rows in tiles as high as a kernel's register tile: `[tile, step, row of the tile]`.
#[derive(Debug)]
pub(crate) struct RowTiles<T> {
    /// The bits of the steps.  `[rows, steps]` in another order
    values: Tensor,
    /// Of a row.
    steps: usize,
    /// Rows of every tile.
    pub(super) tiles: Vec<Range<usize>>,
    kind: PhantomData<T>,
}

impl<T: RowStep> RowTiles<T> {
    /// `fill(tiles, to)` writes some neighbouring tiles, of at least so many rows where there are as many.  `[tile, step, row of the tile]`
    fn pack(
        device: &Device,
        (n, steps): (usize, usize),
        rows_together: usize,
        fill: impl Fn(&[Range<usize>], &mut [T]) + Sync,
    ) -> Self {
        let (most, tiles) = (T::most_rows(), T::cut(n));
        let numbers = steps * size_of::<T>() / size_of::<f32>();
        let mut values = device.operand(n, numbers);
        let mut rest = cast_slice_mut::<f32, T>(values.host_mut());
        let tiles_per_task = WORTH_A_THREAD.div_ceil(numbers * most + 1).max(rows_together.div_ceil(most));
        let mut parts = Vec::with_capacity(tiles.len().div_ceil(tiles_per_task));
        for tiles in tiles.chunks(tiles_per_task) {
            let rows: usize = tiles.iter().map(Range::len).sum();
            let (part, after) = rest.split_at_mut(rows * steps);
            parts.push((tiles, part));
            rest = after;
        }
        threads::for_each(parts.into_iter(), |(tiles, part)| fill(tiles, part));
        Self { values, steps, tiles, kind: PhantomData }
    }

    /// Some steps of a tile.
    #[inline(always)]
    pub(super) fn part(&self, tile: &Range<usize>, steps: &Range<usize>) -> &[T] {
        let first = tile.start * self.steps;
        &cast_slice(self.values.host())[first + steps.start * tile.len()..first + steps.end * tile.len()]
    }
}

impl<T> RowTiles<T> {
    /// Number of rows.
    pub(super) fn rows(&self) -> usize {
        self.tiles.last().map_or(0, |tile| tile.end)
    }
}

/// Tiles one after the other, each with its part of a buffer.
fn each<'a, T>(
    tiles: &'a [Range<usize>],
    steps: usize,
    mut to: &'a mut [T],
) -> impl Iterator<Item = (Range<usize>, &'a mut [T])> {
    tiles.iter().map(move |tile| {
        let (part, after) = std::mem::take(&mut to).split_at_mut(tile.len() * steps);
        to = after;
        (tile.clone(), part)
    })
}

/// Writes some scaled rows value by value: at most as many as a vector has lanes.  `[row]` to `[value, row]`
pub(crate) fn pack_rows<'a>(height: usize, row: impl Fn(usize) -> &'a [f32], scale: f32, to: &mut [f32]) {
    match native::has_transposes() {
        true => native::pack_singles(height, row, scale, to),
        false => pack_plainly(height, row, scale, to),
    }
}

/// What [`native::pack_singles`] does, one value at a time.
pub(super) fn pack_plainly<'a>(height: usize, row: impl Fn(usize) -> &'a [f32], scale: f32, to: &mut [f32]) {
    for i in 0..height {
        for (slot, value) in to[i..].iter_mut().step_by(height).zip(row(i)) {
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
    /// For kernels that multiply by matrix registers.
    Tiles(RowTiles<TileRow>),
}

impl Operand {
    /// Packs `scale x`.
    pub(super) fn pack(x: RowsView, scale: f32, steps: Steps, device: &Device) -> Self {
        match steps {
            Steps::Singles => Self::Singles(f32::pack_rows(x, scale, device)),
            Steps::Pairs => Self::Pairs(u32::pack_rows(x, scale, device)),
            Steps::Tiles => Self::Tiles(TileRow::pack_rows(x, scale, device)),
        }
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Singles(tiles) => tiles.rows(),
            Self::Pairs(tiles) => tiles.rows(),
            Self::Tiles(tiles) => tiles.rows(),
        }
    }
}

/// Columns that one task packs together: some cache lines of a row.
const COLUMNS: usize = 96;
/// Rows that all tiles of a task read before they go on, so that what they read stays in the first-level cache. A multiple of the values
/// of any step.
const ROWS: usize = 64;

/// `0..n` in blocks of [`ROWS`].
fn blocks(n: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n).step_by(ROWS).map(move |first| first..n.min(first + ROWS))
}

/// A matrix as a left operand.
pub(super) trait Pack: RowStep {
    /// Values of a step.
    const VALUES: usize;

    /// Writes a tile of scaled rows.  `[row]` to `[step, row]`
    fn pack_tile<'a>(height: usize, row: impl Fn(usize) -> &'a [f32], scale: f32, to: &mut [Self]);

    /// The same of scaled columns: `row(i)` begins with the tile's columns of row i, or is empty past the last.  `[row]` to `[step, column]`
    fn pack_tile_of_columns<'a>(height: usize, row: impl Fn(usize) -> &'a [f32], scale: f32, to: &mut [Self]);

    /// Packs `scale x`.
    fn pack_rows(x: RowsView, scale: f32, device: &Device) -> RowTiles<Self> {
        let steps = x.width().div_ceil(Self::VALUES);
        RowTiles::pack(device, (x.rows(), steps), 1, |tiles, to| {
            for (tile, to) in each(tiles, steps, to) {
                Self::pack_tile(tile.len(), |i| x.row(tile.start + i), scale, to);
            }
        })
    }

    /// Packs `scale xᵀ`.
    fn pack_columns(x: RowsView, scale: f32, device: &Device) -> RowTiles<Self> {
        let (n, steps) = (x.rows(), x.rows().div_ceil(Self::VALUES));
        // There is no row after the last, whose step is filled up with zeros.
        let row = |row: usize, first: usize| if row < n { &x.row(row)[first..] } else { &[] };
        RowTiles::pack(device, (x.width(), steps), COLUMNS, |tiles, to| {
            for rows in blocks(n) {
                for (tile, to) in each(tiles, steps, to) {
                    let (height, first) = (tile.len(), tile.start);
                    let to = &mut to[rows.start / Self::VALUES * height..rows.end.div_ceil(Self::VALUES) * height];
                    Self::pack_tile_of_columns(height, |i| row(rows.start + i, first), scale, to);
                }
            }
        })
    }
}

impl Pack for f32 {
    const VALUES: usize = 1;

    fn pack_tile<'a>(height: usize, row: impl Fn(usize) -> &'a [f32], scale: f32, to: &mut [f32]) {
        pack_rows(height, row, scale, to);
    }

    fn pack_tile_of_columns<'a>(height: usize, row: impl Fn(usize) -> &'a [f32], scale: f32, to: &mut [f32]) {
        let columns = Columns { row, scale };
        with_height!(height, columns.copy::<_>(to));
    }
}

impl Pack for u32 {
    const VALUES: usize = 2;

    fn pack_tile<'a>(height: usize, row: impl Fn(usize) -> &'a [f32], scale: f32, to: &mut [u32]) {
        native::pack_pairs(height, row, scale, to);
    }

    fn pack_tile_of_columns<'a>(height: usize, row: impl Fn(usize) -> &'a [f32], scale: f32, to: &mut [u32]) {
        native::pack_column_pairs(height, row, scale, to);
    }
}

impl Pack for TileRow {
    const VALUES: usize = 32;

    fn pack_tile<'a>(height: usize, row: impl Fn(usize) -> &'a [f32], scale: f32, to: &mut [TileRow]) {
        native::pack_tile_rows(height, row, scale, to);
    }

    fn pack_tile_of_columns<'a>(height: usize, row: impl Fn(usize) -> &'a [f32], scale: f32, to: &mut [TileRow]) {
        native::pack_column_tile_rows(height, row, scale, to);
    }
}

/// Some rows of one tile's columns.
struct Columns<F> {
    row: F,
    scale: f32,
}

impl<'a, F: Fn(usize) -> &'a [f32]> Columns<F> {
    /// To where they belong in a tile.  `[row, column]`
    fn copy<const M: usize>(&self, tile: &mut [f32]) {
        let (tile, _) = tile.as_chunks_mut::<M>();
        for (i, to) in tile.iter_mut().enumerate() {
            let (from, _) = (self.row)(i).as_chunks::<M>();
            *to = from[0].map(|value| self.scale * value);
        }
    }
}

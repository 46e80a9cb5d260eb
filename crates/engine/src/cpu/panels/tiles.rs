//! The left operand of a packed product, in the order in which the kernel reads it.

use std::marker::PhantomData;
use std::ops::Range;

use bytemuck::{cast_slice, cast_slice_mut};

use super::Steps;
use super::steps::{RowStep, TileRow};
use crate::{Device, Tensor, threads};

/// Columns that one task packs together: some cache lines of a row.
const COLUMNS: usize = 96;
/// Rows that all tiles of a task read before they go on, so that what they read stays in the first-level cache. A multiple of the values
/// of any step.
const ROWS: usize = 64;
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
    /// Packs `scale x`.
    pub(super) fn rows_of(x: RowsView, scale: f32, device: &Device) -> Self {
        let steps = x.width().div_ceil(T::VALUES);
        Self::pack(device, (x.rows(), steps), 1, |tiles, to| {
            for (tile, to) in each(tiles, steps, to) {
                T::pack_rows(tile.len(), |i| x.row(tile.start + i), scale, to);
            }
        })
    }

    /// Packs `scale xᵀ`.
    pub(super) fn columns_of(x: RowsView, scale: f32, device: &Device) -> Self {
        let (n, steps) = (x.rows(), x.rows().div_ceil(T::VALUES));
        // There is no row after the last, whose step is filled up with zeros.
        let row = |row: usize, first: usize| if row < n { &x.row(row)[first..] } else { &[] };
        Self::pack(device, (x.width(), steps), COLUMNS, |tiles, to| {
            for first_row in (0..n).step_by(ROWS) {
                for (tile, to) in each(tiles, steps, to) {
                    let (height, first) = (tile.len(), tile.start);
                    let last_row = n.min(first_row + ROWS);
                    let to = &mut to[first_row / T::VALUES * height..last_row.div_ceil(T::VALUES) * height];
                    T::pack_columns(height, |i| row(first_row + i, first), scale, to);
                }
            }
        })
    }

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

    /// Number of rows.
    pub(super) fn rows(&self) -> usize {
        self.tiles.last().map_or(0, |tile| tile.end)
    }

    /// Some steps of a tile.
    #[inline(always)]
    pub(super) fn part(&self, tile: &Range<usize>, steps: &Range<usize>) -> &[T] {
        let first = tile.start * self.steps;
        &cast_slice(self.values.host())[first + steps.start * tile.len()..first + steps.end * tile.len()]
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
            Steps::Singles => Self::Singles(RowTiles::rows_of(x, scale, device)),
            Steps::Pairs => Self::Pairs(RowTiles::rows_of(x, scale, device)),
            Steps::Tiles => Self::Tiles(RowTiles::rows_of(x, scale, device)),
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

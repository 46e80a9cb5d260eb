//! The left operand of a packed product, in the order in which the kernel reads it.

use std::ops::Range;

use rayon::prelude::*;

use super::store::to_bf16;
use crate::cpu::arch;
use crate::cpu::simd::vectorised;

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
    fn row(&self, row: usize) -> &'a [f32] {
        let first = row * self.stride + self.first;
        &self.data[first..first + self.width]
    }
}

/// The highest tile of a product: with 16 lanes two vectors of outputs for 12 rows fill 24 of 32 registers; with fewer lanes a panel
/// takes four vectors or more, for 3 rows.
fn most_rows(lanes: usize) -> usize {
    if lanes == 16 { 12 } else { 3 }
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
    /// `step(row, number)` gives a row's value at a step.
    fn pack(x: RowsView, steps: usize, step: impl Fn(&[f32], usize) -> T + Sync + Copy) -> Self {
        let n = x.rows();
        let count = n.div_ceil(most_rows(arch::lanes()));
        // Tiles of nearly equal height: a last tile of one row would waste most of its registers.
        let tiles: Vec<Range<usize>> = (0..count).map(|i| i * n / count..(i + 1) * n / count).collect();
        let mut values = vec![T::default(); n * steps];
        let mut rest = values.as_mut_slice();
        let mut parts = Vec::with_capacity(count);
        for tile in &tiles {
            let (part, after) = rest.split_at_mut(tile.len() * steps);
            parts.push((tile.clone(), part));
            rest = after;
        }
        parts.into_par_iter().with_min_len(4).for_each(|(tile, part)| {
            let height = tile.len();
            vectorised(
                #[inline(always)]
                || {
                    for (i, row) in tile.enumerate() {
                        let row = x.row(row);
                        for (number, slot) in part[i..].iter_mut().step_by(height).enumerate() {
                            *slot = step(row, number);
                        }
                    }
                },
            );
        });
        Self { values, steps, tiles }
    }

    /// Some steps of a tile.
    #[inline(always)]
    pub(super) fn part(&self, tile: &Range<usize>, steps: &Range<usize>) -> &[T] {
        let first = tile.start * self.steps;
        &self.values[first + steps.start * tile.len()..first + steps.end * tile.len()]
    }
}

/// Values `2 i` and `2 i + 1` of a scaled row as bf16; past its end there are zeros.
#[inline(always)]
fn pair(row: &[f32], i: usize, scale: f32) -> u32 {
    let odd = if 2 * i + 1 < row.len() { row[2 * i + 1] } else { 0.0 };
    to_bf16(scale * row[2 * i]) | to_bf16(scale * odd) << 16
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
            let step = |row: &[f32], i: usize| pair(row, i, scale);
            return Self::Pairs(RowTiles::pack(x, x.width().div_ceil(2), step));
        }
        Self::Singles(RowTiles::pack(x, x.width(), |row, i| scale * row[i]))
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

//! What a kernel takes of a left operand's row at a time, and how rows and columns are written in such steps.

use std::ops::Range;

use bytemuck::{Pod, Zeroable};

use super::kernel::with_height;
use super::native;
use crate::cpu::arch;

/// 32 values of a row as bf16: a row of a matrix register.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C, align(64))]
pub(crate) struct TileRow(pub [u32; 16]);

/// A step of a row in a left operand: one value, a pair of bf16, or a row of a matrix register.
pub(crate) trait RowStep: Pod + Send + Sync {
    /// Values of a step.
    const VALUES: usize;

    /// Rows of a kernel's highest tile.
    fn most_rows() -> usize;

    /// `0..n` in a kernel's tiles. As high as they get, rather than of equal height: where rows are few the first tile waits for memory,
    /// which costs least if it has most of the arithmetic.
    fn cut(n: usize) -> Vec<Range<usize>> {
        let most = Self::most_rows();
        (0..n).step_by(most).map(|first| first..n.min(first + most)).collect()
    }

    /// Writes a tile of scaled rows.  `[row]` to `[step, row]`
    fn pack_rows<'a>(height: usize, row: impl Fn(usize) -> &'a [f32], scale: f32, to: &mut [Self]);

    /// The same of scaled columns: `row(i)` begins with the tile's columns of row i, or is empty past the last.  `[row]` to `[step, column]`
    fn pack_columns<'a>(height: usize, row: impl Fn(usize) -> &'a [f32], scale: f32, to: &mut [Self]);
}

impl RowStep for f32 {
    const VALUES: usize = 1;

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

    fn pack_rows<'a>(height: usize, row: impl Fn(usize) -> &'a [f32], scale: f32, to: &mut [f32]) {
        pack_rows(height, row, scale, to);
    }

    fn pack_columns<'a>(height: usize, row: impl Fn(usize) -> &'a [f32], scale: f32, to: &mut [f32]) {
        let columns = Columns { row, scale };
        with_height!(height, columns.copy::<_>(to));
    }
}

/// A pair of bf16.
impl RowStep for u32 {
    const VALUES: usize = 2;

    fn most_rows() -> usize {
        12
    }

    fn pack_rows<'a>(height: usize, row: impl Fn(usize) -> &'a [f32], scale: f32, to: &mut [u32]) {
        native::pack_pairs(height, row, scale, to);
    }

    fn pack_columns<'a>(height: usize, row: impl Fn(usize) -> &'a [f32], scale: f32, to: &mut [u32]) {
        native::pack_column_pairs(height, row, scale, to);
    }
}

impl RowStep for TileRow {
    const VALUES: usize = 32;

    /// Two registers of rows by two of columns take four for the sums, and four are left for the factors.
    fn most_rows() -> usize {
        32
    }

    fn pack_rows<'a>(height: usize, row: impl Fn(usize) -> &'a [f32], scale: f32, to: &mut [TileRow]) {
        native::pack_tile_rows(height, row, scale, to);
    }

    fn pack_columns<'a>(height: usize, row: impl Fn(usize) -> &'a [f32], scale: f32, to: &mut [TileRow]) {
        native::pack_column_tile_rows(height, row, scale, to);
    }
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

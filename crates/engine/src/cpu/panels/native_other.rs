//! What other architectures have no instructions for: weights in bf16 are widened to f32 instead.

use super::WIDTH;
use super::kernel::PanelProduct;
use super::steps::TileRow;
use super::store::{Line, PairLine};

/// Never called: rows are packed as pairs only where the CPU multiplies them.
pub(super) fn run_pairs(_: &PanelProduct<PairLine, u32>) {
    unreachable!("no instruction of this CPU multiplies pairs of bf16");
}

/// Never called, as above.
pub(super) fn run_tiles(_: &PanelProduct<PairLine, TileRow>) {
    unreachable!("no such CPU has matrix registers that we know");
}

/// Leaves it to the CPU to see what is read next.
#[inline(always)]
pub(super) fn fetch(_: usize) {}

/// As above.
#[inline(always)]
pub(super) fn fetch_to_write(_: usize) {}

/// Whether there are fast transposes of f32.
pub(super) fn has_transposes() -> bool {
    false
}

/// Never called: only x86-64 has these transposes.
pub(super) fn transpose_lines(_: &[Line; WIDTH], _: &mut [Line; WIDTH]) {
    unreachable!("only x86-64 has these transposes");
}

/// Never called, as above.
pub(super) fn transpose_pairs(_: &[PairLine; WIDTH / 2], _: &mut [PairLine; WIDTH / 2]) {
    unreachable!("only x86-64 has these transposes");
}

/// Never called, as above.
pub(super) fn pack_singles<'a>(_: usize, _: impl Fn(usize) -> &'a [f32], _: f32, _: &mut [f32]) {
    unreachable!("only x86-64 has these transposes");
}

/// Never called, as above.
pub(super) fn pack_column_pairs<'a>(_: usize, _: impl Fn(usize) -> &'a [f32], _: f32, _: &mut [u32]) {
    unreachable!("only x86-64 has these conversions");
}

/// Never called, as above.
pub(super) fn pair_lines<'a>(_: usize, _: impl Fn(usize) -> &'a [f32], _: &mut Vec<PairLine>) {
    unreachable!("only x86-64 has these conversions");
}

/// Never called, as above.
pub(super) fn pack_pairs<'a>(_: usize, _: impl Fn(usize) -> &'a [f32], _: f32, _: &mut [u32]) {
    unreachable!("only x86-64 has these transposes");
}

/// Never called, as above.
pub(super) fn pack_tile_rows<'a>(_: usize, _: impl Fn(usize) -> &'a [f32], _: f32, _: &mut [TileRow]) {
    unreachable!("only x86-64 has these conversions");
}

/// Never called, as above.
pub(super) fn pack_column_tile_rows<'a>(_: usize, _: impl Fn(usize) -> &'a [f32], _: f32, _: &mut [TileRow]) {
    unreachable!("only x86-64 has these conversions");
}

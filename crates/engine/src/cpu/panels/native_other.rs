//! What other architectures have no instructions for: weights in bf16 are widened to f32 instead.

use super::WIDTH;
use super::kernel::PanelProduct;
use super::store::{Line, PairLine};

/// Never called: rows are packed as pairs only where the CPU multiplies them.
pub(super) fn run_pairs(_: &PanelProduct<PairLine, u32>) {
    unreachable!("no instruction of this CPU multiplies pairs of bf16");
}

/// Never called: only AVX-512 has these transposes.
pub(super) fn transpose_lines(_: &[Line; WIDTH]) -> [Line; WIDTH] {
    unreachable!("only AVX-512 has these transposes");
}

/// Never called, as above.
pub(super) fn transpose_pairs(_: &[PairLine; WIDTH / 2]) -> [PairLine; WIDTH / 2] {
    unreachable!("only AVX-512 has these transposes");
}

/// Never called, as above.
pub(super) fn pack_singles<'a>(_: usize, _: impl Fn(usize) -> &'a [f32], _: f32, _: &mut [f32]) {
    unreachable!("only AVX-512 has these transposes");
}

/// Never called, as above.
pub(super) fn pack_pairs<'a>(_: usize, _: impl Fn(usize) -> &'a [f32], _: f32, _: &mut [u32]) {
    unreachable!("only AVX-512 has these transposes");
}

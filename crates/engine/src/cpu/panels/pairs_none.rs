//! Where no instruction multiplies pairs of bf16: weights are widened to f32 instead, and nothing comes here.

use super::kernel::PanelProduct;
use super::store::PairLine;

/// Never called: rows are packed as pairs only where the CPU multiplies them.
pub(super) fn run(_: &PanelProduct<PairLine, u32>) {
    unreachable!("no instruction of this CPU multiplies pairs of bf16");
}

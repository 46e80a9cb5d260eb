//! Weight matrices packed once, and the two products that read them: `y = x Wᵀ` and `dx = dy W`.
//!
//! A weight `[out, in]` is cut into panels of [`WIDTH`] outputs, each stored as `[in, WIDTH]`. The forward product keeps a tile of
//! `y` in registers and walks down a panel, one vector of outputs times one value of each row of x at a time. The backward product
//! transposes a strip of the *same* panels at a time, in the cache, and is then the same product. So one copy of a weight serves
//! both, and a general product's packing, which costs more than the arithmetic when rows are few, never happens.
//!
//! Values are stored as f32, bf16 or 8-bit integers. Kernels multiply f32, or pairs of bf16 where the CPU can and the weight is
//! stored in less than f32; a strip that is stored otherwise is converted on its way through the cache, once for all rows.
//!
//! Every element of a result is computed by one task in a fixed order: results do not depend on the number of threads.

mod kernel;
mod store;
mod tiles;

#[cfg(target_arch = "x86_64")]
#[path = "native_x86.rs"]
mod native;
#[cfg(not(target_arch = "x86_64"))]
#[path = "native_other.rs"]
mod native;

#[cfg(test)]
mod tests;

use std::ops::Range;

use rayon::prelude::*;

use super::arch;
use super::shared::SharedRows;
use super::simd::vectorised;
use crate::Precision;
use kernel::PanelProduct;
pub(crate) use kernel::Start;
use store::{Line, PairLine, Store};
pub(crate) use tiles::{Operand, RowsView};

/// Outputs of a panel.
pub(crate) const WIDTH: usize = 32;
/// Inputs that share a scale where weights are stored in 8 bits.
pub(crate) const BLOCK: usize = 64;
/// Bytes of a strip that all rows pass over at once, so that it stays in the second-level cache.
const STRIP: usize = 64 * 1024;
/// Multiplications below which a second thread costs more than it saves.
const WORTH_A_THREAD: usize = 1 << 20;

/// A packed weight.
#[derive(Clone, Debug)]
pub(crate) struct Panels {
    outputs: usize,
    inputs: usize,
    store: Store,
}

/// A row-major matrix to write, and which of its columns.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    rows: SharedRows<'a>,
    first: usize,
}

impl<'a> Target<'a> {
    /// All of a matrix.  `[n, cols]`
    pub(crate) fn new(data: &'a mut [f32], cols: usize) -> Self {
        Self::columns(data, cols, 0)
    }

    /// The columns of a matrix from `first` on.  `[n, cols]`
    pub(crate) fn columns(data: &'a mut [f32], cols: usize, first: usize) -> Self {
        let n = data.len() / cols.max(1);
        Self { rows: SharedRows::new(data, n, cols), first }
    }
}

impl Panels {
    /// Packs a row-major weight.  `[outputs, inputs]`
    pub(crate) fn pack(outputs: usize, inputs: usize, values: &[f32], precision: Precision) -> Self {
        assert_eq!(values.len(), outputs * inputs);
        Self { outputs, inputs, store: Store::pack(outputs, inputs, values, precision) }
    }

    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    pub(crate) fn inputs(&self) -> usize {
        self.inputs
    }

    pub(crate) fn precision(&self) -> Precision {
        self.store.precision()
    }

    /// Number of panels.
    pub(crate) fn count(&self) -> usize {
        self.outputs.div_ceil(WIDTH)
    }

    /// Outputs of some panels.
    pub(crate) fn outputs_of(&self, panels: &Range<usize>) -> Range<usize> {
        panels.start * WIDTH..self.outputs.min(panels.end * WIDTH)
    }

    /// Calls `f(input, weight)` for every input of one output.
    #[inline(always)]
    pub(crate) fn for_output(&self, output: usize, f: impl FnMut(usize, f32)) {
        self.store.for_output(self.inputs, output / WIDTH, output % WIDTH, f);
    }

    /// The row-major weight.  `[outputs, inputs]`
    pub(crate) fn unpack(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.outputs * self.inputs];
        for (output, row) in values.chunks_mut(self.inputs.max(1)).enumerate() {
            self.for_output(output, |input, weight| row[input] = weight);
        }
        values
    }

    /// `scale x`, ready for products with this weight and any other of the same precision.
    pub(crate) fn operand(&self, x: RowsView, scale: f32) -> Operand {
        Operand::pack(x, scale, self.precision() != Precision::F32 && arch::multiplies_pairs())
    }

    /// `y = start + x Wᵀ` for the outputs of `panels`: x `[n, inputs]`, y `[n, outputs of panels]`.
    pub(crate) fn forward(&self, panels: Range<usize>, x: &Operand, start: Start, y: Target) {
        let first = panels.start;
        let columns = |i: usize| self.outputs_of(&(first + i..first + i + 1));
        let offset = self.outputs_of(&panels).start;
        let shape = Shape { parts: panels.len(), depth: self.inputs };
        multiply(&Forward { weight: self, first }, shape, x, y, |i| {
            let outputs = columns(i);
            let local = outputs.start - offset..outputs.end - offset;
            (local.clone(), start.of(local))
        });
    }

    /// `dx = start + dy W` over the outputs of `panels`: dy `[n, outputs of panels]`, dx `[n, inputs]`.
    pub(crate) fn backward(&self, panels: Range<usize>, dy: &Operand, start: Start, dx: Target) {
        let outputs = self.outputs_of(&panels);
        let shape = Shape { parts: self.inputs.div_ceil(WIDTH), depth: outputs.len() };
        multiply(&Backward { weight: self, first: panels.start }, shape, dy, dx, |i| {
            let inputs = i * WIDTH..self.inputs.min((i + 1) * WIDTH);
            (inputs.clone(), start.of(inputs))
        });
    }
}

/// Parts of a product that go to different tasks, and the length of the sums.
#[derive(Clone, Copy)]
struct Shape {
    parts: usize,
    depth: usize,
}

/// Where a product's right operand comes from, part by part: 32 columns of it each.
trait Strips: Sync {
    fn lines<'a>(&'a self, part: usize, depth: Range<usize>, scratch: &'a mut Vec<Line>) -> &'a [Line];
    fn pairs<'a>(&'a self, part: usize, depth: Range<usize>, scratch: &'a mut Vec<PairLine>) -> &'a [PairLine];
    /// Where the values lie that a strip is made of, if that is one place.
    fn addresses(&self, part: usize, depth: Range<usize>) -> Range<usize>;
}

/// Where the values lie of the strip that comes after the one that begins at `first`: further down the part, or on top of the next.
fn ahead(strips: &impl Strips, shape: Shape, part: usize, first: usize, depth_of_strip: usize) -> Range<usize> {
    let next = first + depth_of_strip;
    match (next < shape.depth, part + 1 < shape.parts) {
        // With AVX-512 it was not measured.
        _ if arch::is_avx512() => 0..0,
        (true, _) => strips.addresses(part, next..shape.depth.min(next + depth_of_strip)),
        (false, true) => strips.addresses(part + 1, 0..shape.depth.min(depth_of_strip)),
        (false, false) => 0..0,
    }
}

/// `y[:, columns of part] = start + x strips[part]` for all parts; `place` names a part's columns and what they start from.
fn multiply<'a>(
    strips: &impl Strips,
    shape: Shape,
    x: &Operand,
    y: Target,
    place: impl Fn(usize) -> (Range<usize>, Start<'a>) + Sync,
) {
    let n = x.rows();
    if n == 0 || shape.parts == 0 {
        return;
    }
    let parts_per_task = WORTH_A_THREAD.div_ceil(n * shape.depth.max(1) * WIDTH);
    let parts = (0..shape.parts).into_par_iter().with_min_len(parts_per_task);
    parts.for_each_init(Default::default, |(singles, pairs): &mut (Vec<Line>, Vec<PairLine>), part| {
        let (columns, mut start) = place(part);
        let columns = columns.start + y.first..columns.end + y.first;
        let depth_of_strip = match x {
            Operand::Singles(_) => STRIP / size_of::<Line>(),
            Operand::Pairs(_) => 2 * STRIP / size_of::<PairLine>(),
        };
        for first in (0..shape.depth.max(1)).step_by(depth_of_strip) {
            let depth = first..shape.depth.min(first + depth_of_strip);
            let (columns, y) = (columns.clone(), y.rows);
            match x {
                Operand::Singles(x) => {
                    let lines = vectorised(
                        #[inline(always)]
                        || strips.lines(part, depth.clone(), singles),
                    );
                    let ahead = ahead(strips, shape, part, first, depth_of_strip);
                    arch::run(PanelProduct { lines, x, steps: depth, y, columns, start, ahead });
                }
                Operand::Pairs(x) => {
                    let lines = vectorised(
                        #[inline(always)]
                        || strips.pairs(part, depth.clone(), pairs),
                    );
                    let steps = depth.start / 2..depth.end.div_ceil(2);
                    PanelProduct { lines, x, steps, y, columns, start, ahead: 0..0 }.run_pairs();
                }
            }
            start = Start::There;
        }
    });
}

/// A panel a part, down its inputs.
struct Forward<'w> {
    weight: &'w Panels,
    first: usize,
}

impl Strips for Forward<'_> {
    #[inline(always)]
    fn lines<'a>(&'a self, part: usize, depth: Range<usize>, scratch: &'a mut Vec<Line>) -> &'a [Line] {
        self.weight.store.lines(self.weight.inputs, self.first + part, depth, scratch)
    }

    #[inline(always)]
    fn pairs<'a>(&'a self, part: usize, depth: Range<usize>, scratch: &'a mut Vec<PairLine>) -> &'a [PairLine] {
        self.weight.store.pairs(self.weight.inputs, self.first + part, depth, scratch)
    }

    fn addresses(&self, part: usize, depth: Range<usize>) -> Range<usize> {
        self.weight.store.addresses(self.weight.inputs, self.first + part, depth)
    }
}

/// 32 inputs a part, down the outputs from panel `first` on.
struct Backward<'w> {
    weight: &'w Panels,
    first: usize,
}

impl Backward<'_> {
    /// Inputs of a part.
    #[inline(always)]
    fn inputs(&self, part: usize) -> Range<usize> {
        part * WIDTH..self.weight.inputs.min((part + 1) * WIDTH)
    }

    /// The panels under some outputs, which start with a panel, each with how many of its outputs are meant.
    #[inline(always)]
    fn panels(&self, depth: Range<usize>) -> impl Iterator<Item = (usize, usize)> {
        let first = self.first + depth.start / WIDTH;
        let whole = depth.len();
        (0..whole.div_ceil(WIDTH)).map(move |i| (first + i, WIDTH.min(whole - i * WIDTH)))
    }
}

impl Strips for Backward<'_> {
    #[inline(always)]
    fn lines<'a>(&'a self, part: usize, depth: Range<usize>, scratch: &'a mut Vec<Line>) -> &'a [Line] {
        scratch.clear();
        let (mut buffer, fast) = (Vec::new(), native::has_transposes());
        for (panel, outputs) in self.panels(depth) {
            let from = self.weight.store.lines(self.weight.inputs, panel, self.inputs(part), &mut buffer);
            if let (Ok(from), WIDTH, true) = (from.try_into(), outputs, fast) {
                native::transpose_lines(from, scratch);
                continue;
            }
            for output in 0..outputs {
                let mut line = Line::ZERO;
                for (to, from) in line.0.iter_mut().zip(from) {
                    *to = from.0[output];
                }
                scratch.push(line);
            }
        }
        scratch
    }

    #[inline(always)]
    fn pairs<'a>(&'a self, part: usize, depth: Range<usize>, scratch: &'a mut Vec<PairLine>) -> &'a [PairLine] {
        scratch.clear();
        let (mut buffer, fast) = (Vec::new(), arch::is_avx512());
        for (panel, outputs) in self.panels(depth) {
            let from = self.weight.store.pairs(self.weight.inputs, panel, self.inputs(part), &mut buffer);
            if let (Ok(from), WIDTH, true) = (from.try_into(), outputs, fast) {
                scratch.extend(native::transpose_pairs(from));
                continue;
            }
            for output in (0..outputs).step_by(2) {
                scratch.push(transposed_pair(from, output));
            }
        }
        scratch
    }

    /// Every panel has its own.
    fn addresses(&self, _: usize, _: Range<usize>) -> Range<usize> {
        0..0
    }
}

/// The weights of two outputs, from `output` on, as a line of pairs over them: pairs over inputs become pairs over outputs. The output
/// past a panel's last is zero.
#[inline(always)]
fn transposed_pair(from: &[PairLine], output: usize) -> PairLine {
    let mut line = PairLine::ZERO;
    for (to, from) in line.0.chunks_exact_mut(2).zip(from) {
        let (even, odd) = (from.0[output], from.0[output + 1]);
        to[0] = even & 0xffff | odd << 16;
        to[1] = even >> 16 | odd & 0xffff_0000;
    }
    line
}

/// The nearest number that bf16 can hold: what a product with pairs makes of its operands.
#[cfg(test)]
fn rounded_to_bf16(x: f32) -> f32 {
    store::from_bf16(store::to_bf16(x))
}

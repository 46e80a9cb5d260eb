//! Weight matrices packed once, and the two products that read them: `y = x Wᵀ` and `dx = dy W`.
//!
//! A weight `[out, in]` is cut into panels of [`WIDTH`] outputs, each stored as `[in, WIDTH]`. The forward product keeps a tile of
//! `y` in registers and walks down a panel, one vector of outputs times one value of each row of x at a time. The backward product
//! transposes a strip of the *same* panels at a time, in the cache, and is then the same product. So one copy of a weight serves
//! both, and a general product's packing, which costs more than the arithmetic when rows are few, never happens.
//!
//! Values are stored as f32, bf16 or 8-bit integers. Kernels multiply f32, or bf16 where the CPU can and the weight is stored in less
//! than f32: in pairs by vectors, or 32 at a time by matrix registers. A strip that is stored otherwise is converted on its way through
//! the cache, once for all rows.
//!
//! Every element of a result is computed by one task in a fixed order: results do not depend on the number of threads.

mod ahead;
mod changing;
mod kernel;
mod product;
mod steps;
mod store;
mod strips;
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

use super::arch::{self, Bf16};
use super::shared::SharedRows;
use crate::{Device, Precision};
pub(crate) use changing::multiply_transposed;
pub(crate) use kernel::Start;
use product::{Added, Shape, Step, Strips, multiply};
pub(crate) use steps::pack_rows;
use store::Store;
use strips::{Backward, Forward};
use tiles::RowTiles;
pub(crate) use tiles::{Operand, RowsView};

/// Outputs of a panel.
pub(crate) const WIDTH: usize = 32;
/// Inputs that share a scale where weights are stored in 8 bits.
pub(crate) const BLOCK: usize = 64;

/// A packed weight.
#[derive(Clone, Debug)]
pub(crate) struct Panels {
    outputs: usize,
    inputs: usize,
    store: Store,
}

/// `u Bᵀ`, added to some columns of a product.
pub(crate) struct Update<'a> {
    pub b: &'a Panels,
    /// As many rows as the product has.
    pub u: &'a Operand,
    /// As many columns as B has outputs.
    pub columns: Range<usize>,
}

impl Update<'_> {
    /// The same by the panels that its columns are.
    fn on_panels<X: Step>(&self) -> Added<'_, X> {
        Added { first: self.columns.start / WIDTH, weight: self.b, x: X::tiles(self.u) }
    }
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

    /// `scale x`, ready for products with this weight and any other of the same precision, in a buffer of the device's.
    pub(crate) fn operand(&self, x: RowsView, scale: f32, device: &Device) -> Operand {
        Operand::pack(x, scale, Steps::of(self.precision()), device)
    }

    /// `y = start + x Wᵀ` for the outputs of `panels`: x `[n, inputs]`, y `[n, outputs of panels]`.
    pub(crate) fn forward(&self, panels: Range<usize>, x: &Operand, start: Start, y: Target) {
        self.forward_with(panels, x, &[], start, y);
    }

    /// `y = start + x Wᵀ`, and `y[:, columns] += u Bᵀ` for every update: y `[n, outputs]`.
    pub(crate) fn forward_updated(&self, x: &Operand, updates: &[Update], start: Start, y: Target) {
        // What begins and ends with panels of the weight's goes along with them; what does not, in a pass of its own.
        let along = |update: &&Update| {
            let Range { start, end } = update.columns;
            start.is_multiple_of(WIDTH) && (end.is_multiple_of(WIDTH) || end == self.outputs)
        };
        let (along, after): (Vec<&Update>, Vec<&Update>) = updates.iter().partition(along);
        self.forward_with(0..self.count(), x, &along, start, y);
        for Update { b, u, columns } in after {
            let y = Target { first: y.first + columns.start, ..y };
            b.forward(0..b.count(), u, Start::There, y);
        }
    }

    fn forward_with(&self, panels: Range<usize>, x: &Operand, updates: &[&Update], start: Start, y: Target) {
        match x {
            Operand::Singles(x) => self.forward_by(panels, x, updates, start, y),
            Operand::Pairs(x) => self.forward_by(panels, x, updates, start, y),
            Operand::Tiles(x) => self.forward_by(panels, x, updates, start, y),
        }
    }

    /// The same by one kind of steps.
    fn forward_by<X: Step>(&self, panels: Range<usize>, x: &RowTiles<X>, updates: &[&Update], start: Start, y: Target)
    where
        for<'w> Forward<'w>: Strips<X::Line>,
    {
        let first = panels.start;
        let columns = |i: usize| self.outputs_of(&(first + i..first + i + 1));
        let offset = self.outputs_of(&panels).start;
        let shape = Shape { parts: panels.len(), depth: self.inputs };
        let place = |i: usize| {
            let outputs = columns(i);
            let local = outputs.start - offset..outputs.end - offset;
            (local.clone(), start.of(local))
        };
        let added = updates.iter().map(|update| update.on_panels()).collect::<Vec<_>>();
        multiply(&Forward { weight: self, first }, shape, (x, &added), y, place);
    }

    /// `dx = start + dy W` over the outputs of `panels`: dy `[n, outputs of panels]`, dx `[n, inputs]`.
    pub(crate) fn backward(&self, panels: Range<usize>, dy: &Operand, start: Start, dx: Target) {
        let outputs = self.outputs_of(&panels);
        let shape = Shape { parts: self.inputs.div_ceil(WIDTH), depth: outputs.len() };
        let place = |i: usize| {
            let inputs = i * WIDTH..self.inputs.min((i + 1) * WIDTH);
            (inputs.clone(), start.of(inputs))
        };
        let strips = Backward { weight: self, first: panels.start };
        match dy {
            Operand::Singles(dy) => multiply(&strips, shape, (dy, &[]), dx, place),
            Operand::Pairs(dy) => multiply(&strips, shape, (dy, &[]), dx, place),
            Operand::Tiles(dy) => multiply(&strips, shape, (dy, &[]), dx, place),
        }
    }
}

/// What a product's kernel takes of a row at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Steps {
    /// A value.
    Singles,
    /// Two as bf16.
    Pairs,
    /// A matrix register's row of bf16.
    Tiles,
}

impl Steps {
    /// In products with weights in this precision.
    fn of(precision: Precision) -> Self {
        match (precision, arch::bf16()) {
            (Precision::F32, _) | (_, Bf16::Widened) => Self::Singles,
            (_, Bf16::Pairs) => Self::Pairs,
            (_, Bf16::Tiles) => Self::Tiles,
        }
    }
}

/// The nearest number that bf16 can hold: what a product with pairs makes of its operands.
#[cfg(test)]
fn rounded_to_bf16(x: f32) -> f32 {
    store::from_bf16(store::to_bf16(x))
}

//! Weight matrices packed once, and the two products that read them: `y += x Wᵀ` and `dx += dy W`.
//!
//! A weight `[out, in]` is cut into panels of [`WIDTH`] outputs, each stored as `[in, WIDTH]`. The forward product keeps a tile of
//! `y` in registers and walks down a panel, one vector of outputs times one value of each row of x at a time. The backward product
//! transposes a strip of the *same* panels at a time, in the cache, and is then the same product. So one copy of a weight serves
//! both, and a general product's packing, which costs more than the arithmetic when rows are few, never happens.
//!
//! Every element of a result is computed by one task in a fixed order: results do not depend on the number of threads.

use std::ops::Range;

use pulp::Simd;
use pulp::bytemuck::{Zeroable, cast_slice};
use rayon::prelude::*;

use super::arch::{Job, run};
use super::shared::SharedRows;

/// Outputs of a panel.
pub(crate) const WIDTH: usize = 32;
/// Inputs that the forward product takes at once, so that a panel's part stays in the cache while all rows pass.
const DEPTH: usize = 512;
/// Multiplications below which a second thread costs more than it saves.
const WORTH_A_THREAD: usize = 1 << 20;

/// One input's weights to the outputs of a panel: aligned, because a vector across two cache lines costs two loads.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([f32; WIDTH]);

const ZEROS: Line = Line([0.0; WIDTH]);

/// A packed weight.
#[derive(Clone, Debug)]
pub(crate) struct Panels {
    outputs: usize,
    inputs: usize,
    /// `[panels, inputs]` lines; outputs past the last are zero.
    lines: Vec<Line>,
}

impl Panels {
    /// Packs a row-major weight.  `[outputs, inputs]`
    pub(crate) fn pack(outputs: usize, inputs: usize, values: &[f32]) -> Self {
        assert_eq!(values.len(), outputs * inputs);
        let mut lines = vec![ZEROS; outputs.div_ceil(WIDTH) * inputs];
        lines.par_chunks_mut(inputs.max(1)).enumerate().for_each(|(panel, lines)| {
            let first = panel * WIDTH;
            for output in first..outputs.min(first + WIDTH) {
                let row = &values[output * inputs..(output + 1) * inputs];
                for (line, value) in lines.iter_mut().zip(row) {
                    line.0[output - first] = *value;
                }
            }
        });
        Self { outputs, inputs, lines }
    }

    pub(crate) fn outputs(&self) -> usize {
        self.outputs
    }

    pub(crate) fn inputs(&self) -> usize {
        self.inputs
    }

    /// Number of panels.
    pub(crate) fn count(&self) -> usize {
        self.outputs.div_ceil(WIDTH)
    }

    /// Outputs of some panels.
    pub(crate) fn outputs_of(&self, panels: &Range<usize>) -> Range<usize> {
        panels.start * WIDTH..self.outputs.min(panels.end * WIDTH)
    }

    fn panel(&self, panel: usize) -> &[Line] {
        &self.lines[panel * self.inputs..(panel + 1) * self.inputs]
    }

    /// Calls `f(input, weight)` for every input of one output.
    #[inline(always)]
    pub(crate) fn for_output(&self, output: usize, mut f: impl FnMut(usize, f32)) {
        for (input, line) in self.panel(output / WIDTH).iter().enumerate() {
            f(input, line.0[output % WIDTH]);
        }
    }

    /// The row-major weight.  `[outputs, inputs]`
    pub(crate) fn unpack(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.outputs * self.inputs];
        for (output, row) in values.chunks_mut(self.inputs.max(1)).enumerate() {
            self.for_output(output, |input, weight| row[input] = weight);
        }
        values
    }

    /// `y += scale x Wᵀ` for the outputs of `panels`: x `[n, inputs]`, y `[n, outputs of panels]`, row-major.
    pub(crate) fn forward(&self, panels: Range<usize>, x: &[f32], scale: f32, y: &mut [f32]) {
        let width = self.outputs_of(&panels).len();
        let n = x.len() / self.inputs.max(1);
        assert!(x.len() == n * self.inputs && y.len() == n * width, "shapes of a product");
        if n == 0 || width == 0 {
            return;
        }
        let x = RowTiles::pack(x, self.inputs, scale);
        let y = SharedRows::new(y, n, width);
        panels.clone().into_par_iter().with_min_len(panels_per_task(n, self.inputs)).for_each(|panel| {
            let first = (panel - panels.start) * WIDTH;
            let columns = first..width.min(first + WIDTH);
            run(ForwardPanel { lines: self.panel(panel), x: &x, y, columns });
        });
    }

    /// `dx += dy W` over the outputs of `panels`: dy `[n, outputs of panels]`, dx `[n, inputs]`, row-major.
    pub(crate) fn backward(&self, panels: Range<usize>, dy: &[f32], dx: &mut [f32]) {
        let width = self.outputs_of(&panels).len();
        let n = dx.len() / self.inputs.max(1);
        assert!(dx.len() == n * self.inputs && dy.len() == n * width, "shapes of a product");
        if n == 0 || width == 0 {
            return;
        }
        let dy = RowTiles::pack(dy, width, 1.0);
        let dx = SharedRows::new(dx, n, self.inputs);
        let strips = (0..self.inputs.div_ceil(WIDTH)).into_par_iter().with_min_len(panels_per_task(n, width));
        strips.for_each_init(Vec::new, |lines, strip| {
            let inputs = strip * WIDTH..self.inputs.min((strip + 1) * WIDTH);
            self.transpose(&panels, &inputs, lines);
            run(ForwardPanel { lines: &lines[..width], x: &dy, y: dx, columns: inputs });
        });
    }

    /// The weights of some inputs as a panel of the transposed matrix: a line per output of `panels`.
    fn transpose(&self, panels: &Range<usize>, inputs: &Range<usize>, lines: &mut Vec<Line>) {
        lines.clear();
        for panel in panels.clone() {
            let from = &self.panel(panel)[inputs.clone()];
            for output in 0..WIDTH {
                let mut line = ZEROS;
                for (to, from) in line.0.iter_mut().zip(from) {
                    *to = from.0[output];
                }
                lines.push(line);
            }
        }
    }
}

/// How many panels of `inputs` lines make a task worth its while for `n` rows.
fn panels_per_task(n: usize, inputs: usize) -> usize {
    WORTH_A_THREAD.div_ceil(n * inputs * WIDTH)
}

/// Rows of x in tiles as high as the forward product's register tile: `[tile, input, row of the tile]`.
struct RowTiles {
    values: Vec<f32>,
    inputs: usize,
    /// Rows of every tile.
    tiles: Vec<Range<usize>>,
}

/// The highest forward tile: with 16 lanes two vectors of outputs for 12 rows fill 24 of 32 registers; with fewer lanes a panel
/// takes four vectors or more, for 3 rows.
fn most_rows(lanes: usize) -> usize {
    if lanes == 16 { 12 } else { 3 }
}

impl RowTiles {
    fn pack(x: &[f32], inputs: usize, scale: f32) -> Self {
        let n = x.len() / inputs;
        let count = n.div_ceil(most_rows(super::arch::lanes()));
        // Tiles of nearly equal height: a last tile of one row would waste most of its registers.
        let tiles: Vec<Range<usize>> = (0..count).map(|i| i * n / count..(i + 1) * n / count).collect();
        let mut values = vec![0.0; x.len()];
        let mut rest = values.as_mut_slice();
        let mut parts = Vec::with_capacity(count);
        for tile in &tiles {
            let (part, after) = rest.split_at_mut(tile.len() * inputs);
            parts.push((tile.clone(), part));
            rest = after;
        }
        parts.into_par_iter().with_min_len(4).for_each(|(tile, part)| {
            let height = tile.len();
            for (i, row) in tile.enumerate() {
                for (slot, value) in part[i..].iter_mut().step_by(height).zip(&x[row * inputs..(row + 1) * inputs]) {
                    *slot = scale * value;
                }
            }
        });
        Self { values, inputs, tiles }
    }

    /// Some inputs of a tile.
    #[inline(always)]
    fn part(&self, tile: &Range<usize>, inputs: &Range<usize>) -> &[f32] {
        let first = tile.start * self.inputs;
        &self.values[first + inputs.start * tile.len()..first + inputs.end * tile.len()]
    }
}

/// One panel's outputs, for all rows.
struct ForwardPanel<'a> {
    lines: &'a [Line],
    x: &'a RowTiles,
    y: SharedRows<'a>,
    columns: Range<usize>,
}

impl Job for ForwardPanel<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let inputs = self.lines.len();
        for start in (0..inputs).step_by(DEPTH) {
            let depth = start..inputs.min(start + DEPTH);
            for tile in &self.x.tiles {
                match S::F32_LANES {
                    16 => self.tile_of_height::<S, 2>(simd, tile, &depth),
                    8 => self.tile_of_height::<S, 4>(simd, tile, &depth),
                    _ => self.tile_of_height::<S, 8>(simd, tile, &depth),
                }
            }
        }
    }
}

impl ForwardPanel<'_> {
    #[inline(always)]
    fn tile_of_height<S: Simd, const V: usize>(&self, simd: S, tile: &Range<usize>, depth: &Range<usize>) {
        match tile.len() {
            1 => self.tile::<S, 1, V>(simd, tile, depth),
            2 => self.tile::<S, 2, V>(simd, tile, depth),
            3 => self.tile::<S, 3, V>(simd, tile, depth),
            4 => self.tile::<S, 4, V>(simd, tile, depth),
            5 => self.tile::<S, 5, V>(simd, tile, depth),
            6 => self.tile::<S, 6, V>(simd, tile, depth),
            7 => self.tile::<S, 7, V>(simd, tile, depth),
            8 => self.tile::<S, 8, V>(simd, tile, depth),
            9 => self.tile::<S, 9, V>(simd, tile, depth),
            10 => self.tile::<S, 10, V>(simd, tile, depth),
            11 => self.tile::<S, 11, V>(simd, tile, depth),
            _ => self.tile::<S, 12, V>(simd, tile, depth),
        }
    }

    /// `y[tile, columns] += x[tile, depth] lines[depth]`, M rows by V vectors in registers.
    #[inline(always)]
    fn tile<S: Simd, const M: usize, const V: usize>(&self, simd: S, tile: &Range<usize>, depth: &Range<usize>) {
        let mut sums = [[S::f32s::zeroed(); V]; M];
        let x = self.x.part(tile, depth);
        for (x, line) in x.chunks_exact(M).zip(&self.lines[depth.clone()]) {
            let weights: &[S::f32s] = cast_slice(&line.0);
            for (x, sums) in x.iter().zip(&mut sums) {
                let x = simd.splat_f32s(*x);
                for (sum, weight) in sums.iter_mut().zip(&weights[..V]) {
                    *sum = simd.mul_add_e_f32s(x, *weight, *sum);
                }
            }
        }
        for (row, sums) in tile.clone().zip(&sums) {
            // SAFETY: a panel is one task, and these columns are this panel's alone.
            let y = unsafe { self.y.row(row, self.columns.clone()) };
            for (y, sum) in y.iter_mut().zip(cast_slice::<S::f32s, f32>(sums)) {
                *y += sum;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::arch;
    use super::*;
    use crate::check::numbers;

    fn assert_close(found: &[f32], expected: &[f32]) {
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 2e-4 * expected.abs().max(1.0), "{found} {expected}");
        }
    }

    /// Three loops.
    fn slow_forward(w: &[f32], x: &[f32], inputs: usize, outputs: Range<usize>, y: &mut [f32]) {
        let width = outputs.len();
        for (x, y) in x.chunks(inputs).zip(y.chunks_mut(width)) {
            for (y, output) in y.iter_mut().zip(outputs.clone()) {
                *y += 0.5 * x.iter().zip(&w[output * inputs..]).map(|(x, w)| x * w).sum::<f32>();
            }
        }
    }

    fn slow_backward(w: &[f32], dy: &[f32], inputs: usize, outputs: Range<usize>, dx: &mut [f32]) {
        for (dy, dx) in dy.chunks(outputs.len()).zip(dx.chunks_mut(inputs)) {
            for (dy, output) in dy.iter().zip(outputs.clone()) {
                for (dx, w) in dx.iter_mut().zip(&w[output * inputs..]) {
                    *dx += dy * w;
                }
            }
        }
    }

    #[test]
    fn both_products_agree_with_three_loops_on_every_instruction_set() {
        for (outputs, inputs) in [(1, 1), (31, 7), (64, 33), (100, 530), (33, 4)] {
            let w = numbers(1, outputs * inputs);
            let packed = Panels::pack(outputs, inputs, &w);
            assert_eq!(packed.unpack(), w);
            for n in [1, 2, 5, 12, 13, 29] {
                for panels in [0..packed.count(), packed.count() - 1..packed.count()] {
                    let range = packed.outputs_of(&panels);
                    let (x, dy) = (numbers(2, n * inputs), numbers(3, n * range.len()));
                    let (mut y, mut dx) = (dy.clone(), x.clone());
                    slow_forward(&w, &x, inputs, range.clone(), &mut y);
                    slow_backward(&w, &dy, inputs, range, &mut dx);
                    for force in arch::available() {
                        arch::with(force, || {
                            let (mut found_y, mut found_dx) = (dy.clone(), x.clone());
                            packed.forward(panels.clone(), &x, 0.5, &mut found_y);
                            packed.backward(panels.clone(), &dy, &mut found_dx);
                            assert_close(&found_y, &y);
                            assert_close(&found_dx, &dx);
                        });
                    }
                }
            }
        }
    }
}

//! The packed values of a weight, and the strips of them that kernels read.

use std::ops::Range;

use bytemuck::{Pod, Zeroable};
use rayon::prelude::*;

use super::ahead::Runs;
use super::{BLOCK, WIDTH};
use crate::Precision;
use crate::buffer::Buffer;

/// One input's weights to the outputs of a panel: aligned, because a vector across two cache lines costs two loads.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C, align(64))]
pub(super) struct Line(pub [f32; WIDTH]);

/// Two inputs' weights to the outputs of a panel as bf16: the even input's in the low half.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C, align(64))]
pub(super) struct PairLine(pub [u32; WIDTH]);

/// One input's weights to the outputs of a panel, in units of their block's scale.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(32))]
pub(super) struct ByteLine([i8; WIDTH]);

impl Line {
    pub(super) const ZERO: Self = Self([0.0; WIDTH]);
}

impl PairLine {
    pub(super) const ZERO: Self = Self([0; WIDTH]);
}

/// The nearest bf16, in the low half.
#[inline(always)]
pub(super) fn to_bf16(x: f32) -> u32 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    // Rounding could turn a NaN into an infinity.
    if x.is_nan() { bits >> 16 | 0x40 } else { rounded }
}

/// The f32 of a bf16 in the low half; whatever is in the high half is dropped.
#[inline(always)]
pub(super) fn from_bf16(x: u32) -> f32 {
    f32::from_bits(x << 16)
}

/// Values of a weight `[outputs, inputs]`, panel by panel; outputs past the last are zero.
#[derive(Clone, Debug)]
pub(super) enum Store {
    /// `[panels, inputs]` lines.
    F32(Buffer<Line>),
    /// `[panels, ceil(inputs / 2)]` lines.
    Bf16(Buffer<PairLine>),
    /// `[panels, inputs]` lines and `[panels, ceil(inputs / BLOCK)]` lines of scales.
    Int8(Buffer<ByteLine>, Buffer<Line>),
}

impl Store {
    /// Packs a row-major weight.  `[outputs, inputs]`
    pub(super) fn pack(outputs: usize, inputs: usize, values: &[f32], precision: Precision) -> Self {
        let panels = outputs.div_ceil(WIDTH);
        let rows = |panel: usize| {
            let first = panel * WIDTH;
            (first..outputs.min(first + WIDTH)).map(move |row| (row - first, &values[row * inputs..(row + 1) * inputs]))
        };
        match precision {
            Precision::F32 => {
                let mut lines = Buffer::<Line>::zeros(panels * inputs);
                lines.par_chunks_mut(inputs.max(1)).enumerate().for_each(|(panel, lines)| {
                    for (output, row) in rows(panel) {
                        lines.iter_mut().zip(row).for_each(|(line, value)| line.0[output] = *value);
                    }
                });
                Self::F32(lines)
            }
            Precision::Bf16 => {
                let pairs = inputs.div_ceil(2);
                let mut lines = Buffer::<PairLine>::zeros(panels * pairs);
                lines.par_chunks_mut(pairs.max(1)).enumerate().for_each(|(panel, lines)| {
                    for (output, row) in rows(panel) {
                        lines.iter_mut().zip(row.chunks(2)).for_each(|(line, pair)| line.0[output] = pack_pair(pair));
                    }
                });
                Self::Bf16(lines)
            }
            Precision::Int8 => {
                let blocks = inputs.div_ceil(BLOCK);
                let mut lines = Buffer::<ByteLine>::zeros(panels * inputs);
                let mut scales = Buffer::<Line>::zeros(panels * blocks);
                let parts = lines.par_chunks_mut(inputs.max(1)).zip(scales.par_chunks_mut(blocks.max(1)));
                parts.enumerate().for_each(|(panel, (lines, scales))| {
                    for (output, row) in rows(panel) {
                        quantise(row, output, lines, scales);
                    }
                });
                Self::Int8(lines, scales)
            }
        }
    }

    pub(super) fn precision(&self) -> Precision {
        match self {
            Self::F32(_) => Precision::F32,
            Self::Bf16(_) => Precision::Bf16,
            Self::Int8(..) => Precision::Int8,
        }
    }

    /// Calls `f(input, weight)` for every input of output number `output` of a panel.
    #[inline(always)]
    pub(super) fn for_output(&self, inputs: usize, panel: usize, output: usize, mut f: impl FnMut(usize, f32)) {
        match self {
            Self::F32(lines) => {
                let lines = &lines[panel * inputs..(panel + 1) * inputs];
                lines.iter().enumerate().for_each(|(input, line)| f(input, line.0[output]));
            }
            Self::Bf16(lines) => {
                let pairs = inputs.div_ceil(2);
                for (pair, line) in lines[panel * pairs..(panel + 1) * pairs].iter().enumerate() {
                    f(2 * pair, from_bf16(line.0[output]));
                    if 2 * pair + 1 < inputs {
                        f(2 * pair + 1, from_bf16(line.0[output] >> 16));
                    }
                }
            }
            Self::Int8(lines, scales) => {
                let scales = &scales[panel * inputs.div_ceil(BLOCK)..];
                for (input, line) in lines[panel * inputs..(panel + 1) * inputs].iter().enumerate() {
                    f(input, f32::from(line.0[output]) * scales[input / BLOCK].0[output]);
                }
            }
        }
    }

    /// Where a panel's values of some of its inputs lie, scales not counted.
    pub(super) fn places(&self, inputs: usize, panel: usize, range: Range<usize>) -> Runs {
        let part = panel * inputs + range.start..panel * inputs + range.end;
        match self {
            Self::F32(lines) => Runs::one(&lines[part]),
            Self::Bf16(lines) => {
                Runs::one(&lines[panel * inputs.div_ceil(2)..][range.start / 2..range.end.div_ceil(2)])
            }
            Self::Int8(lines, _) => Runs::one(&lines[part]),
        }
    }

    /// A panel's lines of some of its inputs: as they are stored, or made in `scratch`.
    #[inline(always)]
    pub(super) fn lines<'a>(
        &'a self,
        inputs: usize,
        panel: usize,
        range: Range<usize>,
        scratch: &'a mut Vec<Line>,
    ) -> &'a [Line] {
        let part = panel * inputs + range.start..panel * inputs + range.end;
        scratch.clear();
        // Plain loops: a closure that is not inlined would lose the instruction set.
        match self {
            Self::F32(lines) => return &lines[part],
            Self::Bf16(lines) => {
                debug_assert!(range.start.is_multiple_of(2));
                let lines = &lines[panel * inputs.div_ceil(2)..];
                for line in &lines[range.start / 2..range.end.div_ceil(2)] {
                    scratch.extend_from_slice(&widen(line));
                }
                scratch.truncate(range.len());
            }
            Self::Int8(lines, scales) => {
                let (lines, scales) = (&lines[panel * inputs..], &scales[panel * inputs.div_ceil(BLOCK)..]);
                for input in range {
                    scratch.push(dequantise(&lines[input], &scales[input / BLOCK]));
                }
            }
        }
        scratch
    }

    /// The same as pairs, from an even input on.
    #[inline(always)]
    pub(super) fn pairs<'a>(
        &'a self,
        inputs: usize,
        panel: usize,
        range: Range<usize>,
        scratch: &'a mut Vec<PairLine>,
    ) -> &'a [PairLine] {
        debug_assert!(range.start.is_multiple_of(2));
        scratch.clear();
        match self {
            Self::F32(lines) => {
                for pair in lines[panel * inputs + range.start..panel * inputs + range.end].chunks(2) {
                    scratch.push(narrow(&pair[0], pair.get(1).unwrap_or(&Line::ZERO)));
                }
            }
            Self::Bf16(lines) => {
                let first = panel * inputs.div_ceil(2);
                return &lines[first + range.start / 2..first + range.end.div_ceil(2)];
            }
            Self::Int8(lines, scales) => {
                let scales = &scales[panel * inputs.div_ceil(BLOCK)..];
                let lines = &lines[panel * inputs..];
                for input in range.clone().step_by(2) {
                    let scales = &scales[input / BLOCK];
                    let even = dequantise(&lines[input], scales);
                    let odd = if input + 1 < range.end { dequantise(&lines[input + 1], scales) } else { Line::ZERO };
                    scratch.push(narrow(&even, &odd));
                }
            }
        }
        scratch
    }
}

fn pack_pair(pair: &[f32]) -> u32 {
    to_bf16(pair[0]) | pair.get(1).map_or(0, |odd| to_bf16(*odd) << 16)
}

/// Both inputs' weights of a pair.
#[inline(always)]
fn widen(line: &PairLine) -> [Line; 2] {
    let [mut even, mut odd] = [Line::ZERO; 2];
    for ((even, odd), pair) in even.0.iter_mut().zip(&mut odd.0).zip(&line.0) {
        *even = from_bf16(*pair);
        *odd = from_bf16(pair >> 16);
    }
    [even, odd]
}

/// Two inputs' weights as a pair.
#[inline(always)]
fn narrow(even: &Line, odd: &Line) -> PairLine {
    let mut line = PairLine::ZERO;
    for (pair, (even, odd)) in line.0.iter_mut().zip(even.0.iter().zip(&odd.0)) {
        *pair = to_bf16(*even) | to_bf16(*odd) << 16;
    }
    line
}

#[inline(always)]
fn dequantise(line: &ByteLine, scales: &Line) -> Line {
    let mut wide = Line::ZERO;
    for (wide, (value, scale)) in wide.0.iter_mut().zip(line.0.iter().zip(&scales.0)) {
        *wide = f32::from(*value) * scale;
    }
    wide
}

/// The values of one output: in every block of inputs the largest becomes 127 of its scale.
fn quantise(row: &[f32], output: usize, lines: &mut [ByteLine], scales: &mut [Line]) {
    for ((row, lines), scale) in row.chunks(BLOCK).zip(lines.chunks_mut(BLOCK)).zip(scales) {
        let largest = row.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        scale.0[output] = largest / 127.0;
        let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        for (line, value) in lines.iter_mut().zip(row) {
            line.0[output] = (value * inverse).round_ties_even() as i8;
        }
    }
}

//! The strips of a packed weight, for the product with it and for that with its transpose.

use std::ops::Range;

use super::ahead::Runs;
use super::product::{Places, Strips};
use super::store::{Line, PairLine};
use super::{Panels, WIDTH, native};
use crate::Precision;
use crate::cpu::arch;

/// A panel a part, down its inputs.
pub(super) struct Forward<'w> {
    pub weight: &'w Panels,
    pub first: usize,
}

impl Places for Forward<'_> {
    fn places(&self, part: usize, depth: Range<usize>) -> Runs {
        self.weight.store.places(self.weight.inputs, self.first + part, depth)
    }
}

impl Strips<PairLine> for Forward<'_> {
    fn are_stored(&self) -> bool {
        self.weight.precision() == Precision::Bf16
    }

    #[inline(always)]
    fn lines<'a>(&'a self, part: usize, depth: Range<usize>, scratch: &'a mut Vec<PairLine>) -> &'a [PairLine] {
        self.weight.store.pairs(self.weight.inputs, self.first + part, depth, scratch)
    }
}

impl Strips<Line> for Forward<'_> {
    fn are_stored(&self) -> bool {
        self.weight.precision() == Precision::F32
    }

    #[inline(always)]
    fn lines<'a>(&'a self, part: usize, depth: Range<usize>, scratch: &'a mut Vec<Line>) -> &'a [Line] {
        self.weight.store.lines(self.weight.inputs, self.first + part, depth, scratch)
    }
}

/// 32 inputs a part, down the outputs from panel `first` on.
pub(super) struct Backward<'w> {
    pub weight: &'w Panels,
    pub first: usize,
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

impl Places for Backward<'_> {
    /// One run of every panel.
    fn places(&self, part: usize, depth: Range<usize>) -> Runs {
        let of_panel = |panel: usize| self.weight.store.places(self.weight.inputs, panel, self.inputs(part));
        let (first, count) = (self.first + depth.start / WIDTH, depth.len().div_ceil(WIDTH));
        match count {
            0 => Runs::default(),
            1 => of_panel(first),
            count => of_panel(first).repeated(of_panel(first + 1), count),
        }
    }
}

impl Strips<Line> for Backward<'_> {
    #[inline(always)]
    fn lines<'a>(&'a self, part: usize, depth: Range<usize>, scratch: &'a mut Vec<Line>) -> &'a [Line] {
        let (mut buffer, fast) = (Vec::new(), native::has_transposes());
        scratch.resize(depth.len(), Line::ZERO);
        for ((panel, outputs), to) in self.panels(depth).zip(scratch.chunks_mut(WIDTH)) {
            let from = self.weight.store.lines(self.weight.inputs, panel, self.inputs(part), &mut buffer);
            if let (Ok(from), WIDTH, true) = (from.try_into(), outputs, fast) {
                native::transpose_lines(from, to.try_into().expect("as many lines as outputs"));
                continue;
            }
            for (output, to) in to.iter_mut().enumerate() {
                *to = Line::ZERO;
                for (to, from) in to.0.iter_mut().zip(from) {
                    *to = from.0[output];
                }
            }
        }
        scratch
    }
}

impl Strips<PairLine> for Backward<'_> {
    #[inline(always)]
    fn lines<'a>(&'a self, part: usize, depth: Range<usize>, scratch: &'a mut Vec<PairLine>) -> &'a [PairLine] {
        let (mut buffer, fast) = (Vec::new(), arch::is_avx512());
        scratch.resize(depth.len().div_ceil(2), PairLine::ZERO);
        for ((panel, outputs), to) in self.panels(depth).zip(scratch.chunks_mut(WIDTH / 2)) {
            let from = self.weight.store.pairs(self.weight.inputs, panel, self.inputs(part), &mut buffer);
            if let (Ok(from), WIDTH, true) = (from.try_into(), outputs, fast) {
                native::transpose_pairs(from, to.try_into().expect("half as many lines as outputs"));
                continue;
            }
            for (i, to) in to.iter_mut().enumerate() {
                *to = transposed_pair(from, 2 * i);
            }
        }
        scratch
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

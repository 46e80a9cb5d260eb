//! The language-model head: log-probabilities of wanted targets at wanted rows, and their gradients, without
//! holding the table of logits, unless it is small and will be needed again.
//!
//! Logits are formed in chunks of the vocabulary with an online softmax. For training the same pass collects
//! `E_p[w]`, the mean output embedding under the row's distribution, because
//!
//! `d log p(y) / dh = w_y - E_p[w]`,
//!
//! so that any coefficient per target can multiply it afterwards. Under a mask p is the renormalised
//! distribution over the allowed tokens; an inverse temperature multiplies logits, and therefore gradients.

use std::ops::Range;

use crate::cpu::gradient::add_transposed;
use crate::cpu::panels::{Operand, Start, WIDTH};
use crate::cpu::rows;
use crate::cpu::simd;
use crate::{Tensor, Weight};

/// Panels of the output matrix in a chunk.
const PANELS: usize = 32;
/// Vocabulary entries of a chunk.
pub const CHUNK: usize = PANELS * WIDTH;

/// Numbers of the largest table of probabilities that is kept for the gradient of a trained head: 32 MiB.
const KEPT: usize = 8 << 20;

/// A set of allowed tokens: bit `id % 64` of word `id / 64`.
pub type MaskBits<'a> = &'a [u64];

/// What is asked of the head: for every row of the hidden states, its targets.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// Targets of row r are `targets[offsets[r]..offsets[r + 1]]`.  `[rows + 1]`
    pub offsets: &'a [usize],
    /// Token ids, row by row.
    pub targets: &'a [u32],
    /// The masks in use.
    pub masks: &'a [MaskBits<'a>],
    /// Which mask each row has; `None` allows everything.  `[rows]`
    pub row_mask: &'a [Option<usize>],
    /// One over the temperature of the distribution.
    pub inverse_temperature: f32,
}

impl<'a> Wanted<'a> {
    fn targets_of(&self, row: usize) -> &'a [u32] {
        &self.targets[self.offsets[row]..self.offsets[row + 1]]
    }

    fn mask_of(&self, row: usize) -> Option<MaskBits<'a>> {
        self.row_mask[row].map(|mask| self.masks[mask])
    }

    fn rows(&self) -> usize {
        self.row_mask.len()
    }
}

fn allows(mask: MaskBits, id: usize) -> bool {
    mask[id / 64] >> (id % 64) & 1 == 1
}

/// What the head answers.
#[derive(Debug)]
pub struct Scored {
    /// log p of every target, in nats, in the order of `Wanted::targets`; minus infinity where masked.
    pub log_probs: Vec<f32>,
    /// Log-normaliser of every row.  `[rows]`
    pub lse: Vec<f32>,
    /// `E_p[w]`, where it was asked for.  `[rows, d]`
    pub expected: Option<Tensor>,
    /// The probabilities of every chunk, where they were asked for and the table is small.
    kept: Vec<Unnormalised>,
}

/// Probabilities of a chunk that are still to be divided by the softmax's sum.
#[derive(Debug)]
struct Unnormalised {
    /// `exp(logit - max)`  `[rows, chunk]`
    exps: Tensor,
    /// The largest logit of every row so far.  `[rows]`
    max: Vec<f32>,
}

/// Whether a forward pass is for scores alone, or for a backward pass too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Log-probabilities only.
    Scores,
    /// Also `E_p[w]`, for [`backward_hidden`].
    ForBackward,
    /// Also, where they are few, the probabilities, which [`backward_weight`] would otherwise compute again.
    ForTrainedHead,
}

/// Log-probabilities of all wanted targets: hidden `[rows, d]`, weight `[vocab, d]`.
pub fn forward(hidden: &Tensor, weight: &Weight, wanted: &Wanted, keep: Keep) -> Scored {
    let (n, d) = (hidden.rows(), hidden.cols());
    assert_eq!((wanted.rows(), wanted.offsets.len(), weight.inputs()), (n, n + 1, d));
    let mut pass = OnlineSoftmax {
        wanted,
        hidden: weight.panels().operand(hidden.view().rows_view(), wanted.inverse_temperature, hidden.device()),
        state: hidden.device().zeros(n, 3),
        logits: vec![f32::NEG_INFINITY; wanted.targets.len()],
        expected: (keep != Keep::Scores).then(|| hidden.device().zeros(n, d)),
        kept: (keep == Keep::ForTrainedHead && n * weight.outputs() <= KEPT).then(Vec::new),
    };
    rows::for_each(
        &mut pass.state,
        #[inline(always)]
        |_, state| state[MAX] = f32::NEG_INFINITY,
    );
    for chunk in chunks(weight.outputs()) {
        pass.take(weight, chunk);
    }
    pass.finish()
}

fn chunks(vocabulary: usize) -> impl Iterator<Item = Range<usize>> {
    (0..vocabulary).step_by(CHUNK).map(move |start| start..vocabulary.min(start + CHUNK))
}

/// The panels that hold a chunk.
fn panels_of(chunk: &Range<usize>) -> Range<usize> {
    chunk.start / WIDTH..chunk.end.div_ceil(WIDTH)
}

/// Columns of the running state of a row: the largest logit so far, the sum of exponentials relative to it, and
/// what the last chunk multiplied that sum by.
const MAX: usize = 0;
const SUM: usize = 1;
const RESCALE: usize = 2;

struct OnlineSoftmax<'a> {
    wanted: &'a Wanted<'a>,
    /// The hidden states, ready for the products with every chunk.
    hidden: Operand,
    state: Tensor,
    logits: Vec<f32>,
    expected: Option<Tensor>,
    kept: Option<Vec<Unnormalised>>,
}

impl OnlineSoftmax<'_> {
    fn take(&mut self, weight: &Weight, chunk: Range<usize>) {
        let mut logits = chunk_logits(&self.hidden, weight, self.wanted, chunk.clone());
        self.pick_targets(&logits, chunk.clone());
        rows::for_each_pair(
            &mut logits,
            &mut self.state,
            #[inline(always)]
            |_, logits, state| {
                let max = state[MAX].max(simd::max(logits));
                if max == f32::NEG_INFINITY {
                    logits.fill(0.0);
                    state[RESCALE] = 1.0;
                    return;
                }
                state[RESCALE] = simd::exp(state[MAX] - max);
                state[SUM] = state[SUM] * state[RESCALE] + simd::exp_in_place(logits, max);
                state[MAX] = max;
            },
        );
        if let Some(expected) = &mut self.expected {
            rows::for_each(
                expected,
                #[inline(always)]
                |row, expected| simd::scale(expected, self.state.row(row)[RESCALE]),
            );
            let probabilities = weight.panels().operand(logits.view().rows_view(), 1.0, logits.device());
            weight.panels().backward(panels_of(&chunk), &probabilities, Start::There, expected.target());
        }
        if let Some(kept) = &mut self.kept {
            let max = (0..logits.rows()).map(|row| self.state.row(row)[MAX]).collect();
            kept.push(Unnormalised { exps: logits, max });
        }
    }

    fn pick_targets(&mut self, logits: &Tensor, chunk: Range<usize>) {
        for row in 0..logits.rows() {
            for i in self.wanted.offsets[row]..self.wanted.offsets[row + 1] {
                let target = self.wanted.targets[i] as usize;
                if chunk.contains(&target) {
                    self.logits[i] = logits.row(row)[target - chunk.start];
                }
            }
        }
    }

    fn finish(mut self) -> Scored {
        let lse: Vec<f32> =
            (0..self.state.rows()).map(|row| self.state.row(row)[MAX] + self.state.row(row)[SUM].ln()).collect();
        if let Some(expected) = &mut self.expected {
            rows::for_each(
                expected,
                #[inline(always)]
                |row, expected| simd::scale(expected, 1.0 / self.state.row(row)[SUM]),
            );
        }
        let mut log_probs = self.logits;
        for (row, lse) in lse.iter().enumerate() {
            for log_prob in &mut log_probs[self.wanted.offsets[row]..self.wanted.offsets[row + 1]] {
                *log_prob -= lse;
            }
        }
        Scored { log_probs, lse, expected: self.expected, kept: self.kept.unwrap_or_default() }
    }
}

/// Logits of some vocabulary entries, with temperature and masks applied.  `[rows, chunk]`
///
/// `hidden` is the operand of the hidden states over the temperature.
fn chunk_logits(hidden: &Operand, weight: &Weight, wanted: &Wanted, chunk: Range<usize>) -> Tensor {
    let mut logits = weight.device().scratch(hidden.rows(), chunk.len());
    weight.panels().forward(panels_of(&chunk), hidden, Start::Zero, logits.target());
    if wanted.row_mask.iter().any(Option::is_some) {
        rows::for_each(
            &mut logits,
            #[inline(always)]
            |row, logits| {
                if let Some(mask) = wanted.mask_of(row) {
                    apply_mask(logits, mask, chunk.start);
                }
            },
        );
    }
    logits
}

/// Sets the logits of tokens that the mask leaves out to minus infinity. `first` is a multiple of 64.
#[inline(always)]
pub(super) fn apply_mask(logits: &mut [f32], mask: MaskBits, first: usize) {
    for (word, logits) in mask[first / 64..].iter().zip(logits.chunks_mut(64)) {
        if *word == u64::MAX {
            continue;
        }
        for (bit, logit) in logits.iter_mut().enumerate() {
            if word >> bit & 1 == 0 {
                *logit = f32::NEG_INFINITY;
            }
        }
    }
}

/// `dh_r += (Σ_y c_y w_y - (Σ_y c_y) E_p[w]) / T` with the coefficient c of every wanted target: dh `[rows, d]`.
///
/// # Panics
/// If `scored` was made with [`Keep::Scores`], or a masked target has a coefficient other than 0.
pub fn backward_hidden(wanted: &Wanted, weight: &Weight, scored: &Scored, coefficients: &[f32], dh: &mut Tensor) {
    let expected = scored.expected.as_ref().expect("a forward pass that keeps E_p[w]");
    let scale = wanted.inverse_temperature;
    rows::for_each(
        dh,
        #[inline(always)]
        |row, dh| {
            let range = wanted.offsets[row]..wanted.offsets[row + 1];
            let mut total = 0.0;
            for (target, c) in wanted.targets_of(row).iter().zip(&coefficients[range]) {
                if *c != 0.0 {
                    assert!(wanted.mask_of(row).is_none_or(|mask| allows(mask, *target as usize)), "a masked target");
                    weight.panels().for_output(*target as usize, |i, weight| dh[i] += scale * c * weight);
                    total += c;
                }
            }
            simd::axpy(dh, -scale * total, expected.row(row));
        },
    );
}

/// `dW_v += Σ_r (c_r[v is a target] - C_r p_r(v)) h_r / T` with `C_r = Σ_y c_y`, for a head that is trained itself: dW `[vocab, d]`.
/// A second pass over the vocabulary, unless `scored` was made with [`Keep::ForTrainedHead`] and holds the probabilities.
pub fn backward_weight(
    hidden: &Tensor,
    weight: &Weight,
    wanted: &Wanted,
    scored: &Scored,
    coefficients: &[f32],
    dw: &mut Tensor,
) {
    let totals: Vec<f32> =
        wanted.offsets.windows(2).map(|range| coefficients[range[0]..range[1]].iter().sum()).collect();
    let (vocabulary, d) = (dw.rows(), dw.cols());
    let pack = || weight.panels().operand(hidden.view().rows_view(), wanted.inverse_temperature, hidden.device());
    let operand = scored.kept.is_empty().then(pack);
    for (i, chunk) in chunks(vocabulary).enumerate() {
        let mut slopes = match &operand {
            Some(hidden) => softmax_slopes(chunk_logits(hidden, weight, wanted, chunk.clone()), &scored.lse, &totals),
            None => scored.kept[i].slopes(&scored.lse, &totals),
        };
        rows::for_each(
            &mut slopes,
            #[inline(always)]
            |row, slopes| {
                let range = wanted.offsets[row]..wanted.offsets[row + 1];
                for (target, c) in wanted.targets_of(row).iter().zip(&coefficients[range]) {
                    if chunk.contains(&(*target as usize)) {
                        slopes[*target as usize - chunk.start] += c;
                    }
                }
            },
        );
        let block = &mut dw.host_mut()[chunk.start * d..chunk.end * d];
        add_transposed(block, &slopes.view(), &hidden.view(), wanted.inverse_temperature, weight.precision());
    }
}

/// `-C_r p_r` of a chunk's logits, C being `totals`.  `[rows, chunk]`
fn softmax_slopes(mut logits: Tensor, lse: &[f32], totals: &[f32]) -> Tensor {
    rows::for_each(
        &mut logits,
        #[inline(always)]
        |row, logits| {
            for logit in logits.iter_mut() {
                *logit = -totals[row] * simd::exp(*logit - lse[row]);
            }
        },
    );
    logits
}

impl Unnormalised {
    /// What [`softmax_slopes`] would make of the chunk's logits.  `[rows, chunk]`
    fn slopes(&self, lse: &[f32], totals: &[f32]) -> Tensor {
        let mut slopes = self.exps.device().scratch(self.exps.rows(), self.exps.cols());
        rows::for_each(
            &mut slopes,
            #[inline(always)]
            |row, slopes| {
                let scale = -totals[row] * simd::exp(self.max[row] - lse[row]);
                for (slope, exp) in slopes.iter_mut().zip(self.exps.row(row)) {
                    *slope = scale * exp;
                }
            },
        );
        slopes
    }
}

/// All logits of every row, for sampling: `[rows, vocab]`.
pub fn logits(hidden: &Tensor, weight: &Weight) -> Tensor {
    super::linear::forward(hidden, weight, None)
}

#[cfg(test)]
mod tests;

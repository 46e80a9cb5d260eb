//! Attention of queries that are alone in their segments, as in decoding: dot products and scaled sums, without the overhead of
//! small products.
//!
//! Keys and values are read row by row, all heads of a row at a time: one head's part of a row is too short a run of memory to be
//! fetched ahead. Queries that see the same rows take turns with them, some rows at a time, which the cache keeps meanwhile.

use std::ops::Range;

use pulp::Simd;

use super::{Heads, WORTH_A_THREAD, softmax};
use crate::Columns;
use crate::cpu::arch::{self, Job};
use crate::cpu::shared::SharedRows;
use crate::layout::{AttentionPlan, AttentionSegment};
use crate::threads::share_numbers;

/// Key rows that one query takes before the next query has its turn.
const TURN: usize = 32;
/// Rows of values that are added to the output at once.
const TOGETHER: usize = 4;

/// What queries are compared with, and what is mixed.
pub(super) struct Operands<'a> {
    pub heads: Heads,
    pub q: Columns<'a>,
    pub k: Columns<'a>,
    pub v: Columns<'a>,
}

/// The forward pass where every segment has one query.
///
/// # Safety
/// Nothing else may touch the rows of the plan's queries in `out` and `lse`.
pub(super) unsafe fn forward(plan: &AttentionPlan, operands: &Operands, out: SharedRows, lse: SharedRows) {
    let threads = rayon::current_num_threads();
    let parts: Vec<&[AttentionSegment]> =
        plan.groups().flat_map(|group| group.chunks(group.len().div_ceil(threads).max(1))).collect();
    let pairs: usize = plan.segments().iter().map(number_of_keys).sum();
    let per_part = pairs * operands.heads.heads * operands.heads.head_dim / parts.len().max(1);
    let together = WORTH_A_THREAD.div_ceil(per_part + 1);
    share_numbers(parts.len(), together, Vec::new, |scores, part| {
        arch::run(Alone { queries: parts[part], operands, scores, out, lse });
    });
}

fn number_of_keys(segment: &AttentionSegment) -> usize {
    segment.keys().map(|keys| keys.len()).sum()
}

/// Key rows that are one query's turn.
struct Turn {
    /// The query's number.
    query: usize,
    keys: Range<usize>,
    /// How many keys the query had before these.
    before: usize,
}

/// All turns of all queries: the first runs of keys that they see, some rows at a time, then the second ones, and so on.
fn turns(queries: &[AttentionSegment]) -> impl Iterator<Item = Turn> {
    let run = |query: usize, number: usize| queries[query].keys().nth(number);
    let numbers = queries.iter().map(|segment| segment.keys().count()).max().unwrap_or(0);
    (0..numbers).flat_map(move |number| {
        let longest = (0..queries.len()).filter_map(|query| run(query, number)).map(|keys| keys.len()).max();
        (0..longest.unwrap_or(0)).step_by(TURN).flat_map(move |first| {
            (0..queries.len()).filter_map(move |query| {
                let keys = run(query, number)?;
                let before: usize = queries[query].keys().take(number).map(|keys| keys.len()).sum();
                let (start, end) = (keys.start + first, keys.end.min(keys.start + first + TURN));
                (start < end).then(|| Turn { query, keys: start..end, before: before + first })
            })
        })
    })
}

/// Some queries of one group.
struct Alone<'a> {
    queries: &'a [AttentionSegment],
    operands: &'a Operands<'a>,
    scores: &'a mut Vec<f32>,
    out: SharedRows<'a>,
    lse: SharedRows<'a>,
}

impl Job for Alone<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { queries, operands, scores, out, lse } = self;
        let heads = operands.heads.heads;
        let most = queries.iter().map(number_of_keys).max().unwrap_or(0);
        // [query, head, key]
        scores.resize(queries.len() * heads * most, 0.0);
        for turn in turns(queries) {
            let row = queries[turn.query].queries.start;
            let scores = &mut scores[turn.query * heads * most..(turn.query + 1) * heads * most];
            operands.score(simd, row, &turn, scores, most);
        }
        for (segment, scores) in queries.iter().zip(scores.chunks_exact_mut(heads * most)) {
            let row = segment.queries.start;
            // SAFETY: the caller of `forward` keeps others out of the plan's rows, and a row is in one segment of one part.
            let (out, lse) = unsafe { (out.row(row, operands.heads.q_columns()), lse.row(row, 0..heads)) };
            out.fill(0.0);
            for (lse, scores) in lse.iter_mut().zip(scores.chunks_exact_mut(most)) {
                *lse = softmax(&mut scores[..number_of_keys(segment)]);
            }
        }
        for turn in turns(queries) {
            let probabilities = &scores[turn.query * heads * most..(turn.query + 1) * heads * most];
            // SAFETY: as above.
            let out = unsafe { out.row(queries[turn.query].queries.start, operands.heads.q_columns()) };
            operands.mix(simd, &turn, probabilities, most, out);
        }
    }
}

impl Operands<'_> {
    /// Scaled scores of one query's turn, at a head's and a key's place in a table.  `[head, most]`
    #[inline(always)]
    fn score<S: Simd>(&self, simd: S, row: usize, turn: &Turn, scores: &mut [f32], most: usize) {
        let (heads, group, q) = (self.heads, self.heads.group(), self.q.row(row));
        for (number, key) in turn.keys.clone().enumerate() {
            for (kv_head, k) in self.k.row(key).chunks_exact(heads.head_dim).enumerate() {
                for head in kv_head * group..(kv_head + 1) * group {
                    scores[head * most + turn.before + number] = heads.scale * dot(simd, &q[heads.of(head)], k);
                }
            }
        }
    }

    /// Adds the values of a query's turn, by their probabilities.  `[head, most]`
    #[inline(always)]
    fn mix<S: Simd>(&self, simd: S, turn: &Turn, probabilities: &[f32], most: usize, out: &mut [f32]) {
        let whole = turn.keys.len() - turn.keys.len() % TOGETHER;
        for number in (0..whole).step_by(TOGETHER) {
            self.add::<S, TOGETHER>(simd, turn, number, probabilities, most, out);
        }
        for number in whole..turn.keys.len() {
            self.add::<S, 1>(simd, turn, number, probabilities, most, out);
        }
    }

    /// N neighbouring rows of values.
    #[inline(always)]
    fn add<S: Simd, const N: usize>(
        &self,
        simd: S,
        turn: &Turn,
        number: usize,
        probabilities: &[f32],
        most: usize,
        out: &mut [f32],
    ) {
        let (heads, group) = (self.heads, self.heads.group());
        for kv_head in 0..heads.kv_heads {
            let mut values = [(&[][..], &[][..]); N];
            for (i, values) in values.iter_mut().enumerate() {
                *values = S::as_simd_f32s(&self.v.row(turn.keys.start + number + i)[heads.of(kv_head)]);
            }
            for head in kv_head * group..(kv_head + 1) * group {
                let first = head * most + turn.before + number;
                let (out, out_rest) = S::as_mut_simd_f32s(&mut out[heads.of(head)]);
                for (c, out) in out.iter_mut().enumerate() {
                    for ((v, _), p) in values.iter().zip(&probabilities[first..first + N]) {
                        *out = simd.mul_add_e_f32s(simd.splat_f32s(*p), v[c], *out);
                    }
                }
                for (c, out) in out_rest.iter_mut().enumerate() {
                    for ((_, v), p) in values.iter().zip(&probabilities[first..first + N]) {
                        *out += p * v[c];
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn dot<S: Simd>(simd: S, x: &[f32], y: &[f32]) -> f32 {
    let ((x, x_rest), (y, y_rest)) = (S::as_simd_f32s(x), S::as_simd_f32s(y));
    let mut sums = simd.splat_f32s(0.0);
    for (x, y) in x.iter().zip(y) {
        sums = simd.mul_add_e_f32s(*x, *y, sums);
    }
    let mut sum = simd.reduce_sum_f32s(sums);
    for (x, y) in x_rest.iter().zip(y_rest) {
        sum += x * y;
    }
    sum
}

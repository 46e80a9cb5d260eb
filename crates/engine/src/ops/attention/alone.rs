//! Attention of queries that are alone in their segments, as in decoding.
//!
//! What they see first, a prompt, is a matrix product, of all that see the same one together. What each has of its own takes dot products and
//! scaled sums, without the overhead of small products: its keys and values are read row by row, all heads of a row at a time, for one head's
//! part of a row is too short a run of memory to be fetched ahead.

use std::ops::Range;

use pulp::Simd;

use super::gathered::Transposed;
use super::{Heads, WORTH_A_THREAD, softmax};
use crate::Columns;
use crate::cpu::arch::{self, Job};
use crate::cpu::matmul::{Into, Mat, MatMut, Threads, matmul};
use crate::cpu::shared::SharedRows;
use crate::layout::{AttentionPlan, AttentionSegment};
use crate::threads::share_numbers;

/// Queries of one task at most: their scores are in one table.
const QUERIES: usize = 16;
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
    let segments = plan.segments();
    let together = segments.len().div_ceil(rayon::current_num_threads()).clamp(1, QUERIES);
    let parts: Vec<&[AttentionSegment]> = segments.chunks(together).collect();
    let pairs: usize = segments.iter().map(number_of_keys).sum();
    let per_part = pairs * operands.heads.heads * operands.heads.head_dim / parts.len().max(1);
    let together = WORTH_A_THREAD.div_ceil(per_part + 1);
    share_numbers(parts.len(), together, Scratch::default, |scratch, part| {
        arch::run(Alone { queries: parts[part], operands, scratch, out, lse });
    });
}

/// What a task works with.
#[derive(Default)]
struct Scratch {
    /// `[query, head, key]`
    scores: Vec<f32>,
    /// Keys that some queries share.  `[head_dim, keys]`
    keys: Transposed,
}

fn number_of_keys(segment: &AttentionSegment) -> usize {
    segment.keys().map(|keys| keys.len()).sum()
}

/// Neighbouring queries that see the same keys first, and those keys. One is enough: so a query's sums are the same whoever is beside it.
struct Family {
    queries: Range<usize>,
    keys: Range<usize>,
}

/// Queries in families, each of rows that follow one another.
fn families(queries: &[AttentionSegment]) -> impl Iterator<Item = Family> {
    let alike = |a: &AttentionSegment, b: &AttentionSegment| {
        a.context.first() == b.context.first() && a.queries.end == b.queries.start
    };
    let mut first = 0;
    queries.chunk_by(alike).map(move |family| {
        let queries = first..first + family.len();
        first = queries.end;
        Family { queries, keys: family[0].context.first().cloned().unwrap_or(0..0) }
    })
}

/// Runs of keys that a query has of its own beside its family's, each with how many it has before.
fn own_runs<'a>(
    segment: &'a AttentionSegment,
    family: &Family,
) -> impl Iterator<Item = (Range<usize>, usize)> + use<'a> {
    let (shared, mut before) = (usize::from(!family.keys.is_empty()), family.keys.len());
    segment.keys().skip(shared).map(move |keys| {
        before += keys.len();
        (keys.clone(), before - keys.len())
    })
}

/// Some queries.
struct Alone<'a> {
    queries: &'a [AttentionSegment],
    operands: &'a Operands<'a>,
    scratch: &'a mut Scratch,
    out: SharedRows<'a>,
    lse: SharedRows<'a>,
}

impl Job for Alone<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { queries, operands, scratch, out, lse } = self;
        let heads = operands.heads;
        let most = queries.iter().map(number_of_keys).max().unwrap_or(0);
        let of_query = heads.heads * most;
        scratch.scores.resize(queries.len() * of_query, 0.0);
        for family in families(queries) {
            let rows = queries[family.queries.start].queries.start..queries[family.queries.end - 1].queries.end;
            let Scratch { scores, keys } = &mut *scratch;
            let scores = &mut scores[family.queries.start * of_query..family.queries.end * of_query];
            operands.score_together(&family, rows.clone(), keys, scores, most);
            for (query, scores) in family.queries.clone().zip(scores.chunks_exact_mut(of_query)) {
                let segment = &queries[query];
                for (keys, before) in own_runs(segment, &family) {
                    operands.score(simd, segment.queries.start, keys, &mut scores[before..], most);
                }
                // SAFETY: the caller of `forward` keeps others out of the plan's rows, and a row is in one segment of one part.
                let lse = unsafe { lse.row(segment.queries.start, 0..heads.heads) };
                for (lse, scores) in lse.iter_mut().zip(scores.chunks_exact_mut(most)) {
                    *lse = softmax(&mut scores[..number_of_keys(segment)]);
                }
            }
            // SAFETY: as above.
            unsafe { operands.mix_together(&family, rows, scores, most, out) };
            for (query, probabilities) in family.queries.clone().zip(scores.chunks_exact(of_query)) {
                // SAFETY: as above.
                let out = unsafe { out.row(queries[query].queries.start, heads.q_columns()) };
                for (keys, before) in own_runs(&queries[query], &family) {
                    operands.mix(simd, keys, &probabilities[before..], most, out);
                }
            }
        }
    }
}

impl Operands<'_> {
    /// Scaled scores of a family's queries, which are rows, with the keys that it shares.  `[query, head, most]`
    fn score_together(
        &self,
        family: &Family,
        rows: Range<usize>,
        transposed: &mut Transposed,
        scores: &mut [f32],
        most: usize,
    ) {
        let (heads, count) = (self.heads, family.keys.len());
        for kv_head in (0..heads.kv_heads).filter(|_| count > 0) {
            transposed.fill(&self.k, family.keys.clone(), heads.of(kv_head));
            let keys = transposed.mat(&family.keys).columns(0..count);
            for head in heads.reading(kv_head) {
                let table = MatMut::new(scores, rows.len(), heads.heads * most);
                let q = self.q.block(rows.clone(), heads.of(head));
                let to = table.columns(head * most..head * most + count);
                matmul(to, q, keys, heads.scale, Into::Overwrite, Threads::One);
            }
        }
    }

    /// The values that a family shares, by its queries' probabilities, in place of what `out` has at their rows.  `[query, head, most]`
    ///
    /// # Safety
    /// Nothing else may touch these rows of `out`.
    unsafe fn mix_together(
        &self,
        family: &Family,
        rows: Range<usize>,
        probabilities: &[f32],
        most: usize,
        out: SharedRows,
    ) {
        let (heads, count) = (self.heads, family.keys.len());
        for head in 0..heads.heads {
            // SAFETY: passed on from the caller.
            let to = unsafe { out.block(rows.clone(), heads.of(head)) };
            let p = Mat::new(probabilities, rows.len(), heads.heads * most).columns(head * most..head * most + count);
            let values = self.v.block(family.keys.clone(), heads.of(head / heads.group()));
            matmul(to, p, values, 1.0, Into::Overwrite, Threads::One);
        }
    }

    /// Scaled scores of one query with some keys.  `[head, most]`
    #[inline(always)]
    fn score<S: Simd>(&self, simd: S, row: usize, keys: Range<usize>, scores: &mut [f32], most: usize) {
        let (heads, group, q) = (self.heads, self.heads.group(), self.q.row(row));
        for (number, key) in keys.enumerate() {
            for (kv_head, k) in self.k.row(key).chunks_exact(heads.head_dim).enumerate() {
                for head in kv_head * group..(kv_head + 1) * group {
                    scores[head * most + number] = heads.scale * dot(simd, &q[heads.of(head)], k);
                }
            }
        }
    }

    /// Adds some keys' values to a query's output, by their probabilities.  `[head, most]`
    #[inline(always)]
    fn mix<S: Simd>(&self, simd: S, keys: Range<usize>, probabilities: &[f32], most: usize, out: &mut [f32]) {
        let whole = keys.len() - keys.len() % TOGETHER;
        for number in (0..whole).step_by(TOGETHER) {
            self.add::<S, TOGETHER>(simd, keys.start + number, &probabilities[number..], most, out);
        }
        for number in whole..keys.len() {
            self.add::<S, 1>(simd, keys.start + number, &probabilities[number..], most, out);
        }
    }

    /// N neighbouring rows of values.
    #[inline(always)]
    fn add<S: Simd, const N: usize>(&self, simd: S, first: usize, probabilities: &[f32], most: usize, out: &mut [f32]) {
        let (heads, group) = (self.heads, self.heads.group());
        for kv_head in 0..heads.kv_heads {
            let mut values = [(&[][..], &[][..]); N];
            for (i, values) in values.iter_mut().enumerate() {
                *values = S::as_simd_f32s(&self.v.row(first + i)[heads.of(kv_head)]);
            }
            for head in kv_head * group..(kv_head + 1) * group {
                let p = &probabilities[head * most..head * most + N];
                let (out, out_rest) = S::as_mut_simd_f32s(&mut out[heads.of(head)]);
                for (c, out) in out.iter_mut().enumerate() {
                    for ((v, _), p) in values.iter().zip(p) {
                        *out = simd.mul_add_e_f32s(simd.splat_f32s(*p), v[c], *out);
                    }
                }
                for (c, out) in out_rest.iter_mut().enumerate() {
                    for ((_, v), p) in values.iter().zip(p) {
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

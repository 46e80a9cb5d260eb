//! Causal attention over a packed token tree, or over a cache.
//!
//! A tree and a head of keys are one task. It gathers the tree's keys and values once, and then takes the queries of each segment in tiles;
//! the scores of one tile and one head are the only table there ever is. The forward pass keeps the log-normaliser of every row
//! and head, from which the backward pass makes the probabilities again. Queries that are alone, as in decoding, go another way
//! ([`alone`]).

mod alone;
mod gathered;

use std::ops::Range;

use crate::cpu::matmul::{Into, Mat, MatMut, Threads, matmul};
use crate::cpu::shared::SharedRows;
use crate::cpu::simd::{self, vectorised};
use crate::layout::{AttentionPlan, AttentionSegment};
use crate::threads::share_numbers;
use crate::{Columns, Tensor};
use gathered::{Gathered, Transposed};

/// Query rows of one tile.
const TILE: usize = 24;
/// Multiplications of queries with keys below which a second thread costs more than it saves.
const WORTH_A_THREAD: usize = 1 << 15;
/// Every run of keys begins at a multiple of so many columns of a tile's table, so that products need no masks: one vector.
const LANES: usize = 16;

/// How the columns of queries, keys and values split into heads. With fewer key heads than query heads,
/// neighbouring query heads share one (grouped-query attention).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heads {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Columns of a head.
    pub head_dim: usize,
    /// What scores are multiplied by, usually `1 / sqrt(head_dim)`.
    pub scale: f32,
}

impl Heads {
    /// Columns of the queries when queries, keys and values lie side by side.
    pub fn q_columns(&self) -> Range<usize> {
        0..self.heads * self.head_dim
    }

    /// Columns of the keys when queries, keys and values lie side by side.
    pub fn k_columns(&self) -> Range<usize> {
        self.heads * self.head_dim..(self.heads + self.kv_heads) * self.head_dim
    }

    /// Columns of the values when queries, keys and values lie side by side.
    pub fn v_columns(&self) -> Range<usize> {
        (self.heads + self.kv_heads) * self.head_dim..self.qkv_width()
    }

    /// Columns of queries, keys and values together.
    pub fn qkv_width(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }

    fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// The query heads that look at a key head.
    fn reading(&self, kv_head: usize) -> Range<usize> {
        kv_head * self.group()..(kv_head + 1) * self.group()
    }

    fn of(&self, head: usize) -> Range<usize> {
        head * self.head_dim..(head + 1) * self.head_dim
    }
}

/// What attention returns and its backward pass needs.
#[derive(Debug)]
pub struct Attended {
    /// Mixed values.  `[queries, heads * head_dim]`
    pub out: Tensor,
    /// Log-sum-exp of the scaled scores.  `[queries, heads]`
    pub lse: Tensor,
}

/// A run of queries of one segment that is worked on at once.
struct Tile<'a> {
    segment: &'a AttentionSegment,
    /// Queries of the tile, counted from the segment's first.
    range: Range<usize>,
}

/// Key rows that lie side by side, and their columns in the table of scores.
struct KeyBlock {
    keys: Range<usize>,
    columns: Range<usize>,
}

impl Tile<'_> {
    fn rows(&self) -> Range<usize> {
        let first = self.segment.queries.start;
        first + self.range.start..first + self.range.end
    }

    /// Key rows that some query of the tile sees: the context's ranges, then the segment's own.
    fn keys(&self) -> impl Iterator<Item = Range<usize>> {
        let own = self.segment.own..self.segment.own + self.range.end;
        self.segment.context.iter().cloned().chain([own])
    }

    fn blocks(&self) -> impl Iterator<Item = KeyBlock> {
        let mut first = 0;
        self.keys().map(move |keys| {
            let columns = first..first + keys.len();
            first = columns.end.next_multiple_of(LANES);
            KeyBlock { keys, columns }
        })
    }

    /// Columns of the table of scores.
    fn width(&self) -> usize {
        self.keys().map(|keys| keys.len().next_multiple_of(LANES)).sum()
    }

    /// Sets what the tile's query number `i` does not see to minus infinity: the gaps between runs of keys, and its future.
    #[inline(always)]
    fn hide(&self, i: usize, scores: &mut [f32]) {
        let mut end = 0;
        for block in self.blocks() {
            end = block.columns.end;
            scores[end..end.next_multiple_of(LANES)].fill(f32::NEG_INFINITY);
        }
        let future = self.range.len() - i - 1;
        scores[end - future..end].fill(f32::NEG_INFINITY);
    }
}

fn tiles(segment: &AttentionSegment) -> impl Iterator<Item = Tile<'_>> {
    let len = segment.queries.len();
    (0..len).step_by(TILE).map(move |start| Tile { segment, range: start..len.min(start + TILE) })
}

/// The rows from the first to the last key that some segments see.
fn span<'a>(segments: impl Iterator<Item = &'a AttentionSegment>) -> Range<usize> {
    let ranges = segments.flat_map(AttentionSegment::keys);
    ranges.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or(0..0)
}

/// What a task works with. A head's keys are `[keys, head_dim]`, transposed `[head_dim, keys]`.
#[derive(Default)]
struct Scratch {
    keys: Gathered,
    keys_transposed: Transposed,
    values: Gathered,
    values_transposed: Transposed,
    d_keys: Gathered,
    d_values: Gathered,
    /// Queries of a tile, and the gradients of what they became.  `[tile rows, head_dim]`
    q: Gathered,
    d_out: Gathered,
    /// Tables of a tile.  `[tile rows, tile width]`
    probabilities: Vec<f32>,
    d_scores: Vec<f32>,
}

/// Calls `f(scratch, segments, key head)` for every group and key head, as many together as are worth a thread.
fn for_each_task(plan: &AttentionPlan, heads: Heads, f: impl Fn(&mut Scratch, &[AttentionSegment], usize) + Sync) {
    let seen = |segment: &AttentionSegment| segment.keys().map(|keys| keys.len()).sum::<usize>();
    let pairs: usize = plan.segments().iter().map(|segment| segment.queries.len() * seen(segment)).sum();
    let groups = plan.groups().len();
    let per_group = pairs * heads.group() * heads.head_dim / groups.max(1);
    let (count, together) = (groups * heads.kv_heads, WORTH_A_THREAD.div_ceil(per_group + 1));
    share_numbers(count, together, Scratch::default, |scratch, task| {
        f(scratch, plan.group(task / heads.kv_heads), task % heads.kv_heads);
    });
}

/// `out = softmax(scale q kᵀ) v` over the keys that the plan lets each query see.
///
/// q `[queries, heads * head_dim]`, k and v `[keys, kv_heads * head_dim]`.
pub fn forward(plan: &AttentionPlan, heads: Heads, q: Columns, k: Columns, v: Columns) -> Attended {
    let (n, device) = (q.rows(), q.device());
    let mut out = device.scratch(n, heads.heads * heads.head_dim);
    let mut lse = device.scratch(n, heads.heads);
    let shared_out = SharedRows::new(out.host_mut(), n, heads.heads * heads.head_dim);
    let shared_lse = SharedRows::new(lse.host_mut(), n, heads.heads);
    if plan.segments().iter().all(|segment| segment.queries.len() == 1) {
        // SAFETY: both tensors are this call's.
        unsafe { alone::forward(plan, &alone::Operands { heads, q, k, v }, shared_out, shared_lse) };
        return Attended { out, lse };
    }
    for_each_task(plan, heads, |scratch, segments, kv_head| {
        let keys = span(segments.iter());
        scratch.keys_transposed.fill(&k, keys.clone(), heads.of(kv_head));
        scratch.values.fill(&v, keys, heads.of(kv_head));
        for tile in segments.iter().flat_map(tiles) {
            for head in heads.reading(kv_head) {
                let x = Queries { q: &q, heads, head };
                // SAFETY: a segment and a head belong to one task, and their rows and columns to no other: no row is in two segments.
                unsafe { forward_tile(&tile, x, scratch, shared_out, shared_lse) };
            }
        }
    });
    Attended { out, lse }
}

/// One head's queries.
#[derive(Clone, Copy)]
struct Queries<'a> {
    q: &'a Columns<'a>,
    heads: Heads,
    head: usize,
}

impl Queries<'_> {
    fn columns(&self) -> Range<usize> {
        self.heads.of(self.head)
    }
}

/// # Safety
/// No other task may touch the tile's rows in the head's columns of `out` and `lse`.
unsafe fn forward_tile(tile: &Tile, x: Queries, scratch: &mut Scratch, out: SharedRows, lse: SharedRows) {
    let (rows, width) = (tile.rows(), tile.width());
    let Scratch { keys_transposed, values, probabilities, .. } = scratch;
    score(tile, x.q.block(rows.clone(), x.columns()), keys_transposed, x.heads.scale, probabilities);
    vectorised(
        #[inline(always)]
        || {
            for (i, row) in probabilities.chunks_exact_mut(width).enumerate() {
                tile.hide(i, row);
                // SAFETY: passed on from the caller.
                let lse = unsafe { lse.row(rows.start + i, x.head..x.head + 1) };
                lse[0] = softmax(row);
            }
        },
    );
    let mut into = Into::Overwrite;
    for block in tile.blocks() {
        let p = Mat::new(probabilities, rows.len(), width).columns(block.columns);
        // SAFETY: passed on from the caller.
        let out = unsafe { out.block(rows.clone(), x.columns()) };
        matmul(out, p, values.mat(&block.keys), 1.0, into, Threads::One);
        into = Into::Add;
    }
}

/// Fills a table with `scale x keysᵀ` of a tile's rows x; gaps between runs of keys hold anything.  `[tile rows, tile width]`
fn score(tile: &Tile, x: Mat, keys: &Transposed, scale: f32, table: &mut Vec<f32>) {
    let (rows, width) = (tile.range.len(), tile.width());
    table.resize(rows * width, 0.0);
    for block in tile.blocks() {
        let columns = block.columns.start..block.columns.end.next_multiple_of(LANES);
        let to = MatMut::new(table, rows, width).columns(columns);
        matmul(to, x, keys.mat(&block.keys), scale, Into::Overwrite, Threads::One);
    }
}

/// Softmax of the scores in place; returns the log-normaliser.
#[inline(always)]
fn softmax(row: &mut [f32]) -> f32 {
    let max = simd::max(row);
    let sum = simd::exp_in_place(row, max);
    simd::scale(row, 1.0 / sum);
    max + sum.ln()
}

/// The gradients of queries, keys and values, side by side.  `[n, qkv_width]`
///
/// Queries and keys are rows of the same packed batch here: `qkv` `[n, qkv_width]`, `d_out` as `attended.out`. Every row is in a
/// segment of the plan.
///
/// # Panics
/// If a group of the plan looks at rows of another.
pub fn backward(plan: &AttentionPlan, heads: Heads, qkv: &Tensor, attended: &Attended, d_out: &Tensor) -> Tensor {
    let n = qkv.rows();
    let queries: usize = plan.segments().iter().map(|segment| segment.queries.len()).sum();
    assert_eq!(queries, n, "rows of the plan's segments");
    assert!(plan.is_closed(), "a group of the plan looks at rows of another");
    let mut gradients = qkv.device().scratch(n, heads.qkv_width());
    let (q, k, v) = (qkv.columns(heads.q_columns()), qkv.columns(heads.k_columns()), qkv.columns(heads.v_columns()));
    let d_qkv = SharedRows::new(gradients.host_mut(), n, heads.qkv_width());
    // A group's keys collect gradients from all of its segments, so a group and a key head are one task.
    for_each_task(plan, heads, |scratch, segments, kv_head| {
        scratch.begin_backward(span(segments.iter()), heads, kv_head, [&k, &v]);
        for tile in segments.iter().flat_map(tiles) {
            for head in heads.reading(kv_head) {
                let queries = Queries { q: &q, heads, head };
                // SAFETY: groups share no rows, as just asserted, and the columns of a key head and its query heads are this task's.
                unsafe { backward_tile(&tile, queries, attended, d_out, scratch, d_qkv) };
            }
        }
        for row in segments.iter().flat_map(|segment| segment.queries.clone()) {
            // SAFETY: as above.
            unsafe { scratch.finish_backward(row, heads, kv_head, d_qkv) };
        }
    });
    gradients
}

impl Scratch {
    /// Gathers a head's keys and values, and makes room for their gradients.
    fn begin_backward(&mut self, rows: Range<usize>, heads: Heads, kv_head: usize, [k, v]: [&Columns; 2]) {
        let columns = heads.of(kv_head);
        self.keys.fill(k, rows.clone(), columns.clone());
        self.keys_transposed.fill(k, rows.clone(), columns.clone());
        self.values_transposed.fill(v, rows.clone(), columns);
        self.d_keys.clear(rows.clone(), heads.head_dim);
        self.d_values.clear(rows, heads.head_dim);
    }

    /// Writes the gradients of a row's key and value to their place.
    ///
    /// # Safety
    /// No other task may touch the row in the columns of the key head.
    unsafe fn finish_backward(&self, row: usize, heads: Heads, kv_head: usize, d_qkv: SharedRows) {
        for (from, all) in [(&self.d_keys, heads.k_columns()), (&self.d_values, heads.v_columns())] {
            let Range { start, end } = heads.of(kv_head);
            // SAFETY: passed on from the caller.
            unsafe { d_qkv.row(row, all.start + start..all.start + end) }.copy_from_slice(from.row(row));
        }
    }
}

/// With P the probabilities, D = rowsum(dO O) and dS = P (dO Vᵀ - D):
/// `dV += Pᵀ dO`, `dQ = scale dS K`, `dK += scale dSᵀ Q`.
///
/// # Safety
/// No other task may touch the tile's rows in the head's columns of `d_qkv`.
unsafe fn backward_tile(
    tile: &Tile,
    x: Queries,
    attended: &Attended,
    d_out: &Tensor,
    scratch: &mut Scratch,
    d_qkv: SharedRows,
) {
    let (rows, width, scale) = (tile.rows(), tile.width(), x.heads.scale);
    scratch.q.fill(x.q, rows.clone(), x.columns());
    scratch.d_out.fill(&d_out.view(), rows.clone(), x.columns());
    let (q, d_tile) = (scratch.q.mat(&rows), scratch.d_out.mat(&rows));
    score(tile, q, &scratch.keys_transposed, scale, &mut scratch.probabilities);
    score(tile, d_tile, &scratch.values_transposed, 1.0, &mut scratch.d_scores);
    softmax_backward(tile, x, attended, d_out, &mut scratch.probabilities, &mut scratch.d_scores);
    let mut into = Into::Overwrite;
    for block in tile.blocks() {
        let p = Mat::new(&scratch.probabilities, rows.len(), width).columns(block.columns.clone());
        let ds = Mat::new(&scratch.d_scores, rows.len(), width).columns(block.columns);
        matmul(scratch.d_values.mat_mut(&block.keys), p.t(), d_tile, 1.0, Into::Add, Threads::One);
        matmul(scratch.d_keys.mat_mut(&block.keys), ds.t(), q, scale, Into::Add, Threads::One);
        // SAFETY: passed on from the caller.
        let dq = unsafe { d_qkv.block(rows.clone(), x.columns()) };
        matmul(dq, ds, scratch.keys.mat(&block.keys), scale, into, Threads::One);
        into = Into::Add;
    }
}

/// Turns scores into probabilities and `dO Vᵀ` into dS, row by row.
fn softmax_backward(
    tile: &Tile,
    x: Queries,
    attended: &Attended,
    d_out: &Tensor,
    probabilities: &mut [f32],
    d_scores: &mut [f32],
) {
    let (first, width) = (tile.rows().start, tile.width());
    let tables = probabilities.chunks_exact_mut(width).zip(d_scores.chunks_exact_mut(width));
    vectorised(
        #[inline(always)]
        || {
            for (i, (p, ds)) in tables.enumerate() {
                let row = first + i;
                let lse = attended.lse.row(row)[x.head];
                let along = simd::dot(&d_out.row(row)[x.columns()], &attended.out.row(row)[x.columns()]);
                tile.hide(i, p);
                for (p, ds) in p.iter_mut().zip(ds) {
                    *p = simd::exp(*p - lse);
                    *ds = *p * (*ds - along);
                }
            }
        },
    );
}

#[cfg(test)]
mod tests;

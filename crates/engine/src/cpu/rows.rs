//! Rows spread over threads.

use super::simd::vectorised;
use crate::tensor::Tensor;
use crate::threads;

/// Numbers below which a second thread costs more than it saves.
const WORTH_A_THREAD: usize = 16 * 1024;

/// How many rows one task takes: enough work each, and about four tasks a thread.
pub(crate) fn rows_per_task(rows: usize, cols: usize) -> usize {
    let fair = rows.div_ceil(4 * rayon::current_num_threads());
    fair.max(WORTH_A_THREAD.div_ceil(cols.max(1))).max(1)
}

/// Calls `f(row number, row)` for every row of `out`, vectorised, over all threads.
///
/// `f` must be `#[inline(always)]`, here and below: a closure that is not inlined is compiled for the narrowest instruction set.
pub(crate) fn for_each(out: &mut Tensor, f: impl Fn(usize, &mut [f32]) + Sync + Send) {
    let (rows, cols) = (out.rows(), out.cols());
    if rows * cols == 0 {
        return;
    }
    let step = rows_per_task(rows, cols);
    let task = |(task, chunk): (usize, &mut [f32])| {
        vectorised(
            #[inline(always)]
            || {
                for (i, row) in chunk.chunks_exact_mut(cols).enumerate() {
                    f(task * step + i, row);
                }
            },
        );
    };
    threads::for_each(out.host_mut().chunks_mut(step * cols).enumerate(), task);
}

/// Calls `f(row number, row of a, row of b)` for every row of two tensors with as many rows.
pub(crate) fn for_each_pair(a: &mut Tensor, b: &mut Tensor, f: impl Fn(usize, &mut [f32], &mut [f32]) + Sync + Send) {
    assert_eq!(a.rows(), b.rows());
    let (rows, a_cols, b_cols) = (a.rows(), a.cols(), b.cols());
    if rows * a_cols * b_cols == 0 {
        return;
    }
    let step = rows_per_task(rows, a_cols.max(b_cols));
    let task = |(task, (a, b)): (usize, (&mut [f32], &mut [f32]))| {
        vectorised(
            #[inline(always)]
            || {
                let pairs = a.chunks_exact_mut(a_cols).zip(b.chunks_exact_mut(b_cols));
                for (i, (a, b)) in pairs.enumerate() {
                    f(task * step + i, a, b);
                }
            },
        );
    };
    let chunks = a.host_mut().chunks_mut(step * a_cols).zip(b.host_mut().chunks_mut(step * b_cols));
    threads::for_each(chunks.enumerate(), task);
}

/// Calls `f(row number, row, value)` for every row of a tensor and the value that belongs to it.
pub(crate) fn for_each_with<T: Send>(
    tensor: &mut Tensor,
    values: &mut [T],
    f: impl Fn(usize, &mut [f32], &mut T) + Sync + Send,
) {
    let cols = tensor.cols();
    assert_eq!(tensor.rows(), values.len());
    let together = rows_per_task(tensor.rows(), cols);
    let chunks = tensor.host_mut().chunks_mut((together * cols).max(1)).zip(values.chunks_mut(together)).enumerate();
    threads::for_each(chunks, |(task, (rows, values))| {
        for (i, (row, value)) in rows.chunks_mut(cols.max(1)).zip(values).enumerate() {
            vectorised(
                #[inline(always)]
                || f(task * together + i, row, value),
            );
        }
    });
}

/// Sums `f(row number, accumulator)` over rows: each fixed block of rows adds into an accumulator of its own, and
/// blocks are added in order, so that the result does not depend on the number of threads.
pub(crate) fn accumulate(into: &mut [f32], rows: usize, f: impl Fn(usize, &mut [f32]) + Sync + Send) {
    const BLOCK: usize = 64;
    let width = into.len();
    let mut blocks = vec![vec![0.0; width]; rows.div_ceil(BLOCK)];
    threads::for_each(blocks.iter_mut().enumerate(), |(block, sums)| {
        vectorised(
            #[inline(always)]
            || {
                for row in block * BLOCK..rows.min((block + 1) * BLOCK) {
                    f(row, sums);
                }
            },
        );
    });
    for block in blocks {
        for (total, value) in into.iter_mut().zip(block) {
            *total += value;
        }
    }
}

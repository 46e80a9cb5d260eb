//! Products of strided f32 matrices whose operands change at every step: attention, and gradients of an adapter's B.
//!
//! The right operand's rows are contiguous; the left operand may have any strides. Operands are mostly read where they are: these
//! products are small, or so shaped that packing would cost as much as it saves.

use std::marker::PhantomData;
use std::ops::Range;

use bytemuck::Zeroable;
use pulp::Simd;

use super::arch::{self, Job};
use crate::threads;

/// Rows of the register tile.
const TALL: usize = 6;
/// Rows and columns that one task takes where several threads share a product.
const BLOCK: (usize, usize) = (40 * TALL, 64);
/// Rows of the right operand that are read at once, so that a strip of them stays in the second-level cache.
const DEPTH: usize = 1024;
/// Multiplications below which a second thread costs more than it saves.
const WORTH_A_THREAD: usize = 1 << 20;

/// A strided matrix to read.
#[derive(Clone, Copy)]
pub(crate) struct Mat<'a> {
    data: *const f32,
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
    life: PhantomData<&'a [f32]>,
}

impl<'a> Mat<'a> {
    /// A row-major matrix.  `[rows, cols]`
    pub(crate) fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        assert!(data.len() >= rows * cols, "{rows} x {cols} values from {}", data.len());
        Self { data: data.as_ptr(), rows, cols, row_stride: cols, col_stride: 1, life: PhantomData }
    }

    /// The transpose.
    pub(crate) fn t(self) -> Self {
        Self { rows: self.cols, cols: self.rows, row_stride: self.col_stride, col_stride: self.row_stride, ..self }
    }

    /// One number.
    ///
    /// # Safety
    /// There must be such a row and column.
    #[inline(always)]
    unsafe fn at(&self, row: usize, col: usize) -> f32 {
        // SAFETY: the matrix lies within its slice, and the caller stays within the matrix.
        unsafe { *self.data.add(row * self.row_stride + col * self.col_stride) }
    }

    /// A vector of a contiguous row.
    ///
    /// # Safety
    /// The row must be contiguous and have that many columns from `col` on.
    #[inline(always)]
    unsafe fn vector<V: Copy>(&self, row: usize, col: usize) -> V {
        // SAFETY: as in `at`; any bits are numbers.
        unsafe { self.data.add(row * self.row_stride + col).cast::<V>().read_unaligned() }
    }

    /// Some columns of a contiguous row.
    #[inline(always)]
    fn part_of_row(&self, row: usize, columns: &Range<usize>) -> &'a [f32] {
        assert!(
            (self.col_stride == 1 || columns.len() <= 1)
                && row < self.rows
                && columns.start <= columns.end
                && columns.end <= self.cols
        );
        // SAFETY: the assertion keeps the part inside the matrix, which lies within its slice.
        unsafe { std::slice::from_raw_parts(self.data.add(row * self.row_stride + columns.start), columns.len()) }
    }

    /// Some of the rows.
    pub(crate) fn rows_range(self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.rows);
        Self { data: self.data.wrapping_add(range.start * self.row_stride), rows: range.len(), ..self }
    }

    /// Some of the columns.
    pub(crate) fn columns(self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.cols);
        Self { data: self.data.wrapping_add(range.start * self.col_stride), cols: range.len(), ..self }
    }
}

/// A strided matrix to write.
pub(crate) struct MatMut<'a> {
    data: *mut f32,
    rows: usize,
    cols: usize,
    row_stride: usize,
    life: PhantomData<&'a mut [f32]>,
}

impl<'a> MatMut<'a> {
    /// A row-major matrix.  `[rows, cols]`
    pub(crate) fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// A matrix whose rows start `row_stride` numbers apart.  `[rows, cols]`
    pub(crate) fn strided(data: &'a mut [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert!(cols <= row_stride && (rows == 0 || data.len() >= (rows - 1) * row_stride + cols));
        Self { data: data.as_mut_ptr(), rows, cols, row_stride, life: PhantomData }
    }

    /// Some of the columns.
    pub(crate) fn columns(self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.cols);
        Self { data: self.data.wrapping_add(range.start), cols: range.len(), ..self }
    }

    /// The matrix in blocks.
    fn blocks(self) -> impl Iterator<Item = Block<'a>> {
        let MatMut { data, rows, cols, row_stride, life } = self;
        let corner = move |row: usize, col: usize| {
            let (rows, columns) = (row..rows.min(row + BLOCK.0), col..cols.min(col + BLOCK.1));
            let data = data.wrapping_add(row * row_stride + col);
            Block { c: MatMut { data, rows: rows.len(), cols: columns.len(), row_stride, life }, rows, columns }
        };
        (0..rows).step_by(BLOCK.0).flat_map(move |row| (0..cols).step_by(BLOCK.1).map(move |col| corner(row, col)))
    }

    /// Some columns of a row, to write.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    fn part_of_row(&self, row: usize, columns: &Range<usize>) -> &mut [f32] {
        assert!(row < self.rows && columns.start <= columns.end && columns.end <= self.cols);
        // SAFETY: the assertion keeps the part inside the block, which this is the only access to; a product writes one part at a time.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(row * self.row_stride + columns.start), columns.len()) }
    }

    /// A matrix at a raw place, for tasks that write disjoint blocks of one buffer.
    ///
    /// # Safety
    /// All of the block must be inside one live allocation, and nothing else may touch it during `'a`.
    pub(crate) unsafe fn from_raw(data: *mut f32, rows: usize, cols: usize, row_stride: usize) -> Self {
        Self { data, rows, cols, row_stride, life: PhantomData }
    }
}

/// Whether a product adds to what its destination holds, or overwrites it.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Into {
    Overwrite,
    Add,
}

/// Who computes a product: all threads, or the calling one (inside a task that is parallel already).
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Threads {
    All,
    One,
}

/// `c = scale * a b` or `c += scale * a b`. The rows of b are contiguous.
pub(crate) fn matmul(c: MatMut, a: Mat, b: Mat, scale: f32, into: Into, threads: Threads) {
    assert_eq!((c.rows, c.cols, a.cols), (a.rows, b.cols, b.rows), "shapes of a product");
    assert_eq!(b.col_stride, 1, "the right operand's rows are contiguous");
    if c.rows == 0 || c.cols == 0 {
        return;
    }
    if threads == Threads::One || a.rows * a.cols * b.cols < WORTH_A_THREAD {
        return arch::run(Product { c, a, b, scale, into });
    }
    let blocks: Vec<Block> = c.blocks().collect();
    let (a, b) = (Shared(a), Shared(b));
    threads::for_each(blocks.into_iter(), |block| {
        let (Shared(a), Shared(b)) = (&a, &b);
        arch::run(Product { c: block.c, a: a.rows_range(block.rows), b: b.columns(block.columns), scale, into });
    });
}

/// An operand that several threads read.
struct Shared<'a>(Mat<'a>);
// SAFETY: a `Mat` is a shared borrow of numbers.
unsafe impl Sync for Shared<'_> {}

/// A part of a destination, for one task.
struct Block<'a> {
    c: MatMut<'a>,
    rows: Range<usize>,
    columns: Range<usize>,
}
// SAFETY: a `MatMut` is an exclusive borrow of numbers, and blocks do not overlap.
unsafe impl Send for Block<'_> {}

struct Product<'a> {
    c: MatMut<'a>,
    a: Mat<'a>,
    b: Mat<'a>,
    scale: f32,
    into: Into,
}

impl Job for Product<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let mut into = self.into;
        let (mut a_buffer, mut b_buffer) = (Vec::new(), Vec::new());
        for start in (0..self.a.cols.max(1)).step_by(DEPTH) {
            let depth = start..self.a.cols.min(start + DEPTH);
            let b = self.right::<S>(&depth, &mut b_buffer);
            for row in (0..self.c.rows).step_by(TALL) {
                let rows = row..self.c.rows.min(row + TALL);
                let a = self.left::<S>(rows, &depth, &mut a_buffer);
                match a.rows {
                    1 => self.tall::<S, 1>(simd, row, a, b, into),
                    2 => self.tall::<S, 2>(simd, row, a, b, into),
                    3 => self.tall::<S, 3>(simd, row, a, b, into),
                    4 => self.tall::<S, 4>(simd, row, a, b, into),
                    5 => self.tall::<S, 5>(simd, row, a, b, into),
                    _ => self.tall::<S, TALL>(simd, row, a, b, into),
                }
            }
            into = Into::Add;
        }
    }
}

impl Product<'_> {
    /// Some rows of b, where they are or side by side in a buffer. Rows that lie a multiple of some KiB apart, as in most models,
    /// have their places in the same few sets of a cache: where many tiles read them, a copy is worth its time.
    #[inline(always)]
    fn right<'b, S: Simd>(&'b self, depth: &Range<usize>, buffer: &'b mut Vec<f32>) -> Mat<'b> {
        let b = self.b.rows_range(depth.clone());
        if S::REGISTER_COUNT >= 32 || self.c.rows <= 4 * TALL || b.row_stride <= 2 * b.cols {
            return b;
        }
        buffer.clear();
        for k in 0..b.rows {
            buffer.extend_from_slice(b.part_of_row(k, &(0..b.cols)));
        }
        Mat::new(buffer, b.rows, b.cols)
    }

    /// Some rows and columns of a: for the same reason copied where they are columns of a row-major matrix, and several tiles read them.
    #[inline(always)]
    fn left<'b, S: Simd>(&'b self, rows: Range<usize>, depth: &Range<usize>, buffer: &'b mut Vec<f32>) -> Mat<'b> {
        let a = self.a.rows_range(rows).columns(depth.clone());
        if S::REGISTER_COUNT >= 32 || a.row_stride != 1 || self.c.cols <= 2 * S::F32_LANES {
            return a;
        }
        let across = a.t();
        buffer.resize(across.rows * TALL, 0.0);
        for (k, to) in buffer.chunks_exact_mut(TALL).enumerate() {
            // A copy of a length that the compiler knows is two instructions, and any other a call.
            match across.part_of_row(k, &(0..across.cols)).try_into() {
                Ok::<&[f32; TALL], _>(whole) => to.copy_from_slice(whole),
                Err(_) => to[..across.cols].copy_from_slice(across.part_of_row(k, &(0..across.cols))),
            }
        }
        Mat::new(buffer, across.rows, TALL).columns(0..across.cols).t()
    }

    /// M rows of the result, in tiles as wide as four vectors where there are so many columns, and registers for 24 sums; else two.
    #[inline(always)]
    fn tall<S: Simd, const M: usize>(&self, simd: S, row: usize, a: Mat, b: Mat, into: Into) {
        let mut col = 0;
        while S::REGISTER_COUNT >= 32 && self.c.cols - col >= 4 * S::F32_LANES {
            self.tile::<S, M, 4>(simd, (row, col), a, b, into);
            col += 4 * S::F32_LANES;
        }
        while self.c.cols - col >= 2 * S::F32_LANES {
            self.tile::<S, M, 2>(simd, (row, col), a, b, into);
            col += 2 * S::F32_LANES;
        }
        while self.c.cols > col {
            self.edge::<S, M>(simd, (row, col), a, b, into);
            col += S::F32_LANES;
        }
    }

    /// M rows by V whole vectors.
    #[inline(always)]
    fn tile<S: Simd, const M: usize, const V: usize>(
        &self,
        simd: S,
        (row, col): (usize, usize),
        a: Mat,
        b: Mat,
        into: Into,
    ) {
        let mut sums = [[S::f32s::zeroed(); V]; M];
        for k in 0..b.rows {
            // SAFETY: the vectors are columns `col..col + V * lanes` of row k of b, which `tall` keeps within its columns.
            let b: [S::f32s; V] = std::array::from_fn(|v| unsafe { b.vector(k, col + v * S::F32_LANES) });
            for (m, sums) in sums.iter_mut().enumerate() {
                // SAFETY: a has M rows, and as many columns as b has rows.
                let a = simd.splat_f32s(unsafe { a.at(m, k) });
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum = simd.mul_add_e_f32s(a, b, *sum);
                }
            }
        }
        for (m, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                self.put_whole(simd, row + m, col + v * S::F32_LANES, *sum, into);
            }
        }
    }

    /// M rows by one vector that may reach past the last column.
    #[inline(always)]
    fn edge<S: Simd, const M: usize>(&self, simd: S, (row, col): (usize, usize), a: Mat, b: Mat, into: Into) {
        let columns = col..self.c.cols.min(col + S::F32_LANES);
        let mut sums = [S::f32s::zeroed(); M];
        for k in 0..b.rows {
            let b = simd.partial_load_f32s(b.part_of_row(k, &columns));
            for (m, sum) in sums.iter_mut().enumerate() {
                // SAFETY: as in `tile`.
                let a = simd.splat_f32s(unsafe { a.at(m, k) });
                *sum = simd.mul_add_e_f32s(a, b, *sum);
            }
        }
        for (m, sum) in sums.iter().enumerate() {
            self.put(simd, row + m, columns.clone(), *sum, into);
        }
    }

    /// A vector that lies within the columns.
    #[inline(always)]
    fn put_whole<S: Simd>(&self, simd: S, row: usize, col: usize, sum: S::f32s, into: Into) {
        let c = self.c.part_of_row(row, &(col..col + S::F32_LANES)).as_mut_ptr().cast::<S::f32s>();
        let sum = simd.mul_f32s(simd.splat_f32s(self.scale), sum);
        // SAFETY: the part is a vector long; any bits are numbers.
        unsafe { c.write_unaligned(if into == Into::Add { simd.add_f32s(c.read_unaligned(), sum) } else { sum }) };
    }

    /// As much of a vector as there are columns.
    #[inline(always)]
    fn put<S: Simd>(&self, simd: S, row: usize, columns: Range<usize>, sum: S::f32s, into: Into) {
        let c = self.c.part_of_row(row, &columns);
        let sum = simd.mul_f32s(simd.splat_f32s(self.scale), sum);
        let value = if into == Into::Add { simd.add_f32s(simd.partial_load_f32s(c), sum) } else { sum };
        simd.partial_store_f32s(c, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize, step: f32) -> Vec<f32> {
        (0..n).map(|i| ((i as f32 * step) % 7.0) - 3.0).collect()
    }

    #[test]
    fn agrees_with_three_loops_on_every_instruction_set() {
        for (m, n, k) in [(1, 1, 1), (3, 5, 4), (17, 33, 9), (2, 70, 0), (6, 64, 8), (13, 150, 1030)] {
            for transposed in [false, true] {
                let (a, b, before) = (numbers(m * k, 1.3), numbers(k * n, 0.7), numbers(m * n, 0.3));
                let at = |i: usize, l: usize| if transposed { a[l * m + i] } else { a[i * k + l] };
                let dot = |i: usize, j: usize| (0..k).map(|l| at(i, l) * b[l * n + j]).sum::<f32>();
                for force in arch::available() {
                    arch::with(force, || {
                        let lhs = if transposed { Mat::new(&a, k, m).t() } else { Mat::new(&a, m, k) };
                        let (mut added, mut written) = (before.clone(), before.clone());
                        let product = |c: &mut [f32], into, threads| {
                            matmul(MatMut::new(c, m, n), lhs, Mat::new(&b, k, n), 0.5, into, threads);
                        };
                        product(&mut added, Into::Add, Threads::One);
                        product(&mut written, Into::Overwrite, Threads::All);
                        for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
                            let expected = 0.5 * dot(i, j);
                            let near = |found: f32| (found - expected).abs() < 1e-4 * expected.abs().max(1.0);
                            assert!(near(written[i * n + j]), "{} {expected}", written[i * n + j]);
                            assert!(near(added[i * n + j] - before[i * n + j]), "{} {expected}", added[i * n + j]);
                        }
                    });
                }
            }
        }
    }

    /// Blocks of wide matrices, tall enough that both operands are copied where that pays.
    #[test]
    fn blocks_of_wider_matrices_agree_with_three_loops_on_every_instruction_set() {
        let (m, n, k, stride) = (45, 70, 50, 256);
        let (a, b) = (numbers(k * stride, 1.3), numbers(k * stride, 0.7));
        for force in arch::available() {
            arch::with(force, || {
                let mut c = vec![9.0; m * n];
                let lhs = Mat::new(&a, k, stride).columns(3..3 + m).t();
                let rhs = Mat::new(&b, k, stride).columns(5..5 + n);
                matmul(MatMut::new(&mut c, m, n), lhs, rhs, 1.0, Into::Overwrite, Threads::One);
                for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
                    let expected: f32 = (0..k).map(|l| a[l * stride + 3 + i] * b[l * stride + 5 + j]).sum();
                    let found = c[i * n + j];
                    assert!((found - expected).abs() < 1e-4 * expected.abs().max(1.0), "{found} {expected}");
                }
            });
        }
    }

    #[test]
    fn writes_only_its_own_columns() {
        let a = numbers(6, 1.0);
        let mut c = vec![9.0; 2 * 5];
        let columns = MatMut::new(&mut c, 2, 5).columns(1..4);
        matmul(columns, Mat::new(&a, 2, 1), Mat::new(&a, 1, 3), 1.0, Into::Overwrite, Threads::All);
        assert_eq!((c[0], c[4], c[5], c[9]), (9.0, 9.0, 9.0, 9.0));
        assert_eq!(c[6], a[1] * a[0]);
    }
}

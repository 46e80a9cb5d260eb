//! Matrix products of strided f32 views, through the `gemm` crate, which picks its micro-kernel at run time.

use std::marker::PhantomData;
use std::ops::Range;

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

/// `c = scale * a b` or `c += scale * a b`.
pub(crate) fn matmul(c: MatMut, a: Mat, b: Mat, scale: f32, into: Into, threads: Threads) {
    assert_eq!((c.rows, c.cols, a.cols), (a.rows, b.cols, b.rows), "shapes of a product");
    if c.rows == 0 || c.cols == 0 {
        return;
    }
    let parallelism = match threads {
        Threads::All => gemm::Parallelism::Rayon(0),
        Threads::One => gemm::Parallelism::None,
    };
    // SAFETY: `Mat` and `MatMut` are built from slices that cover their extents (asserted where they are
    // made and narrowed), or from `from_raw`, whose caller vouches for it; `MatMut` is the only access to its block.
    unsafe {
        gemm::gemm(
            c.rows,
            c.cols,
            a.cols,
            c.data,
            1,
            c.row_stride as isize,
            into == Into::Add,
            a.data,
            a.col_stride as isize,
            a.row_stride as isize,
            b.data,
            b.col_stride as isize,
            b.row_stride as isize,
            1.0,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize, step: f32) -> Vec<f32> {
        (0..n).map(|i| ((i as f32 * step) % 7.0) - 3.0).collect()
    }

    #[test]
    fn agrees_with_three_loops_for_every_transposition() {
        for (m, n, k) in [(1, 1, 1), (3, 5, 4), (17, 33, 9), (2, 70, 0)] {
            for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
                let (a, b) = (numbers(m * k, 1.3), numbers(k * n, 0.7));
                let lhs = if ta { Mat::new(&a, k, m).t() } else { Mat::new(&a, m, k) };
                let rhs = if tb { Mat::new(&b, n, k).t() } else { Mat::new(&b, k, n) };
                let mut c = numbers(m * n, 0.3);
                let before = c.clone();
                matmul(MatMut::new(&mut c, m, n), lhs, rhs, 0.5, Into::Add, Threads::One);
                for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
                    let at = |t: bool, x: &[f32], r, c, rows: usize, cols: usize| {
                        if t { x[c * rows + r] } else { x[r * cols + c] }
                    };
                    let dot: f32 = (0..k).map(|l| at(ta, &a, i, l, m, k) * at(tb, &b, l, j, k, n)).sum();
                    let expected = before[i * n + j] + 0.5 * dot;
                    assert!((c[i * n + j] - expected).abs() < 1e-4, "{} {expected}", c[i * n + j]);
                }
            }
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

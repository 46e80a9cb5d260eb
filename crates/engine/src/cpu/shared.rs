//! One buffer that several tasks write at once, each in blocks of its own.

use std::marker::PhantomData;
use std::ops::Range;

use super::matmul::MatMut;

/// A row-major buffer whose blocks go to different tasks. The borrow checker cannot see that column blocks
/// of one matrix are disjoint; whoever takes a block promises it.
#[derive(Clone, Copy)]
pub(crate) struct SharedRows<'a> {
    data: *mut f32,
    rows: usize,
    cols: usize,
    life: PhantomData<&'a mut [f32]>,
}

// SAFETY: the pointer is only read or written through blocks that, by the contract of `block` and `row`, no two
// tasks hold at once.
unsafe impl Send for SharedRows<'_> {}
// SAFETY: as above.
unsafe impl Sync for SharedRows<'_> {}

impl<'a> SharedRows<'a> {
    /// Shares a matrix.  `[rows, cols]`
    pub(crate) fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        assert!(data.len() >= rows * cols);
        Self { data: data.as_mut_ptr(), rows, cols, life: PhantomData }
    }

    /// A block, to be written by a matrix product.
    ///
    /// # Safety
    /// No other task may hold or touch any element of the block meanwhile.
    pub(crate) unsafe fn block(&self, rows: Range<usize>, cols: Range<usize>) -> MatMut<'a> {
        assert!(rows.start <= rows.end && rows.end <= self.rows);
        assert!(cols.start <= cols.end && cols.end <= self.cols);
        let first = self.data.wrapping_add(rows.start * self.cols + cols.start);
        // SAFETY: the asserts keep the block inside the buffer; the caller keeps others out of it.
        unsafe { MatMut::from_raw(first, rows.len(), cols.len(), self.cols) }
    }

    /// Some columns of one row.
    ///
    /// # Safety
    /// No other task may hold or touch any of these elements meanwhile.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn row(&self, row: usize, cols: Range<usize>) -> &'a mut [f32] {
        assert!(row < self.rows && cols.start <= cols.end && cols.end <= self.cols);
        let first = self.data.wrapping_add(row * self.cols + cols.start);
        // SAFETY: the assert keeps the slice inside the buffer; the caller keeps others out of it.
        unsafe { std::slice::from_raw_parts_mut(first, cols.len()) }
    }

    /// The address of an element, which need not exist.
    pub(crate) fn address(&self, row: usize, col: usize) -> usize {
        self.data.wrapping_add(row * self.cols + col).addr()
    }
}

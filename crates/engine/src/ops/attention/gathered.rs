//! One head's rows, copied to lie side by side. In a tensor they are some KiB apart, so that they compete for few places of a cache, and
//! every row is in a page of its own; and products read them many times.

use std::ops::Range;

use super::LANES;
use crate::Columns;
use crate::cpu::arch;
use crate::cpu::matmul::{Mat, MatMut};
use crate::cpu::panels::pack_rows;

/// Some rows of a head, or sums for them.  `[rows, columns]`
#[derive(Default)]
pub(super) struct Gathered {
    values: Vec<f32>,
    /// Which rows there are.
    rows: Range<usize>,
    columns: usize,
}

impl Gathered {
    /// Copies some rows and columns.
    pub(super) fn fill(&mut self, x: &Columns, rows: Range<usize>, columns: Range<usize>) {
        self.values.clear();
        for row in rows.clone() {
            // A copy of a length that the compiler knows is two instructions, and any other a call.
            let (vectors, rest) = x.row(row)[columns.clone()].as_chunks::<LANES>();
            for vector in vectors {
                self.values.extend_from_slice(vector);
            }
            self.values.extend_from_slice(rest);
        }
        (self.rows, self.columns) = (rows, columns.len());
    }

    /// Zeros for some rows.
    pub(super) fn clear(&mut self, rows: Range<usize>, columns: usize) {
        self.values.clear();
        self.values.resize(rows.len() * columns, 0.0);
        (self.rows, self.columns) = (rows, columns);
    }

    fn places(&self, rows: &Range<usize>) -> Range<usize> {
        (rows.start - self.rows.start) * self.columns..(rows.end - self.rows.start) * self.columns
    }

    /// One row.  `[columns]`
    pub(super) fn row(&self, row: usize) -> &[f32] {
        &self.values[self.places(&(row..row + 1))]
    }

    /// Some of the rows.  `[rows, columns]`
    pub(super) fn mat(&self, rows: &Range<usize>) -> Mat<'_> {
        Mat::new(&self.values[self.places(rows)], rows.len(), self.columns)
    }

    /// Some of the rows, to write.  `[rows, columns]`
    pub(super) fn mat_mut(&mut self, rows: &Range<usize>) -> MatMut<'_> {
        let places = self.places(rows);
        MatMut::new(&mut self.values[places], rows.len(), self.columns)
    }
}

/// Some rows of a head, transposed: a product with them reads rows.  `[columns, rows]`
#[derive(Default)]
pub(super) struct Transposed {
    values: Vec<f32>,
    /// Which rows there are.
    rows: Range<usize>,
    stride: usize,
    group: Vec<f32>,
}

impl Transposed {
    /// Takes some rows and columns.
    pub(super) fn fill(&mut self, x: &Columns, rows: Range<usize>, columns: Range<usize>) {
        // Whole vectors are read from any row on, and so past the last one.
        self.stride = rows.len() + LANES;
        self.values.resize(columns.len() * self.stride, 0.0);
        let height = arch::lanes();
        self.group.resize(columns.len() * height, 0.0);
        for first in rows.clone().step_by(height) {
            let height = height.min(rows.end - first);
            let group = &mut self.group[..columns.len() * height];
            pack_rows(height, |i| &x.row(first + i)[columns.clone()], 1.0, group);
            let to = self.values.chunks_exact_mut(self.stride);
            for (to, from) in to.zip(group.chunks_exact(height)) {
                let to = &mut to[first - rows.start..first - rows.start + height];
                // A copy of a length that the compiler knows is two instructions, and any other a call.
                match (to.first_chunk_mut::<LANES>(), from.first_chunk::<LANES>()) {
                    (Some(to), Some(from)) => *to = *from,
                    _ => to.copy_from_slice(from),
                }
            }
        }
        self.rows = rows;
    }

    /// Some rows, rounded up to whole vectors.  `[columns, rows]`
    pub(super) fn mat(&self, rows: &Range<usize>) -> Mat<'_> {
        let first = rows.start - self.rows.start;
        let columns = first..first + rows.len().next_multiple_of(LANES);
        Mat::new(&self.values, self.values.len() / self.stride, self.stride).columns(columns)
    }
}

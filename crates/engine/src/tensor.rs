//! Row-major matrices on a device, views of their columns, and frozen or trained weight matrices.

use std::ops::Range;

use crate::Precision;
use crate::buffer::Floats;
use crate::cpu::matmul::Mat;
use crate::cpu::panels::{Panels, RowsView, Target};
use crate::device::Device;

/// A row-major matrix of f32 on a device. Its buffer returns to the device's pool when it is dropped.
#[derive(Debug)]
pub struct Tensor {
    rows: usize,
    cols: usize,
    /// The values, and perhaps more that are none: a buffer is never cut, or its end would have to be filled again.
    data: Floats,
    device: Device,
}

impl Tensor {
    pub(crate) fn new(rows: usize, cols: usize, data: Floats, device: Device) -> Self {
        assert!(data.len() >= rows * cols);
        Self { rows, cols, data, device }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The device that holds the values.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The values, row by row, copied to the host.
    pub fn to_host(&self) -> Vec<f32> {
        self.host().to_vec()
    }

    /// Overwrites all values with those of the host.
    ///
    /// # Panics
    /// If `values` has another length than the tensor.
    pub fn copy_from_host(&mut self, values: &[f32]) {
        self.host_mut().copy_from_slice(values);
    }

    /// All columns, as a view.
    pub fn view(&self) -> Columns<'_> {
        self.columns(0..self.cols)
    }

    /// The columns `range` of every row, as a view.
    pub fn columns(&self, range: Range<usize>) -> Columns<'_> {
        assert!(range.end <= self.cols, "columns {range:?} of a tensor with {}", self.cols);
        Columns { tensor: self, range }
    }

    /// The values where they are. CPU ops only.
    pub(crate) fn host(&self) -> &[f32] {
        &self.data[..self.rows * self.cols]
    }

    /// The values where they are, to write. CPU ops only.
    pub(crate) fn host_mut(&mut self) -> &mut [f32] {
        &mut self.data[..self.rows * self.cols]
    }

    /// All of it, as what a product with a packed weight writes.
    pub(crate) fn target(&mut self) -> Target<'_> {
        let cols = self.cols;
        Target::new(self.host_mut(), cols)
    }

    pub(crate) fn row(&self, row: usize) -> &[f32] {
        &self.data[row * self.cols..(row + 1) * self.cols]
    }

    pub(crate) fn row_mut(&mut self, row: usize) -> &mut [f32] {
        &mut self.data[row * self.cols..(row + 1) * self.cols]
    }
}

impl Clone for Tensor {
    fn clone(&self) -> Self {
        self.device.from_host(self.rows, self.cols, self.host())
    }
}

impl Drop for Tensor {
    fn drop(&mut self) {
        self.device.give_back(std::mem::take(&mut self.data));
    }
}

/// Some columns of every row of a tensor: queries, keys and values share one buffer this way.
#[derive(Clone, Debug)]
pub struct Columns<'a> {
    tensor: &'a Tensor,
    range: Range<usize>,
}

impl<'a> Columns<'a> {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.tensor.rows
    }

    /// Number of columns in the view.
    pub fn cols(&self) -> usize {
        self.range.len()
    }

    pub(crate) fn device(&self) -> &'a Device {
        self.tensor.device()
    }

    pub(crate) fn row(&self, row: usize) -> &'a [f32] {
        &self.tensor.row(row)[self.range.clone()]
    }

    /// The view as an operand of a matrix product.  `[rows, cols]`
    pub(crate) fn mat(&self) -> Mat<'a> {
        Mat::new(self.tensor.host(), self.tensor.rows, self.tensor.cols).columns(self.range.clone())
    }

    /// The view as the left operand of a product with a packed weight.  `[rows, cols]`
    pub(crate) fn rows_view(&self) -> RowsView<'a> {
        RowsView::columns(self.tensor.host(), self.tensor.cols, self.range.clone())
    }

    /// Rows `rows` and columns `cols` (within the view) as an operand of a matrix product.
    pub(crate) fn block(&self, rows: Range<usize>, cols: Range<usize>) -> Mat<'a> {
        self.mat().rows_range(rows).columns(cols)
    }
}

/// A weight matrix as `torch.nn.Linear` has it: `[out, in]`, applied as `y = x Wᵀ`.
///
/// It is packed once into the layout that the products read, in a [`Precision`] of its own. Only [`Weight::to_host`] and
/// [`Weight::new`] speak of rows.
#[derive(Clone, Debug)]
pub struct Weight {
    panels: Panels,
    device: Device,
}

impl Weight {
    /// Takes a weight from the host, to be stored in a precision.  `[out, in]`
    ///
    /// # Panics
    /// If `values` does not hold `out * input` numbers.
    pub fn new(device: &Device, out: usize, input: usize, values: &[f32], precision: Precision) -> Self {
        Self { panels: Panels::pack(out, input, values, precision), device: device.clone() }
    }

    /// Takes a weight from a tensor.  `[out, in]`
    pub fn from_tensor(values: &Tensor, precision: Precision) -> Self {
        Self::new(values.device(), values.rows(), values.cols(), values.host(), precision)
    }

    /// How its values are stored.
    pub fn precision(&self) -> Precision {
        self.panels.precision()
    }

    /// Number of outputs.
    pub fn outputs(&self) -> usize {
        self.panels.outputs()
    }

    /// Number of inputs.
    pub fn inputs(&self) -> usize {
        self.panels.inputs()
    }

    /// The device that holds the weight.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The values, copied to the host.  `[out, in]`
    pub fn to_host(&self) -> Vec<f32> {
        self.panels.unpack()
    }

    /// The packed values. CPU ops only.
    pub(crate) fn panels(&self) -> &Panels {
        &self.panels
    }
}

//! Base-model parameters: where each tensor of a checkpoint went, so that gradients can be told by its name.

use std::ops::Range;

use amortize_engine::{Device, Precision, Tensor, Weight};
use rayon::prelude::*;

use crate::error::Result;
use crate::weights::TensorSource;

/// A parameter's number in the order of loading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterId(usize);

impl ParameterId {
    /// The number.
    pub fn index(self) -> usize {
        self.0
    }
}

/// One base-model parameter as the decoder holds it: several tensors of the checkpoint that are applied to one
/// input may be stacked.
#[derive(Clone, Debug)]
pub struct ParameterInfo {
    /// The checkpoint's names, each with its rows (or entries of a vector) in the stack.
    pub parts: Vec<(String, Range<usize>)>,
    /// Rows and columns; a vector is one row.
    pub shape: (usize, usize),
    /// Whether it is a vector, of a norm or a bias, rather than a matrix.
    pub is_vector: bool,
    /// Whether the checkpoint holds the transpose, as GPT-2's `Conv1D` does.
    pub transposed: bool,
}

impl ParameterInfo {
    /// Shape of a part in the checkpoint.
    fn stored_shape(&self, part: &Range<usize>) -> Vec<usize> {
        match (self.is_vector, self.transposed) {
            (true, _) => vec![part.len()],
            (false, false) => vec![part.len(), self.shape.1],
            (false, true) => vec![self.shape.1, part.len()],
        }
    }
}

/// A weight matrix with its number.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// Its number.
    pub id: ParameterId,
    /// Its values.  `[out, in]`
    pub weight: Weight,
}

/// A vector with its number.
#[derive(Clone, Debug)]
pub struct Vector {
    /// Its number.
    pub id: ParameterId,
    /// Its values.  `[1, n]`
    pub value: Tensor,
}

/// How a checkpoint stores a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// `[out, in]`, as `torch.nn.Linear`.
    OutIn,
    /// `[in, out]`, as GPT-2's `Conv1D`.
    InOut,
}

impl Stored {
    fn shape(self, out: usize, input: usize) -> [usize; 2] {
        match self {
            Self::OutIn => [out, input],
            Self::InOut => [input, out],
        }
    }
}

/// Takes tensors out of their source one by one and numbers them.
pub(crate) struct Loader<'a> {
    pub source: &'a dyn TensorSource,
    pub prefix: String,
    pub device: &'a Device,
    /// How matrices are stored.
    pub precision: Precision,
    pub infos: Vec<ParameterInfo>,
}

impl Loader<'_> {
    /// A matrix of parts with a common input, stacked by rows: `(name, outputs)` each.
    pub fn matrix(&mut self, parts: &[(String, usize)], input: usize, stored: Stored) -> Result<Matrix> {
        let mut ranges = Vec::new();
        let mut outputs = 0;
        for (name, out) in parts {
            let name = format!("{}{name}", self.prefix);
            self.source.check(&name, &stored.shape(*out, input))?;
            ranges.push((name, outputs..outputs + out));
            outputs += out;
        }
        let mut values = vec![0.0; outputs * input];
        for (name, rows) in &ranges {
            let part = &mut values[rows.start * input..rows.end * input];
            let mut place = |first: usize, block: &[f32]| match stored {
                Stored::OutIn => part[first * input..][..block.len()].copy_from_slice(block),
                Stored::InOut => transpose_rows(block, rows.len(), first, part),
            };
            self.source.for_rows(name, stored.shape(rows.len(), input), &mut place)?;
        }
        let transposed = stored == Stored::InOut;
        let id = self.number(ParameterInfo { parts: ranges, shape: (outputs, input), is_vector: false, transposed });
        Ok(Matrix { id, weight: Weight::new(self.device, outputs, input, &values, self.precision) })
    }

    /// A vector of parts, one after the other: `(name, length)` each.
    pub fn vector(&mut self, parts: &[(String, usize)]) -> Result<Vector> {
        let mut values = Vec::new();
        let mut ranges = Vec::new();
        for (name, len) in parts {
            let name = format!("{}{name}", self.prefix);
            let first = values.len();
            values.extend(self.source.take(&name, &[*len])?);
            ranges.push((name, first..values.len()));
        }
        let shape = (1, values.len());
        let id = self.number(ParameterInfo { parts: ranges, shape, is_vector: true, transposed: false });
        Ok(Vector { id, value: self.device.from_host(1, values.len(), &values) })
    }

    fn number(&mut self, info: ParameterInfo) -> ParameterId {
        self.infos.push(info);
        ParameterId(self.infos.len() - 1)
    }
}

/// The transpose of a row-major matrix.  `[rows, cols] -> [cols, rows]`
fn transpose(values: &[f32], cols: usize) -> Vec<f32> {
    let mut transposed = vec![0.0; values.len()];
    transpose_rows(values, cols, 0, &mut transposed);
    transposed
}

/// Writes some rows of a matrix `[rows, cols]`, from number `first` on, where its transpose has them.  `[cols, rows]`
fn transpose_rows(block: &[f32], cols: usize, first: usize, transposed: &mut [f32]) {
    /// Columns at once: the ends of as many rows of the transpose stay in the cache while they grow.
    const STRIP: usize = 32;
    if block.is_empty() {
        return;
    }
    let rows = transposed.len() / cols;
    transposed.par_chunks_mut(STRIP * rows).enumerate().for_each(|(strip, transposed)| {
        let columns = strip * STRIP..cols.min((strip + 1) * STRIP);
        for (row, values) in block.chunks_exact(cols).enumerate() {
            for (to, value) in transposed.chunks_exact_mut(rows).zip(&values[columns.clone()]) {
                to[first + row] = *value;
            }
        }
    });
}

/// Gradients of every base parameter, in the order of their numbers.
#[derive(Debug)]
pub struct BaseGradients(Vec<Tensor>);

impl BaseGradients {
    /// Zeros for every parameter.
    pub fn zeros(device: &Device, infos: &[ParameterInfo]) -> Self {
        Self(infos.iter().map(|info| device.zeros(info.shape.0, info.shape.1)).collect())
    }

    /// The gradient of one parameter, to add to.
    pub fn get_mut(&mut self, id: ParameterId) -> &mut Tensor {
        &mut self.0[id.0]
    }

    /// The gradients, in the order of their numbers.
    pub fn tensors(&self) -> &[Tensor] {
        &self.0
    }

    /// The gradients, to scale or clip.
    pub fn tensors_mut(&mut self) -> &mut [Tensor] {
        &mut self.0
    }

    /// Gradients by the checkpoint's names and in the checkpoint's own layout.
    pub fn by_name(&self, infos: &[ParameterInfo]) -> Vec<(String, Vec<f32>)> {
        as_stored(infos, &self.0).into_iter().map(|(name, _, values)| (name, values)).collect()
    }
}

/// A tensor as a checkpoint has it: its name, its shape, and its numbers in row-major order.
pub type StoredTensor = (String, Vec<usize>, Vec<f32>);

/// Base parameters in f32, as an optimizer changes them, in the order of their numbers. The decoder computes with copies
/// of its own, which may be of a lower precision.
#[derive(Debug)]
pub struct BaseParameters(Vec<Tensor>);

impl BaseParameters {
    pub(crate) fn new(tensors: Vec<Tensor>) -> Self {
        Self(tensors)
    }

    /// The parameters, in the order of their numbers.
    pub fn tensors(&self) -> &[Tensor] {
        &self.0
    }

    /// The parameters, to be updated.
    pub fn tensors_mut(&mut self) -> &mut [Tensor] {
        &mut self.0
    }

    /// One parameter.
    pub(crate) fn get(&self, id: ParameterId) -> &Tensor {
        &self.0[id.0]
    }

    /// One parameter, to be updated.
    pub(crate) fn get_mut(&mut self, id: ParameterId) -> &mut Tensor {
        &mut self.0[id.0]
    }

    /// Parameters by the checkpoint's names and in the checkpoint's own layout.
    pub fn as_stored(&self, infos: &[ParameterInfo]) -> Vec<StoredTensor> {
        as_stored(infos, &self.0)
    }
}

/// Tensors in the order of parameters' numbers, as the checkpoint has them.
fn as_stored(infos: &[ParameterInfo], tensors: &[Tensor]) -> Vec<StoredTensor> {
    let mut named = Vec::new();
    for (info, tensor) in infos.iter().zip(tensors) {
        let values = tensor.to_host();
        let width = if info.is_vector { 1 } else { info.shape.1 };
        for (name, range) in &info.parts {
            let part = &values[range.start * width..range.end * width];
            let part = if info.transposed { transpose(part, width) } else { part.to_vec() };
            named.push((name.clone(), info.stored_shape(range), part));
        }
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_rows_make_up_the_transpose() {
        let (rows, cols) = (101, 70);
        let values: Vec<f32> = (0..rows * cols).map(|i| i as f32).collect();
        let naive: Vec<f32> = (0..cols).flat_map(|col| (0..rows).map(move |row| (row * cols + col) as f32)).collect();
        assert_eq!(transpose(&values, cols), naive);
        let mut transposed = vec![0.0; rows * cols];
        for (block, values) in values.chunks(33 * cols).enumerate() {
            transpose_rows(values, cols, block * 33, &mut transposed);
        }
        assert_eq!(transposed, naive);
    }
}

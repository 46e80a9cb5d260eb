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
    /// Whether the checkpoint holds the transpose, as GPT-2's `Conv1D` does.
    pub transposed: bool,
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
        let id = self.number(ranges, (outputs, input), stored == Stored::InOut);
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
        let id = self.number(ranges, (1, values.len()), false);
        Ok(Vector { id, value: self.device.from_host(1, values.len(), &values) })
    }

    fn number(&mut self, parts: Vec<(String, Range<usize>)>, shape: (usize, usize), transposed: bool) -> ParameterId {
        self.infos.push(ParameterInfo { parts, shape, transposed });
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

    /// Gradients by the checkpoint's names and in the checkpoint's own layout.
    pub fn by_name(&self, infos: &[ParameterInfo]) -> Vec<(String, Vec<f32>)> {
        let mut named = Vec::new();
        for (info, gradient) in infos.iter().zip(&self.0) {
            let values = gradient.to_host();
            let is_vector = info.shape.0 == 1 && !info.transposed;
            let width = if is_vector { 1 } else { info.shape.1 };
            for (name, range) in &info.parts {
                let part = &values[range.start * width..range.end * width];
                let part = if info.transposed { transpose(part, width) } else { part.to_vec() };
                named.push((name.clone(), part));
            }
        }
        named
    }
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

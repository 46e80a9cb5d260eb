//! One decoder for all families: a stack of pre-normalised attention and feed-forward blocks, driven by what the
//! families differ in (norm, positions, activation, gating, biases, grouping of heads).

mod backward;
mod block;
mod forward;
mod load;
mod norm;
mod projection;
mod trained;

pub use backward::Gradients;
pub use forward::{Activations, Batch, Dropout, KvCache, Pass, Tape};
pub(crate) use load::{BlockShapes, Shape, block_shapes, module_prefix};
pub use projection::{Part, Projection};

use amortize_engine::Device;
use amortize_engine::ops::rope::RopeTable;

use crate::parameters::{Matrix, ParameterInfo};
use block::Block;
use norm::Norm;

/// A causal language model's weights.
#[derive(Debug)]
pub struct Decoder {
    embedding: Matrix,
    /// Learned position embeddings, where the family has them.
    positions: Option<Matrix>,
    /// Rotations by position, where the family has them.
    rope: Option<RopeTable>,
    blocks: Vec<Block>,
    final_norm: Norm,
    /// The output matrix, unless it is the embedding.
    head: Option<Matrix>,
    infos: Vec<ParameterInfo>,
    device: Device,
    transposed: bool,
}

impl Decoder {
    /// The device that holds the weights.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Every projection of every block, lowest first: the places where adapters may sit.
    pub fn projections(&self) -> impl Iterator<Item = &Projection> {
        self.blocks.iter().flat_map(Block::projections)
    }

    /// The distinct last parts of module paths, for messages.
    pub fn projection_names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for part in self.projections().flat_map(|projection| &projection.parts) {
            let name = part.module.rsplit('.').next().unwrap_or(&part.module);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Names and shapes of the base parameters.
    pub fn parameters(&self) -> &[ParameterInfo] {
        &self.infos
    }

    /// Number of base parameters' values.
    pub fn parameter_count(&self) -> usize {
        self.infos.iter().map(|info| info.shape.0 * info.shape.1).sum()
    }

    /// Whether the checkpoint holds linear weights as `[in, out]`, which PEFT needs to know.
    pub fn stores_transposed(&self) -> bool {
        self.transposed
    }

    /// Number of tokens that there are embeddings for.
    pub fn vocab_size(&self) -> usize {
        self.embedding.weight.outputs()
    }

    fn head(&self) -> &Matrix {
        self.head.as_ref().unwrap_or(&self.embedding)
    }
}

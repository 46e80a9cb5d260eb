//! What a model and its passes take in memory, from its config alone: so that it can be said before anything is loaded.
//!
//! Tensors are counted as the decoder holds them, at the moment when there are most of them: `decoder::block` says what
//! a block makes and keeps. All results are bytes.

use std::collections::BTreeSet;

use amortize_engine::Precision;
use amortize_engine::ops::head;

use crate::adapter::{AdapterConfig, TargetModules};
use crate::config::{Family, ModelConfig, Positions};
use crate::decoder::{Activations, BlockShapes, Shape, block_shapes, module_prefix};
use crate::error::Result;
use crate::generate::LIVE;

/// Bytes of an f32.
const FLOAT: usize = size_of::<f32>();

/// Outputs that packed weights are rounded up to.
const PANEL: usize = 32;

/// Sizes of a model under an adapter.
#[derive(Clone, Debug)]
pub struct Footprint {
    config: ModelConfig,
    widths: Widths,
    /// Values of the adapter's tensors.
    adapter_values: usize,
    /// Values of the same as products read them: outputs in whole panels.
    packed_values: usize,
    /// Ranks of all of the adapter's sites together.
    ranks: usize,
    rank: usize,
    dropout: bool,
}

/// What a pass takes at its peak, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// Tensors of the device.
    pub tensors: usize,
    /// What products copy of their operands.
    pub operands: usize,
}

impl Need {
    /// Both together.
    pub fn total(&self) -> usize {
        self.tensors + self.operands
    }
}

impl Footprint {
    /// Of a model under an adapter of this kind.
    ///
    /// # Errors
    /// If the adapter's target modules are no regular expression.
    pub fn new(config: &ModelConfig, adapter: &AdapterConfig) -> Result<Self> {
        let sites = sites(config, &adapter.target_modules)?;
        let rank = adapter.rank;
        let panels = |outputs: usize| outputs.next_multiple_of(PANEL);
        let gated = config.family == Family::Llama;
        let widths = Widths {
            hidden: config.hidden_size,
            qkv: (config.heads + 2 * config.kv_heads) * config.head_dim,
            attended: config.heads * config.head_dim,
            heads: config.heads,
            up: if gated { 2 } else { 1 } * config.mlp_size,
            mlp: config.mlp_size,
        };
        Ok(Self {
            config: config.clone(),
            widths,
            adapter_values: sites.iter().map(|site| rank * (site.inputs + site.outputs)).sum(),
            packed_values: sites.iter().map(|site| panels(rank) * site.inputs + panels(site.outputs) * rank).sum(),
            ranks: rank * sites.len(),
            rank,
            dropout: adapter.dropout > 0.0,
        })
    }

    /// The weights, matrices in `precision` and vectors as f32.
    pub fn weights(&self, precision: Precision) -> usize {
        let Widths { hidden, qkv, attended, up, mlp, .. } = self.widths;
        let c = &self.config;
        let block = hidden * (qkv + attended + up + mlp);
        let tables = if c.tied_head { 1 } else { 2 } * c.vocab_size * hidden;
        let (positions, rotations) = match c.positions {
            Positions::Learned => (c.max_positions * hidden, 0),
            Positions::Rope(_) => (0, c.max_positions * c.head_dim),
        };
        let norms = if c.family == Family::Gpt2 { 2 } else { 1 } * hidden;
        let biases = if c.attention_bias { qkv + hidden } else { 0 } + if c.mlp_bias { up + hidden } else { 0 };
        let vectors = c.layers * (2 * norms + biases) + norms + rotations;
        let matrices = (c.layers * block + tables + positions) as f64;
        (matrices * precision.bytes_per_value()) as usize + vectors * FLOAT
    }

    /// The largest matrix as f32, which it is for as long as it takes to pack it.
    pub fn largest_matrix(&self) -> usize {
        let Widths { hidden, qkv, up, .. } = self.widths;
        self.config.vocab_size.max(qkv).max(up) * hidden * FLOAT
    }

    /// An adapter that is trained: its tensors, their gradients and two moments of each.
    pub fn trained(&self) -> usize {
        4 * self.adapter_values * FLOAT
    }

    /// The adapter's tensors as products read them beside weights in `precision`.
    pub fn packed_adapter(&self, precision: Precision) -> usize {
        let beside = if precision == Precision::F32 { Precision::F32 } else { Precision::Bf16 };
        (self.packed_values as f64 * beside.bytes_per_value()) as usize
    }

    /// Scores of `rows` packed rows without a tape, the head being asked about `asked` of them, with keys and values of `cached` rows.
    pub fn scoring(&self, rows: usize, asked: usize, cached: usize) -> Need {
        let block = rows * self.block_without_tape();
        let head = asked * (2 * self.widths.hidden + self.head_chunk());
        Need { tensors: (self.cache(cached) + block.max(head)) * FLOAT, operands: self.operands(rows, asked) }
    }

    /// Scores of `rows` packed rows with a tape, the head being asked about `asked` of them, and the backward pass.
    pub fn gradients(&self, rows: usize, asked: usize, activations: Activations) -> Need {
        let Widths { hidden, mlp, .. } = self.widths;
        let layers = self.config.layers;
        let whole = rows * (layers * self.tape() + self.ranks);
        let (kept, again) = match activations {
            Activations::Kept => (whole, 0),
            Activations::Recomputed => (rows * layers * hidden, whole / layers.max(1)),
        };
        let dropped = if self.dropout { mlp } else { 0 };
        // The last block's activations and what comes of them are no part of its tape.
        let forward = again + rows * (mlp + hidden + dropped);
        let head = asked * (3 * hidden + self.head_chunk());
        // The head's input and its mean embedding stay until the end.
        let backward = again + rows * (hidden + self.backward_of_block()) + asked * 2 * hidden;
        Need { tensors: (kept + forward.max(head).max(backward)) * FLOAT, operands: self.operands(rows, asked) }
    }

    /// Drawing `live` sequences of up to `max_length` tokens after prompts of `prompt_rows` tokens in all; no more than
    /// [`LIVE`] are drawn at once.
    pub fn sampling(&self, prompt_rows: usize, live: usize, max_length: usize) -> Need {
        let Widths { hidden, .. } = self.widths;
        let live = live.min(LIVE);
        let cache = self.cache(prompt_rows + live * max_length);
        let prompts = prompt_rows * self.block_without_tape();
        let logits = prompt_rows * hidden + live * (2 * hidden + self.config.vocab_size);
        let step = live * self.block_without_tape();
        Need {
            tensors: (cache + prompts.max(logits).max(step)) * FLOAT,
            operands: self.operands(prompt_rows.max(live), live),
        }
    }

    /// Numbers of the keys and values of so many rows.
    fn cache(&self, rows: usize) -> usize {
        2 * self.config.layers * self.config.kv_heads * self.config.head_dim * rows
    }

    /// Numbers a row that a block's tape keeps, without an adapter's.
    fn tape(&self) -> usize {
        let Widths { hidden, qkv, attended, heads, up, .. } = self.widths;
        2 * hidden + qkv + attended + heads + up
    }

    /// Numbers a row that a block holds at most without a tape.
    fn block_without_tape(&self) -> usize {
        let Widths { hidden, qkv, attended, heads, up, mlp } = self.widths;
        2 * hidden + (qkv + attended + heads).max(up + mlp)
    }

    /// Numbers a row that the backward pass of a block makes at most beside the residual stream's gradient.
    fn backward_of_block(&self) -> usize {
        let Widths { hidden, qkv, attended, up, mlp, .. } = self.widths;
        // An input with dropout, and its gradient.
        let dropped = |width: usize| if self.dropout { 2 * width } else { 0 };
        let down = (2 * mlp + self.rank + dropped(mlp)).max(mlp + up);
        // A normalised input and its gradient, and what the norm's derivative makes of it.
        let normed = 2 * hidden + hidden.max(self.rank + dropped(hidden));
        down.max(up.max(attended + qkv) + normed)
    }

    /// Numbers a row of the head that one chunk of the vocabulary takes, with the running softmax.
    fn head_chunk(&self) -> usize {
        self.config.vocab_size.min(head::CHUNK) + 3
    }

    fn operands(&self, rows: usize, asked: usize) -> usize {
        let Widths { hidden, qkv, up, mlp, .. } = self.widths;
        (rows * qkv.max(up).max(mlp)).max(asked * (hidden + self.head_chunk())) * FLOAT
    }
}

/// Numbers that a row has at the places of a block.
#[derive(Clone, Copy, Debug)]
struct Widths {
    /// The residual stream.
    hidden: usize,
    qkv: usize,
    /// What attention gives.
    attended: usize,
    heads: usize,
    /// Gate and up where there are both.
    up: usize,
    mlp: usize,
}

/// A module with an adapter.
struct Site {
    inputs: usize,
    outputs: usize,
}

/// The modules of a model that an adapter sits on.
fn sites(config: &ModelConfig, modules: &TargetModules) -> Result<Vec<Site>> {
    let prefix = module_prefix(config.family);
    let mut all = Vec::new();
    for layer in 0..config.layers {
        let BlockShapes { qkv, attention_out, up, down } = block_shapes(config, layer);
        for Shape { modules, inputs, .. } in [qkv, attention_out, up, down] {
            let named = |(name, outputs)| (format!("{prefix}{name}"), Site { inputs, outputs });
            all.extend(modules.into_iter().map(named));
        }
    }
    let paths = modules.select(all.iter().map(|(path, _)| path.as_str()))?;
    let chosen: BTreeSet<String> = paths.into_iter().map(String::from).collect();
    Ok(all.into_iter().filter(|(path, _)| chosen.contains(path)).map(|(_, site)| site).collect())
}

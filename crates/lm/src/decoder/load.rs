//! From tensors to a decoder: the one place that knows the families' names.

use std::path::Path;

use amortize_engine::ops::activation::Activation;
use amortize_engine::ops::attention::Heads;
use amortize_engine::ops::rope::RopeTable;
use amortize_engine::{Device, Precision};

use super::Decoder;
use super::block::Block;
use super::norm::Norm;
use super::projection::{Part, Projection};
use crate::config::{self, Family, ModelConfig, Positions};
use crate::error::Result;
use crate::parameters::{Loader, Matrix, Stored};
use crate::random::RandomWeights;
use crate::weights::{TensorSource, Weights};

impl Decoder {
    /// Reads the weights of a model directory. Matrices are stored in `precision`, vectors as f32.
    ///
    /// # Errors
    /// If a file or tensor is missing, damaged, or of another shape than `config` implies.
    pub fn load(dir: &Path, config: &ModelConfig, device: &Device, precision: Precision) -> Result<Self> {
        build(&Weights::open(dir)?, config, device, precision)
    }

    /// Weights of the same shapes that nobody trained, for measurements.
    ///
    /// # Errors
    /// If `config` names no shapes that fit one another.
    pub fn random(config: &ModelConfig, seed: u64, device: &Device, precision: Precision) -> Result<Self> {
        build(&RandomWeights::uniform(seed), config, device, precision)
    }

    /// Weights as a model has them before its training.
    ///
    /// # Errors
    /// As [`Decoder::random`].
    pub fn initial(config: &ModelConfig, seed: u64, device: &Device, precision: Precision) -> Result<Self> {
        build(&RandomWeights::initial(seed, config), config, device, precision)
    }
}

fn build(source: &dyn TensorSource, config: &ModelConfig, device: &Device, precision: Precision) -> Result<Decoder> {
    let loader = Loader { source, prefix: String::new(), device, precision, infos: Vec::new() };
    match config.family {
        Family::Gpt2 => gpt2(loader, config),
        Family::Llama => llama(loader, config),
    }
}

/// Modules that read the same input, to be stacked into one projection.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// Names within the model, each with its number of outputs.
    pub modules: Vec<(String, usize)>,
    /// Number of inputs.
    pub inputs: usize,
    /// Whether there are biases.
    pub bias: bool,
}

/// The projections of a block.
#[derive(Clone, Debug)]
pub(crate) struct BlockShapes {
    pub qkv: Shape,
    pub attention_out: Shape,
    /// Gate and up where the family has both.
    pub up: Shape,
    pub down: Shape,
}

/// What module paths start with in `transformers`.
pub(crate) fn module_prefix(family: Family) -> &'static str {
    match family {
        Family::Gpt2 => "transformer.",
        Family::Llama => "model.",
    }
}

/// Names and shapes of a block's projections.
pub(crate) fn block_shapes(config: &ModelConfig, layer: usize) -> BlockShapes {
    let (d, mlp) = (config.hidden_size, config.mlp_size);
    let (q, kv) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
    let shape = |modules: &[(&str, usize)], inputs, bias| {
        let stack = if config.family == Family::Gpt2 { "h" } else { "layers" };
        let named = |(name, outputs): &(&str, usize)| (format!("{stack}.{layer}.{name}"), *outputs);
        Shape { modules: modules.iter().map(named).collect(), inputs, bias }
    };
    match config.family {
        Family::Gpt2 => BlockShapes {
            qkv: shape(&[("attn.c_attn", 3 * d)], d, true),
            attention_out: shape(&[("attn.c_proj", d)], d, true),
            up: shape(&[("mlp.c_fc", mlp)], d, true),
            down: shape(&[("mlp.c_proj", d)], mlp, true),
        },
        Family::Llama => BlockShapes {
            qkv: shape(
                &[("self_attn.q_proj", q), ("self_attn.k_proj", kv), ("self_attn.v_proj", kv)],
                d,
                config.attention_bias,
            ),
            attention_out: shape(&[("self_attn.o_proj", d)], q, config.attention_bias),
            up: shape(&[("mlp.gate_proj", mlp), ("mlp.up_proj", mlp)], d, config.mlp_bias),
            down: shape(&[("mlp.down_proj", d)], mlp, config.mlp_bias),
        },
    }
}

/// Builds projections and numbers them.
struct Builder<'a> {
    loader: Loader<'a>,
    /// What module paths start with in `transformers`, whatever the file's own prefix is.
    module_prefix: &'static str,
    stored: Stored,
    projections: usize,
}

impl Builder<'_> {
    fn projection(&mut self, shape: Shape) -> Result<Projection> {
        let named = |suffix: &str| -> Vec<(String, usize)> {
            shape.modules.iter().map(|(name, out)| (format!("{name}.{suffix}"), *out)).collect()
        };
        let weight = self.loader.matrix(&named("weight"), shape.inputs, self.stored)?;
        let bias = shape.bias.then(|| self.loader.vector(&named("bias"))).transpose()?;
        let mut first = 0;
        let mut parts = Vec::new();
        for (name, out) in &shape.modules {
            parts.push(Part { module: format!("{}{name}", self.module_prefix), columns: first..first + out });
            first += out;
        }
        self.projections += 1;
        Ok(Projection { index: self.projections - 1, parts, weight, bias })
    }

    fn layer_norm(&mut self, name: &str, config: &ModelConfig) -> Result<Norm> {
        let weight = self.loader.vector(&[(format!("{name}.weight"), config.hidden_size)])?;
        let bias = self.loader.vector(&[(format!("{name}.bias"), config.hidden_size)])?;
        Ok(Norm::Layer { weight, bias, eps: config.norm_eps })
    }

    fn rms_norm(&mut self, name: &str, config: &ModelConfig) -> Result<Norm> {
        let weight = self.loader.vector(&[(format!("{name}.weight"), config.hidden_size)])?;
        Ok(Norm::Rms { weight, eps: config.norm_eps })
    }

    fn table(&mut self, name: &str, rows: usize, config: &ModelConfig) -> Result<Matrix> {
        self.loader.matrix(&[(name.into(), rows)], config.hidden_size, Stored::OutIn)
    }

    /// The separate output matrix of a model whose head is not tied. It has no prefix in either family.
    fn head(&mut self, config: &ModelConfig) -> Result<Option<Matrix>> {
        if config.tied_head {
            return Ok(None);
        }
        let prefix = std::mem::take(&mut self.loader.prefix);
        let head = self.table("lm_head.weight", config.vocab_size, config)?;
        self.loader.prefix = prefix;
        Ok(Some(head))
    }
}

fn builder<'a>(
    mut loader: Loader<'a>,
    module_prefix: &'static str,
    stored: Stored,
    probe: &str,
) -> Result<Builder<'a>> {
    loader.prefix = loader.source.prefix(&[module_prefix, ""], probe)?.to_string();
    Ok(Builder { loader, module_prefix, stored, projections: 0 })
}

fn gpt2(loader: Loader, config: &ModelConfig) -> Result<Decoder> {
    let mut build = builder(loader, module_prefix(config.family), Stored::InOut, "wte.weight")?;
    let embedding = build.table("wte.weight", config.vocab_size, config)?;
    let positions = build.table("wpe.weight", config.max_positions, config)?;
    let mut blocks = Vec::new();
    for layer in 0..config.layers {
        let at = |name: &str| format!("h.{layer}.{name}");
        let shapes = block_shapes(config, layer);
        blocks.push(Block {
            attention_norm: build.layer_norm(&at("ln_1"), config)?,
            qkv: build.projection(shapes.qkv)?,
            heads: heads(config, layer),
            attention_out: build.projection(shapes.attention_out)?,
            mlp_norm: build.layer_norm(&at("ln_2"), config)?,
            up: build.projection(shapes.up)?,
            activation: activation(config),
            gated: false,
            down: build.projection(shapes.down)?,
        });
    }
    let final_norm = build.layer_norm("ln_f", config)?;
    finish(build, config, embedding, Some(positions), blocks, final_norm)
}

fn llama(loader: Loader, config: &ModelConfig) -> Result<Decoder> {
    let mut build = builder(loader, module_prefix(config.family), Stored::OutIn, "embed_tokens.weight")?;
    let embedding = build.table("embed_tokens.weight", config.vocab_size, config)?;
    let mut blocks = Vec::new();
    for layer in 0..config.layers {
        let at = |name: &str| format!("layers.{layer}.{name}");
        let shapes = block_shapes(config, layer);
        blocks.push(Block {
            attention_norm: build.rms_norm(&at("input_layernorm"), config)?,
            qkv: build.projection(shapes.qkv)?,
            heads: heads(config, layer),
            attention_out: build.projection(shapes.attention_out)?,
            mlp_norm: build.rms_norm(&at("post_attention_layernorm"), config)?,
            up: build.projection(shapes.up)?,
            activation: activation(config),
            gated: true,
            down: build.projection(shapes.down)?,
        });
    }
    let final_norm = build.rms_norm("norm", config)?;
    finish(build, config, embedding, None, blocks, final_norm)
}

fn finish(
    mut build: Builder,
    config: &ModelConfig,
    embedding: Matrix,
    positions: Option<Matrix>,
    blocks: Vec<Block>,
    final_norm: Norm,
) -> Result<Decoder> {
    let head = build.head(config)?;
    let device = build.loader.device;
    let rope = match &config.positions {
        Positions::Learned => None,
        Positions::Rope(rope) => Some(RopeTable::new(device, config.max_positions, &rope.inverse_frequencies())),
    };
    let transposed = build.stored == Stored::InOut;
    let infos = build.loader.infos;
    Ok(Decoder { embedding, positions, rope, blocks, final_norm, head, infos, device: device.clone(), transposed })
}

fn heads(config: &ModelConfig, layer: usize) -> Heads {
    Heads {
        heads: config.heads,
        kv_heads: config.kv_heads,
        head_dim: config.head_dim,
        scale: config.attention_scale(layer),
    }
}

fn activation(config: &ModelConfig) -> Activation {
    match config.activation {
        config::Activation::GeluTanh => Activation::GeluTanh,
        config::Activation::GeluExact => Activation::GeluExact,
        config::Activation::Relu => Activation::Relu,
        config::Activation::Silu => Activation::Silu,
    }
}

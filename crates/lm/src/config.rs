//! A model's `config.json`, read once into what the decoder needs to know.
//!
//! A setting that would change the model's output and that the decoder does not implement is refused,
//! never ignored. Dropout rates are ignored: scoring and sampling use none.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{LmError, Result};
use crate::storage;

/// The model types that can be loaded, for messages.
const SUPPORTED: &str = "gpt2 and llama";

/// Which architecture the weights follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Learned positions, LayerNorm with bias, a two-matrix MLP.
    Gpt2,
    /// Rotary positions, RMSNorm, a gated MLP, grouped key-value heads.
    Llama,
}

/// A causal language model's shape and settings.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// The architecture.
    pub family: Family,
    /// `model_type` as the file has it.
    pub model_type: String,
    /// Rows of the embedding; a tokenizer may use fewer.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Transformer blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Channels of one head.
    pub head_dim: usize,
    /// Inner width of the MLP.
    pub mlp_size: usize,
    /// The longest sequence, in tokens.
    pub max_positions: usize,
    /// The epsilon inside every norm.
    pub norm_eps: f32,
    /// How positions enter.
    pub positions: Positions,
    /// The MLP's nonlinearity.
    pub activation: Activation,
    /// Whether Llama's q, k, v and o projections have biases (GPT-2's always do).
    pub attention_bias: bool,
    /// Whether Llama's MLP projections have biases (GPT-2's always do).
    pub mlp_bias: bool,
    /// What attention scores are multiplied by.
    pub attention_scale: AttentionScale,
    /// Whether the output head is the embedding matrix.
    pub tied_head: bool,
    /// Standard deviation of a new model's matrices.
    pub initializer_range: f32,
    /// The token that begins a sequence, where the model has one.
    pub bos_token_id: Option<u32>,
    /// The tokens that end a sequence.
    pub eos_token_ids: Vec<u32>,
    /// The padding token, where the model has one.
    pub pad_token_id: Option<u32>,
}

/// How positions enter the model.
#[derive(Debug, Clone, PartialEq)]
pub enum Positions {
    /// A learned embedding per position.
    Learned,
    /// Rotary embedding of queries and keys.
    Rope(Rope),
}

/// Rotary position embedding over all channels of a head.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Channels of one head; even.
    pub head_dim: usize,
    /// The base of the geometric series of frequencies.
    pub theta: f32,
    /// How the frequencies are stretched for longer contexts.
    pub scaling: RopeScaling,
}

/// A change to rope's frequencies that lengthens the context, as in transformers'
/// `modeling_rope_utils.py`.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// None.
    Default,
    /// All frequencies divided by `factor`.
    Linear {
        /// The divisor.
        factor: f32,
    },
    /// Llama 3.1: low frequencies divided by `factor`, high ones kept, those between interpolated.
    Llama3 {
        /// The divisor of low frequencies.
        factor: f32,
        /// A wavelength over `original_max_positions / low_freq_factor` is low.
        low_freq_factor: f32,
        /// A wavelength under `original_max_positions / high_freq_factor` is high.
        high_freq_factor: f32,
        /// The context length of pretraining.
        original_max_positions: f32,
    },
}

impl Rope {
    /// The angle per position of each pair of channels, `[head_dim / 2]`, scaling applied.
    pub fn inverse_frequencies(&self) -> Vec<f32> {
        (0..self.head_dim / 2)
            .map(|pair| {
                let exponent = (2 * pair) as f32 / self.head_dim as f32;
                let frequency = 1.0 / self.theta.powf(exponent);
                self.scaling.apply(frequency)
            })
            .collect()
    }
}

impl RopeScaling {
    fn apply(&self, frequency: f32) -> f32 {
        match *self {
            RopeScaling::Default => frequency,
            RopeScaling::Linear { factor } => frequency / factor,
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_positions } => {
                let wavelength = 2.0 * std::f32::consts::PI / frequency;
                if wavelength < original_max_positions / high_freq_factor {
                    return frequency;
                }
                if wavelength > original_max_positions / low_freq_factor {
                    return frequency / factor;
                }
                let kept =
                    (original_max_positions / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
                (1.0 - kept) * frequency / factor + kept * frequency
            }
        }
    }
}

/// The nonlinearity of the MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// GELU by its tanh approximation.
    GeluTanh,
    /// GELU by the error function.
    GeluExact,
    /// max(x, 0).
    Relu,
    /// x sigmoid(x), also called swish.
    Silu,
}

/// What attention scores are multiplied by before the softmax.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionScale {
    base: f32,
    by_inverse_layer: bool,
}

impl AttentionScale {
    /// The factor in block `layer`, counted from 0.
    pub fn at(&self, layer: usize) -> f32 {
        if self.by_inverse_layer { self.base / (layer + 1) as f32 } else { self.base }
    }
}

impl ModelConfig {
    /// Reads `config.json` of a model directory.
    pub fn read(dir: &Path) -> Result<Self> {
        let file = dir.join("config.json");
        let text = storage::read_to_string(&file).map_err(LmError::reading(&file))?;
        Self::from_json(&text, &file)
    }

    /// Reads the text of a `config.json`; `file` is for messages.
    pub fn from_json(text: &str, file: &Path) -> Result<Self> {
        let keys = Keys {
            file: file.to_path_buf(),
            within: String::new(),
            map: serde_json::from_str(text).map_err(LmError::json(file))?,
        };
        if keys.section("quantization_config")?.is_some() {
            let problem = "quantised weights are not supported; dequantise the model first";
            return Err(keys.bad("quantization_config", problem));
        }
        let model_type: String = keys.required("model_type")?;
        match model_type.as_str() {
            "gpt2" => gpt2(&keys),
            "llama" => llama(&keys),
            other => Err(keys.bad("model_type", format!("\"{other}\" is not supported; {SUPPORTED} are"))),
        }
    }

    /// What attention scores of block `layer` are multiplied by.
    pub fn attention_scale(&self, layer: usize) -> f32 {
        self.attention_scale.at(layer)
    }
}

fn gpt2(keys: &Keys) -> Result<ModelConfig> {
    if keys.or("add_cross_attention", false)? {
        return Err(keys.bad("add_cross_attention", "cross-attention is not supported"));
    }
    let vocab_size = keys.size("vocab_size")?;
    let hidden_size = keys.size("n_embd")?;
    let heads = keys.size("n_head")?;
    let head_dim = keys.split_heads("n_embd", hidden_size, heads)?;
    let scaled = keys.or("scale_attn_weights", true)?;
    Ok(ModelConfig {
        family: Family::Gpt2,
        model_type: "gpt2".into(),
        vocab_size,
        hidden_size,
        layers: keys.size("n_layer")?,
        heads,
        kv_heads: heads,
        head_dim,
        mlp_size: keys.size_or("n_inner", 4 * hidden_size)?,
        max_positions: keys.size("n_positions")?,
        norm_eps: keys.positive("layer_norm_epsilon")?.unwrap_or(1e-5),
        positions: Positions::Learned,
        activation: keys.activation("activation_function", Activation::GeluTanh)?,
        attention_bias: true,
        mlp_bias: true,
        attention_scale: AttentionScale {
            base: if scaled { inverse_sqrt(head_dim) } else { 1.0 },
            by_inverse_layer: keys.or("scale_attn_by_inverse_layer_idx", false)?,
        },
        tied_head: keys.or("tie_word_embeddings", true)?,
        initializer_range: keys.positive("initializer_range")?.unwrap_or(0.02),
        bos_token_id: keys.token("bos_token_id", Some(50256), vocab_size)?,
        eos_token_ids: keys.tokens("eos_token_id", Some(50256), vocab_size)?,
        pad_token_id: keys.token("pad_token_id", None, vocab_size)?,
    })
}

fn llama(keys: &Keys) -> Result<ModelConfig> {
    let vocab_size = keys.size("vocab_size")?;
    let hidden_size = keys.size("hidden_size")?;
    let heads = keys.size("num_attention_heads")?;
    let kv_heads = keys.size_or("num_key_value_heads", heads)?;
    if !heads.is_multiple_of(kv_heads) {
        let problem = format!("{kv_heads} key-value heads do not divide num_attention_heads = {heads}");
        return Err(keys.bad("num_key_value_heads", problem));
    }
    let head_dim = match keys.get::<usize>("head_dim")? {
        Some(_) => keys.size("head_dim")?,
        None => keys.split_heads("hidden_size", hidden_size, heads)?,
    };
    let max_positions = keys.size_or("max_position_embeddings", 2048)?;
    Ok(ModelConfig {
        family: Family::Llama,
        model_type: "llama".into(),
        vocab_size,
        hidden_size,
        layers: keys.size("num_hidden_layers")?,
        heads,
        kv_heads,
        head_dim,
        mlp_size: keys.size("intermediate_size")?,
        max_positions,
        norm_eps: keys.positive("rms_norm_eps")?.unwrap_or(1e-6),
        positions: Positions::Rope(rope(keys, head_dim, max_positions)?),
        activation: keys.activation("hidden_act", Activation::Silu)?,
        attention_bias: keys.or("attention_bias", false)?,
        mlp_bias: keys.or("mlp_bias", false)?,
        attention_scale: AttentionScale { base: inverse_sqrt(head_dim), by_inverse_layer: false },
        tied_head: keys.or("tie_word_embeddings", false)?,
        initializer_range: keys.positive("initializer_range")?.unwrap_or(0.02),
        bos_token_id: keys.token("bos_token_id", Some(1), vocab_size)?,
        eos_token_ids: keys.tokens("eos_token_id", Some(2), vocab_size)?,
        pad_token_id: keys.token("pad_token_id", None, vocab_size)?,
    })
}

fn inverse_sqrt(head_dim: usize) -> f32 {
    1.0 / (head_dim as f32).sqrt()
}

/// Rope's settings, in the older form (`rope_theta` beside `rope_scaling`) or the newer
/// (`rope_parameters` holds all); where both are given transformers takes `rope_scaling`.
fn rope(keys: &Keys, head_dim: usize, max_positions: usize) -> Result<Rope> {
    if !head_dim.is_multiple_of(2) {
        return Err(keys.bad("head_dim", format!("rotary positions need an even number of channels, not {head_dim}")));
    }
    let inner = match keys.section("rope_scaling")? {
        Some(older) => older,
        None => keys.section("rope_parameters")?.unwrap_or_default(),
    };
    for settings in [&inner, keys] {
        if settings.or("partial_rotary_factor", 1.0)? != 1.0 {
            let problem = "rotating only a part of each head is not supported";
            return Err(settings.bad("partial_rotary_factor", problem));
        }
    }
    if let Some((key, _)) = inner.map.iter().find(|(_, value)| value.is_object()) {
        return Err(inner.bad(key, "settings per layer type are not supported"));
    }
    Ok(Rope {
        head_dim,
        theta: match inner.positive("rope_theta")? {
            Some(theta) => theta,
            None => keys.positive("rope_theta")?.unwrap_or(10_000.0),
        },
        scaling: rope_scaling(keys, &inner, max_positions)?,
    })
}

fn rope_scaling(keys: &Keys, inner: &Keys, max_positions: usize) -> Result<RopeScaling> {
    let factor = |key| -> Result<f32> {
        let missing = || inner.bad(key, "is missing");
        inner.positive(key)?.ok_or_else(missing)
    };
    let kind: String = match inner.get("rope_type")? {
        Some(kind) => kind,
        None => inner.or("type", "default".into())?,
    };
    match kind.as_str() {
        "default" => Ok(RopeScaling::Default),
        "linear" => Ok(RopeScaling::Linear { factor: factor("factor")? }),
        "llama3" => {
            let low_freq_factor = factor("low_freq_factor")?;
            let high_freq_factor = factor("high_freq_factor")?;
            if low_freq_factor >= high_freq_factor {
                let problem = format!("must be less than high_freq_factor = {high_freq_factor}");
                return Err(inner.bad("low_freq_factor", problem));
            }
            let pretrained = "original_max_position_embeddings";
            let original_max_positions = match keys.positive(pretrained)? {
                Some(outer) => outer,
                None => inner.positive(pretrained)?.unwrap_or(max_positions as f32),
            };
            Ok(RopeScaling::Llama3 {
                factor: factor("factor")?,
                low_freq_factor,
                high_freq_factor,
                original_max_positions,
            })
        }
        other => Err(inner.bad("rope_type", format!("\"{other}\" is not supported; default, linear and llama3 are"))),
    }
}

/// A JSON object whose getters name the file and the key when they fail. A null counts as absent.
#[derive(Default)]
struct Keys {
    file: PathBuf,
    /// What precedes a key's name in messages: empty, or "section.".
    within: String,
    map: Map<String, Value>,
}

impl Keys {
    fn bad(&self, key: &str, problem: impl Into<String>) -> LmError {
        LmError::Config { file: self.file.clone(), key: format!("{}{key}", self.within), problem: problem.into() }
    }

    fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => T::deserialize(value).map(Some).map_err(|error| self.bad(key, error.to_string())),
        }
    }

    fn or<T: DeserializeOwned>(&self, key: &str, default: T) -> Result<T> {
        Ok(self.get(key)?.unwrap_or(default))
    }

    fn required<T: DeserializeOwned>(&self, key: &str) -> Result<T> {
        self.get(key)?.ok_or_else(|| self.bad(key, "is missing"))
    }

    /// A non-empty object inside this one.
    fn section(&self, key: &str) -> Result<Option<Keys>> {
        let found: Option<Map<String, Value>> = self.get(key)?;
        Ok(found.filter(|map| !map.is_empty()).map(|map| Keys {
            file: self.file.clone(),
            within: format!("{}{key}.", self.within),
            map,
        }))
    }

    /// A dimension: positive, and small enough that products of a few do not overflow.
    fn size(&self, key: &str) -> Result<usize> {
        let size: usize = self.required(key)?;
        if (1..=1 << 31).contains(&size) {
            return Ok(size);
        }
        Err(self.bad(key, format!("must be from 1 to 2^31, not {size}")))
    }

    fn size_or(&self, key: &str, default: usize) -> Result<usize> {
        match self.map.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(_) => self.size(key),
        }
    }

    fn positive(&self, key: &str) -> Result<Option<f32>> {
        match self.get::<f32>(key)? {
            Some(x) if !(x > 0.0 && x.is_finite()) => Err(self.bad(key, format!("must be a positive number, not {x}"))),
            found => Ok(found),
        }
    }

    fn split_heads(&self, key: &str, hidden_size: usize, heads: usize) -> Result<usize> {
        if hidden_size.is_multiple_of(heads) {
            return Ok(hidden_size / heads);
        }
        Err(self.bad(key, format!("{hidden_size} is no multiple of {heads} heads")))
    }

    fn activation(&self, key: &str, default: Activation) -> Result<Activation> {
        let Some(name) = self.get::<String>(key)? else {
            return Ok(default);
        };
        match name.as_str() {
            "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" | "gelu_python_tanh" => Ok(Activation::GeluTanh),
            "gelu" | "gelu_python" => Ok(Activation::GeluExact),
            "relu" => Ok(Activation::Relu),
            "silu" | "swish" => Ok(Activation::Silu),
            _ => Err(self.bad(key, format!("\"{name}\" is not supported; gelu_new, gelu, relu and silu are"))),
        }
    }

    /// Token ids given as one number, a list, or null. Files in use carry ids that the vocabulary
    /// lacks (-1, or the defaults of a larger model): no model can emit those, so they are dropped.
    fn tokens(&self, key: &str, default: Option<u32>, vocab_size: usize) -> Result<Vec<u32>> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Ids {
            One(i64),
            Many(Vec<i64>),
        }
        let ids = match self.map.get(key) {
            None => default.into_iter().map(i64::from).collect(),
            Some(Value::Null) => vec![],
            Some(value) => match Ids::deserialize(value) {
                Ok(Ids::One(id)) => vec![id],
                Ok(Ids::Many(ids)) => ids,
                Err(_) => return Err(self.bad(key, "must be a token id or a list of them")),
            },
        };
        let in_vocabulary = |id: i64| u32::try_from(id).ok().filter(|id| (*id as usize) < vocab_size);
        Ok(ids.into_iter().filter_map(in_vocabulary).collect())
    }

    fn token(&self, key: &str, default: Option<u32>, vocab_size: usize) -> Result<Option<u32>> {
        Ok(self.tokens(key, default, vocab_size)?.first().copied())
    }
}

#[cfg(test)]
mod tests;

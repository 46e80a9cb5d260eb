//! The stack of layers: from token ids to their hidden states.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{bert, debertav2};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{EncoderError, Result};

/// An encoder's weights.
pub(crate) enum Backbone {
    Bert(Box<bert::BertModel>),
    Deberta(Box<debertav2::DebertaV2Model>),
}

/// A backbone and what is to be known of it.
pub(crate) struct Loaded {
    pub backbone: Backbone,
    /// Values of a hidden state.
    pub width: usize,
    /// Most tokens of a text.
    pub positions: usize,
    /// The token that shorter texts of a batch are filled up with.
    pub pad: u32,
}

#[derive(Deserialize)]
struct Family {
    model_type: Option<String>,
    num_hidden_layers: usize,
}

impl Loaded {
    /// Reads `config.json` and `model.safetensors`, the first `layers` of its layers if not all.
    pub fn read(dir: &Path, layers: Option<usize>) -> Result<Self> {
        let path = dir.join("config.json");
        let text = read_text(&path)?;
        let family: Family = parse(&path, &text)?;
        let layers = layers.unwrap_or(family.num_hidden_layers);
        if layers == 0 || layers > family.num_hidden_layers {
            let most = family.num_hidden_layers;
            return Err(EncoderError::file(&path, format!("there is no layer {layers}; name one from 1 to {most}")));
        }
        match family.model_type.as_deref().unwrap_or("bert") {
            "bert" => bert(dir, bert::Config { num_hidden_layers: layers, ..parse(&path, &text)? }),
            "deberta-v2" => deberta(dir, debertav2::Config { num_hidden_layers: layers, ..parse(&path, &text)? }),
            other => {
                let problem = format!("model_type {other:?} is not supported; \"bert\" and \"deberta-v2\" are");
                Err(EncoderError::file(&path, problem))
            }
        }
    }
}

fn bert(dir: &Path, config: bert::Config) -> Result<Loaded> {
    let (path, weights) = weights(dir, "bert")?;
    let model = bert::BertModel::load(weights, &config).map_err(|error| EncoderError::file(&path, error))?;
    Ok(Loaded {
        backbone: Backbone::Bert(Box::new(model)),
        width: config.hidden_size,
        positions: config.max_position_embeddings,
        pad: config.pad_token_id as u32,
    })
}

fn deberta(dir: &Path, config: debertav2::Config) -> Result<Loaded> {
    let (path, weights) = weights(dir, "deberta")?;
    let model = debertav2::DebertaV2Model::load(weights, &config).map_err(|error| EncoderError::file(&path, error))?;
    Ok(Loaded {
        backbone: Backbone::Deberta(Box::new(model)),
        width: config.hidden_size,
        positions: config.max_position_embeddings,
        pad: config.pad_token_id.unwrap_or(0) as u32,
    })
}

impl Backbone {
    /// Hidden states after the last layer.  ids and mask `[texts, tokens]`, states `[texts, tokens, width]`
    pub fn forward(&self, ids: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let types = ids.zeros_like()?;
        Ok(match self {
            Self::Bert(model) => model.forward(ids, &types, Some(mask))?,
            Self::Deberta(model) => model.forward(ids, Some(types), Some(mask.clone()))?,
        })
    }
}

/// The file of the weights, and its tensors with names relative to the backbone.
fn weights(dir: &Path, prefix: &str) -> Result<(std::path::PathBuf, VarBuilder<'static>)> {
    let path = dir.join("model.safetensors");
    let bytes = std::fs::read(&path).map_err(|error| {
        let hint = "a single model.safetensors is needed; convert or merge other weights";
        EncoderError::file(&path, format!("{error}; {hint}"))
    })?;
    let weights = VarBuilder::from_buffered_safetensors(bytes, DType::F32, &Device::Cpu)
        .map_err(|error| EncoderError::file(&path, error))?;
    let prefixed = weights.contains_tensor(&format!("{prefix}.embeddings.word_embeddings.weight"));
    Ok((path, if prefixed { weights.pp(prefix) } else { weights }))
}

pub(crate) fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| EncoderError::file(path, error))
}

pub(crate) fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| EncoderError::file(path, error))
}

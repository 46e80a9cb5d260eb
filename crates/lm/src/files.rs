//! The files of a model directory beside its weights, so that a model that was trained is written as it was read.

use std::path::{Path, PathBuf};

use amortize_engine::{Device, Precision};
use serde_json::{Value, json};

use crate::config::ModelConfig;
use crate::decoder::Decoder;
use crate::error::{LmError, Result};
use crate::model::{Model, ModelInfo};
use crate::parameters::BaseParameters;
use crate::storage;
use crate::tokenizer::{Tokenizer, TrainedTokenizer};
use crate::weights::{SINGLE, Stored, write_weights};

const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const GENERATION_CONFIG: &str = "generation_config.json";

/// Texts of a model directory's files.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelFiles {
    /// `config.json`.
    pub config: Value,
    /// `tokenizer.json`.
    pub tokenizer: String,
    /// `tokenizer_config.json`, where there is one.
    pub tokenizer_config: Option<String>,
    /// `generation_config.json`, where there is one.
    pub generation_config: Option<String>,
}

impl ModelFiles {
    /// Reads a directory's files. Whether they make a model, [`ModelInfo::read`] tells.
    ///
    /// # Errors
    /// If one that is needed cannot be read, or `config.json` is no JSON.
    pub fn read(dir: &Path) -> Result<Self> {
        Ok(Self { config: read_config(dir)?, ..Self::read_tokenizer(dir)? })
    }

    /// The tokenizer's files of a directory, without a model.
    fn read_tokenizer(dir: &Path) -> Result<Self> {
        Ok(Self {
            config: Value::Null,
            tokenizer: read(&dir.join(TOKENIZER))?,
            tokenizer_config: read_if_there(&dir.join(TOKENIZER_CONFIG))?,
            generation_config: read_if_there(&dir.join(GENERATION_CONFIG))?,
        })
    }

    /// Files of a new model with a tokenizer that was trained for it. `config` says all but the vocabulary.
    pub fn with_trained_tokenizer(config: Value, trained: &TrainedTokenizer) -> Self {
        let end = &trained.end_of_text;
        let tokenizer_config = json!({
            "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": end, "eos_token": end,
            "clean_up_tokenization_spaces": false,
        });
        let mut files = Self {
            config,
            tokenizer: trained.definition.to_string(),
            tokenizer_config: Some(pretty(&tokenizer_config)),
            generation_config: None,
        };
        files.set_vocabulary(trained.vocab_size, Some(trained.end_id), Some(trained.end_id));
        files
    }

    /// Files of a new model with the tokenizer of a directory. `config` says all but the vocabulary.
    ///
    /// # Errors
    /// If the tokenizer cannot be read.
    pub fn with_tokenizer_of(config: Value, dir: &Path) -> Result<Self> {
        let mut files = Self { config, generation_config: None, ..Self::read_tokenizer(dir)? };
        // The size is not known before the tokenizer is read; until then any is allowed.
        files.set_vocabulary(i32::MAX as usize, None, None);
        let tokenizer = files.info(dir.to_path_buf())?.tokenizer;
        files.set_vocabulary(tokenizer.vocab_size(), tokenizer.bos_id(), tokenizer.eos_id());
        Ok(files)
    }

    fn set_vocabulary(&mut self, size: usize, bos: Option<u32>, eos: Option<u32>) {
        let config = &mut self.config;
        (config["vocab_size"], config["bos_token_id"], config["eos_token_id"]) = (json!(size), json!(bos), json!(eos));
        if let Some(eos) = eos {
            // Samples of the distribution itself, not of its likeliest tokens.
            let generation = json!({"bos_token_id": bos, "eos_token_id": eos, "do_sample": true, "top_k": 0});
            self.generation_config = Some(pretty(&generation));
        }
    }

    /// What they say; `path` is what messages name.
    ///
    /// # Errors
    /// As [`ModelInfo::read`].
    pub fn info(&self, path: PathBuf) -> Result<ModelInfo> {
        let config = ModelConfig::from_json(&self.config.to_string(), &path.join(CONFIG))?;
        let tokenizer = Tokenizer::parse(&path, &self.tokenizer, self.tokenizer_config.as_deref(), &config)?;
        Ok(ModelInfo { path, config, tokenizer })
    }

    /// The model before its training, with random weights that depend on `seed`.
    ///
    /// # Errors
    /// As [`ModelFiles::info`].
    pub fn initial(&self, path: PathBuf, seed: u64, device: &Device) -> Result<Model> {
        let info = self.info(path)?;
        let decoder = Decoder::initial(&info.config, seed, device, Precision::F32)?;
        Ok(Model { info, decoder })
    }

    /// Writes a model directory as `transformers` has it, with `parameters` of `decoder` as its weights.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, dir: &Path, decoder: &Decoder, parameters: &BaseParameters, stored: Stored) -> Result<()> {
        std::fs::create_dir_all(dir).map_err(LmError::writing(dir))?;
        let mut config = self.config.clone();
        config["torch_dtype"] = json!(stored.torch_name());
        if config.get("dtype").is_some() {
            config["dtype"] = json!(stored.torch_name());
        }
        write(&dir.join(CONFIG), &pretty(&config))?;
        write(&dir.join(TOKENIZER), &self.tokenizer)?;
        let optional = [(TOKENIZER_CONFIG, &self.tokenizer_config), (GENERATION_CONFIG, &self.generation_config)];
        for (name, text) in optional {
            text.as_ref().map(|text| write(&dir.join(name), text)).transpose()?;
        }
        let tensors = parameters.as_stored(decoder.parameters());
        let named: Vec<_> =
            tensors.iter().map(|(name, shape, values)| (name.clone(), shape.clone(), values.as_slice())).collect();
        write_weights(&dir.join(SINGLE), &named, stored)
    }
}

/// `config.json` of a directory as it is.
///
/// # Errors
/// If it cannot be read or is no JSON object.
pub fn read_config(dir: &Path) -> Result<Value> {
    let file = dir.join(CONFIG);
    let object: serde_json::Map<String, Value> = serde_json::from_str(&read(&file)?).map_err(LmError::json(&file))?;
    Ok(Value::Object(object))
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn read(file: &Path) -> Result<String> {
    storage::read_to_string(file).map_err(LmError::reading(file))
}

fn read_if_there(file: &Path) -> Result<Option<String>> {
    storage::is_file(file).then(|| read(file)).transpose()
}

fn write(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text).map_err(LmError::writing(file))
}

//! A Hugging Face model directory, loaded.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use amortize_engine::{Device, Precision};

use crate::config::ModelConfig;
use crate::decoder::Decoder;
use crate::error::{LmError, Result};
use crate::forest::Forest;
use crate::storage;
use crate::tokenizer::Tokenizer;

/// What is known of a causal language model without its weights: enough to make tokens of texts, and to say what it
/// will take to load it.
#[derive(Debug)]
pub struct ModelInfo {
    /// The directory that it comes from.
    pub path: PathBuf,
    /// Its `config.json`.
    pub config: ModelConfig,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
}

/// A causal language model: its weights, and all that [`ModelInfo`] says.
#[derive(Debug)]
pub struct Model {
    pub(crate) info: ModelInfo,
    /// Its weights.
    pub decoder: Decoder,
}

impl ModelInfo {
    /// Reads `config.json` and the tokenizer of a directory, or of `embedded:NAME`, a model that the program carries.
    ///
    /// # Errors
    /// If anything is missing, damaged or not supported; the message names the file and what to do.
    pub fn read(path: &Path) -> Result<Self> {
        if !storage::is_dir(path) {
            let (path, known) = (path.to_path_buf(), storage::embedded_models().collect());
            let embedded = storage::is_embedded(&path);
            return Err(if embedded { LmError::NoEmbeddedModel { path, known } } else { LmError::NoModel { path } });
        }
        let config = ModelConfig::read(path)?;
        let tokenizer = Tokenizer::read(path, &config)?;
        Ok(Self { path: path.to_path_buf(), config, tokenizer })
    }

    /// Reads the weights too. Matrices are stored in `precision`.
    ///
    /// # Errors
    /// As [`ModelInfo::read`].
    pub fn load(self, device: &Device, precision: Precision) -> Result<Model> {
        let decoder = Decoder::load(&self.path, &self.config, device, precision)?;
        Ok(Model { info: self, decoder })
    }

    pub(crate) fn check_token(&self, token: u32) -> Result<()> {
        if (token as usize) < self.config.vocab_size {
            return Ok(());
        }
        let last = self.config.vocab_size - 1;
        Err(LmError::Sequence(format!("token id {token} is out of range; the model's last is {last}")))
    }
}

/// A model knows all that is known without its weights.
impl Deref for Model {
    type Target = ModelInfo;

    fn deref(&self) -> &ModelInfo {
        &self.info
    }
}

impl Model {
    /// Reads `config.json`, the tokenizer and the weights of a directory. Its matrices are stored in `precision`.
    ///
    /// # Errors
    /// If anything is missing, damaged or not supported; the message names the file and what to do.
    pub fn load(path: &Path, device: &Device, precision: Precision) -> Result<Self> {
        ModelInfo::read(path)?.load(device, precision)
    }

    /// A model that nobody trained, for measurements: random weights that depend on `seed`, and a tokenizer of numbers.
    /// Nothing is read; `path` says only what it is.
    ///
    /// # Errors
    /// As [`Model::load`], though a config that was read from a file gives no cause.
    pub fn random(config: ModelConfig, seed: u64, device: &Device, precision: Precision) -> Result<Self> {
        let tokenizer = Tokenizer::numbered(&config)?;
        let decoder = Decoder::random(&config, seed, device, precision)?;
        Ok(Self { info: ModelInfo { path: "random weights".into(), config, tokenizer }, decoder })
    }

    /// Whether the model can read these sequences.
    pub(crate) fn check(&self, forest: &Forest) -> Result<()> {
        forest.tokens().iter().try_for_each(|token| self.check_token(*token))?;
        match forest.depths().iter().max() {
            Some(deepest) if *deepest as usize >= self.config.max_positions => Err(LmError::Sequence(format!(
                "a sequence of {} tokens is longer than the model's context of {}",
                deepest + 1,
                self.config.max_positions
            ))),
            _ => Ok(()),
        }
    }
}

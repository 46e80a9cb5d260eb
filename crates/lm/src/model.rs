//! A Hugging Face model directory, loaded.

use std::path::{Path, PathBuf};

use amortize_engine::{Device, Precision};

use crate::config::ModelConfig;
use crate::decoder::Decoder;
use crate::error::{LmError, Result};
use crate::forest::Forest;
use crate::tokenizer::Tokenizer;

/// Configuration, weights and tokenizer of a causal language model.
#[derive(Debug)]
pub struct Model {
    /// The directory that it came from.
    pub path: PathBuf,
    /// Its `config.json`.
    pub config: ModelConfig,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// Its weights.
    pub decoder: Decoder,
}

impl Model {
    /// Reads `config.json`, the tokenizer and the weights of a directory. Its matrices are stored in `precision`.
    ///
    /// # Errors
    /// If anything is missing, damaged or not supported; the message names the file and what to do.
    pub fn load(path: &Path, device: &Device, precision: Precision) -> Result<Self> {
        if !path.is_dir() {
            return Err(LmError::NoModel { path: path.to_path_buf() });
        }
        let config = ModelConfig::read(path)?;
        let tokenizer = Tokenizer::read(path, &config)?;
        let decoder = Decoder::load(path, &config, device, precision)?;
        Ok(Self { path: path.to_path_buf(), config, tokenizer, decoder })
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

    pub(crate) fn check_token(&self, token: u32) -> Result<()> {
        if (token as usize) < self.config.vocab_size {
            return Ok(());
        }
        let last = self.config.vocab_size - 1;
        Err(LmError::Sequence(format!("token id {token} is out of range; the model's last is {last}")))
    }
}

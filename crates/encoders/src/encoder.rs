//! From texts to embeddings, some at a time.

use std::path::Path;

use candle_core::{Device, Tensor};
use tokenizers::{Tokenizer, TruncationParams};

use crate::backbone::{Backbone, Loaded};
use crate::error::{EncoderError, Result};
use crate::sentence::{Pooling, Sentence};

/// Texts that go through the encoder together.
const BATCH: usize = 32;

/// An encoder of texts.
pub struct Encoder {
    backbone: Backbone,
    tokenizer: Tokenizer,
    sentence: Sentence,
    width: usize,
    pad: u32,
}

/// The tokens of a text and their hidden states.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenVectors {
    /// Token ids, special tokens included.  `[tokens]`
    pub ids: Vec<u32>,
    /// Which of them the tokenizer added.  `[tokens]`
    pub special: Vec<bool>,
    /// `[tokens, width]`
    pub vectors: Vec<f32>,
}

impl Encoder {
    /// Reads `config.json`, `model.safetensors` and `tokenizer.json`, and `modules.json` and what it names where there
    /// is one. With `layers` the hidden states are those after so many layers rather than after the last.
    ///
    /// # Errors
    /// If a file is missing, damaged or not supported; the message names it.
    pub fn load(dir: &Path, layers: Option<usize>) -> Result<Self> {
        if !dir.is_dir() {
            return Err(EncoderError::file(dir, "there is no such directory; name one with a BERT in it"));
        }
        let sentence = Sentence::read(dir)?;
        let Loaded { backbone, width, positions, pad } = Loaded::read(dir, layers)?;
        let max_tokens = sentence.max_tokens.unwrap_or(positions).min(positions);
        Ok(Self { backbone, tokenizer: read_tokenizer(dir, max_tokens)?, sentence, width, pad })
    }

    /// Values of an embedding.
    pub fn width(&self) -> usize {
        self.width
    }

    /// One embedding a text, pooled and normalised as the directory says.  `[texts, width]`
    ///
    /// # Errors
    /// If the tokenizer refuses a text.
    pub fn embed<T: AsRef<str>>(&self, texts: &[T]) -> Result<Vec<Vec<f32>>> {
        let pooled = self.tokens(texts)?.into_iter().map(|tokens| self.pool(&tokens));
        Ok(pooled.collect())
    }

    /// The hidden states of every text's tokens.
    ///
    /// # Errors
    /// If the tokenizer refuses a text.
    pub fn tokens<T: AsRef<str>>(&self, texts: &[T]) -> Result<Vec<TokenVectors>> {
        let mut tokens = texts.iter().map(|text| self.tokenize(text.as_ref())).collect::<Result<Vec<_>>>()?;
        // Texts of similar length go together, so that little is spent on filling up.
        let mut order: Vec<&mut TokenVectors> = tokens.iter_mut().collect();
        order.sort_by_key(|tokens| tokens.ids.len());
        order.chunks_mut(BATCH).try_for_each(|batch| self.fill(batch))?;
        Ok(tokens)
    }

    /// The token ids of every text, special tokens included.
    ///
    /// # Errors
    /// If the tokenizer refuses a text.
    pub fn token_ids<T: AsRef<str>>(&self, texts: &[T]) -> Result<Vec<Vec<u32>>> {
        texts.iter().map(|text| Ok(self.tokenize(text.as_ref())?.ids)).collect()
    }

    fn tokenize(&self, text: &str) -> Result<TokenVectors> {
        let text = if self.sentence.lowercase { text.to_lowercase() } else { text.to_string() };
        let encoded = self.tokenizer.encode(text.trim(), true).map_err(|error| EncoderError::Text {
            text: text.chars().take(40).collect(),
            problem: error.to_string(),
        })?;
        let special = encoded.get_special_tokens_mask().iter().map(|special| *special == 1).collect();
        Ok(TokenVectors { ids: encoded.get_ids().to_vec(), special, vectors: Vec::new() })
    }

    /// Runs a batch through the encoder.
    fn fill(&self, batch: &mut [&mut TokenVectors]) -> Result<()> {
        let longest = batch.iter().map(|tokens| tokens.ids.len()).max().unwrap_or(0);
        if longest == 0 {
            return Ok(());
        }
        let (mut ids, mut mask) = (Vec::new(), Vec::new());
        for tokens in batch.iter() {
            let fill = longest - tokens.ids.len();
            ids.extend(tokens.ids.iter().copied().chain(std::iter::repeat_n(self.pad, fill)));
            mask.extend((0..longest).map(|i| u32::from(i < tokens.ids.len())));
        }
        let shape = (batch.len(), longest);
        let ids = Tensor::from_vec(ids, shape, &Device::Cpu)?;
        let mask = Tensor::from_vec(mask, shape, &Device::Cpu)?;
        let states = self.backbone.forward(&ids, &mask)?.to_vec3::<f32>()?;
        for (tokens, states) in batch.iter_mut().zip(states) {
            tokens.vectors = states[..tokens.ids.len()].concat();
        }
        Ok(())
    }

    fn pool(&self, tokens: &TokenVectors) -> Vec<f32> {
        let mut states = tokens.vectors.chunks_exact(self.width);
        let mut pooled = vec![0.0; self.width];
        match self.sentence.pooling {
            Pooling::Cls => states.next().iter().for_each(|first| pooled.copy_from_slice(first)),
            Pooling::Mean => {
                states.for_each(|state| pooled.iter_mut().zip(state).for_each(|(sum, value)| *sum += value));
                scale(&mut pooled, 1.0 / tokens.ids.len().max(1) as f32);
            }
        }
        let length = pooled.iter().map(|value| value * value).sum::<f32>().sqrt();
        if self.sentence.normalise && length > 0.0 {
            scale(&mut pooled, 1.0 / length);
        }
        pooled
    }
}

fn scale(values: &mut [f32], by: f32) {
    values.iter_mut().for_each(|value| *value *= by);
}

fn read_tokenizer(dir: &Path, max_tokens: usize) -> Result<Tokenizer> {
    let path = dir.join("tokenizer.json");
    let mut tokenizer = Tokenizer::from_file(&path).map_err(|error| EncoderError::file(&path, error))?;
    let truncation = TruncationParams { max_length: max_tokens, ..TruncationParams::default() };
    tokenizer.with_truncation(Some(truncation)).map_err(|error| EncoderError::file(&path, error))?;
    tokenizer.with_padding(None);
    Ok(tokenizer)
}

//! What `sentence-transformers` saves beside a model: how many tokens it reads, how hidden states are pooled, and
//! whether embeddings have unit length.

use std::path::Path;

use serde::Deserialize;

use crate::backbone::{parse, read_text};
use crate::error::{EncoderError, Result};

/// How the hidden states of a text become one embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pooling {
    /// Their mean over tokens.
    Mean,
    /// That of the first token.
    Cls,
}

/// From hidden states to an embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sentence {
    pub pooling: Pooling,
    pub normalise: bool,
    /// Most tokens of a text, where it is said.
    pub max_tokens: Option<usize>,
    pub lowercase: bool,
}

#[derive(Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Settings {
    max_seq_length: Option<usize>,
    do_lower_case: bool,
}

/// Older files have a flag for each mode, newer ones a name.
#[derive(Default, Deserialize)]
#[serde(default)]
struct PoolingModes {
    pooling_mode: Option<String>,
    pooling_mode_cls_token: bool,
    pooling_mode_mean_tokens: bool,
    pooling_mode_max_tokens: bool,
    pooling_mode_mean_sqrt_len_tokens: bool,
    pooling_mode_weightedmean_tokens: bool,
    pooling_mode_lasttoken: bool,
}

impl Sentence {
    /// Reads `modules.json` and what it names. A directory without it is a bare encoder: the mean, not normalised.
    pub fn read(dir: &Path) -> Result<Self> {
        let settings = dir.join("sentence_bert_config.json");
        let settings: Settings =
            if settings.exists() { parse(&settings, &read_text(&settings)?)? } else { Settings::default() };
        let mut sentence = Self {
            pooling: Pooling::Mean,
            normalise: false,
            max_tokens: settings.max_seq_length,
            lowercase: settings.do_lower_case,
        };
        let path = dir.join("modules.json");
        if !path.exists() {
            return Ok(sentence);
        }
        let modules: Vec<Module> = parse(&path, &read_text(&path)?)?;
        for module in modules {
            match module.kind.rsplit('.').next().unwrap_or_default() {
                "Transformer" if module.path.is_empty() => {}
                "Pooling" => sentence.pooling = Pooling::read(&dir.join(module.path).join("config.json"))?,
                "Normalize" => sentence.normalise = true,
                _ => {
                    let kind = module.kind;
                    return Err(EncoderError::file(&path, format!("a module of type {kind:?} is not supported")));
                }
            }
        }
        Ok(sentence)
    }
}

impl Pooling {
    fn read(path: &Path) -> Result<Self> {
        let modes: PoolingModes = parse(path, &read_text(path)?)?;
        let PoolingModes { pooling_mode_cls_token: cls, pooling_mode_mean_tokens: mean, .. } = modes;
        let others = modes.pooling_mode_max_tokens
            || modes.pooling_mode_mean_sqrt_len_tokens
            || modes.pooling_mode_weightedmean_tokens
            || modes.pooling_mode_lasttoken;
        match (modes.pooling_mode.as_deref(), cls, mean, others) {
            (Some("mean"), ..) | (None, false, true, false) => Ok(Self::Mean),
            (Some("cls"), ..) | (None, true, false, false) => Ok(Self::Cls),
            _ => Err(EncoderError::file(path, "pooling other than of the mean or of the first token is not supported")),
        }
    }
}

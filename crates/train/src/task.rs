//! What a run is about: its queries and the sequences that its policy may draw.

use std::path::Path;

use amortize_gfn::Query;
use amortize_lm::ModelInfo;
use amortize_lm::actions::{ActionSpace, StopRule, TokenMask, tokens_matching};
use amortize_lm::generate::check_prompt;
use regex::Regex;

use crate::config::{Config, DataSection, PolicySection};
use crate::data::read_prompts;
use crate::error::{Result, TrainError};

/// A prompt's text with its tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    /// As the data file has it.
    pub text: String,
    /// As the model reads it.
    pub query: Query,
}

/// Queries to train on, held-out queries, and the action space.
#[derive(Clone, Debug)]
pub struct Task {
    /// Queries to train on.
    pub train: Vec<Prompt>,
    /// Held-out queries for validation.
    pub validation: Vec<Prompt>,
    /// What the policy may draw.
    pub actions: ActionSpace,
}

impl Task {
    /// Sentence continuation (paper 4.1, appendix B): X is a prompt, Z the rest of the sentence up to the stop.
    ///
    /// # Errors
    /// If the data cannot be read, a prompt leaves no room for its continuation, or no sequence can be drawn.
    pub fn continuation(config: &Config, model: &ModelInfo) -> Result<Self> {
        let actions = action_space(&config.policy, model)?;
        let (train, validation) = split(&config.data)?;
        let train = encode(model, &config.data.path, train, &actions)?;
        let source = config.data.validation_path.as_ref().unwrap_or(&config.data.path);
        let validation = encode(model, source, validation, &actions)?;
        Ok(Self { train, validation, actions })
    }
}

/// Training and validation prompts.
fn split(data: &DataSection) -> Result<(Vec<String>, Vec<String>)> {
    let mut train = read_prompts(&data.path)?;
    train.truncate(data.limit.unwrap_or(usize::MAX));
    if let Some(path) = &data.validation_path {
        return Ok((train, read_prompts(path)?));
    }
    if train.len() <= data.validation {
        let problem = format!(
            "has {} prompts, of which data.validation = {} are held out: none are left to train on; lower data.validation",
            train.len(),
            data.validation
        );
        return Err(TrainError::Data { path: data.path.clone(), line: None, problem });
    }
    let validation = train.split_off(train.len() - data.validation);
    Ok((train, validation))
}

/// Tokenizes prompts and checks that each can be continued.
///
/// # Errors
/// If one cannot; the message quotes it.
pub fn encode(model: &ModelInfo, path: &Path, texts: Vec<String>, actions: &ActionSpace) -> Result<Vec<Prompt>> {
    let encoded = texts.into_iter().map(|text| {
        let tokens = model.tokenizer.encode_prompt(&text)?;
        check_prompt(model, &tokens, actions).map_err(|error| {
            let problem = format!("the prompt {:?}: {error}", shortened(&text));
            TrainError::Data { path: path.to_path_buf(), line: None, problem }
        })?;
        Ok(Prompt { text, query: Query::new(tokens, Vec::new()) })
    });
    encoded.collect()
}

/// The beginning of a text, for messages.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 40;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_string(),
    }
}

/// The action space that a config describes.
///
/// # Errors
/// If under these masks, stops and lengths nothing could be drawn.
pub fn action_space(policy: &PolicySection, model: &ModelInfo) -> Result<ActionSpace> {
    let tokenizer = &model.tokenizer;
    let vocab_size = model.config.vocab_size;
    let mut allowed = TokenMask::from_fn(vocab_size, |id| (id as usize) < tokenizer.vocab_size());
    if !policy.special_tokens {
        allowed = allowed.without(tokenizer.special_ids());
    }
    if let Some(pattern) = &policy.allow {
        allowed = allowed.only(&matching(model, "policy.allow", pattern)?);
    }
    if let Some(pattern) = &policy.forbid {
        allowed = allowed.without(&matching(model, "policy.forbid", pattern)?);
    }
    let stop = match policy.stop_tokens.as_slice() {
        [] => {
            let strings: Vec<&str> = policy.stop_strings.iter().map(String::as_str).collect();
            StopRule::strings(&strings, tokenizer)?
        }
        ids => StopRule::tokens(ids),
    };
    Ok(ActionSpace::new(vocab_size, allowed, stop, policy.min_length, policy.max_length)?)
}

fn matching(model: &ModelInfo, key: &str, pattern: &str) -> Result<Vec<u32>> {
    let regex = Regex::new(pattern).map_err(|error| TrainError::Reward(format!("{key} is no regex: {error}")))?;
    Ok(tokens_matching(&model.tokenizer, &regex))
}

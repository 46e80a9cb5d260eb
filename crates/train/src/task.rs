//! What a run is about: its queries and the sequences that its policy may draw.

use std::path::Path;

use amortize_gfn::Query;
use amortize_lm::actions::{ActionSpace, StopRule, TokenMask, tokens_matching};
use amortize_lm::generate::check_prompt;
use amortize_lm::{LmError, ModelInfo};
use regex::Regex;

use crate::config::{Config, DataSection, PolicySection, TaskKind, TaskSection};
use crate::data::{Text, read};
use crate::error::{Result, TrainError};

/// A query as people read it, with its tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    /// X.
    pub text: String,
    /// Y, where the task has one.
    pub suffix: Option<String>,
    /// As the model reads them.
    pub query: Query,
}

impl Prompt {
    /// X and Y in one text, with a gap for Z.
    pub fn shown(&self) -> String {
        self.suffix.as_ref().map_or(self.text.clone(), |suffix| format!("{} ___ {suffix}", self.text))
    }
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
    /// The task of a config. Continuation (paper 4.1, appendix B): X is a prompt, Z the rest of the sentence up to the
    /// stop. Infilling (paper 4.2, appendix C): Z is what leads from X to Y.
    ///
    /// # Errors
    /// If the data cannot be read, a query leaves no room for its Z, or no sequence can be drawn.
    pub fn load(config: &Config, model: &ModelInfo) -> Result<Self> {
        let actions = action_space(&config.policy, model)?;
        let (train, validation) = split(&config.data, config.task.kind)?;
        let train = encode(model, &config.task, &config.data.path, train, &actions)?;
        let source = config.data.validation_path.as_ref().unwrap_or(&config.data.path);
        let validation = encode(model, &config.task, source, validation, &actions)?;
        Ok(Self { train, validation, actions })
    }
}

/// Training and validation data.
fn split(data: &DataSection, kind: TaskKind) -> Result<(Vec<Text>, Vec<Text>)> {
    let mut train = read(&data.path, kind)?;
    train.truncate(data.limit.unwrap_or(usize::MAX));
    if let Some(path) = &data.validation_path {
        return Ok((train, read(path, kind)?));
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

/// Tokenizes queries and checks that each leaves room for the longest Z. X, Y and the policy's prompt are encoded each on
/// its own, never as one text with what is between them.
///
/// # Errors
/// If one does not; the message quotes it.
pub fn encode(
    model: &ModelInfo,
    task: &TaskSection,
    path: &Path,
    texts: Vec<Text>,
    actions: &ActionSpace,
) -> Result<Vec<Prompt>> {
    let encoded = texts.into_iter().map(|text| {
        let query = query(model, task, &text)?;
        check_lengths(model, &query, actions).map_err(|error| {
            let problem = format!("the prompt {:?}: {error}", shortened(&text.x));
            TrainError::Data { path: path.to_path_buf(), line: None, problem }
        })?;
        Ok(Prompt { text: text.x, suffix: text.y, query })
    });
    encoded.collect()
}

fn query(model: &ModelInfo, task: &TaskSection, text: &Text) -> Result<Query> {
    let tokenizer = &model.tokenizer;
    let x = tokenizer.encode_prompt(&text.x)?;
    let Some(y) = &text.y else {
        return Ok(Query::new(x, Vec::new()));
    };
    let follows = tokenizer.encode_completion(&format!("{}{y}", task.separator))?;
    let prompt = tokenizer.encode_prompt(&fill(&task.template, &text.x, y))?;
    Ok(Query::new(x, follows).with_prompt(prompt))
}

/// The template with the texts in their places. Space at its end is dropped, as that of X is: Z begins with it.
fn fill(template: &str, x: &str, y: &str) -> String {
    let mut filled = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        let (before, after) = rest.split_at(at);
        filled.push_str(before);
        let (text, place) = match after.get(..3) {
            Some("{x}") => (x, 3),
            Some("{y}") => (y, 3),
            _ => ("{", 1),
        };
        filled.push_str(text);
        rest = &after[place..];
    }
    filled.push_str(rest);
    filled.truncate(filled.trim_end_matches(' ').len());
    filled
}

/// Whether policy and reward can read the longest text that the query may lead to.
fn check_lengths(model: &ModelInfo, query: &Query, actions: &ActionSpace) -> std::result::Result<(), LmError> {
    check_prompt(model, &query.prompt, actions)?;
    // X, Z, the stop and Y, whose last token is predicted and need not be read.
    let (longest, context) = (query.x.len() + actions.max_length + query.y.len(), model.config.max_positions);
    if !query.y.is_empty() && longest > context {
        return Err(LmError::Sequence(format!(
            "X, up to {} tokens of Z, a stop and Y exceed the model's context of {context} by {}; shorten the texts or \
             lower the maximum length",
            actions.max_length,
            longest - context
        )));
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_takes_each_text_as_it_is() {
        assert_eq!(fill("Beginning: {x}\nEnd: {y}\nMiddle: ", "a", "b"), "Beginning: a\nEnd: b\nMiddle:");
        assert_eq!(fill("{y}{x}{y}", "{y}", "{x} "), "{x} {y}{x}");
        assert_eq!(fill("{ {z} {x", "a", "b"), "{ {z} {x");
        assert_eq!(fill("{é}{x}é", "a", "b"), "{é}aé");
        assert_eq!(fill("{x}\n", "a", "b"), "a\n");
    }
}

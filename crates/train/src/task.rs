//! What a run is about: its queries and the sequences that its policy may draw.

use std::path::Path;

use amortize_gfn::Query;
use amortize_lm::actions::{ActionSpace, StopRule, TokenMask, tokens_matching};
use amortize_lm::generate::check_prompt;
use amortize_lm::{LmError, ModelInfo};
use regex::Regex;

use crate::config::{Config, DataSection, PolicySection, RewardSection, TaskKind, TaskSection, Term};
use crate::data::{Needs, Presence, Text, read};
use crate::error::{Result, TrainError};
use crate::reward::{check_context, field_names};
use crate::template::Template;

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
        let (train, validation) = split(&config.data, &needs(&config.task, &config.reward))?;
        let terms = &config.reward.terms;
        let train = encode(model, &config.task, terms, &config.data.path, train, &actions)?;
        let source = config.data.validation_path.as_ref().unwrap_or(&config.data.path);
        let validation = encode(model, &config.task, terms, source, validation, &actions)?;
        Ok(Self { train, validation, actions })
    }

    /// The prompt to train on, where there is but one. It may stand on several lines of the data, each with another Z.
    pub fn only_prompt(&self) -> Option<&Prompt> {
        self.train.first().filter(|first| self.train.iter().all(|prompt| prompt.query == first.query))
    }
}

/// What a task's template and reward read of its data.
pub fn needs(task: &TaskSection, reward: &RewardSection) -> Needs {
    let template = policy_template(task);
    let mut fields = field_names(&reward.terms);
    fields.extend(template.fields().map(String::from));
    let x = fields.remove("x") || task.kind != TaskKind::Custom;
    let y = match (fields.remove("y"), task.kind) {
        (true, _) | (_, TaskKind::Infilling) => Presence::Required,
        (false, TaskKind::Continuation) if reward.terms.is_empty() => Presence::Ignored,
        (false, TaskKind::Continuation | TaskKind::Custom) => Presence::Optional,
    };
    Needs { x, y, z: false, others: fields }
}

/// What the policy reads.
fn policy_template(task: &TaskSection) -> Template {
    Template::new(if task.kind == TaskKind::Continuation { "{x}" } else { &task.template })
}

/// Training and validation data.
///
/// # Errors
/// If it cannot be read, or all of it would be held out.
pub fn split(data: &DataSection, needs: &Needs) -> Result<(Vec<Text>, Vec<Text>)> {
    let mut train = read(&data.path, needs)?;
    train.truncate(data.limit.unwrap_or(usize::MAX));
    if let Some(path) = &data.validation_path {
        // Only training seeds a buffer.
        return Ok((train, read(path, &Needs { z: false, ..needs.clone() })?));
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

/// Tokenizes queries and checks that each leaves room for the longest Z, in what the policy reads and in what the reward
/// does. X, Y and the policy's prompt are encoded each on its own, never as one text with what is between them.
///
/// # Errors
/// If one does not; the message quotes it.
pub fn encode(
    model: &ModelInfo,
    task: &TaskSection,
    terms: &[Term],
    path: &Path,
    texts: Vec<Text>,
    actions: &ActionSpace,
) -> Result<Vec<Prompt>> {
    let encoded = texts.into_iter().map(|text| {
        let query = query(model, task, &text)?;
        let shown = shown(task, &text);
        check_lengths(model, &query, actions)
            .and_then(|()| check_context(terms, &query, model, actions.max_length))
            .map_err(|error| bad_prompt(path, text.line, &shown, &error))?;
        Ok(Prompt { text: shown, suffix: text.y, query })
    });
    encoded.collect()
}

fn bad_prompt(path: &Path, line: Option<usize>, prompt: &str, error: &LmError) -> TrainError {
    let problem = format!("the prompt {:?}: {error}", shortened(prompt));
    TrainError::Data { path: path.to_path_buf(), line, problem }
}

/// X or, in a task without it, what the policy reads.
fn shown(task: &TaskSection, text: &Text) -> String {
    let template = policy_template(task);
    let has_x = !text.x.is_empty() || task.kind != TaskKind::Custom || template.fields().any(|name| name == "x");
    if has_x { text.x.clone() } else { template.fill_prompt(&text.fields()) }
}

fn query(model: &ModelInfo, task: &TaskSection, text: &Text) -> Result<Query> {
    let tokenizer = &model.tokenizer;
    let x = tokenizer.encode_prompt(&text.x)?;
    let y = match &text.y {
        Some(y) => tokenizer.encode_completion(&format!("{}{y}", task.separator))?,
        None => Vec::new(),
    };
    let query = Query::new(x, y).with_texts(text.fields());
    if task.kind == TaskKind::Continuation {
        return Ok(query);
    }
    let prompt = policy_template(task).fill_prompt(&text.fields());
    Ok(query.with_prompt(tokenizer.encode_prompt(&prompt)?))
}

/// Whether policy and reward can read the longest text that the query may lead to.
fn check_lengths(model: &ModelInfo, query: &Query, actions: &ActionSpace) -> std::result::Result<(), LmError> {
    check_prompt(model, &query.prompt, actions)?;
    // X, Z, the stop and Y, whose last token is predicted and need not be read.
    let (longest, context) = (query.x.len() + actions.max_length + query.y.len(), model.config.max_positions);
    if longest > context {
        return Err(LmError::Sequence(format!(
            "X, up to {} tokens of Z, a stop and any Y exceed the model's context of {context} by {}; shorten the texts or \
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

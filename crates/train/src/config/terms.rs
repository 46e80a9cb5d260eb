//! The terms that a reward is composed of: what each kind takes, and what is wrong with what a user wrote.

use std::collections::BTreeMap;

use regex::Regex;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::nearest::nearest;

/// A factor of the reward: log R is the sum of the terms' logarithms, each times its exponent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Term {
    /// The power that the term is raised to. Zero reward stays zero, whatever the exponent.
    #[serde(default = "one")]
    pub exponent: f64,
    /// What it is.
    #[serde(flatten)]
    pub kind: TermKind,
}

/// The kinds of terms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TermKind {
    /// The base model's probability of a text with Z in it.
    Likelihood(Likelihood),
    /// The base model's probability of a label after a text with Z in it.
    Classifier(Classifier),
    /// All of these texts are in Z.
    Contains(Texts),
    /// None of these texts is in Z.
    Excludes(Texts),
    /// Z matches a regular expression.
    Regex(Pattern),
    /// Z has a length.
    Length(Length),
    /// Stated weights of whole texts.
    Table(Weights),
    /// What a program of the user's own says.
    External(External),
}

/// p(Z stop suffix | prefix) under the base model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Likelihood {
    /// The text before Z, a template; empty for the model's BOS.
    #[serde(default = "prompt_alone")]
    pub prefix: String,
    /// The text after Z and its stop, a template.
    #[serde(default)]
    pub suffix: String,
    /// Whether the stop is a part of the text.
    #[serde(default = "yes")]
    pub stop: bool,
}

/// p(label | template) under the base model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Classifier {
    /// A template with Z, without its stop, at `{z}`.
    pub template: String,
    /// The text whose probability counts, a template.
    pub label: String,
    /// Other labels, templates too. With any, the probability is that of the label among all of them.
    #[serde(default)]
    pub others: Vec<String>,
}

/// Texts that are sought in Z.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Texts {
    /// At least one.
    pub texts: Vec<String>,
    /// What it costs in nats if this does not hold; none for zero reward.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub penalty: Option<f64>,
}

/// A regular expression for Z.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pattern {
    /// It has to match somewhere.
    pub pattern: String,
    /// As for [`Texts`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub penalty: Option<f64>,
}

/// Bounds of Z's length.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Length {
    /// The least, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<usize>,
    /// The most, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<usize>,
    /// In what it is counted.
    #[serde(default)]
    pub unit: Unit,
    /// As for [`Texts`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub penalty: Option<f64>,
}

/// What lengths of texts are counted in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Tokens.
    #[default]
    Tokens,
    /// Words between white space.
    Words,
    /// Characters.
    Characters,
}

/// A distribution over texts, given in exactly one way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Weights {
    /// What Z has before the text, such as the space that begins a word.
    #[serde(default = "space")]
    pub before: String,
    /// Texts with their weights, of any sum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<BTreeMap<String, f64>>,
    /// All whole numbers of a range alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uniform: Option<Uniform>,
    /// Counts of a rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poisson: Option<Poisson>,
    /// Successes among n trials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binomial: Option<Binomial>,
    /// Failures before the first success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub geometric: Option<Geometric>,
}

/// The whole numbers from `low` to `high`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uniform {
    /// The least.
    pub low: i64,
    /// The greatest.
    pub high: i64,
}

/// A Poisson distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Poisson {
    /// Its mean.
    pub rate: f64,
}

/// A binomial distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binomial {
    /// Trials.
    pub n: usize,
    /// Probability of success.
    pub p: f64,
}

/// A geometric distribution, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Geometric {
    /// Probability of success.
    pub p: f64,
}

/// A program that scores texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct External {
    /// The program and its arguments, started in the current directory.
    pub command: Vec<String>,
    /// How long it may take to answer a request.
    #[serde(default = "half_a_minute")]
    pub timeout_seconds: f64,
}

fn one() -> f64 {
    1.0
}

fn half_a_minute() -> f64 {
    30.0
}

fn yes() -> bool {
    true
}

fn space() -> String {
    " ".into()
}

fn prompt_alone() -> String {
    "{x}".into()
}

/// Every kind with its keys, but for `kind` and `exponent`, which all have.
const KINDS: [(&str, &[&str]); 8] = [
    ("likelihood", &["prefix", "suffix", "stop"]),
    ("classifier", &["template", "label", "others"]),
    ("contains", &["texts", "penalty"]),
    ("excludes", &["texts", "penalty"]),
    ("regex", &["pattern", "penalty"]),
    ("length", &["min", "max", "unit", "penalty"]),
    ("table", &["before", "weights", "uniform", "poisson", "binomial", "geometric"]),
    ("external", &["command", "timeout_seconds"]),
];

/// The most texts that a table may have.
pub(crate) const LARGEST_TABLE: usize = 100_000;

/// The terms of a list of tables.
///
/// # Errors
/// All that is wrong, each with the term's number.
pub(super) fn parse(value: &Value) -> Result<Vec<Term>, Vec<String>> {
    let Value::Array(tables) = value else {
        return Err(vec!["expected a list of tables, [[reward.terms]]".into()]);
    };
    let numbered =
        |(number, table): (usize, &Value)| term(table).map_err(|problem| format!("term {number}: {problem}"));
    let (terms, problems): (Vec<_>, Vec<_>) = (1..).zip(tables).map(numbered).partition(Result::is_ok);
    if problems.is_empty() {
        return Ok(terms.into_iter().flatten().collect());
    }
    Err(problems.into_iter().filter_map(Result::err).collect())
}

fn term(value: &Value) -> Result<Term, String> {
    let table = value.as_table().ok_or("expected a table with a kind")?;
    check_keys(table)?;
    let term: Term = value.clone().try_into().map_err(|error: toml::de::Error| error.message().trim().to_string())?;
    check(&term)?;
    Ok(term)
}

fn check_keys(table: &Table) -> Result<(), String> {
    let names: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
    let kind = table.get("kind").ok_or_else(|| format!("kind is missing: expected one of {}", names.join(", ")))?;
    let known = KINDS.iter().find(|(name, _)| kind.as_str() == Some(name));
    let Some((name, keys)) = known else {
        let meant = kind.as_str().and_then(|kind| nearest(kind, &names));
        let hint =
            meant.map_or(format!("expected one of {}", names.join(", ")), |name| format!("did you mean \"{name}\"?"));
        return Err(format!("kind = {kind}: {hint}"));
    };
    let keys = [&["kind", "exponent"], *keys].concat();
    let Some(unknown) = table.keys().find(|key| !keys.contains(&key.as_str())) else {
        return Ok(());
    };
    let hint = match nearest(unknown, &keys) {
        Some(key) => format!("did you mean \"{key}\"?"),
        None => format!("a term of kind \"{name}\" has {}", keys.join(", ")),
    };
    Err(format!("unknown key \"{unknown}\"; {hint}"))
}

fn check(term: &Term) -> Result<(), String> {
    expect(term.exponent.is_finite() && term.exponent != 0.0, "exponent", "a finite number other than 0")?;
    match &term.kind {
        TermKind::Likelihood(Likelihood { prefix, suffix, .. }) => {
            expect(!prefix.contains("{z}"), "prefix", "the text before Z, without {z}")?;
            expect(!suffix.contains("{z}"), "suffix", "the text after Z, without {z}")
        }
        TermKind::Classifier(Classifier { template, label, others }) => {
            expect(template.matches("{z}").count() == 1, "template", "a text with {z} in it once")?;
            expect(!label.is_empty(), "label", "a text that is not empty")?;
            expect(others.iter().all(|text| !text.is_empty()), "others", "a list of texts, none of them empty")
        }
        TermKind::Contains(Texts { texts, penalty }) | TermKind::Excludes(Texts { texts, penalty }) => {
            let some = !texts.is_empty() && texts.iter().all(|text| !text.is_empty());
            expect(some, "texts", "a list of at least one text, none of them empty")?;
            check_penalty(*penalty)
        }
        TermKind::Regex(Pattern { pattern, penalty }) => {
            let expected = "a regular expression in Rust's syntax, which has no look-around and no back-references";
            expect(Regex::new(pattern).is_ok(), "pattern", expected)?;
            check_penalty(*penalty)
        }
        TermKind::Length(Length { min, max, penalty, .. }) => {
            expect(min.is_some() || max.is_some(), "min", "this or max, or both")?;
            expect(min.unwrap_or(0) <= max.unwrap_or(usize::MAX), "min", "no more than max")?;
            check_penalty(*penalty)
        }
        TermKind::Table(weights) => check_weights(weights),
        TermKind::External(External { command, timeout_seconds }) => {
            expect(
                command.first().is_some_and(|name| !name.is_empty()),
                "command",
                "a list: a program, its arguments",
            )?;
            expect((1e-3..=1e6).contains(timeout_seconds), "timeout_seconds", "a number of seconds, up to a million")
        }
    }
}

fn check_penalty(penalty: Option<f64>) -> Result<(), String> {
    let positive = penalty.is_none_or(|penalty| penalty > 0.0 && penalty.is_finite());
    expect(positive, "penalty", "a finite number of nats above 0")
}

fn check_weights(table: &Weights) -> Result<(), String> {
    let Weights { before: _, weights, uniform, poisson, binomial, geometric } = table;
    let given = [weights.is_some(), uniform.is_some(), poisson.is_some(), binomial.is_some(), geometric.is_some()];
    if given.iter().filter(|given| **given).count() != 1 {
        return Err("a table has one of weights, uniform, poisson, binomial and geometric".into());
    }
    if let Some(weights) = weights {
        let fine = !weights.is_empty() && weights.values().all(|weight| *weight > 0.0 && weight.is_finite());
        expect(fine && weights.len() <= LARGEST_TABLE, "weights", "texts with finite weights above 0")?;
        expect(weights.keys().all(|text| !text.is_empty()), "weights", "texts that are not empty")?;
    }
    if let Some(Uniform { low, high }) = uniform {
        let numbers = i128::from(*high) - i128::from(*low) + 1;
        expect((1..=LARGEST_TABLE as i128).contains(&numbers), "uniform", "1 to 100,000 numbers from low to high")?;
    }
    if let Some(Poisson { rate }) = poisson {
        expect(*rate > 0.0 && *rate <= 1e4, "poisson.rate", "a number above 0, up to 10,000")?;
    }
    if let Some(Binomial { n, p }) = binomial {
        expect(*n < LARGEST_TABLE, "binomial.n", "a whole number below 100,000")?;
        expect(*p > 0.0 && *p < 1.0, "binomial.p", "a number between 0 and 1")?;
    }
    if let Some(Geometric { p }) = geometric {
        expect(*p >= 1e-3 && *p < 1.0, "geometric.p", "a number from 0.001 to below 1")?;
    }
    Ok(())
}

fn expect(holds: bool, key: &str, expected: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("{key}: expected {expected}")) }
}

#[cfg(test)]
pub(super) mod tests;

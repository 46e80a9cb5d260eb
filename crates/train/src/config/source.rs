//! Where the values come from: a file, and the `--set` options that override it.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::de::{DeTable, DeValue, ValueDeserializer};
use toml::{Spanned, Table, Value};

use super::ConfigError;

/// A value as it was given.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// On this line of the file.
    Line(usize),
    /// By this `--set` option.
    Set(String),
}

/// What was given, by key: `train.steps`. Anything deeper than a section's key is a value.
pub(crate) type Entries = BTreeMap<String, Entry>;

/// The entries of a file, whose name is only for messages, with each of `sets` in place of what it says.
pub(crate) fn entries(text: &str, name: &str, sets: &[String]) -> Result<Entries, ConfigError> {
    let mut entries = file_entries(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        ConfigError::one(format!("{name}:{line}: {}", error.message()))
    })?;
    for set in sets {
        let (key, value) = parse_set(set)?;
        entries.insert(full_key(key, value.is_str()), Entry { value, origin: Origin::Set(set.clone()) });
    }
    Ok(entries)
}

fn file_entries(text: &str) -> Result<Entries, toml::de::Error> {
    let mut entries = Entries::new();
    for (key, value) in DeTable::parse(text)?.into_inner() {
        match value.get_ref() {
            DeValue::Table(section) if !section.is_empty() => {
                for (inner, value) in section {
                    let name = format!("{}.{}", key.get_ref(), inner.get_ref());
                    entries.insert(name, entry(text, inner, value.clone())?);
                }
            }
            _ => {
                let name = full_key(key.get_ref(), value.get_ref().is_str());
                entries.insert(name, entry(text, &key, value)?);
            }
        }
    }
    Ok(entries)
}

/// `task = "infilling"` is short for the task's kind.
fn full_key(key: &str, is_text: bool) -> String {
    if key == "task" && is_text { "task.kind".into() } else { key.into() }
}

fn entry<K>(text: &str, key: &Spanned<K>, value: Spanned<DeValue>) -> Result<Entry, toml::de::Error> {
    let value = Value::deserialize(ValueDeserializer::from(value))?;
    Ok(Entry { value, origin: Origin::Line(line_of(text, key.span().start)) })
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// A value that is no TOML is a text: `model.path=gpt2` needs no quotes.
fn parse_set(set: &str) -> Result<(&str, Value), ConfigError> {
    let Some((key, value)) = set.split_once('=') else {
        return Err(ConfigError::one(format!("--set {set}: expected key=value, such as train.steps=100")));
    };
    let document = toml::from_str::<Table>(&format!("value = {value}")).ok();
    // A text with a line break may happen to be a longer document.
    let parsed = document.filter(|table| table.len() == 1).and_then(|mut table| table.remove("value"));
    Ok((key.trim(), parsed.unwrap_or_else(|| Value::String(value.to_string()))))
}

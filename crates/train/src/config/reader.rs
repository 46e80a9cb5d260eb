//! Takes values out of the entries by key, and says what is wrong with them.

use serde::de::DeserializeOwned;
use toml::Value;

use super::nearest::{hint, unknown_section};
use super::source::{Entries, Entry, Origin};
use super::{ConfigError, Term, terms};

/// What a key takes, in words for messages and as a test of a value that has the right type.
#[derive(Clone, Copy)]
pub(crate) struct Rule<T> {
    pub(crate) expected: &'static str,
    pub(crate) allows: fn(&T) -> bool,
}

/// Reads every key once, and goes on after a problem, so that a user sees all of them in one go.
///
/// What stands in for a value with a problem does not matter: [`Reader::finish`] then refuses the config.
pub(crate) struct Reader<'a> {
    name: &'a str,
    entries: Entries,
    /// The keys that were asked for: there is no other list of them.
    known: Vec<&'static str>,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(name: &'a str, entries: Entries) -> Self {
        Self { name, entries, known: vec![], problems: vec![] }
    }

    /// The key's value, or `default` where it is not given.
    pub(crate) fn or<T: DeserializeOwned>(&mut self, key: &'static str, default: T, rule: Rule<T>) -> T {
        self.known.push(key);
        self.value(key, rule).unwrap_or(default)
    }

    /// The key's value, if it is given. An empty text is as good as none: TOML has no other way for
    /// `--set` to unset a key of the file.
    pub(crate) fn optional<T: DeserializeOwned>(&mut self, key: &'static str, rule: Rule<T>) -> Option<T> {
        self.known.push(key);
        let empty = self.entries.get(key).is_some_and(|entry| entry.value.as_str() == Some(""));
        if empty { None } else { self.value(key, rule) }
    }

    /// Whether a section is there, empty or not.
    pub(crate) fn has_section(&self, section: &str) -> bool {
        self.entries.keys().any(|key| key.split('.').next() == Some(section))
    }

    /// The key's value; `stand_in` is only there to go on with if it is missing.
    pub(crate) fn required<T: DeserializeOwned>(&mut self, key: &'static str, stand_in: T, rule: Rule<T>) -> T {
        if !self.entries.contains_key(key) {
            let (name, expected) = (self.name, rule.expected);
            self.problems
                .push(format!("{name}: {key} is missing: expected {expected}; add it, or use --set {key}=..."));
        }
        self.or(key, stand_in, rule)
    }

    /// The terms of a reward, none where the key is not given.
    pub(crate) fn terms(&mut self, key: &'static str) -> Vec<Term> {
        self.known.push(key);
        let Some(entry) = self.entries.get(key) else { return vec![] };
        match terms::parse(&entry.value) {
            Ok(terms) => terms,
            Err(problems) => {
                let place = self.describe(&entry.origin);
                self.problems.extend(problems.into_iter().map(|problem| format!("{place}: {key}, {problem}")));
                vec![]
            }
        }
    }

    /// Whether the key is given.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Notes `problem`, which involves `keys`, unless it `holds` that all is well.
    pub(crate) fn check(&mut self, holds: bool, keys: &[&str], problem: impl FnOnce() -> String) {
        // A value with a problem of its own was replaced: what it does with others says nothing.
        if !holds && self.problems.is_empty() {
            self.problems.push(format!("{}: {}", self.place(keys), problem()));
        }
    }

    /// The problems, if there are any. Unknown keys go alone: they often are what another one misses.
    pub(crate) fn finish(self) -> Result<(), ConfigError> {
        let unknown = self.unknown();
        let problems = if unknown.is_empty() { self.problems } else { unknown };
        if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
    }

    fn value<T: DeserializeOwned>(&mut self, key: &str, rule: Rule<T>) -> Option<T> {
        let entry = self.entries.get(key)?;
        let value = entry.value.clone().try_into().ok().filter(rule.allows);
        if value.is_none() {
            self.problems.push(self.refusal(key, entry, rule.expected));
        }
        value
    }

    fn refusal(&self, key: &str, entry: &Entry, expected: &str) -> String {
        let place = self.describe(&entry.origin);
        match &entry.origin {
            Origin::Line(_) => format!("{place}: {key} = {}: expected {expected}", entry.value),
            // The place says the key and the value.
            Origin::Set(_) => format!("{place}: expected {expected}"),
        }
    }

    /// Where the first of `keys` that was given at all was given, with a `--set` before the file.
    fn place(&self, keys: &[&str]) -> String {
        let mut origins = keys.iter().filter_map(|key| Some(&self.entries.get(*key)?.origin));
        let set = origins.clone().find(|origin| matches!(origin, Origin::Set(_)));
        set.or_else(|| origins.next()).map_or(self.name.to_string(), |origin| self.describe(origin))
    }

    fn describe(&self, origin: &Origin) -> String {
        match origin {
            Origin::Line(line) => format!("{}:{line}", self.name),
            Origin::Set(set) => format!("--set {set}"),
        }
    }

    fn unknown(&self) -> Vec<String> {
        let mut unknown: Vec<_> = self.entries.iter().filter(|(key, _)| !self.known.contains(&key.as_str())).collect();
        unknown.sort_by_key(|(_, entry)| &entry.origin);
        // A section that there is not is told of once, and not again for every key in it.
        let mut sections = vec![];
        unknown.retain(|(key, _)| match unknown_section(key, &self.known) {
            Some(section) if sections.contains(&section) => false,
            section => {
                sections.extend(section);
                true
            }
        });
        unknown.into_iter().filter_map(|(key, entry)| self.unknown_problem(key, entry)).collect()
    }

    fn unknown_problem(&self, key: &str, entry: &Entry) -> Option<String> {
        if self.known.iter().any(|known| known.split_once('.').is_some_and(|(section, _)| section == key)) {
            let empty = matches!(&entry.value, Value::Table(table) if table.is_empty());
            return (!empty).then(|| self.refusal(key, entry, &format!("a section, [{key}]")));
        }
        let place = self.describe(&entry.origin);
        let what =
            unknown_section(key, &self.known).map_or(format!("key \"{key}\""), |name| format!("section [{name}]"));
        Some(format!("{place}: unknown {what}; {}", hint(key, &self.known)))
    }
}

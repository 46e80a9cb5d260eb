//! The config: raw TOML in, every value checked once, plain data out.
//!
//! Nothing is built here, and no file but the config itself is opened: a config can be checked where
//! its model is not. `schema` is what comes out, `source` what goes in, `resolve` the one list of keys.

use std::path::Path;

use serde::Serialize;

mod error;
mod nearest;
mod paths;
pub(crate) mod reader;
pub(crate) mod resolve;
pub(crate) mod rules;
mod schema;
mod source;
pub(crate) mod terms;
#[cfg(test)]
mod tests;

/// Choices of the method are the method's own.
pub use amortize_gfn::{Decay, Normaliser, ReplaySampling, RootFlow};
pub use error::ConfigError;
use reader::Reader;
pub use schema::*;
pub use terms::*;

impl Config {
    /// Reads the config at `path`, with each of `sets` (`"key.path=value"`) in place of what it says.
    ///
    /// # Errors
    /// If the file can't be read, or as [`Config::from_toml`].
    pub fn load(path: &Path, sets: &[String]) -> Result<Self, ConfigError> {
        load(path, sets, resolve::config)
    }

    /// Reads a config; `name` is what messages call it. Of several `sets` of one key the last counts.
    ///
    /// # Errors
    /// If `text` is no TOML, or a key is unknown, missing, or has a value that makes no sense.
    pub fn from_toml(text: &str, name: &str, sets: &[String]) -> Result<Self, ConfigError> {
        from_toml(text, name, sets, resolve::config)
    }

    /// The resolved config as TOML: every key, those that are not set in a comment. It loads back equal.
    ///
    /// # Errors
    /// If a path is no Unicode, as no config from TOML has it.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        to_toml(self)
    }
}

/// Reads the config at `path` by `resolve`, which takes every key that there is: see [`Config::load`].
pub(crate) fn load<T>(path: &Path, sets: &[String], resolve: impl FnOnce(&mut Reader) -> T) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| ConfigError::one(format!("cannot read {}: {error}", path.display())))?;
    from_toml(&text, &path.display().to_string(), sets, resolve)
}

/// Reads a config by `resolve`: see [`Config::from_toml`].
pub(crate) fn from_toml<T>(
    text: &str,
    name: &str,
    sets: &[String],
    resolve: impl FnOnce(&mut Reader) -> T,
) -> Result<T, ConfigError> {
    let mut reader = Reader::new(name, source::entries(text, name, sets)?);
    let config = resolve(&mut reader);
    reader.finish()?;
    Ok(config)
}

/// A resolved config as TOML: see [`Config::to_toml`].
pub(crate) fn to_toml(config: &impl Serialize) -> Result<String, ConfigError> {
    let text = toml::to_string(config).map_err(|error| ConfigError::one(error.to_string()))?;
    let unset = unset(config)?.join(", ");
    Ok(if unset.is_empty() { text } else { format!("# Not set: {unset}\n{text}") })
}

/// The optional keys without a value: JSON, unlike TOML, has a word for that.
fn unset(config: &impl Serialize) -> Result<Vec<String>, ConfigError> {
    let json = serde_json::to_value(config).map_err(|error| ConfigError::one(error.to_string()))?;
    let sections = json.as_object().into_iter().flatten();
    let keys = sections.flat_map(|(section, keys)| {
        let keys = keys.as_object().into_iter().flatten();
        keys.filter(|(_, value)| value.is_null()).map(move |(key, _)| format!("{section}.{key}"))
    });
    Ok(keys.collect())
}

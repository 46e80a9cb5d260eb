//! What was measured of a run, and the file in the run's directory that keeps it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use amortize_raters::Endpoint;
use amortize_runlog::write_atomic;
use amortize_train::exact::Share;
use serde::{Deserialize, Serialize};

use crate::error::{ReproduceError, Result};

/// Raised when what is measured, or how, changes: older files are then measured again.
const VERSION: u32 = 1;

const FILE: &str = "measured.json";

/// A figure of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Value {
    pub method: String,
    pub condition: String,
    pub metric: String,
    /// `None` where it is not finite.
    pub value: Option<f64>,
}

impl Value {
    pub fn new(method: &str, condition: &str, metric: &str, value: f64) -> Self {
        let value = Some(value).filter(|value| value.is_finite());
        Self { method: method.into(), condition: condition.into(), metric: metric.into(), value }
    }
}

/// All that was measured of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub values: Vec<Value>,
    /// The policy's distribution over all texts of its target, where they can be listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub distribution: Vec<Share>,
}

impl Measured {
    /// Whose values they are; the first of them where there are several.
    pub fn method(&self) -> &str {
        self.values.first().map_or("", |value| &value.method)
    }
}

/// What a measurement depends on beside the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct How {
    version: u32,
    /// What the run's seed is among those of the reproduction.
    first: bool,
    encoder: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rater: Option<Endpoint>,
}

impl How {
    pub fn new(first: bool, encoder: Option<&Path>, rater: Option<&Endpoint>) -> Self {
        Self { version: VERSION, first, encoder: encoder.map(Path::to_path_buf), rater: rater.cloned() }
    }
}

#[derive(Serialize, Deserialize)]
struct File {
    how: How,
    measured: Measured,
}

/// What was measured of the run in `dir`, if it was, and in this way.
///
/// # Errors
/// If there is a file that cannot be read.
pub(crate) fn read(dir: &Path, how: &How) -> Result<Option<Measured>> {
    let path = dir.join(FILE);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(|source| ReproduceError::Io { path: path.clone(), source })?,
    };
    let file: File = serde_json::from_str(&text).map_err(|error| ReproduceError::Damaged {
        path,
        problem: format!("{error}; remove the file, and the run is measured again"),
    })?;
    Ok((file.how == *how).then_some(file.measured))
}

/// Keeps it.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn write(dir: &Path, how: How, measured: &Measured) -> Result<()> {
    let file = File { how, measured: measured.clone() };
    let text = serde_json::to_string_pretty(&file).expect("numbers and texts are JSON") + "\n";
    Ok(write_atomic(&dir.join(FILE), text.as_bytes())?)
}

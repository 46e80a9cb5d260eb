//! What can go wrong with a model directory, each case saying which file, which key or tensor, and
//! what to do about it.

use std::path::{Path, PathBuf};

/// This crate's result.
pub type Result<T> = std::result::Result<T, LmError>;

/// An unusable model directory, tokenizer or action space.
#[derive(Debug, thiserror::Error)]
pub enum LmError {
    /// The operating system refused to read or write a file.
    #[error("cannot {verb} {}: {source}", path.display())]
    Io {
        /// What was attempted: "read", "write".
        verb: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file that should be JSON is not, or lacks the expected form.
    #[error("{} is not the JSON expected: {source}", file.display())]
    Json {
        /// The file.
        file: PathBuf,
        /// Where the parser stopped.
        source: serde_json::Error,
    },
    /// A setting of `config.json` is missing, impossible or not supported.
    #[error("{}: key \"{key}\": {problem}", file.display())]
    Config {
        /// The configuration file.
        file: PathBuf,
        /// The key at fault.
        key: String,
        /// What is wrong with it and what is accepted.
        problem: String,
    },
    /// The directory has no weights in a form that can be read.
    #[error("no model weights in {}: {problem}", dir.display())]
    NoWeights {
        /// The model directory.
        dir: PathBuf,
        /// What was found instead and what to do.
        problem: String,
    },
    /// A weights file is damaged, or does not agree with its index.
    #[error("{}: {problem}", file.display())]
    WeightsFile {
        /// The weights file or its index.
        file: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A tensor that the model needs is not there.
    #[error("{} has no tensor \"{name}\"{}", path.display(), did_you_mean(nearest))]
    MissingTensor {
        /// The model directory.
        path: PathBuf,
        /// The tensor looked for.
        name: String,
        /// The existing name most like it.
        nearest: Option<String>,
    },
    /// A tensor has another shape than `config.json` implies.
    #[error(
        "{}: tensor \"{name}\" has shape {found:?}, but config.json implies {expected:?}; \
         the weights and the configuration are of different models",
        file.display()
    )]
    Shape {
        /// The weights file.
        file: PathBuf,
        /// The tensor.
        name: String,
        /// Its shape in the file.
        found: Vec<usize>,
        /// The shape asked for.
        expected: Vec<usize>,
    },
    /// A tensor's numbers are stored in a form that is not read.
    #[error(
        "{}: tensor \"{name}\" is stored as {found}; F32, F16 and BF16 are supported: \
         convert the model to one of them (quantised weights have to be dequantised first)",
        file.display()
    )]
    Dtype {
        /// The weights file.
        file: PathBuf,
        /// The tensor.
        name: String,
        /// Its type in the file.
        found: String,
    },
    /// The tokenizer's files are missing, damaged or do not fit the model.
    #[error("{}: {problem}", file.display())]
    Tokenizer {
        /// The tokenizer's file.
        file: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A tokenizer that cannot be learnt.
    #[error("tokenizer: {0}")]
    TrainTokenizer(String),
    /// A text that the tokenizer refuses.
    #[error("cannot tokenize {text:?}: {problem}")]
    Encode {
        /// The text, shortened.
        text: String,
        /// The tokenizer's reason.
        problem: String,
    },
    /// A mask, stop rule or length under which no sequence can be drawn.
    #[error("action space: {0}")]
    Actions(String),
    /// A path that should be a model directory is none.
    #[error("{} is not a directory; a model is a directory with config.json, model.safetensors and tokenizer.json", path.display())]
    NoModel {
        /// The path.
        path: PathBuf,
    },
    /// A path to a model within the program, which carries none of that name.
    #[error("{}: the program carries no such model; it has {}", path.display(), known.join(", "))]
    NoEmbeddedModel {
        /// The path.
        path: PathBuf,
        /// The paths of those that it has.
        known: Vec<String>,
    },
    /// An adapter that cannot be made or does not fit its model.
    #[error("adapter: {0}")]
    Adapter(String),
    /// A model whose next-token distribution is none.
    #[error(
        "the model's next-token probabilities are not numbers: its weights or its adapter hold NaN or infinite values"
    )]
    NotFinite,
    /// A token sequence that the model cannot read.
    #[error("{0}")]
    Sequence(String),
}

impl LmError {
    /// For `map_err` on a failed read of `path`.
    pub(crate) fn reading(path: &Path) -> impl FnOnce(std::io::Error) -> LmError {
        Self::io("read", path)
    }

    /// For `map_err` on a failed write of `path`.
    pub(crate) fn writing(path: &Path) -> impl FnOnce(std::io::Error) -> LmError {
        Self::io("write", path)
    }

    fn io(verb: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> LmError {
        let path = path.to_path_buf();
        move |source| LmError::Io { verb, path, source }
    }

    /// For `map_err` on a failed parse of `file`.
    pub(crate) fn json(file: &Path) -> impl FnOnce(serde_json::Error) -> LmError {
        let file = file.to_path_buf();
        move |source| LmError::Json { file, source }
    }
}

fn did_you_mean(nearest: &Option<String>) -> String {
    match nearest {
        Some(name) => format!("; the nearest name there is \"{name}\""),
        None => String::new(),
    }
}

/// The candidate with the fewest edits from `name`, the first of equals.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates.into_iter().min_by_key(|candidate| edit_distance(name.as_bytes(), candidate.as_bytes()))
}

/// Levenshtein's distance, one row of the table at a time.
fn edit_distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_edits() {
        for (a, b, edits) in [("", "abc", 3), ("kitten", "sitting", 3), ("same", "same", 0), ("ab", "ba", 2)] {
            assert_eq!(edit_distance(a.as_bytes(), b.as_bytes()), edits, "{a} to {b}");
        }
    }

    #[test]
    fn the_nearest_name_is_the_one_meant() {
        let names = ["model.norm.weight", "lm_head.weight", "h.0.ln_1.weight"];
        assert_eq!(nearest("norm.weight", names), Some("model.norm.weight"));
        assert_eq!(nearest("x", []), None);
    }
}

//! How much a workload has to do, and how that may vary.

use std::fmt;
use std::str::FromStr;

use amortize_lm::config::ModelConfig;
use serde::{Deserialize, Serialize};

use crate::names;
use crate::{BenchError, Result, Workload};

/// The size of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// Sequences Z, all after one prompt.
    pub samples: usize,
    /// Tokens of each Z.
    pub tokens: usize,
    /// Tokens of the prompt X.
    pub prompt: usize,
    /// Tokens of the text Y that follows Z, where the workload has one.
    pub suffix: usize,
}

impl Sizes {
    /// Whether a model can do this workload at this size.
    ///
    /// # Errors
    /// If there is nothing to do, or the longest sequence exceeds the context.
    pub fn check(&self, workload: Workload, config: &ModelConfig) -> Result<()> {
        let Self { samples, tokens, prompt, suffix } = *self;
        if [samples, tokens, prompt, suffix].contains(&0) {
            return Err(BenchError::Sizes("samples, tokens, prompt and suffix must be at least 1".into()));
        }
        // Nothing is predicted after the last token of Y, so that it needs no position; the stop before Y does.
        let longest = prompt + tokens + if workload == Workload::StepInfill { suffix } else { 0 };
        if longest > config.max_positions {
            return Err(BenchError::Sizes(format!(
                "{workload}: a sequence of {longest} tokens (prompt, tokens and what follows) exceeds the context of {}",
                config.max_positions
            )));
        }
        Ok(())
    }
}

/// One of the sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// [`Sizes::samples`]
    Samples,
    /// [`Sizes::tokens`]
    Tokens,
    /// [`Sizes::prompt`]
    Prompt,
    /// [`Sizes::suffix`]
    Suffix,
}

impl Dimension {
    const ALL: [Dimension; 4] = [Dimension::Samples, Dimension::Tokens, Dimension::Prompt, Dimension::Suffix];
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Samples => "samples",
            Self::Tokens => "tokens",
            Self::Prompt => "prompt",
            Self::Suffix => "suffix",
        })
    }
}

/// One size that takes several values, the others staying as they are: shows how cost grows with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// What varies.
    pub dimension: Dimension,
    /// Its values, in their order.
    pub values: Vec<usize>,
}

impl Sweep {
    /// The sizes with each of the values.
    pub fn over(&self, sizes: Sizes) -> Vec<Sizes> {
        let with = |value: &usize| match self.dimension {
            Dimension::Samples => Sizes { samples: *value, ..sizes },
            Dimension::Tokens => Sizes { tokens: *value, ..sizes },
            Dimension::Prompt => Sizes { prompt: *value, ..sizes },
            Dimension::Suffix => Sizes { suffix: *value, ..sizes },
        };
        self.values.iter().map(with).collect()
    }
}

impl FromStr for Sweep {
    type Err = String;

    /// Reads `samples=4,8,16`.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (name, values) = text.split_once('=').ok_or("a size and its values are needed, such as samples=4,8,16")?;
        let dimension = names::parse("size", name, &Dimension::ALL)?;
        let value = |text: &str| text.parse().map_err(|_| format!("\"{text}\" is no whole number"));
        Ok(Self { dimension, values: values.split(',').map(value).collect::<std::result::Result<_, _>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;

    const SIZES: Sizes = Sizes { samples: 16, tokens: 24, prompt: 32, suffix: 12 };

    #[test]
    fn a_sweep_varies_one_size() {
        let sweep: Sweep = "tokens=24,992".parse().unwrap();
        assert_eq!(sweep.over(SIZES), [SIZES, Sizes { tokens: 992, ..SIZES }]);
        for (text, says) in [
            ("tokens", "samples=4,8,16"),
            ("lengths=3", "samples, tokens, prompt, suffix"),
            ("tokens=3,x", "\"x\""),
            ("tokens=", "\"\""),
        ] {
            assert!(text.parse::<Sweep>().unwrap_err().contains(says), "{text}");
        }
    }

    #[test]
    fn sizes_must_fit_the_context_and_not_be_zero() {
        let config = Shape::Gpt2.config();
        let sizes = Sizes { tokens: 992, ..SIZES };
        assert!(sizes.check(Workload::Train, &config).is_ok());
        let message = sizes.check(Workload::StepInfill, &config).unwrap_err().to_string();
        assert!(message.contains("1036") && message.contains("1024"), "{message}");
        assert!(Sizes { samples: 0, ..SIZES }.check(Workload::Train, &config).is_err());
    }
}

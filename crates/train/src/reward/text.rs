//! Constraints on the text of Z.

use amortize_gfn::{Query, Reward, Table, Trajectory};
use amortize_lm::tokenizer::Tokenizer;

use crate::config::{Length, Pattern, Texts, Unit};
use crate::error::{Result, TrainError};

/// Says whether a text of so many tokens will do.
type Judge<'a> = dyn Fn(&str, usize) -> bool + 'a;

/// One where the text of Z, without its stop, satisfies a constraint; elsewhere zero, or what a penalty leaves.
pub struct TextReward<'a> {
    tokenizer: &'a Tokenizer,
    holds: Box<Judge<'a>>,
    /// log R where it does not.
    otherwise: f64,
}

impl<'a> TextReward<'a> {
    /// All of the texts are in Z.
    pub fn contains(texts: &Texts, tokenizer: &'a Tokenizer) -> Self {
        let Texts { texts, penalty } = texts.clone();
        Self::new(tokenizer, penalty, move |z, _| texts.iter().all(|text| z.contains(text)))
    }

    /// None of the texts is in Z.
    pub fn excludes(texts: &Texts, tokenizer: &'a Tokenizer) -> Self {
        let Texts { texts, penalty } = texts.clone();
        Self::new(tokenizer, penalty, move |z, _| !texts.iter().any(|text| z.contains(text)))
    }

    /// The pattern matches somewhere in Z.
    ///
    /// # Errors
    /// If it is no regular expression.
    pub fn matches(pattern: &Pattern, tokenizer: &'a Tokenizer) -> std::result::Result<Self, String> {
        let regex = regex::Regex::new(&pattern.pattern).map_err(|error| format!("pattern: {error}"))?;
        Ok(Self::new(tokenizer, pattern.penalty, move |z, _| regex.is_match(z)))
    }

    /// Z is as long as it should be.
    pub fn length(length: &Length, tokenizer: &'a Tokenizer) -> Self {
        let Length { min, max, unit, penalty } = *length;
        let range = min.unwrap_or(0)..=max.unwrap_or(usize::MAX);
        Self::new(tokenizer, penalty, move |z, tokens| {
            range.contains(&match unit {
                Unit::Tokens => tokens,
                Unit::Words => z.split_whitespace().count(),
                Unit::Characters => z.chars().count(),
            })
        })
    }

    fn new(tokenizer: &'a Tokenizer, penalty: Option<f64>, holds: impl Fn(&str, usize) -> bool + 'a) -> Self {
        let otherwise = penalty.map_or(f64::NEG_INFINITY, |penalty| -penalty);
        Self { tokenizer, holds: Box::new(holds), otherwise }
    }
}

impl Reward for TextReward<'_> {
    type Error = TrainError;

    fn log_reward(&mut self, _: &[Query], _: &[usize], trajectories: &[Trajectory]) -> Result<Table> {
        let log_reward = |z: &[u32]| {
            if (self.holds)(&self.tokenizer.decode(z), z.len()) { 0.0 } else { self.otherwise }
        };
        let row = |Trajectory { z, .. }: &Trajectory| (0..=z.len()).map(|k| log_reward(&z[..k])).collect();
        Ok(Table::from_rows(trajectories.iter().map(row).collect()))
    }
}

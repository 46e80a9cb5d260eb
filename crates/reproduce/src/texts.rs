//! The texts that are held out, and what a policy makes of them.

use std::collections::HashMap;
use std::path::Path;

use amortize_lm::actions::ActionSpace;
use amortize_lm::{ModelInfo, Policy};
use amortize_train::config::Config;
use amortize_train::data::{Needs, Text, read};
use amortize_train::decoding::Decoding;
use amortize_train::evaluate::QUERIES_AT_ONCE;
use amortize_train::reward::Target;
use amortize_train::sampling::{Sample, SampleOptions, sample};
use amortize_train::task::{Prompt, Task, encode, needs, split};

use crate::error::Result;

/// Held-out data: the file of a scale that has one, and otherwise the validation data.
pub(crate) struct HeldOut {
    pub texts: Vec<Text>,
    pub prompts: Vec<Prompt>,
}

impl HeldOut {
    /// Reads them, with their references.
    ///
    /// # Errors
    /// If a file cannot be read, or a text does not fit the model.
    pub fn read(config: &Config, model: &ModelInfo, task: &Task, test: Option<&Path>) -> Result<Self> {
        let needs = Needs { z: true, ..needs(&config.task, &config.reward) };
        let path = test.or(config.data.validation_path.as_deref());
        let texts = match path {
            Some(path) => read(path, &needs)?,
            None => split(&config.data, &needs)?.1,
        };
        let path = path.unwrap_or(&config.data.path);
        let prompts = encode(model, &config.task, &config.reward.terms, path, texts.clone(), &task.actions)?;
        Ok(Self { texts, prompts })
    }
}

/// How many sequences of every prompt, and from what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draws {
    pub n: usize,
    pub seed: u64,
    pub policy_temperature: f64,
    pub decoding: Decoding,
}

/// Sequences of every prompt, with untempered rewards.
///
/// # Errors
/// If the model or the reward fails.
pub(crate) fn draw(
    policy: Policy,
    target: &mut Target,
    prompts: &[Prompt],
    actions: &ActionSpace,
    draws: Draws,
) -> Result<Vec<Vec<Sample>>> {
    let mut all = Vec::with_capacity(prompts.len());
    for (chunk, prompts) in prompts.chunks(QUERIES_AT_ONCE).enumerate() {
        let options = SampleOptions {
            n: draws.n,
            seed: draws.seed,
            first: chunk * QUERIES_AT_ONCE,
            policy_temperature: draws.policy_temperature,
            reward_temperature: 1.0,
        };
        all.extend(sample(policy, target, prompts, actions, &options, &draws.decoding)?);
    }
    Ok(all)
}

/// Counts of every text's words, each word a dimension of its own: what texts are compared by without an encoder.
pub(crate) fn bags_of_words(texts: &[String]) -> Vec<Vec<f32>> {
    let mut dimensions = HashMap::new();
    for word in texts.iter().flat_map(|text| words(text)) {
        let next = dimensions.len();
        dimensions.entry(word).or_insert(next);
    }
    let bag = |text: &String| {
        let mut bag = vec![0.0; dimensions.len()];
        words(text).iter().for_each(|word| bag[dimensions[word]] += 1.0);
        bag
    };
    texts.iter().map(bag).collect()
}

/// The words of a text in lower case, without the signs around them.
pub(crate) fn words(text: &str) -> Vec<String> {
    let bare = |word: &str| word.trim_matches(|sign: char| !sign.is_alphanumeric()).to_lowercase();
    text.split_whitespace().map(bare).filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use amortize_metrics::mean_pairwise_cosine_distance;

    fn distance(texts: [&str; 2]) -> f64 {
        mean_pairwise_cosine_distance(&bags_of_words(&texts.map(String::from))).unwrap()
    }

    #[test]
    fn texts_of_the_same_words_are_alike_and_of_others_are_not() {
        assert!(distance(["The cat sat.", "the cat, sat"]).abs() < 1e-6);
        assert!((distance(["A dog ran.", "The cat sat."]) - 1.0).abs() < 1e-6);
        // One of two words in common.
        assert!((distance(["red cat", "red dog"]) - 0.5).abs() < 1e-6);
    }
}

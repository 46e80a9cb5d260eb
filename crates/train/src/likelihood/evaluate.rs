//! Validation loss, and draws to look at.

use amortize_engine::ops::dropout::mix;
use amortize_lm::actions::{ActionSpace, StopRule, TokenMask};
use amortize_lm::{Draw, Model, Policy, generate};

use super::config::EvaluateSection;
use super::corpus::Text;
use super::documents::Documents;
use super::metrics::SampleRecord;
use crate::error::Result;

/// What an evaluation found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Likelihood {
    /// Mean negative log-likelihood, in nats a token.
    pub per_token: f64,
    /// The same in nats a byte of text.
    pub per_byte: f64,
    /// Tokens that were predicted.
    pub n: usize,
}

/// The likelihood of the first texts, up to `most` tokens that are predicted; `None` of nothing.
pub(super) fn likelihood(policy: Policy, texts: &Documents, most: usize) -> Result<Option<Likelihood>> {
    let (mut windows, mut n, mut bytes) = (Vec::new(), 0, 0);
    let tokenizer = &policy.model.tokenizer;
    for window in 0..texts.len() {
        let sequence = texts.sequence(window);
        if n + sequence.learnt().len() > most && n > 0 {
            break;
        }
        n += sequence.learnt().len();
        let text = sequence.learnt().iter().filter(|token| !tokenizer.special_ids().contains(token));
        bytes += text.map(|token| tokenizer.token_bytes(*token).len()).sum::<usize>();
        windows.push(window);
    }
    if n == 0 {
        return Ok(None);
    }
    let (forest, questions) = texts.pack(&windows);
    let total = -policy.score(&forest, &questions)?.iter().sum::<f64>();
    Ok(Some(Likelihood { per_token: total / n as f64, per_byte: total / bytes.max(1) as f64, n }))
}

/// Draws texts from the beginning or, where texts are completions, after the first validation prompts.
pub(super) fn samples(
    policy: Policy,
    validation: &[Text],
    options: &EvaluateSection,
    step: u64,
) -> Result<Vec<SampleRecord>> {
    let model = policy.model;
    let given = validation.iter().filter_map(|text| text.prompt.clone());
    let mut texts: Vec<String> = given.take(options.samples).collect();
    texts.resize(options.samples, String::new());
    let prompts: Vec<Vec<u32>> =
        texts.iter().map(|text| model.tokenizer.encode_prompt(text)).collect::<std::result::Result<_, _>>()?;
    let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
    let room = model.config.max_positions.saturating_sub(longest).min(options.sample_length);
    let Some(end) = model.tokenizer.eos_id() else { return Ok(Vec::new()) };
    if room == 0 {
        return Ok(Vec::new());
    }
    let actions = ends_with(model, end, room)?;
    let draw = |prompt: usize| Draw { prompt, policy_temperature: 1.0, seed: mix(options.seed ^ mix(prompt as u64)) };
    let draws: Vec<Draw> = (0..prompts.len()).map(draw).collect();
    let generated = generate(policy, &prompts, &draws, &actions)?;
    let record = |(prompt, generated): (String, amortize_lm::Generated)| SampleRecord {
        step,
        prompt,
        text: model.tokenizer.decode(&generated.tokens),
        log_q: generated.log_q,
    };
    Ok(texts.into_iter().zip(generated).map(record).collect())
}

fn ends_with(model: &Model, end: u32, max_length: usize) -> Result<ActionSpace> {
    let vocab_size = model.config.vocab_size;
    Ok(ActionSpace::new(vocab_size, TokenMask::all(vocab_size), StopRule::tokens(&[end]), 1, max_length)?)
}

//! Sampling with cached keys and values; [`beam`] searches instead. Prompts are read once and shared by all of their draws; sequences that have
//! stopped leave the batch; every draw has a generator of its own, so that it does not depend on its neighbours.

use std::ops::Range;

use amortize_engine::ops::sample::{self, Distribution};
pub use amortize_engine::ops::truncate::Truncation;
use amortize_engine::{Tensor, on_threads};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::actions::{ActionSpace, Step};
use crate::decoder::KvCache;
use crate::error::{LmError, Result};
use crate::model::ModelInfo;
use crate::policy::Policy;
use input::Input;

pub mod beam;
mod group;
mod input;

/// Sequences that decode at once. More would gain no speed, and each holds keys and values for its longest length.
pub const LIVE: usize = 256;

/// Below this, logits divided by the temperature would leave the range of f32.
const LOWEST_TEMPERATURE: f64 = 1e-6;

/// One sequence to be drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draw {
    /// The prompt's number.
    pub prompt: usize,
    /// Temperature of the token distributions; 1 is the policy itself.
    pub policy_temperature: f64,
    /// Seed of its generator.
    pub seed: u64,
}

/// A sequence that was drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// The tokens before the stop.
    pub tokens: Vec<u32>,
    /// The stop token, or `None` where the longest length forced the stop.
    pub stop_token: Option<u32>,
    /// Log-probability, in nats, under the distribution really sampled: its temperature and masks, any token of the
    /// stop set counted as the stop, a forced stop counted as certain.
    pub log_q: f64,
}

/// Draws a continuation of its prompt for every draw.
///
/// # Errors
/// If a prompt is empty, has tokens out of range, or leaves no room in the context for the longest continuation; or a
/// temperature is not positive, or nearly zero; or the model's probabilities are not numbers.
pub fn generate(policy: Policy, prompts: &[Vec<u32>], draws: &[Draw], actions: &ActionSpace) -> Result<Vec<Generated>> {
    generate_truncated(policy, prompts, draws, actions, Truncation::None)
}

/// The same from token distributions that are cut down to their likeliest tokens after the mask and the temperature.
/// `log_q` is of the renormalised rest. It is no proposal to weigh samples with: it leaves out sequences that the target
/// has.
///
/// # Errors
/// As [`generate`].
pub fn generate_truncated(
    policy: Policy,
    prompts: &[Vec<u32>],
    draws: &[Draw],
    actions: &ActionSpace,
    truncation: Truncation,
) -> Result<Vec<Generated>> {
    for prompt in prompts {
        check_prompt(policy.model, prompt, actions)?;
    }
    if let Some(draw) = draws.iter().find(|draw| !(LOWEST_TEMPERATURE..=f64::MAX).contains(&draw.policy_temperature)) {
        let temperature = draw.policy_temperature;
        return Err(LmError::Sequence(format!(
            "a policy temperature of {temperature}; it must be at least {LOWEST_TEMPERATURE}"
        )));
    }
    let mut generated = Vec::with_capacity(draws.len());
    for draws in draws.chunks(LIVE) {
        generated.extend(on_threads(|| Decoding::start(policy, prompts, draws, actions, truncation)?.finish())?);
    }
    Ok(generated)
}

/// Whether `prompt` can be continued to the longest length that `actions` allow.
///
/// # Errors
/// If it is empty, has tokens out of range, or leaves no room in the context.
pub fn check_prompt(model: &ModelInfo, prompt: &[u32], actions: &ActionSpace) -> Result<()> {
    if prompt.is_empty() {
        return Err(LmError::Sequence("the prompt has no tokens; it needs one to predict from".into()));
    }
    prompt.iter().try_for_each(|token| model.check_token(*token))?;
    let (context, longest) = (model.config.max_positions, actions.max_length);
    if prompt.len() + longest > context {
        return Err(LmError::Sequence(format!(
            "a prompt of {} tokens and a continuation of up to {longest} exceed the model's context of {context}; \
             shorten the prompt or lower the maximum length",
            prompt.len()
        )));
    }
    Ok(())
}

struct Decoding<'a> {
    policy: Policy<'a>,
    actions: &'a ActionSpace,
    truncation: Truncation,
    prompts: &'a [Vec<u32>],
    /// Cache rows of every prompt that is drawn from.
    prompt_rows: Vec<Range<usize>>,
    cache: KvCache,
    sequences: Vec<Sequence>,
}

struct Sequence {
    draw: Draw,
    rng: ChaCha8Rng,
    tokens: Vec<u32>,
    stop_token: Option<u32>,
    log_q: f64,
    /// Where its keys and values go.
    cache_rows: Range<usize>,
    done: bool,
}

impl<'a> Decoding<'a> {
    /// Reads the prompts and takes the first step of every draw.
    fn start(
        policy: Policy<'a>,
        prompts: &'a [Vec<u32>],
        draws: &[Draw],
        actions: &'a ActionSpace,
        truncation: Truncation,
    ) -> Result<Self> {
        let mut rows = 0;
        let mut reserve = |len: usize| {
            rows += len;
            rows - len..rows
        };
        let mut used = vec![false; prompts.len()];
        draws.iter().for_each(|draw| used[draw.prompt] = true);
        let prompt_rows = prompts.iter().zip(used).map(|(prompt, used)| reserve(if used { prompt.len() } else { 0 }));
        let prompt_rows: Vec<Range<usize>> = prompt_rows.collect();
        let sequences = draws.iter().map(|draw| Sequence {
            draw: *draw,
            rng: ChaCha8Rng::seed_from_u64(draw.seed),
            tokens: Vec::new(),
            stop_token: None,
            log_q: 0.0,
            cache_rows: reserve(actions.max_length),
            done: false,
        });
        let sequences = sequences.collect();
        let cache = KvCache::new(&policy.model.decoder, rows);
        let mut decoding = Self { policy, actions, truncation, prompts, prompt_rows, cache, sequences };
        let first = decoding.read_prompts();
        decoding.choose(first)?;
        Ok(decoding)
    }

    /// Fills the cache with the prompts. Returns the logits of every sequence's first token.
    fn read_prompts(&mut self) -> Tensor {
        let (input, last_row) = Input::of_prompts(self.prompts, &self.prompt_rows);
        let wanted: Vec<u32> = self.sequences.iter().map(|sequence| last_row[sequence.draw.prompt]).collect();
        input.run(self.policy, &mut self.cache, &wanted)
    }

    /// Takes steps until every sequence has stopped.
    fn finish(mut self) -> Result<Vec<Generated>> {
        while self.sequences.iter().any(|sequence| !sequence.done) {
            let logits = self.step();
            self.choose(logits)?;
        }
        let generated = |sequence: Sequence| Generated {
            tokens: sequence.tokens,
            stop_token: sequence.stop_token,
            log_q: sequence.log_q,
        };
        Ok(self.sequences.into_iter().map(generated).collect())
    }

    /// Feeds the last token of every live sequence. Returns their next logits.
    fn step(&mut self) -> Tensor {
        let mut input = Input::default();
        for sequence in self.sequences.iter().filter(|sequence| !sequence.done) {
            let prompt = self.prompt_rows[sequence.draw.prompt].clone();
            let new = sequence.tokens.len() - 1;
            let row = sequence.cache_rows.start + new;
            let seen = sequence.cache_rows.start..row;
            let depth = prompt.len() + new;
            let context = [prompt, seen].into_iter().filter(|range| !range.is_empty()).collect();
            input.push(&sequence.tokens[new..], depth, context, row);
        }
        input.run_all(self.policy, &mut self.cache)
    }

    /// Draws the next action of every live sequence from its row of logits.
    fn choose(&mut self, logits: Tensor) -> Result<()> {
        let (actions, truncation) = (self.actions, self.truncation);
        let mut live: Vec<&mut Sequence> = self.sequences.iter_mut().filter(|sequence| !sequence.done).collect();
        let steps: Vec<Step> = live.iter().map(|sequence| actions.at(&sequence.tokens)).collect();
        let wishes: Vec<Distribution> = live
            .iter_mut()
            .zip(&steps)
            .map(|(sequence, step)| Distribution {
                mask: actions.mask(step.mask).words(),
                inverse_temperature: (1.0 / sequence.draw.policy_temperature) as f32,
                truncation,
                uniform: sequence.rng.random(),
            })
            .collect();
        let sampled = sample::categorical(logits, &wishes);
        if !sampled.distributions.is_finite() {
            return Err(LmError::NotFinite);
        }
        for (row, (sequence, step)) in live.iter_mut().zip(&steps).enumerate() {
            let token = sampled.id(row);
            if step.stop.contains(&token) {
                sequence.log_q += sampled.distributions.log_prob_of_any(row, &step.stop);
                sequence.stop_token = Some(token);
                sequence.done = true;
            } else {
                sequence.log_q += sampled.distributions.log_prob(row, token);
                sequence.tokens.push(token);
                sequence.done = actions.at(&sequence.tokens).forced;
            }
        }
        Ok(())
    }
}

//! Beam search and diverse beam search (Vijayakumar et al. 2018) within an action space.
//!
//! A search keeps groups of beams. At every step the groups take turns: each continues its beams by their likeliest
//! actions, less `diversity_penalty` for a token as often as earlier groups took it in this step (the Hamming
//! diversity of the paper). One group is plain beam search, one beam greedy decoding. The stop is one action, as likely as all
//! stop tokens together.
//!
//! Keys and values never move: a beam has a slot of cache rows to write to and remembers in which slots its ancestors
//! wrote, and the attention plan says where to look.

use std::collections::BTreeMap;
use std::ops::Range;

use amortize_engine::Tensor;
use amortize_engine::ops::sample::{self, Distributions};

use super::group::{Beam, Group};
use super::input::Input;
use super::{LIVE, check_prompt};
use crate::actions::ActionSpace;
use crate::decoder::KvCache;
use crate::error::{LmError, Result};
use crate::policy::Policy;

/// How many beams there are and what they are ranked by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BeamOptions {
    /// Beams of all groups together.
    pub beams: usize,
    /// Groups; a divisor of `beams`.
    pub groups: usize,
    /// What a token loses for every earlier group's beam that took it in the same step, in nats.
    pub diversity_penalty: f64,
    /// A finished sequence counts its sum of log-probabilities over `length^length_penalty`, its stop included in the
    /// length: 0 is the log-probability, 1 the mean over tokens.
    pub length_penalty: f64,
}

/// A sequence that a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hypothesis {
    /// The tokens before the stop.
    pub tokens: Vec<u32>,
    /// The likeliest stop token, or `None` where the longest length forced the stop.
    pub stop_token: Option<u32>,
    /// Log-probability of the policy within the action space, in nats: what [`super::Generated::log_q`] would say.
    pub log_prob: f64,
    /// What it was ranked by: `log_prob` less the penalties of its tokens, normalised by its length.
    pub score: f64,
}

impl BeamOptions {
    /// Beam search for the likeliest sequences.
    pub fn beams(beams: usize) -> Self {
        Self { beams, groups: 1, diversity_penalty: 0.0, length_penalty: 0.0 }
    }

    /// The likeliest action at every step.
    pub fn greedy() -> Self {
        Self::beams(1)
    }

    pub(super) fn width(&self) -> usize {
        self.beams / self.groups
    }

    /// A sum of log-probabilities over `length` tokens, normalised.
    pub(super) fn normalised(&self, sum: f64, length: usize) -> f64 {
        sum / (length as f64).powf(self.length_penalty)
    }

    /// Whether a search can be made of these.
    ///
    /// # Errors
    /// If there are no beams, groups do not divide them, or a penalty is negative or no number.
    pub fn check(&self) -> Result<()> {
        let Self { beams, groups, diversity_penalty, length_penalty } = *self;
        let refuse = |problem: String| Err(LmError::Sequence(problem));
        if beams == 0 {
            return refuse("beam search needs at least one beam".into());
        }
        if groups == 0 || beams % groups != 0 {
            return refuse(format!("{beams} beams cannot be split into {groups} groups of equal size"));
        }
        for (name, value) in [("diversity penalty", diversity_penalty), ("length penalty", length_penalty)] {
            if !(0.0..=f64::MAX).contains(&value) {
                return refuse(format!("a {name} of {value}; it must be 0 or more"));
            }
        }
        Ok(())
    }
}

/// The best sequences of every prompt, best score first: as many as beams, fewer where the space holds fewer. A group
/// goes on until none of its beams can still reach the worst of its finished sequences.
///
/// # Errors
/// If the options do not fit ([`BeamOptions::check`]); a prompt is empty, has tokens out of range, or leaves no room in
/// the context for the longest continuation; or the model's probabilities are not numbers.
pub fn beam_search(
    policy: Policy,
    prompts: &[Vec<u32>],
    actions: &ActionSpace,
    options: &BeamOptions,
) -> Result<Vec<Vec<Hypothesis>>> {
    options.check()?;
    prompts.iter().try_for_each(|prompt| check_prompt(policy.model, prompt, actions))?;
    let mut found = Vec::with_capacity(prompts.len());
    for prompts in prompts.chunks((LIVE / options.beams).max(1)) {
        found.extend(Batch::new(policy, prompts, actions, options).finish()?);
    }
    Ok(found)
}

/// Searches of several prompts that take their steps together.
struct Batch<'a> {
    policy: Policy<'a>,
    prompts: &'a [Vec<u32>],
    actions: &'a ActionSpace,
    options: &'a BeamOptions,
    cache: KvCache,
    searches: Vec<Search>,
}

/// The search of one prompt.
struct Search {
    /// Cache rows of the prompt.
    prompt: Range<usize>,
    /// First cache row of the first slot. A slot has `max_length` rows.
    slots: usize,
    groups: Vec<Group>,
}

impl<'a> Batch<'a> {
    fn new(policy: Policy<'a>, prompts: &'a [Vec<u32>], actions: &'a ActionSpace, options: &'a BeamOptions) -> Self {
        let mut rows = 0;
        let mut reserve = |len: usize| {
            rows += len;
            rows - len..rows
        };
        let groups = || (0..options.groups).map(|number| Group::new(number, options.width())).collect();
        let searches = prompts.iter().map(|prompt| Search {
            prompt: reserve(prompt.len()),
            slots: reserve(options.beams * actions.max_length).start,
            groups: groups(),
        });
        let searches = searches.collect();
        let cache = KvCache::new(&policy.model.decoder, rows);
        Self { policy, prompts, actions, options, cache, searches }
    }

    fn finish(mut self) -> Result<Vec<Vec<Hypothesis>>> {
        let mut logits = self.read_prompts();
        loop {
            self.choose(logits)?;
            if self.beams().next().is_none() {
                break;
            }
            logits = self.step();
        }
        Ok(self.searches.into_iter().map(Search::finish).collect())
    }

    /// Every beam that goes on.
    fn beams(&self) -> impl Iterator<Item = &Beam> {
        self.searches.iter().flat_map(|search| &search.groups).flat_map(|group| &group.live)
    }

    /// Fills the cache with the prompts. Returns the logits of every group's first token.
    fn read_prompts(&mut self) -> Tensor {
        let rows: Vec<Range<usize>> = self.searches.iter().map(|search| search.prompt.clone()).collect();
        let (input, last_row) = Input::of_prompts(self.prompts, &rows);
        let wanted: Vec<u32> = last_row.iter().flat_map(|row| vec![*row; self.options.groups]).collect();
        input.run(self.policy, &mut self.cache, &wanted)
    }

    /// Feeds the last token of every beam. Returns their next logits.
    fn step(&mut self) -> Tensor {
        let mut input = Input::default();
        let length = self.actions.max_length;
        for search in &self.searches {
            for beam in search.groups.iter().flat_map(|group| &group.live) {
                let mut seen = beam.seen_rows(length, search.slots);
                let new = seen.pop().expect("a beam that goes on has a token");
                let depth = search.prompt.len() + beam.tokens.len() - 1;
                let context = [search.prompt.clone()].into_iter().chain(seen).collect();
                input.push(&beam.tokens[beam.tokens.len() - 1..], depth, context, new.start);
            }
        }
        input.run_all(self.policy, &mut self.cache)
    }

    /// Lets every group choose from its beams' rows of logits.
    fn choose(&mut self, logits: Tensor) -> Result<()> {
        let masks: Vec<&[u64]> =
            self.beams().map(|beam| self.actions.mask(self.actions.at(&beam.tokens).mask).words()).collect();
        let distributions = sample::normalise(logits, &masks);
        if !distributions.is_finite() {
            return Err(LmError::NotFinite);
        }
        let mut row = 0;
        for search in &mut self.searches {
            row = search.choose(&distributions, row, self.actions, self.options);
        }
        Ok(())
    }
}

impl Search {
    /// Lets the groups choose, one after the other. Their rows begin at `row`; returns where those of the next search do.
    fn choose(
        &mut self,
        distributions: &Distributions,
        mut row: usize,
        actions: &ActionSpace,
        options: &BeamOptions,
    ) -> usize {
        let mut taken = BTreeMap::new();
        for group in &mut self.groups {
            let rows = group.live.len();
            group.step(distributions, row, actions, options, &mut taken);
            row += rows;
        }
        row
    }

    fn finish(self) -> Vec<Hypothesis> {
        let mut found: Vec<Hypothesis> = self.groups.into_iter().flat_map(|group| group.finished).collect();
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        found
    }
}

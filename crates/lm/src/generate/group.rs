//! One group of beams: how it ranks its continuations, and when it is done.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Range;

use amortize_engine::ops::sample::Distributions;

use super::beam::{BeamOptions, Hypothesis};
use crate::actions::ActionSpace;

/// A sequence that goes on.
#[derive(Clone, Debug)]
pub(super) struct Beam {
    pub tokens: Vec<u32>,
    log_prob: f64,
    /// `log_prob` less penalties.
    score: f64,
    /// The slot that each token's keys and values go to.
    slots: Vec<usize>,
}

impl Beam {
    /// Cache rows of its tokens as runs, the last token's a run of its own. A slot has `length` rows, the first slot's
    /// first row is `first`.
    pub fn seen_rows(&self, length: usize, first: usize) -> Vec<Range<usize>> {
        let mut runs: Vec<Range<usize>> = Vec::new();
        for (time, slot) in self.slots.iter().enumerate() {
            let row = first + slot * length + time;
            match runs.last_mut() {
                Some(run) if run.end == row && time + 1 < self.slots.len() => run.end += 1,
                _ => runs.push(row..row + 1),
            }
        }
        runs
    }
}

/// Beams that compete with one another.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// The slots of its beams.
    slots: Range<usize>,
    /// Beams that go on; none once the group is done.
    pub live: Vec<Beam>,
    /// The best sequences that have stopped, best first; no more than the group has beams.
    pub finished: Vec<Hypothesis>,
}

/// A beam with one more action.
struct Candidate {
    parent: usize,
    token: u32,
    stops: bool,
    log_prob: f64,
    score: f64,
}

impl Group {
    /// The group of that number, with `width` beams once it has begun.
    pub fn new(number: usize, width: usize) -> Self {
        let root = Beam { tokens: Vec::new(), log_prob: 0.0, score: 0.0, slots: Vec::new() };
        Self { slots: number * width..(number + 1) * width, live: vec![root], finished: Vec::new() }
    }

    /// Continues the beams, whose distributions begin at `row`. `taken` counts the tokens that groups took in this step: those of
    /// earlier groups, and then of this one, also where its sequences end here.
    pub fn step(
        &mut self,
        distributions: &Distributions,
        row: usize,
        actions: &ActionSpace,
        options: &BeamOptions,
        taken: &mut BTreeMap<u32, usize>,
    ) {
        let width = self.slots.len();
        let of_beam = |(parent, beam): (usize, &Beam)| {
            let stop = actions.at(&beam.tokens).stop;
            candidates(beam, parent, distributions, row + parent, &stop, options, taken)
        };
        let mut all: Vec<Candidate> = self.live.iter().enumerate().flat_map(of_beam).collect();
        all.sort_by(Candidate::order);
        let mut next = Vec::with_capacity(width);
        for (rank, candidate) in all.into_iter().enumerate() {
            // A stop counts only among the best, so that a search for long sequences is not cut short by poor ones.
            match candidate.stops {
                true if rank < width => self.stop(&candidate, options),
                false if next.len() < width => next.push(candidate),
                _ if next.len() == width => break,
                _ => {}
            }
        }
        self.go_on(&next);
        next.iter().for_each(|candidate| *taken.entry(candidate.token).or_insert(0) += 1);
        self.retire(actions, options);
    }

    fn stop(&mut self, candidate: &Candidate, options: &BeamOptions) {
        let tokens = self.live[candidate.parent].tokens.clone();
        let score = options.normalised(candidate.score, tokens.len() + 1);
        self.finished.push(Hypothesis {
            tokens,
            stop_token: Some(candidate.token),
            log_prob: candidate.log_prob,
            score,
        });
    }

    /// Makes beams of the chosen candidates. The first child of a beam writes on in its parent's slot.
    fn go_on(&mut self, chosen: &[Candidate]) {
        let mut free: Vec<usize> = self.slots.clone().collect();
        let mut take = |slot: Option<usize>| {
            let place = free.iter().position(|free| Some(*free) == slot)?;
            Some(free.remove(place))
        };
        let parent_slot = |candidate: &Candidate| self.live[candidate.parent].slots.last().copied();
        let mut slots: Vec<Option<usize>> = chosen.iter().map(|candidate| take(parent_slot(candidate))).collect();
        slots.iter_mut().filter(|slot| slot.is_none()).for_each(|slot| *slot = free.pop());
        let beam = |(candidate, slot): (&Candidate, Option<usize>)| {
            let mut beam = self.live[candidate.parent].clone();
            beam.tokens.push(candidate.token);
            beam.slots.push(slot.expect("no more candidates than slots"));
            Beam { log_prob: candidate.log_prob, score: candidate.score, ..beam }
        };
        self.live = chosen.iter().zip(slots).map(beam).collect();
    }

    /// Ends the beams of the greatest length, keeps the best sequences, and all beams end if none can join these.
    fn retire(&mut self, actions: &ActionSpace, options: &BeamOptions) {
        let (forced, live) =
            std::mem::take(&mut self.live).into_iter().partition(|beam| actions.at(&beam.tokens).forced);
        self.live = live;
        let forced: Vec<Beam> = forced;
        self.finished.extend(forced.into_iter().map(|beam| Hypothesis {
            score: options.normalised(beam.score, beam.tokens.len()),
            log_prob: beam.log_prob,
            stop_token: None,
            tokens: beam.tokens,
        }));
        self.finished.sort_by(|a, b| b.score.total_cmp(&a.score));
        self.finished.truncate(self.slots.len());
        let worst = self.finished.get(self.slots.len() - 1).map(|worst| worst.score);
        // Sums only fall; a mean is highest at the greatest length.
        let best = self.live.first().map(|beam| options.normalised(beam.score, actions.max_length));
        if worst.zip(best).is_some_and(|(worst, best)| best <= worst) {
            self.live.clear();
        }
    }
}

impl Candidate {
    /// Best first; equals in the order of their beams and tokens.
    fn order(&self, other: &Self) -> Ordering {
        let tie = (self.parent, self.token).cmp(&(other.parent, other.token));
        other.score.total_cmp(&self.score).then(tie)
    }
}

/// The best continuations of a beam, at least twice as many as the group has beams if there are so many: half of them
/// may be stops. Any token of `stop` is the stop.
fn candidates(
    beam: &Beam,
    parent: usize,
    distributions: &Distributions,
    row: usize,
    stop: &[u32],
    options: &BeamOptions,
    taken: &BTreeMap<u32, usize>,
) -> Vec<Candidate> {
    let candidate = |token: u32, stops: bool, log_prob: f64, penalty: f64| Candidate {
        parent,
        token,
        stops,
        log_prob: beam.log_prob + log_prob,
        score: beam.score + log_prob - penalty,
    };
    // Penalties only lower tokens: those that may pass penalised ones are looked at too.
    let mut likeliest = distributions.likeliest(row, 2 * options.width() + taken.len() + stop.len());
    likeliest.retain(|token| stop.binary_search(token).is_err());
    let ordinary = likeliest.into_iter().map(|token| {
        let count = taken.get(&token).copied().unwrap_or(0);
        candidate(token, false, distributions.log_prob(row, token), options.diversity_penalty * count as f64)
    });
    let by_log_prob =
        |a: &&u32, b: &&u32| distributions.log_prob(row, **a).total_cmp(&distributions.log_prob(row, **b));
    let stop_token = stop.iter().rev().max_by(by_log_prob);
    let stopped = stop_token.map(|token| candidate(*token, true, distributions.log_prob_of_any(row, stop), 0.0));
    ordinary.chain(stopped).collect()
}

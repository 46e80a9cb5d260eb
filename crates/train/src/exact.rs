//! What a policy really does where all texts with a reward can be listed: no draws, no estimates.

use std::collections::BTreeMap;

use amortize_gfn::{Query, StopReason, Trajectory};
use amortize_lm::actions::ActionSpace;
use amortize_lm::tokenizer::Tokenizer;
use amortize_lm::{ModelInfo, Policy};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::evaluate::log_q;
use crate::reward::Support;

/// Spellings of one text that are scored at most. Numbers have a few dozen with byte-fallback tokenizers.
const MOST_SPELLINGS: usize = 1000;
/// Tokens that are tried in the search for them: a long text has more ways to begin than anyone can follow.
const MOST_TRIED: usize = 1 << 20;

/// Sequences that go through the model at once.
const AT_ONCE: usize = 512;

/// The policy's distribution over the texts of a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Exact {
    /// How far it is from the target.
    #[serde(flatten)]
    pub distances: Distances,
    /// Every text, in the table's order.
    pub distribution: Vec<Share>,
}

/// How far a policy is from a target over listed texts. A text's mass is that of all of its spellings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Distances {
    /// KL(q || target) in nats, q being the policy restricted to the texts.
    pub kl: f64,
    /// KL(target || policy) in nats; `null` where the policy misses a text.
    pub reverse_kl: f64,
    /// Half the sum of absolute differences, invalid texts included.
    pub total_variation: f64,
    /// The policy's mass on all other texts.
    pub invalid_mass: f64,
    /// Whether all spellings were scored. If not, invalid_mass is an upper bound.
    pub all_spellings: bool,
}

/// A text with its probabilities.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// The text, without what the table has before it.
    pub text: String,
    /// Under the target.
    pub target: f64,
    /// Under the policy.
    pub policy: f64,
}

/// The policy's exact distribution over the texts of `support`, for every query, against that at a reward temperature.
///
/// # Errors
/// If the model cannot read a sequence.
pub fn exact(
    policy: Policy,
    queries: &[Query],
    support: &Support,
    actions: &ActionSpace,
    reward_temperature: f64,
) -> Result<Vec<Exact>> {
    let target: Vec<f64> = support.log_probs(reward_temperature);
    let speller = Speller::new(policy.model, actions);
    let (mut sequences, mut entries, mut all_spellings) = (Vec::new(), Vec::new(), true);
    for (entry, (text, _)) in support.entries.iter().enumerate() {
        let (spellings, all) = speller.spellings(&format!("{}{text}", support.before));
        entries.extend(std::iter::repeat_n(entry, spellings.len()));
        sequences.extend(spellings.into_iter().map(|z| Trajectory { z, stop: StopReason::MaxLength }));
        all_spellings &= all;
    }
    let of_query = |query: &Query| {
        let mut masses = vec![0.0; target.len()];
        for (sequences, entries) in sequences.chunks(AT_ONCE).zip(entries.chunks(AT_ONCE)) {
            let query_of = vec![0; sequences.len()];
            let log_q = log_q(policy, std::slice::from_ref(query), &query_of, sequences, actions)?;
            entries.iter().zip(log_q).for_each(|(entry, log_q)| masses[*entry] += log_q.exp());
        }
        Ok(compare(support, &target, &masses, all_spellings))
    };
    queries.iter().map(of_query).collect()
}

fn compare(support: &Support, log_target: &[f64], masses: &[f64], all_spellings: bool) -> Exact {
    let valid: f64 = masses.iter().sum();
    let pairs = || masses.iter().copied().zip(log_target.iter().copied());
    // 0 log 0 = 0.
    let of_valid = |(mass, log_target): (f64, f64)| {
        if mass > 0.0 { mass / valid * ((mass / valid).ln() - log_target) } else { 0.0 }
    };
    let of_target = |(mass, log_target): (f64, f64)| log_target.exp() * (log_target - mass.ln());
    // Rounding may leave a little more than one.
    let invalid_mass = (1.0 - valid).max(0.0);
    let difference: f64 = pairs().map(|(mass, log_target)| (mass - log_target.exp()).abs()).sum();
    let distances = Distances {
        kl: if valid > 0.0 { pairs().map(of_valid).sum() } else { f64::NAN },
        reverse_kl: pairs().map(of_target).sum(),
        total_variation: 0.5 * (difference + invalid_mass),
        invalid_mass,
        all_spellings,
    };
    let texts = support.entries.iter().map(|(text, _)| text.clone());
    let share = |(text, (policy, log_target)): (String, (f64, f64))| Share { text, target: log_target.exp(), policy };
    Exact { distances, distribution: texts.zip(pairs()).map(share).collect() }
}

/// The averages over queries; `None` of none.
pub fn mean(all: &[Exact]) -> Option<Exact> {
    let first = all.first()?;
    let mean = |of: &dyn Fn(&Exact) -> f64| all.iter().map(of).sum::<f64>() / all.len() as f64;
    let share =
        |(i, share): (usize, &Share)| Share { policy: mean(&|exact| exact.distribution[i].policy), ..share.clone() };
    Some(Exact {
        distances: Distances {
            kl: mean(&|exact| exact.distances.kl),
            reverse_kl: mean(&|exact| exact.distances.reverse_kl),
            total_variation: mean(&|exact| exact.distances.total_variation),
            invalid_mass: mean(&|exact| exact.distances.invalid_mass),
            all_spellings: first.distances.all_spellings,
        },
        distribution: first.distribution.iter().enumerate().map(share).collect(),
    })
}

/// Knows all ways to write a text with the tokens that a policy may draw.
struct Speller<'a> {
    tokenizer: &'a Tokenizer,
    actions: &'a ActionSpace,
    /// The tokens that append these bytes.
    by_bytes: BTreeMap<&'a [u8], Vec<u32>>,
    /// Bytes of the longest of them.
    longest: usize,
}

/// What has been found of a text's spellings so far.
#[derive(Default)]
struct Search {
    begun: Vec<u32>,
    found: Vec<Vec<u32>>,
    /// Tokens that were tried at some place.
    tried: usize,
}

impl<'a> Speller<'a> {
    fn new(model: &'a ModelInfo, actions: &'a ActionSpace) -> Self {
        let mut by_bytes: BTreeMap<&[u8], Vec<u32>> = BTreeMap::new();
        let drawable = |token: &u32| actions.masks().iter().any(|mask| mask.allowed(*token));
        for token in (0..model.tokenizer.vocab_size() as u32).filter(drawable) {
            by_bytes.entry(model.tokenizer.token_bytes(token)).or_default().push(token);
        }
        // A token without text would spell everything in endless ways.
        by_bytes.remove(&[][..]);
        let longest = by_bytes.keys().map(|bytes| bytes.len()).max().unwrap_or(0);
        Self { tokenizer: &model.tokenizer, actions, by_bytes, longest }
    }

    /// The spellings that can be drawn, the tokenizer's own among them, and whether they are all there are.
    fn spellings(&self, text: &str) -> (Vec<Vec<u32>>, bool) {
        let mut search = Search::default();
        let all = self.extend(text.as_bytes(), &mut search);
        let mut found = search.found;
        let own = self.tokenizer.encode_completion(text).unwrap_or_default();
        if !all && !found.contains(&own) && self.actions.check(&own, None).is_ok() {
            found.push(own);
        }
        (found, all)
    }

    /// Adds all that `search.begun` with `rest` after it can be; false if there are too many.
    fn extend(&self, rest: &[u8], search: &mut Search) -> bool {
        if rest.is_empty() {
            if self.actions.check(&search.begun, None).is_ok() {
                search.found.push(search.begun.clone());
            }
            return true;
        }
        if search.begun.len() == self.actions.max_length {
            return true;
        }
        for end in 1..=rest.len().min(self.longest) {
            for token in self.by_bytes.get(&rest[..end]).into_iter().flatten() {
                search.tried += 1;
                if search.found.len() == MOST_SPELLINGS || search.tried > MOST_TRIED {
                    return false;
                }
                search.begun.push(*token);
                let all = self.extend(&rest[end..], search);
                search.begun.pop();
                if !all {
                    return false;
                }
            }
        }
        true
    }
}

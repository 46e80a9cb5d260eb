//! The base model's own probability of a text with Z in it, for every prefix of Z.

use std::collections::BTreeMap;
use std::ops::Range;

use amortize_engine::SegmentId;
use amortize_gfn::diagnostics::log_sum_exp;
use amortize_gfn::{Prefixes, Query, Reward, Table, Trajectory};
use amortize_lm::actions::{ActionSpace, TokenMask};
use amortize_lm::{Forest, Policy, Questions};

use super::contexts::{Context, Contexts};
use crate::config::{Classifier, Likelihood, RewardMask};
use crate::error::{Result, TrainError};

/// Rows of a forest that are enough to begin another: prompts and what trajectories share are computed once a forest.
const PACKED: usize = 1 << 14;

/// The untempered reward p_LM(Z ⊤ Y | X), which is proportional to p_LM(X Z ⊤ Y); Y may be absent.
///
/// For every prefix z_1:k after which the policy may stop,
///
/// `log R_k = sum over i <= k of log p(z_i | X z_<i) + log sum over stops s of p(s | X z_1:k) p(Y | X z_1:k s)`.
///
/// X and Y are the query's, or what templates make of its texts. A token of Z that the action space does not allow makes the reward zero. Y is given, so no mask applies to it.
///
/// All prefixes of all trajectories are scored in packed forward passes: the stop and Y follow every prefix as a path
/// that branches off Z there, and what is the same in several trajectories is computed once.
#[derive(Clone, Debug)]
pub struct LikelihoodReward<'a> {
    base: Policy<'a>,
    actions: &'a ActionSpace,
    /// All tokens that some step allows.
    allowed: TokenMask,
    mask: RewardMask,
    stop_is_text: bool,
    contexts: Contexts,
    counts: Counts,
}

/// Which probabilities make the reward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counts {
    /// Those of Z, of its stop where that is text, and of what follows.
    All,
    /// That of what follows alone: of the first alternative among all, if there are several.
    After,
}

impl<'a> LikelihoodReward<'a> {
    /// p(Z ⊤ | X) under `base`, usually the frozen model itself: the reward of continuation (paper equation 5).
    pub fn continuation(base: Policy<'a>, actions: &'a ActionSpace, mask: RewardMask) -> Self {
        let allowed = TokenMask::from_fn(base.model.config.vocab_size, |token| {
            actions.masks().iter().any(|mask| mask.allowed(token))
        });
        let contexts = Contexts::OfQuery { y_follows: false };
        Self { base, actions, allowed, mask, stop_is_text: true, contexts, counts: Counts::All }
    }

    /// p(Z ⊤ Y | X): the reward of infilling (paper section 4.2), with X and Y of the query.
    pub fn infilling(base: Policy<'a>, actions: &'a ActionSpace, mask: RewardMask) -> Self {
        let contexts = Contexts::OfQuery { y_follows: true };
        Self { contexts, ..Self::continuation(base, actions, mask) }
    }

    /// p(Z ⊤ suffix | prefix) for texts made of the query's.
    pub fn of_term(term: &Likelihood, base: Policy<'a>, actions: &'a ActionSpace, mask: RewardMask) -> Self {
        let contexts = Contexts::of_likelihood(term);
        Self { contexts, stop_is_text: term.stop, ..Self::continuation(base, actions, mask) }
    }

    /// p(label | a text with Z in it), without Z's stop; among several labels if there are others.
    pub fn classifier(term: &Classifier, base: Policy<'a>, actions: &'a ActionSpace) -> Self {
        let contexts = Contexts::of_classifier(term);
        let reward = Self::continuation(base, actions, RewardMask::Zero).without_stop();
        Self { contexts, counts: Counts::After, ..reward }
    }

    /// The same where the stop is the policy's own sign that Z has ended and no part of the text: p(Z Y | X).
    pub fn without_stop(self) -> Self {
        Self { stop_is_text: false, ..self }
    }

    fn context(&self, query: &Query) -> Result<Context> {
        Ok(self.contexts.of(query, &self.base.model.tokenizer)?)
    }

    /// The texts that may follow `z`, and how many of their first tokens are the policy's own.
    fn endings(&self, context: &Context, z: &[u32]) -> Vec<Text> {
        let stops = self.actions.at(z).stop;
        let Context { given, afters, .. } = context;
        let text = |stop: &[u32], after: &Vec<u32>| Text {
            tokens: [stop, given, after].concat(),
            masked: stop.len(),
            unscored: given.len(),
        };
        match self.stop_is_text {
            true => stops.iter().flat_map(|stop| afters.iter().map(move |after| text(&[*stop], after))).collect(),
            // Whichever token it is, the text goes on alike.
            false => stops.first().map(|_| afters.iter().map(|after| text(&[], after))).into_iter().flatten().collect(),
        }
    }

    fn ask(&self, part: &mut Part, number: usize, context: &Context, z: &[u32], prefixes: Prefixes) {
        let (before, Part { forest, roots, .. }) = (context.before.len(), &mut *part);
        let root = *roots.entry(number).or_insert_with(|| forest.root(number as u64, &context.before));
        // All of Z first: a segment is the longer for it.
        let path = forest.extend_path(root, before, z);
        let own = Text { tokens: z.to_vec(), masked: z.len(), unscored: 0 };
        let tokens = (self.counts == Counts::All).then(|| part.ask(path, before, &own));
        let asked = |k: usize| prefixes == Prefixes::All || k == z.len();
        let endings = (0..=z.len()).map(|k| {
            let texts = if asked(k) { self.endings(context, &z[..k]) } else { Vec::new() };
            texts.iter().map(|text| part.ask(path, before + k, text)).collect()
        });
        let endings = endings.collect();
        part.asked.push(Asked { z: z.to_vec(), tokens, endings });
    }

    fn part(&self) -> Part {
        let mut part = Part::default();
        if self.mask == RewardMask::Renormalise {
            part.mask = Some(part.questions.add_mask(self.allowed.clone()));
        }
        part
    }

    /// log R of the prefixes that are asked for, of all trajectories; of the others minus infinity.  `[n, len+1]`
    fn rows(
        &self,
        prefixes: Prefixes,
        queries: &[Query],
        query_of: &[usize],
        trajectories: &[Trajectory],
    ) -> Result<Vec<Vec<f64>>> {
        let mut rows = Vec::with_capacity(trajectories.len());
        let mut part = self.part();
        let mut contexts = BTreeMap::new();
        for (number, Trajectory { z, .. }) in query_of.iter().zip(trajectories) {
            if !contexts.contains_key(number) {
                contexts.insert(*number, self.context(&queries[*number])?);
            }
            self.ask(&mut part, *number, &contexts[number], z, prefixes);
            if part.forest.tokens().len() >= PACKED {
                rows.extend(self.score(&part)?);
                part = self.part();
            }
        }
        if !part.asked.is_empty() {
            rows.extend(self.score(&part)?);
        }
        Ok(rows)
    }

    /// log R of every prefix of the part's trajectories.
    fn score(&self, part: &Part) -> Result<Vec<Vec<f64>>> {
        let answers = self.base.score(&part.forest, &part.questions)?;
        Ok(part.asked.iter().map(|asked| asked.log_reward(&answers, &self.allowed)).collect())
    }
}

impl Reward for LikelihoodReward<'_> {
    type Error = TrainError;

    fn log_reward(&mut self, queries: &[Query], query_of: &[usize], trajectories: &[Trajectory]) -> Result<Table> {
        Ok(Table::from_rows(self.rows(Prefixes::All, queries, query_of, trajectories)?))
    }

    fn final_log_reward(
        &mut self,
        queries: &[Query],
        query_of: &[usize],
        trajectories: &[Trajectory],
    ) -> Result<Vec<f64>> {
        let rows = self.rows(Prefixes::Whole, queries, query_of, trajectories)?;
        Ok(rows.iter().map(|row| row[row.len() - 1]).collect())
    }
}

/// Tokens to be scored after a path. The reward's mask, if it has one, applies to the first `masked` of them; `unscored`
/// ones after those are only read.
struct Text {
    tokens: Vec<u32>,
    masked: usize,
    unscored: usize,
}

/// Trajectories whose rewards come from one forward pass.
#[derive(Default)]
struct Part {
    forest: Forest,
    questions: Questions,
    mask: Option<usize>,
    /// Where each query's X is, by its number.
    roots: BTreeMap<usize, SegmentId>,
    asked: Vec<Asked>,
}

impl Part {
    /// Asks for every token of `text` after the first `seen` tokens of the path that ends in `segment`.
    fn ask(&mut self, segment: SegmentId, seen: usize, text: &Text) -> Range<usize> {
        let first = self.questions.len();
        // The last token is predicted and need not be read.
        let read = text.tokens.len().saturating_sub(1);
        let path = self.forest.extend_path(segment, seen, &text.tokens[..read]);
        let unscored = text.masked..text.masked + text.unscored;
        for (i, token) in text.tokens.iter().enumerate().filter(|(i, _)| !unscored.contains(i)) {
            let mask = self.mask.filter(|_| i < text.masked);
            self.questions.ask(self.forest.row_at(path, seen + i - 1), *token, mask);
        }
        first..self.questions.len()
    }
}

/// The questions about one trajectory.
struct Asked {
    z: Vec<u32>,
    /// About its tokens, if they count.
    tokens: Option<Range<usize>>,
    /// About every text that may follow each prefix; none where the policy may not stop, or nobody asks.  `[len+1]`
    endings: Vec<Vec<Range<usize>>>,
}

impl Asked {
    /// log R of every prefix, minus infinity where the policy may not stop.  `[len+1]`
    fn log_reward(&self, answers: &[f64], allowed: &TokenMask) -> Vec<f64> {
        let of_text = |questions: &Range<usize>| answers[questions.clone()].iter().sum();
        let mut log_p = 0.0;
        let mut row = Vec::with_capacity(self.endings.len());
        for (k, endings) in self.endings.iter().enumerate() {
            let ways: Vec<f64> = endings.iter().map(of_text).collect();
            let Some(tokens) = &self.tokens else {
                row.push(first_among(&ways));
                continue;
            };
            row.push(log_p + log_sum_exp(&ways));
            if let Some(token) = self.z.get(k) {
                log_p += if allowed.allowed(*token) { answers[tokens.start + k] } else { f64::NEG_INFINITY };
            }
        }
        row
    }
}

/// The first alternative's log-probability, among all if there are others.
fn first_among(ways: &[f64]) -> f64 {
    match ways {
        [] => f64::NEG_INFINITY,
        [alone] => *alone,
        [first, ..] => first - log_sum_exp(ways),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use amortize_lm::actions::StopRule;
    use amortize_lm::{Device, Model, Precision};

    use super::*;

    #[test]
    fn what_texts_begin_with_alike_is_packed_once() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lm/tests/fixtures/llama-tiny");
        let model = Model::load(&path, &Device::cpu(), Precision::F32).expect("a fixture loads");
        let all = TokenMask::all(model.config.vocab_size);
        let actions = ActionSpace::new(all.vocab_size(), all, StopRule::tokens(&[30, 31]), 1, 9).expect("a space");
        let reward = LikelihoodReward::infilling(Policy::base(&model), &actions, RewardMask::Zero);
        let query = Query::new(vec![3, 4], vec![40, 41, 42]);
        let mut part = reward.part();
        let samples: [&[u32]; 5] = [&[5, 6, 7], &[5, 6, 7], &[5, 8], &[], &[5, 6, 7, 30]];
        let context = reward.context(&query).expect("the query's own tokens");
        samples.iter().for_each(|z| reward.ask(&mut part, 0, &context, z, Prefixes::All));
        // Every row is a distinct beginning of X z_1:k, or of X z_1:k stop Y without its last token.
        let mut rows = BTreeSet::new();
        for z in samples {
            for k in 0..=z.len() {
                let before = [&query.x, &z[..k]].concat();
                let ends = if k < 1 { vec![] } else { [30, 31].map(|stop| vec![stop, 40, 41]).to_vec() };
                for text in ends.iter().chain([&vec![]]).map(|end| [&before[..], end].concat()) {
                    rows.extend((1..=text.len()).map(|len| text[..len].to_vec()));
                }
            }
        }
        assert_eq!(part.forest.tokens().len(), rows.len());
    }
}

//! The base model's own probability of a text with Z in it, for every prefix of Z.

use std::collections::BTreeMap;
use std::ops::Range;

use amortize_engine::SegmentId;
use amortize_gfn::diagnostics::log_sum_exp;
use amortize_gfn::{Query, Reward, Table, Trajectory};
use amortize_lm::actions::{ActionSpace, TokenMask};
use amortize_lm::{Forest, Policy, Questions, ROWS_AT_ONCE};

use crate::config::RewardMask;
use crate::error::{Result, TrainError};

/// The untempered reward p_LM(Z ⊤ Y | X), which is proportional to p_LM(X Z ⊤ Y); Y may be absent.
///
/// For every prefix z_1:k after which the policy may stop,
///
/// `log R_k = sum over i <= k of log p(z_i | X z_<i) + log sum over stops s of p(s | X z_1:k) p(Y | X z_1:k s)`.
///
/// A token of Z that the action space does not allow makes the reward zero. Y is given, so no mask applies to it.
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
    y_follows: bool,
}

impl<'a> LikelihoodReward<'a> {
    /// p(Z ⊤ | X) under `base`, usually the frozen model itself: the reward of continuation (paper equation 5).
    pub fn continuation(base: Policy<'a>, actions: &'a ActionSpace, mask: RewardMask) -> Self {
        let allowed = TokenMask::from_fn(base.model.config.vocab_size, |token| {
            actions.masks().iter().any(|mask| mask.allowed(token))
        });
        Self { base, actions, allowed, mask, stop_is_text: true, y_follows: false }
    }

    /// p(Z ⊤ Y | X): the reward of infilling (paper section 4.2), with X and Y of the query.
    pub fn infilling(base: Policy<'a>, actions: &'a ActionSpace, mask: RewardMask) -> Self {
        Self { y_follows: true, ..Self::continuation(base, actions, mask) }
    }

    /// The same where the stop is the policy's own sign that Z has ended and no part of the text: p(Z Y | X).
    pub fn without_stop(self) -> Self {
        Self { stop_is_text: false, ..self }
    }

    /// The texts that may follow `z`, and how many of their first tokens are the policy's own.
    fn endings(&self, query: &Query, z: &[u32]) -> Vec<Text> {
        let y: &[u32] = if self.y_follows { &query.y } else { &[] };
        let stops = self.actions.at(z).stop;
        match self.stop_is_text {
            true => stops.iter().map(|stop| Text { tokens: [&[*stop], y].concat(), masked: 1 }).collect(),
            // Whichever token it is, the text goes on with Y.
            false => stops.first().map(|_| Text { tokens: y.to_vec(), masked: 0 }).into_iter().collect(),
        }
    }

    fn ask(&self, part: &mut Part, number: usize, query: &Query, z: &[u32]) {
        let (x, Part { forest, roots, .. }) = (query.x.len(), &mut *part);
        let root = *roots.entry(number).or_insert_with(|| forest.root(query.id, &query.x));
        // All of Z first: a segment is the longer for it.
        let path = forest.extend_path(root, x, z);
        let tokens = part.ask(path, x, &Text { tokens: z.to_vec(), masked: z.len() });
        let endings = (0..=z.len()).map(|k| {
            let texts = self.endings(query, &z[..k]);
            texts.iter().map(|text| part.ask(path, x + k, text)).collect()
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

    /// log R of every prefix of the part's trajectories.
    fn score(&self, part: &Part) -> Result<Vec<Vec<f64>>> {
        let answers = self.base.score(&part.forest, &part.questions)?;
        Ok(part.asked.iter().map(|asked| asked.log_reward(&answers, &self.allowed)).collect())
    }
}

impl Reward for LikelihoodReward<'_> {
    type Error = TrainError;

    fn log_reward(&mut self, queries: &[Query], query_of: &[usize], trajectories: &[Trajectory]) -> Result<Table> {
        let mut rows = Vec::with_capacity(trajectories.len());
        let mut part = self.part();
        for (number, Trajectory { z, .. }) in query_of.iter().zip(trajectories) {
            self.ask(&mut part, *number, &queries[*number], z);
            if part.forest.tokens().len() >= ROWS_AT_ONCE {
                rows.extend(self.score(&part)?);
                part = self.part();
            }
        }
        if !part.asked.is_empty() {
            rows.extend(self.score(&part)?);
        }
        Ok(Table::from_rows(rows))
    }
}

/// Tokens to be scored after a path; the reward's mask, if it has one, applies to the first `masked` of them.
struct Text {
    tokens: Vec<u32>,
    masked: usize,
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
        for (i, token) in text.tokens.iter().enumerate() {
            let mask = self.mask.filter(|_| i < text.masked);
            self.questions.ask(self.forest.row_at(path, seen + i - 1), *token, mask);
        }
        first..self.questions.len()
    }
}

/// The questions about one trajectory.
struct Asked {
    z: Vec<u32>,
    /// About its tokens.
    tokens: Range<usize>,
    /// About every text that may follow each prefix; none where the policy may not stop.  `[len+1]`
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
            row.push(log_p + log_sum_exp(&ways));
            if let Some(token) = self.z.get(k) {
                log_p += if allowed.allowed(*token) { answers[self.tokens.start + k] } else { f64::NEG_INFINITY };
            }
        }
        row
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
        samples.iter().for_each(|z| reward.ask(&mut part, 0, &query, z));
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

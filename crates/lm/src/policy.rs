//! A base model with an optional adapter, and questions about its next-token distributions.

use amortize_engine::ops::head::Wanted;
use amortize_engine::{AttentionPlan, on_threads};

use crate::actions::TokenMask;
use crate::adapter::Adapter;
use crate::config::ModelConfig;
use crate::decoder::{Activations, Batch, Dropout, Gradients, KvCache, Pass, Tape};
use crate::error::{LmError, Result};
use crate::forest::Forest;
use crate::model::Model;
use parts::{Part, runs};

mod parts;

/// Packed rows that are scored at once where segments allow it: enough to keep all cores busy, and few enough that what a pass without a tape
/// makes of them stays in a core's part of the last-level cache.
pub fn rows_at_once(config: &ModelConfig) -> usize {
    /// Numbers of a core's rows between the two products of the feed-forward block: 3 MiB.
    const A_CORE: usize = 3 << 18;
    const LEAST_A_CORE: usize = 256;
    const MOST: usize = 2048;
    MOST.min(LEAST_A_CORE.max(A_CORE / config.mlp_size.max(1)) * rayon::current_num_threads())
}

/// A distribution over token sequences: a base model, adapted or not. Nothing is toggled: the adapted and the frozen
/// distribution of one model are two values.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    /// The base model.
    pub model: &'a Model,
    /// The adapter, if any.
    pub adapter: Option<&'a Adapter>,
    /// Dropout on the adapter's inputs, for the scores of a training step. Sampling uses none.
    pub dropout: Option<Dropout>,
    /// What scores with a tape keep for the backward pass.
    pub activations: Activations,
}

/// Next-token log-probabilities that are asked for, in the order of asking. Questions about one row under one mask
/// share the row's softmax.
#[derive(Clone, Debug, Default)]
pub struct Questions {
    asked: Vec<Asked>,
    masks: Vec<TokenMask>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    row: u32,
    mask: Option<usize>,
    target: u32,
}

impl Questions {
    /// No questions yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a mask known; rows refer to it by the number returned.
    pub fn add_mask(&mut self, mask: TokenMask) -> usize {
        self.masks.push(mask);
        self.masks.len() - 1
    }

    /// Asks for log p(`target` | the path up to packed row `row`), renormalised over the mask's tokens if there is one.
    /// Returns the question's number.
    pub fn ask(&mut self, row: u32, target: u32, mask: Option<usize>) -> usize {
        self.asked.push(Asked { row, mask, target });
        self.asked.len() - 1
    }

    /// Number of questions.
    pub fn len(&self) -> usize {
        self.asked.len()
    }

    /// Whether nothing was asked.
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    fn mask_words(&self) -> Vec<&[u64]> {
        self.masks.iter().map(TokenMask::words).collect()
    }

    /// The questions about rows that have a place in a batch, as questions about that place.
    fn compile(&self, place: impl Fn(u32) -> Option<u32>) -> Compiled {
        let placed = |(i, asked): (usize, &Asked)| Some((Asked { row: place(asked.row)?, ..*asked }, i));
        let mut asked: Vec<(Asked, usize)> = self.asked.iter().enumerate().filter_map(placed).collect();
        asked.sort();
        let mut compiled = Compiled { offsets: vec![0], ..Compiled::default() };
        let mut last = None;
        for (Asked { row, mask, target }, question) in asked {
            if last != Some((row, mask)) {
                if last.is_some() {
                    compiled.offsets.push(compiled.targets.len());
                }
                compiled.rows.push(row);
                compiled.row_mask.push(mask);
                last = Some((row, mask));
            }
            compiled.targets.push(target);
            compiled.order.push(question);
        }
        if last.is_some() {
            compiled.offsets.push(compiled.targets.len());
        }
        compiled
    }
}

/// Questions sorted by row: each distinct (row, mask) once.
#[derive(Clone, Debug, Default)]
struct Compiled {
    rows: Vec<u32>,
    row_mask: Vec<Option<usize>>,
    offsets: Vec<usize>,
    targets: Vec<u32>,
    /// The question that each target answers.
    order: Vec<usize>,
}

impl Compiled {
    fn wanted<'a>(&'a self, masks: &'a [&'a [u64]]) -> Wanted<'a> {
        Wanted {
            offsets: &self.offsets,
            targets: &self.targets,
            masks,
            row_mask: &self.row_mask,
            inverse_temperature: 1.0,
        }
    }

    /// Puts answers where their questions were asked.
    fn restore(&self, log_probs: &[f32], answers: &mut [f64]) {
        for (log_prob, question) in log_probs.iter().zip(&self.order) {
            answers[*question] = f64::from(*log_prob);
        }
    }

    fn arrange(&self, coefficients: &[f64]) -> Vec<f32> {
        self.order.iter().map(|question| coefficients[*question] as f32).collect()
    }
}

/// A forward pass that can be followed by a backward pass.
#[derive(Debug)]
pub struct ScoredWithTape {
    /// Log-probabilities in nats, in the order of asking.
    pub log_probs: Vec<f64>,
    compiled: Compiled,
    tape: Tape,
    plan: AttentionPlan,
}

impl<'a> Policy<'a> {
    /// The base model itself.
    pub fn base(model: &'a Model) -> Self {
        Self { model, adapter: None, dropout: None, activations: Activations::Kept }
    }

    /// The base model under an adapter.
    pub fn adapted(model: &'a Model, adapter: &'a Adapter) -> Self {
        Self { adapter: Some(adapter), ..Self::base(model) }
    }

    /// The same with dropout: equal seeds give equal masks.
    pub fn with_dropout(self, seed: u64) -> Self {
        Self { dropout: Some(Dropout { seed }), ..self }
    }

    /// The same with another choice between memory and time for [`Policy::score_with_tape`].
    pub fn with_activations(self, activations: Activations) -> Self {
        Self { activations, ..self }
    }

    /// Log-probabilities of all questions, in nats, in the order of asking. The memory that it takes is bounded: only some rows go
    /// through the model at a time, [`rows_at_once`].
    ///
    /// # Errors
    /// If a token is not in the vocabulary, a sequence is longer than the model's context, or the model's
    /// probabilities are not numbers.
    pub fn score(&self, forest: &Forest, questions: &Questions) -> Result<Vec<f64>> {
        self.check(forest, questions)?;
        let mut answers = vec![0.0; questions.len()];
        on_threads(|| {
            for run in runs(&forest.attention_plan(), rows_at_once(&self.model.config)) {
                let mut cache = (run.cache > 0).then(|| KvCache::new(&self.model.decoder, run.cache));
                for part in &run.parts {
                    self.score_part(forest, part, cache.as_mut(), questions, &mut answers);
                }
            }
        });
        if answers.iter().any(|log_prob| log_prob.is_nan()) {
            return Err(LmError::NotFinite);
        }
        Ok(answers)
    }

    fn score_part(
        &self,
        forest: &Forest,
        part: &Part,
        cache: Option<&mut KvCache>,
        questions: &Questions,
        answers: &mut [f64],
    ) {
        let mut place = vec![None; forest.tokens().len()];
        part.rows.iter().zip(0..).for_each(|(row, new)| place[*row as usize] = Some(new));
        let compiled = questions.compile(|row| place[row as usize]);
        if compiled.rows.is_empty() && cache.is_none() {
            return;
        }
        let of = |all: &[u32]| -> Vec<u32> { part.rows.iter().map(|row| all[*row as usize]).collect() };
        let path_keys: Vec<u64> = part.rows.iter().map(|row| forest.path_keys()[*row as usize]).collect();
        let (tokens, depths) = (of(forest.tokens()), of(forest.depths()));
        let batch = Batch { tokens: &tokens, depths: &depths, path_keys: &path_keys, plan: &part.plan };
        let masks = questions.mask_words();
        let cache = cache.map(|cache| (cache, part.cached.as_slice()));
        let scored = self.model.decoder.score(&self.pass(batch), cache, &compiled.rows, &compiled.wanted(&masks));
        compiled.restore(&scored.log_probs, answers);
    }

    /// The same at once, keeping what [`Policy::backward`] needs.
    ///
    /// # Errors
    /// As [`Policy::score`], but for probabilities that are not numbers.
    pub fn score_with_tape(&self, forest: &Forest, questions: &Questions) -> Result<ScoredWithTape> {
        self.check(forest, questions)?;
        let (compiled, plan) = (questions.compile(Some), forest.attention_plan());
        let masks = questions.mask_words();
        let (pass, wanted) = (self.pass(batch(forest, &plan)), compiled.wanted(&masks));
        let decoder = &self.model.decoder;
        let tape = on_threads(|| decoder.score_with_tape(&pass, &compiled.rows, &wanted, self.activations));
        let mut log_probs = vec![0.0; questions.len()];
        compiled.restore(&tape.scored.log_probs, &mut log_probs);
        Ok(ScoredWithTape { log_probs, compiled, tape, plan })
    }

    fn check(&self, forest: &Forest, questions: &Questions) -> Result<()> {
        self.model.check(forest)?;
        questions.asked.iter().try_for_each(|asked| self.model.check_token(asked.target))
    }

    fn pass<'b>(&'b self, batch: Batch<'b>) -> Pass<'b> {
        Pass { batch, adapter: self.adapter, dropout: self.dropout }
    }

    /// Adds the gradient of `Σ c_i log p_i` over the questions, c in the order of asking.
    ///
    /// # Panics
    /// If forest, questions or policy are others than those that were scored.
    pub fn backward(
        &self,
        forest: &Forest,
        questions: &Questions,
        scored: &ScoredWithTape,
        coefficients: &[f64],
        gradients: &mut Gradients,
    ) {
        assert_eq!(coefficients.len(), scored.log_probs.len());
        let masks = questions.mask_words();
        let coefficients = scored.compiled.arrange(coefficients);
        let (pass, wanted) = (self.pass(batch(forest, &scored.plan)), scored.compiled.wanted(&masks));
        let decoder = &self.model.decoder;
        on_threads(|| decoder.backward(&scored.tape, &pass, &wanted, &coefficients, gradients));
    }

    /// Log-probability of every token of `completion` after `prompt`, in nats.  `[completion]`
    ///
    /// # Errors
    /// If the prompt is empty, or as [`Policy::score`].
    pub fn score_completion(&self, prompt: &[u32], completion: &[u32]) -> Result<Vec<f64>> {
        if prompt.is_empty() {
            return Err(LmError::Sequence("the prompt has no tokens; it needs one to predict from".into()));
        }
        let mut forest = Forest::new();
        let root = forest.root(0, prompt);
        let known = completion.len().saturating_sub(1);
        let leaf = forest.child(root, prompt.len(), &completion[..known]);
        let mut questions = Questions::new();
        for (i, token) in completion.iter().enumerate() {
            questions.ask(forest.row_at(leaf, prompt.len() + i - 1), *token, None);
        }
        self.score(&forest, &questions)
    }
}

/// A whole forest as a batch.
fn batch<'a>(forest: &'a Forest, plan: &'a AttentionPlan) -> Batch<'a> {
    Batch { tokens: forest.tokens(), depths: forest.depths(), path_keys: forest.path_keys(), plan }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_about_one_row_share_it_and_come_back_in_order() {
        let mut questions = Questions::new();
        for (row, target) in [(5, 1), (2, 9), (5, 0), (5, 1)] {
            questions.ask(row, target, None);
        }
        let compiled = questions.compile(Some);
        assert_eq!(compiled.rows, [2, 5]);
        assert_eq!(compiled.offsets, [0, 1, 4]);
        assert_eq!(compiled.targets, [9, 0, 1, 1]);
        let mut answers = [0.0; 4];
        compiled.restore(&[0.9, 0.0, 0.1, 0.2], &mut answers);
        assert_eq!(answers, [0.1f32, 0.9, 0.0, 0.2].map(f64::from));
        assert_eq!(compiled.arrange(&[10.0, 20.0, 30.0, 40.0]), [20.0, 30.0, 10.0, 40.0]);
    }

    #[test]
    fn questions_about_rows_elsewhere_are_left_out() {
        let mut questions = Questions::new();
        for (row, target) in [(5, 1), (2, 9), (5, 0)] {
            questions.ask(row, target, None);
        }
        let compiled = questions.compile(|row| (row == 5).then_some(0));
        assert_eq!((compiled.rows, compiled.offsets, compiled.targets), (vec![0], vec![0, 2], vec![0, 1]));
        assert_eq!(compiled.order, [2, 0]);
    }
}

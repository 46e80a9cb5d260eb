//! A base model with an optional adapter, and questions about its next-token distributions.

use amortize_engine::AttentionPlan;
use amortize_engine::ops::head::Wanted;

use crate::actions::TokenMask;
use crate::adapter::Adapter;
use crate::decoder::{Batch, Dropout, Gradients, Pass, Tape};
use crate::error::{LmError, Result};
use crate::forest::Forest;
use crate::model::Model;

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

    fn compile(&self) -> Compiled {
        let mut order: Vec<usize> = (0..self.asked.len()).collect();
        order.sort_by_key(|i| (self.asked[*i], *i));
        let mut compiled = Compiled { offsets: vec![0], ..Compiled::default() };
        let mut last = None;
        for i in &order {
            let Asked { row, mask, target } = self.asked[*i];
            if last != Some((row, mask)) {
                if last.is_some() {
                    compiled.offsets.push(compiled.targets.len());
                }
                compiled.rows.push(row);
                compiled.row_mask.push(mask);
                last = Some((row, mask));
            }
            compiled.targets.push(target);
        }
        if last.is_some() {
            compiled.offsets.push(compiled.targets.len());
        }
        compiled.order = order;
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

    /// Answers in the order of asking.
    fn restore(&self, log_probs: &[f32]) -> Vec<f64> {
        let mut answers = vec![0.0; log_probs.len()];
        for (log_prob, question) in log_probs.iter().zip(&self.order) {
            answers[*question] = f64::from(*log_prob);
        }
        answers
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
        Self { model, adapter: None, dropout: None }
    }

    /// The base model under an adapter.
    pub fn adapted(model: &'a Model, adapter: &'a Adapter) -> Self {
        Self { model, adapter: Some(adapter), dropout: None }
    }

    /// The same with dropout: equal seeds give equal masks.
    pub fn with_dropout(self, seed: u64) -> Self {
        Self { dropout: Some(Dropout { seed }), ..self }
    }

    /// Log-probabilities of all questions, in nats, in the order of asking.
    ///
    /// # Errors
    /// If a token is not in the vocabulary, a sequence is longer than the model's context, or the model's
    /// probabilities are not numbers.
    pub fn score(&self, forest: &Forest, questions: &Questions) -> Result<Vec<f64>> {
        let (compiled, plan) = self.prepare(forest, questions)?;
        let masks = questions.mask_words();
        let scored = self.model.decoder.score(&self.pass(forest, &plan), &compiled.rows, &compiled.wanted(&masks));
        if scored.log_probs.iter().any(|log_prob| log_prob.is_nan()) {
            return Err(LmError::NotFinite);
        }
        Ok(compiled.restore(&scored.log_probs))
    }

    /// The same, keeping what [`Policy::backward`] needs.
    ///
    /// # Errors
    /// As [`Policy::score`].
    pub fn score_with_tape(&self, forest: &Forest, questions: &Questions) -> Result<ScoredWithTape> {
        let (compiled, plan) = self.prepare(forest, questions)?;
        let masks = questions.mask_words();
        let pass = self.pass(forest, &plan);
        let tape = self.model.decoder.score_with_tape(&pass, &compiled.rows, &compiled.wanted(&masks));
        let log_probs = compiled.restore(&tape.scored.log_probs);
        Ok(ScoredWithTape { log_probs, compiled, tape, plan })
    }

    fn prepare(&self, forest: &Forest, questions: &Questions) -> Result<(Compiled, AttentionPlan)> {
        self.model.check(forest)?;
        questions.asked.iter().try_for_each(|asked| self.model.check_token(asked.target))?;
        Ok((questions.compile(), forest.attention_plan()))
    }

    fn pass<'b>(&'b self, forest: &'b Forest, plan: &'b AttentionPlan) -> Pass<'b> {
        let batch = Batch { tokens: forest.tokens(), depths: forest.depths(), path_keys: forest.path_keys(), plan };
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
        let (pass, wanted) = (self.pass(forest, &scored.plan), scored.compiled.wanted(&masks));
        self.model.decoder.backward(&scored.tape, &pass, &wanted, &coefficients, gradients);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_about_one_row_share_it_and_come_back_in_order() {
        let mut questions = Questions::new();
        for (row, target) in [(5, 1), (2, 9), (5, 0), (5, 1)] {
            questions.ask(row, target, None);
        }
        let compiled = questions.compile();
        assert_eq!(compiled.rows, [2, 5]);
        assert_eq!(compiled.offsets, [0, 1, 4]);
        assert_eq!(compiled.targets, [9, 0, 1, 1]);
        assert_eq!(compiled.restore(&[0.9, 0.0, 0.1, 0.2]), [0.1f32, 0.9, 0.0, 0.2].map(f64::from));
        assert_eq!(compiled.arrange(&[10.0, 20.0, 30.0, 40.0]), [20.0, 30.0, 10.0, 40.0]);
    }
}

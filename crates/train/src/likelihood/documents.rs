//! Texts as tokens, cut to what the model can read at once, and packed into batches.

use std::ops::Range;

use amortize_lm::{Forest, ModelInfo, Questions};
use rayon::prelude::*;

use super::corpus::Text;
use crate::error::Result;

/// Tokens that go through the model as one sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    tokens: Range<usize>,
    /// How many of its first tokens are not learnt; at least one, which nothing predicts.
    unlearnt: usize,
}

/// Windows over the tokens of all texts. A text longer than the model's context is several windows, each of which
/// begins with the last token of the one before, so that every token but the first is predicted once.
#[derive(Clone, Debug, Default)]
pub struct Documents {
    tokens: Vec<u32>,
    windows: Vec<Window>,
}

/// What a window is to the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence<'a> {
    /// All of its tokens; the last is only predicted.
    pub tokens: &'a [u32],
    /// The first that is learnt.
    pub first: usize,
}

impl Sequence<'_> {
    /// Tokens that the model reads.
    pub fn rows(&self) -> usize {
        self.tokens.len() - 1
    }

    /// Tokens that are learnt.
    pub fn learnt(&self) -> &[u32] {
        &self.tokens[self.first..]
    }
}

impl Documents {
    /// Encodes texts: a text by itself between its beginning and its end, a completion after its prompt, whose tokens
    /// are learnt only with `loss_on_prompt`.
    ///
    /// # Errors
    /// If the tokenizer refuses a text.
    pub fn new(model: &ModelInfo, texts: &[Text], loss_on_prompt: bool) -> Result<Self> {
        let encoded = texts.par_iter().map(|text| encode(model, text, loss_on_prompt));
        let encoded: Vec<(Vec<u32>, usize)> = encoded.collect::<Result<_>>()?;
        Ok(Self::of_tokens(&encoded, model.config.max_positions))
    }

    /// Tokens of texts, each with how many of the first are not learnt, which is at least one.
    pub fn of_tokens(texts: &[(Vec<u32>, usize)], context: usize) -> Self {
        let mut documents = Self::default();
        for (tokens, unlearnt) in texts {
            documents.push(tokens, *unlearnt, context);
        }
        documents
    }

    fn push(&mut self, tokens: &[u32], unlearnt: usize, context: usize) {
        let first = self.tokens.len();
        self.tokens.extend(tokens);
        for start in (0..tokens.len().saturating_sub(1)).step_by(context) {
            let end = tokens.len().min(start + context + 1);
            let window = Window { tokens: first + start..first + end, unlearnt: unlearnt.saturating_sub(start).max(1) };
            if window.unlearnt < window.tokens.len() {
                self.windows.push(window);
            }
        }
    }

    /// Number of windows.
    pub fn len(&self) -> usize {
        self.windows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// Tokens of all texts.
    pub fn token_count(&self) -> usize {
        self.tokens.len()
    }

    /// A window's tokens.
    pub fn sequence(&self, window: usize) -> Sequence<'_> {
        let Window { tokens, unlearnt } = &self.windows[window];
        Sequence { tokens: &self.tokens[tokens.clone()], first: *unlearnt }
    }

    /// Windows as a batch: each is a tree of its own, and every learnt token a question.
    pub fn pack(&self, windows: &[usize]) -> (Forest, Questions) {
        let (mut forest, mut questions) = (Forest::new(), Questions::new());
        for window in windows {
            let Sequence { tokens, first } = self.sequence(*window);
            let root = forest.root(*window as u64, &tokens[..tokens.len() - 1]);
            for (depth, token) in tokens.iter().enumerate().skip(first) {
                questions.ask(forest.row_at(root, depth - 1), *token, None);
            }
        }
        (forest, questions)
    }
}

/// Tokens of a text, and how many of the first are not learnt.
fn encode(model: &ModelInfo, text: &Text, loss_on_prompt: bool) -> Result<(Vec<u32>, usize)> {
    let tokenizer = &model.tokenizer;
    let Some(prompt) = &text.prompt else {
        return Ok((tokenizer.encode_document(&text.text)?, 1));
    };
    let mut tokens = tokenizer.encode_prompt(prompt)?;
    let unlearnt = if loss_on_prompt { 1 } else { tokens.len() };
    tokens.extend(tokenizer.encode_completion(&text.text)?);
    tokens.extend(tokenizer.eos_id());
    Ok((tokens, unlearnt))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(len: u32, unlearnt: usize, context: usize) -> Vec<(Vec<u32>, usize)> {
        let mut documents = Documents::default();
        documents.push(&[99, 98], 1, context);
        documents.push(&(0..len).collect::<Vec<_>>(), unlearnt, context);
        let of = |window| {
            let Sequence { tokens, first } = documents.sequence(window);
            (tokens.to_vec(), first)
        };
        (1..documents.len()).map(of).collect()
    }

    #[test]
    fn every_token_but_the_first_is_learnt_once() {
        assert_eq!(windows(5, 1, 4), [(vec![0, 1, 2, 3, 4], 1)]);
        assert_eq!(windows(6, 1, 4), [(vec![0, 1, 2, 3, 4], 1), (vec![4, 5], 1)]);
        assert_eq!(windows(9, 1, 4), [(vec![0, 1, 2, 3, 4], 1), (vec![4, 5, 6, 7, 8], 1)]);
    }

    #[test]
    fn prompts_are_not_learnt_in_any_window() {
        assert_eq!(windows(5, 3, 4), [(vec![0, 1, 2, 3, 4], 3)]);
        assert_eq!(windows(8, 6, 4), [(vec![4, 5, 6, 7], 2)]);
        assert_eq!(windows(7, 5, 4), [(vec![4, 5, 6], 1)]);
    }

    #[test]
    fn documents_do_not_see_one_another() {
        let mut documents = Documents::default();
        documents.push(&[1, 2, 3], 1, 8);
        documents.push(&[1, 2, 4], 2, 8);
        let (forest, questions) = documents.pack(&[1, 0]);
        assert_eq!(forest.tokens(), [1, 2, 1, 2]);
        assert_eq!(forest.depths(), [0, 1, 0, 1]);
        assert_eq!((questions.len(), forest.attention_plan().groups().len()), (3, 2));
    }
}

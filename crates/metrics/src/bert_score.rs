//! BERTScore (Zhang et al. 2020) from given token embeddings, as `bert-score` computes it without rescaling: every token
//! is matched with the most similar one of the other text.

use std::collections::{HashMap, HashSet};

/// The contextual embeddings of a text's tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenEmbeddings {
    /// Of unit length, token by token.  `[tokens, dim]`
    vectors: Vec<f32>,
    dim: usize,
    /// How much each token counts.  `[tokens]`
    weights: Vec<f64>,
}

/// Precision, recall and their harmonic mean; from -1 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BertScore {
    /// Mean similarity of the candidate's tokens to their matches.
    pub precision: f64,
    /// Mean similarity of the reference's tokens to their matches.
    pub recall: f64,
    /// `2 P R / (P + R)`
    pub f1: f64,
}

impl TokenEmbeddings {
    /// Embeddings `[tokens, dim]` with a weight for each token. Special tokens can be matched, but weigh nothing.
    ///
    /// # Panics
    /// If there is not one vector of `dim` values per weight.
    pub fn new(mut vectors: Vec<f32>, dim: usize, weights: Vec<f64>) -> Self {
        assert_eq!(vectors.len(), dim * weights.len(), "one vector per token");
        for vector in vectors.chunks_exact_mut(dim.max(1)) {
            let length = dot(vector, vector).sqrt();
            vector.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32);
        }
        Self { vectors, dim, weights }
    }

    fn vectors(&self) -> impl Iterator<Item = &[f32]> {
        self.vectors.chunks_exact(self.dim.max(1))
    }

    /// Weighted mean over tokens of the similarity to the closest token of `other`; 0 where no token counts.
    fn matched(&self, other: &Self) -> f64 {
        let closest =
            |vector: &[f32]| other.vectors().map(|other| dot(vector, other)).fold(f64::NEG_INFINITY, f64::max);
        let counting = self.vectors().zip(&self.weights).filter(|(_, weight)| **weight != 0.0);
        let sum: f64 = counting.map(|(vector, weight)| weight * closest(vector)).sum();
        let total: f64 = self.weights.iter().sum();
        if total > 0.0 && !other.weights.is_empty() { sum / total } else { 0.0 }
    }

    fn counts_nothing(&self) -> bool {
        self.weights.iter().all(|weight| *weight == 0.0)
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// BERTScore of a candidate against one reference; zeros where either has no tokens that count.
pub fn against(candidate: &TokenEmbeddings, reference: &TokenEmbeddings) -> BertScore {
    if candidate.counts_nothing() || reference.counts_nothing() {
        return BertScore::default();
    }
    let (precision, recall) = (candidate.matched(reference), reference.matched(candidate));
    let f1 = 2.0 * precision * recall / (precision + recall);
    BertScore { precision, recall, f1: if f1.is_nan() { 0.0 } else { f1 } }
}

/// The best precision, recall and F1 over several references, each for itself.
pub fn best_against<'a>(
    candidate: &TokenEmbeddings,
    references: impl IntoIterator<Item = &'a TokenEmbeddings>,
) -> BertScore {
    let scores = references.into_iter().map(|reference| against(candidate, reference));
    let best = scores.reduce(|a, b| BertScore {
        precision: a.precision.max(b.precision),
        recall: a.recall.max(b.recall),
        f1: a.f1.max(b.f1),
    });
    best.unwrap_or_default()
}

/// Inverse document frequencies of tokens: rare ones tell more.
#[derive(Clone, Debug, PartialEq)]
pub struct Idf {
    documents: usize,
    /// How many documents have a token.
    frequencies: HashMap<u32, usize>,
}

impl Idf {
    /// Of the references' token ids, special tokens included: as they are in every text, they weigh nothing.
    pub fn of<'a>(documents: impl IntoIterator<Item = &'a [u32]>) -> Self {
        let mut idf = Self { documents: 0, frequencies: HashMap::new() };
        for document in documents {
            idf.documents += 1;
            let distinct: HashSet<u32> = document.iter().copied().collect();
            distinct.into_iter().for_each(|token| *idf.frequencies.entry(token).or_default() += 1);
        }
        idf
    }

    /// `ln((documents + 1) / (documents with the token + 1))`
    pub fn weight(&self, token: u32) -> f64 {
        let frequency = self.frequencies.get(&token).copied().unwrap_or(0);
        ((self.documents + 1) as f64 / (frequency + 1) as f64).ln()
    }
}

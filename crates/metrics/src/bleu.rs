//! BLEU-4 as `sacrebleu` computes it by default: tokenizer 13a, case kept, exponential smoothing; from 0 to 100.

use std::collections::HashMap;

use crate::ngrams::{self, LONGEST, counts, overlap};
use crate::tokenize_13a;

/// What BLEU is computed from; statistics of segments add up to those of a corpus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// n-grams of the hypothesis that a reference has too, for n = 1 to 4.
    pub matches: [usize; LONGEST],
    /// n-grams of the hypothesis.
    pub totals: [usize; LONGEST],
    /// Tokens of the hypothesis.
    pub length: usize,
    /// Tokens of the reference whose length is closest to it.
    pub reference_length: usize,
}

impl Statistics {
    /// Those of one segment and its references; without any, nothing matches.
    pub fn of(hypothesis: &str, references: &[&str]) -> Self {
        let hypothesis = tokenize_13a(hypothesis);
        let references: Vec<Vec<String>> = references.iter().map(|reference| tokenize_13a(reference)).collect();
        let length = hypothesis.len();
        let lengths = references.iter().map(Vec::len);
        let mut statistics = Self {
            length,
            reference_length: lengths.min_by_key(|other| (other.abs_diff(length), *other)).unwrap_or(0),
            ..Self::default()
        };
        for n in 1..=LONGEST {
            let mut most = HashMap::new();
            for (ngram, count) in references.iter().flat_map(|reference| counts(reference, n)) {
                let highest = most.entry(ngram).or_insert(0);
                *highest = count.max(*highest);
            }
            statistics.matches[n - 1] = overlap(&counts(&hypothesis, n), &most);
            statistics.totals[n - 1] = ngrams::total(&hypothesis, n);
        }
        statistics
    }

    fn add(mut self, other: Self) -> Self {
        for n in 0..LONGEST {
            self.matches[n] += other.matches[n];
            self.totals[n] += other.totals[n];
        }
        self.length += other.length;
        self.reference_length += other.reference_length;
        self
    }

    /// BLEU with the orders that are given their part in the mean.
    fn score(&self, orders: usize) -> f64 {
        if self.matches == [0; LONGEST] {
            return 0.0;
        }
        let mut smoothing = 1.0;
        let mut sum = 0.0;
        for (matches, total) in self.matches.iter().zip(self.totals).take(orders) {
            if total == 0 {
                return 0.0;
            }
            let matches = if *matches == 0 {
                smoothing *= 2.0;
                1.0 / smoothing
            } else {
                *matches as f64
            };
            sum += (100.0 * matches / total as f64).ln();
        }
        self.brevity_penalty() * (sum / orders as f64).exp()
    }

    fn brevity_penalty(&self) -> f64 {
        match self.length < self.reference_length {
            true => (1.0 - self.reference_length as f64 / self.length as f64).exp(),
            false => 1.0,
        }
    }
}

/// BLEU of one segment: n-grams that it is too short to have do not count (`sacrebleu.sentence_bleu`).
pub fn sentence(hypothesis: &str, references: &[&str]) -> f64 {
    let statistics = Statistics::of(hypothesis, references);
    statistics.score(statistics.totals.iter().filter(|total| **total > 0).count())
}

/// BLEU of all segments together (`sacrebleu.corpus_bleu`).
pub fn corpus(segments: impl IntoIterator<Item = Statistics>) -> f64 {
    segments.into_iter().fold(Statistics::default(), Statistics::add).score(LONGEST)
}

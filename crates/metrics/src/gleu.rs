//! GLEU-4 as `nltk.translate.gleu_score` computes it (Wu et al. 2016): the smaller of precision and recall over all
//! n-grams of up to 4 tokens; from 0 to 1.

use crate::ngrams::{self, LONGEST, counts, overlap};

/// What GLEU is computed from; statistics of segments add up to those of a corpus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// n-grams in common with the best reference.
    pub matches: usize,
    /// n-grams of the hypothesis or of that reference, whichever has more.
    pub total: usize,
}

impl Statistics {
    /// Those of one segment and the reference that it does best against.
    pub fn of(hypothesis: &[String], references: &[Vec<String>]) -> Self {
        let against = |reference: &Vec<String>| Self {
            matches: (1..=LONGEST).map(|n| overlap(&counts(hypothesis, n), &counts(reference, n))).sum(),
            total: all(hypothesis).max(all(reference)),
        };
        let better = |best: Self, other: Self| if other.score() > best.score() { other } else { best };
        references.iter().map(against).filter(|against| against.total > 0).reduce(better).unwrap_or_default()
    }

    fn score(&self) -> f64 {
        match self.total {
            0 => 0.0,
            total => self.matches as f64 / total as f64,
        }
    }
}

fn all(tokens: &[String]) -> usize {
    (1..=LONGEST).map(|n| ngrams::total(tokens, n)).sum()
}

/// GLEU of one segment (`sentence_gleu`); 0 where there are no tokens.
pub fn sentence(hypothesis: &[String], references: &[Vec<String>]) -> f64 {
    Statistics::of(hypothesis, references).score()
}

/// GLEU of all segments together, in which longer ones count more (`corpus_gleu`).
pub fn corpus(segments: impl IntoIterator<Item = Statistics>) -> f64 {
    let add = |a: Statistics, b: Statistics| Statistics { matches: a.matches + b.matches, total: a.total + b.total };
    segments.into_iter().fold(Statistics::default(), add).score()
}

//! Counts of n-grams.

use std::collections::HashMap;

/// Longest n-grams of BLEU-4 and GLEU-4.
pub(crate) const LONGEST: usize = 4;

/// How often each n-gram occurs.
pub(crate) type Counts<'a> = HashMap<&'a [String], usize>;

/// The n-grams of one length.
pub(crate) fn counts(tokens: &[String], n: usize) -> Counts<'_> {
    let mut counts = Counts::new();
    tokens.windows(n).for_each(|ngram| *counts.entry(ngram).or_default() += 1);
    counts
}

/// How many n-grams of one length there are.
pub(crate) fn total(tokens: &[String], n: usize) -> usize {
    (tokens.len() + 1).saturating_sub(n)
}

/// How many n-grams two texts have in common.
pub(crate) fn overlap(a: &Counts, b: &Counts) -> usize {
    a.iter().map(|(ngram, count)| *count.min(b.get(ngram).unwrap_or(&0))).sum()
}

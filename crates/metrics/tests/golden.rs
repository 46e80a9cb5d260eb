//! Against the standard packages: numbers of scripts/make_metrics_golden.py.

use amortize_metrics::{TokenEmbeddings, bert_score, bleu, gleu, tokenize_13a};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    tokens: Vec<Tokens>,
    segments: Vec<Segment>,
    corpus: Corpus,
    bert_score: Vec<Matching>,
}

#[derive(Deserialize)]
struct Tokens {
    text: String,
    tokens: Vec<String>,
}

#[derive(Deserialize)]
struct Segment {
    hypothesis: String,
    references: Vec<String>,
    bleu: f64,
    gleu: f64,
}

impl Segment {
    fn references(&self) -> Vec<&str> {
        self.references.iter().map(String::as_str).collect()
    }

    fn reference_tokens(&self) -> Vec<Vec<String>> {
        self.references.iter().map(|reference| tokenize_13a(reference)).collect()
    }
}

#[derive(Deserialize)]
struct Corpus {
    bleu: f64,
    gleu: f64,
}

#[derive(Deserialize)]
struct Matching {
    candidate: Vec<f32>,
    candidate_weights: Vec<f64>,
    reference: Vec<f32>,
    reference_weights: Vec<f64>,
    precision: f64,
    recall: f64,
    f1: f64,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden.json")).expect("it is of our form")
}

fn close(found: f64, expected: f64, of: &str) {
    assert!((found - expected).abs() < 1e-4, "{of}: {found}, not {expected}");
}

#[test]
fn texts_are_cut_as_sacrebleu_does() {
    for Tokens { text, tokens } in golden().tokens {
        assert_eq!(tokenize_13a(&text), tokens, "{text:?}");
    }
}

#[test]
fn bleu_is_that_of_sacrebleu() {
    let golden = golden();
    for segment in &golden.segments {
        close(bleu::sentence(&segment.hypothesis, &segment.references()), segment.bleu, &segment.hypothesis);
    }
    let statistics = golden.segments.iter().map(|s| bleu::Statistics::of(&s.hypothesis, &s.references()));
    close(bleu::corpus(statistics), golden.corpus.bleu, "corpus");
    assert_eq!(bleu::corpus([]), 0.0);
}

#[test]
fn gleu_is_that_of_nltk() {
    let golden = golden();
    for segment in &golden.segments {
        let hypothesis = tokenize_13a(&segment.hypothesis);
        close(gleu::sentence(&hypothesis, &segment.reference_tokens()), segment.gleu, &segment.hypothesis);
    }
    let of = |s: &Segment| gleu::Statistics::of(&tokenize_13a(&s.hypothesis), &s.reference_tokens());
    close(gleu::corpus(golden.segments.iter().map(of)), golden.corpus.gleu, "corpus");
    assert_eq!(gleu::sentence(&[], &[]), 0.0);
}

#[test]
fn greedy_matching_is_that_of_bert_score() {
    for (number, case) in golden().bert_score.into_iter().enumerate() {
        let dim = case.candidate.len() / case.candidate_weights.len();
        let candidate = TokenEmbeddings::new(case.candidate, dim, case.candidate_weights);
        let reference = TokenEmbeddings::new(case.reference, dim, case.reference_weights);
        let found = bert_score::against(&candidate, &reference);
        for (found, expected) in [(found.precision, case.precision), (found.recall, case.recall), (found.f1, case.f1)] {
            close(found, expected, &format!("case {number}"));
        }
        // The best of several references, of which one is the candidate itself.
        let best = bert_score::best_against(&candidate, [&reference, &candidate]);
        close(best.f1, 1.0, "itself");
    }
}

#[test]
fn texts_without_tokens_that_count_score_zero() {
    let empty = TokenEmbeddings::new(vec![1.0, 0.0, 0.0, 1.0], 2, vec![0.0, 0.0]);
    let full = TokenEmbeddings::new(vec![1.0, 0.0, 0.5, 1.0], 2, vec![0.0, 1.0]);
    for (candidate, reference) in [(&empty, &full), (&full, &empty), (&empty, &empty)] {
        assert_eq!(bert_score::against(candidate, reference), Default::default());
    }
}

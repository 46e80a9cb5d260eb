//! Metrics of texts as the standard packages compute them: BLEU as `sacrebleu`, GLEU as `nltk`, BERTScore as
//! `bert-score`, and the diversity of embeddings. Nothing here knows a model: embeddings are given.

pub mod bert_score;
pub mod bleu;
pub mod diversity;
pub mod gleu;
mod ngrams;
pub mod tokenize;

pub use bert_score::{BertScore, Idf, TokenEmbeddings};
pub use diversity::mean_pairwise_cosine_distance;
pub use tokenize::tokenize_13a;

/// The mean, or `None` of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

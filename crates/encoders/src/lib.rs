//! Embeddings of texts from encoder directories in Hugging Face format: BERT and DeBERTa-v2, with the pooling that
//! `sentence-transformers` saves beside them. On the CPU, through `candle`.

mod backbone;
mod encoder;
mod error;
mod matching;
mod sentence;

pub use encoder::{Encoder, TokenVectors};
pub use error::{EncoderError, Result};
pub use matching::{bert_scores, inverse_document_frequencies, token_embeddings};

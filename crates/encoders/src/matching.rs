//! Texts made ready for BERTScore.

use amortize_metrics::{BertScore, Idf, TokenEmbeddings, bert_score};

use crate::encoder::Encoder;
use crate::error::Result;

/// The embeddings of every text's tokens. A token weighs as much as it is rare, or all weigh the same but for the special
/// ones, which weigh nothing.
///
/// # Errors
/// If the tokenizer refuses a text.
pub fn token_embeddings<T: AsRef<str>>(
    encoder: &Encoder,
    texts: &[T],
    idf: Option<&Idf>,
) -> Result<Vec<TokenEmbeddings>> {
    let weight = |(id, special): (&u32, &bool)| match (idf, special) {
        (Some(idf), _) => idf.weight(*id),
        (None, true) => 0.0,
        (None, false) => 1.0,
    };
    let embedded = encoder.tokens(texts)?.into_iter().map(|tokens| {
        let weights = tokens.ids.iter().zip(&tokens.special).map(weight).collect();
        TokenEmbeddings::new(tokens.vectors, encoder.width(), weights)
    });
    Ok(embedded.collect())
}

/// BERTScore of every text against the reference that it is closest to.
///
/// # Errors
/// If the tokenizer refuses a text.
pub fn bert_scores<T: AsRef<str>>(
    encoder: &Encoder,
    texts: &[T],
    references: &[T],
    idf: Option<&Idf>,
) -> Result<Vec<BertScore>> {
    let references = token_embeddings(encoder, references, idf)?;
    let texts = token_embeddings(encoder, texts, idf)?;
    Ok(texts.iter().map(|text| bert_score::best_against(text, &references)).collect())
}

/// How rare tokens are among references.
///
/// # Errors
/// If the tokenizer refuses a text.
pub fn inverse_document_frequencies<T: AsRef<str>>(encoder: &Encoder, references: &[T]) -> Result<Idf> {
    let ids = encoder.token_ids(references)?;
    Ok(Idf::of(ids.iter().map(Vec::as_slice)))
}

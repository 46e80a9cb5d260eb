//! A tokenizer of one's own: byte-level BPE, learnt from texts.

use std::collections::HashSet;

use serde_json::{Value, json};
use tokenizers::AddedToken;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::BpeTrainer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use crate::error::{LmError, Result};

/// What a user chooses of a tokenizer.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenizerOptions {
    /// Tokens in all, bytes and the end of a text included; fewer where the texts have no more to merge.
    pub vocabulary: usize,
    /// Whether no token has more than one digit.
    pub single_digits: bool,
    /// The token that begins and ends every text.
    pub end_of_text: String,
}

/// A tokenizer that was learnt.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainedTokenizer {
    /// `tokenizer.json`.
    pub definition: Value,
    /// Number of tokens.
    pub vocab_size: usize,
    /// The token that begins and ends every text.
    pub end_of_text: String,
    /// Its id.
    pub end_id: u32,
}

/// Pairs that occur less often are not merged.
const MIN_FREQUENCY: u64 = 2;

/// Learns a tokenizer. Texts are cut into words, numbers and runs of punctuation, each with the space before it; tokens
/// are pieces of these, so that no word is merged with what follows it. Every text can be encoded: all bytes are tokens.
///
/// # Errors
/// If the `tokenizers` crate refuses the texts, or the vocabulary is too small for the bytes.
pub fn train_tokenizer(
    options: &TokenizerOptions,
    texts: impl Iterator<Item = impl AsRef<str> + Send> + Send,
) -> Result<TrainedTokenizer> {
    let alphabet: HashSet<char> = ByteLevel::alphabet().into_iter().collect();
    if options.vocabulary <= alphabet.len() {
        let problem = format!("a vocabulary of {}: {} bytes and the end of a text need more", options.vocabulary, 256);
        return Err(LmError::TrainTokenizer(problem));
    }
    let refused = |error: tokenizers::Error| LmError::TrainTokenizer(error.to_string());
    let mut tokenizer: tokenizers::Tokenizer =
        serde_json::from_value(untrained(options)).map_err(|error| refused(error.into()))?;
    let end = AddedToken::from(options.end_of_text.clone(), true);
    let trainer = BpeTrainer::builder().vocab_size(options.vocabulary).min_frequency(MIN_FREQUENCY);
    let trainer = trainer.show_progress(false).initial_alphabet(alphabet).special_tokens(vec![end]).build();
    tokenizer.train(&mut TrainerWrapper::BpeTrainer(trainer), texts).map_err(refused)?;
    let end_id = tokenizer.token_to_id(&options.end_of_text).expect("the trainer was given this token");
    let mut definition = serde_json::to_value(&tokenizer).map_err(|error| refused(error.into()))?;
    definition["post_processor"] = beginning(&options.end_of_text, end_id);
    let vocab_size = tokenizer.get_vocab_size(true);
    Ok(TrainedTokenizer { definition, vocab_size, end_of_text: options.end_of_text.clone(), end_id })
}

fn untrained(options: &TokenizerOptions) -> Value {
    let number = if options.single_digits { r" ?\p{N}" } else { r" ?\p{N}+" };
    let pieces = format!(r"'(?:[sdmt]|ll|ve|re)| ?\p{{L}}+|{number}| ?[^\s\p{{L}}\p{{N}}]+|\s+(?!\S)|\s+");
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": pieces}, "behavior": "Isolated", "invert": false},
            byte_level,
        ]},
        "post_processor": null, "decoder": byte_level,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                  "vocab": {}, "merges": []},
    })
}

/// Every text begins with the token that ended the one before it.
fn beginning(token: &str, id: u32) -> Value {
    let special = json!({"SpecialToken": {"id": token, "type_id": 0}});
    let text = |id: &str| json!({"Sequence": {"id": id, "type_id": 0}});
    json!({
        "type": "TemplateProcessing", "single": [special, text("A")], "pair": [special, text("A"), text("B")],
        "special_tokens": {token: {"id": token, "ids": [id], "tokens": [token]}},
    })
}

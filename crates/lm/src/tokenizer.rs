//! Text to token ids and back.
//!
//! A prompt is encoded with the tokenizer's own beginning: a BOS, a mark of the first word. A
//! completion is encoded without any of it, so that its ids can follow a prompt's. The `tokenizers`
//! crate has no switch for that, hence a second tokenizer, from the same `tokenizer.json` with the
//! steps removed that treat the start of a text specially.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use train::{TokenizerOptions, TrainedTokenizer, train_tokenizer};

use rayon::prelude::*;
use serde_json::{Map, Value, json};

use crate::config::ModelConfig;
use crate::error::{LmError, Result};
use crate::storage;

/// The tokenizer of a model directory.
#[derive(Debug)]
pub struct Tokenizer {
    /// For prompts; its template is not used, see `prompt_prefix`.
    whole: tokenizers::Tokenizer,
    /// For completions and decoding: nothing special about the start of a text.
    fragment: tokenizers::Tokenizer,
    /// The ids that begin every prompt.
    prompt_prefix: Vec<u32>,
    /// What an empty prompt is, where `prompt_prefix` is empty too.
    empty_prompt: Option<u32>,
    bos: Option<u32>,
    eos: Option<u32>,
    special: Vec<u32>,
    /// What each id appends to a text.
    bytes: Vec<Box<[u8]>>,
    texts: Vec<Box<str>>,
    file: PathBuf,
}

impl Tokenizer {
    /// Reads `tokenizer.json`, and `tokenizer_config.json` where it exists, of a model directory.
    pub fn read(dir: &Path, config: &ModelConfig) -> Result<Self> {
        let file = dir.join("tokenizer.json");
        if !storage::is_file(&file) {
            let problem = "is missing; write one from the model's other tokenizer files: \
                           AutoTokenizer.from_pretrained(dir).save_pretrained(dir) in transformers";
            return Err(broken(&file, problem));
        }
        let settings = Settings::read(&dir.join("tokenizer_config.json"))?;
        Self::new(file.clone(), read_object(&file)?, settings, config)
    }

    /// The same from the files' texts; `dir` is what messages name.
    pub(crate) fn parse(dir: &Path, text: &str, settings: Option<&str>, config: &ModelConfig) -> Result<Self> {
        let file = dir.join("tokenizer.json");
        let definition = parse_object(&file, text)?;
        let settings_file = dir.join("tokenizer_config.json");
        let settings = settings.map(|text| parse_object(&settings_file, text)).transpose()?;
        Self::new(file, definition, settings.map_or(Settings::default(), |object| Settings::of(&object)), config)
    }

    /// A tokenizer without files, for a model without files: token k is the word "k", and any other word is token 0.
    ///
    /// # Errors
    /// If the `tokenizers` crate refuses the vocabulary.
    pub fn numbered(config: &ModelConfig) -> Result<Self> {
        let vocabulary: Map<String, Value> = (0..config.vocab_size).map(|id| (id.to_string(), json!(id))).collect();
        let definition = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
            "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
            "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "0"},
        });
        Self::new("tokenizer of numbers".into(), definition, Settings::default(), config)
    }

    fn new(file: PathBuf, mut definition: Value, settings: Settings, config: &ModelConfig) -> Result<Self> {
        check_templates(&file, &definition["post_processor"])?;
        make_deterministic(&mut definition);
        let whole = build(&file, &definition)?;
        forget_the_start(&mut definition);
        let fragment = build(&file, &definition)?;
        check_size(&file, &whole, config)?;

        let bos = settings.id("bos_token", &whole).or(config.bos_token_id);
        let eos = settings.id("eos_token", &whole).or(config.eos_token_ids.first().copied());
        let pad = settings.id("pad_token", &whole).or(config.pad_token_id);
        let bytes = token_bytes(&fragment, &definition["decoder"]);
        let mut tokenizer = Self {
            prompt_prefix: vec![],
            empty_prompt: bos.or(eos),
            bos,
            eos,
            special: special_ids(&whole, config, [bos, eos, pad]),
            texts: bytes.iter().map(|bytes| String::from_utf8_lossy(bytes).into()).collect(),
            bytes,
            whole,
            fragment,
            file,
        };
        tokenizer.prompt_prefix = tokenizer.find_prompt_prefix(settings.add_bos_token)?;
        Ok(tokenizer)
    }

    /// A prompt's ids, with what the tokenizer puts before a text (Llama's BOS and space mark) and
    /// without what it puts after one (an EOS), since a prompt is to be continued. Never empty: an
    /// empty text is the BOS, or the EOS of a tokenizer without BOS.
    pub fn encode_prompt(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = self.prompt_prefix.clone();
        ids.extend(encode(&self.whole, text)?);
        if ids.is_empty() {
            let Some(id) = self.empty_prompt else {
                let problem = "an empty prompt stands for the BOS or EOS token, and neither \
                               tokenizer_config.json nor config.json names one in the vocabulary";
                return Err(broken(&self.file, problem));
            };
            ids.push(id);
        }
        Ok(ids)
    }

    /// The ids of a text that follows another: nothing is added to it.
    pub fn encode_completion(&self, text: &str) -> Result<Vec<u32>> {
        encode(&self.fragment, text)
    }

    /// The ids of a whole text to learn from: what begins every text (or else what an empty prompt stands for, so that
    /// the first word is learnt too), the text, and the end of a text where there is a token for it.
    pub fn encode_document(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = self.encode_prompt("")?;
        ids.extend(encode(&self.whole, text)?);
        ids.extend(self.eos);
        Ok(ids)
    }

    /// The text of a fragment as it is: leading spaces stay, and special tokens show as their text
    /// ("</s>"), except a BOS at the very start, which marks the beginning and has no text. Bytes that
    /// are no UTF-8 become U+FFFD; ids that the tokenizer lacks (padded embeddings) have no text.
    pub fn decode(&self, ids: &[u32]) -> String {
        let ids = match ids {
            [first, rest @ ..] if Some(*first) == self.bos => rest,
            all => all,
        };
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| self.token_bytes(id)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What this token appends to a text; parts of a character become U+FFFD. Empty for ids that the
    /// tokenizer lacks.
    pub fn token_text(&self, id: u32) -> &str {
        self.texts.get(id as usize).map_or("", |text| text)
    }

    /// The bytes this token appends to a text, also where they are only a part of a character.
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.bytes.get(id as usize).map_or(&[], |bytes| bytes)
    }

    /// One more than the greatest id; at most the model's vocabulary.
    pub fn vocab_size(&self) -> usize {
        self.texts.len()
    }

    /// The tokens that are no text: added special tokens, and the BOS, EOS and padding of
    /// `tokenizer_config.json` and `config.json`. Sorted.
    pub fn special_ids(&self) -> &[u32] {
        &self.special
    }

    /// The token that begins a text, where there is one.
    pub fn bos_id(&self) -> Option<u32> {
        self.bos
    }

    /// The token that ends a text, where there is one.
    pub fn eos_id(&self) -> Option<u32> {
        self.eos
    }

    /// What the template puts before a text, unless `tokenizer_config.json` says otherwise about BOS.
    fn find_prompt_prefix(&self, add_bos: Option<bool>) -> Result<Vec<u32>> {
        let problem = |error: tokenizers::Error| broken(&self.file, error.to_string());
        let encoding = self.whole.encode("a", true).map_err(problem)?;
        let template = encoding.get_special_tokens_mask().iter().take_while(|&&special| special == 1);
        let mut prefix = encoding.get_ids()[..template.count()].to_vec();
        if let (Some(add), Some(bos)) = (add_bos, self.bos) {
            prefix.retain(|&id| id != bos);
            if add {
                prefix.insert(0, bos);
            }
        }
        Ok(prefix)
    }
}

fn broken(file: &Path, problem: impl Into<String>) -> LmError {
    LmError::Tokenizer { file: file.to_path_buf(), problem: problem.into() }
}

fn read_object(file: &Path) -> Result<Value> {
    parse_object(file, &storage::read_to_string(file).map_err(LmError::reading(file))?)
}

fn parse_object(file: &Path, text: &str) -> Result<Value> {
    let object: Map<String, Value> = serde_json::from_str(text).map_err(LmError::json(file))?;
    Ok(Value::Object(object))
}

fn build(file: &Path, definition: &Value) -> Result<tokenizers::Tokenizer> {
    serde_json::from_value(definition.clone())
        .map_err(|error| broken(file, format!("is not a tokenizer that can be read: {error}")))
}

fn encode(tokenizer: &tokenizers::Tokenizer, text: &str) -> Result<Vec<u32>> {
    let encoding = tokenizer.encode_fast(text, false);
    let encoding = encoding
        .map_err(|error| LmError::Encode { text: text.chars().take(40).collect(), problem: error.to_string() })?;
    Ok(encoding.get_ids().to_vec())
}

/// What is used of `tokenizer_config.json`.
#[derive(Default)]
struct Settings {
    tokens: BTreeMap<String, String>,
    add_bos_token: Option<bool>,
}

impl Settings {
    fn read(file: &Path) -> Result<Self> {
        if !storage::is_file(file) {
            return Ok(Self::default());
        }
        Ok(Self::of(&read_object(file)?))
    }

    fn of(object: &Value) -> Self {
        let content = |key: &&str| {
            let token = &object[*key];
            let text = token.as_str().or_else(|| token["content"].as_str())?;
            Some((key.to_string(), text.to_string()))
        };
        Self {
            tokens: ["bos_token", "eos_token", "pad_token"].iter().filter_map(content).collect(),
            add_bos_token: object["add_bos_token"].as_bool(),
        }
    }

    fn id(&self, key: &str, tokenizer: &tokenizers::Tokenizer) -> Option<u32> {
        tokenizer.token_to_id(self.tokens.get(key)?)
    }
}

/// The `tokenizers` crate panics on a template that names a token it does not define.
fn check_templates(file: &Path, processor: &Value) -> Result<()> {
    for inner in processor["processors"].as_array().into_iter().flatten() {
        check_templates(file, inner)?;
    }
    for piece in processor["single"].as_array().into_iter().flatten() {
        if let Some(token) = piece["SpecialToken"]["id"].as_str()
            && processor["special_tokens"][token].is_null()
        {
            let problem = format!("post_processor: the template's token {token:?} is not defined");
            return Err(broken(file, problem));
        }
    }
    Ok(())
}

/// Drops what would cut, pad or randomise an encoding.
fn make_deterministic(definition: &mut Value) {
    for key in ["truncation", "padding"] {
        definition[key] = Value::Null;
    }
    if let Some(dropout) = definition["model"].get_mut("dropout") {
        *dropout = Value::Null;
    }
}

/// Removes the steps that treat the start of a text unlike the rest of it.
fn forget_the_start(definition: &mut Value) {
    for (part, list) in [("normalizer", "normalizers"), ("pre_tokenizer", "pretokenizers"), ("decoder", "decoders")] {
        let step = &mut definition[part];
        if is_about_the_start(step) {
            *step = Value::Null;
        }
        forget_the_start_in(step, list);
    }
}

fn forget_the_start_in(step: &mut Value, list: &str) {
    if let Some(steps) = step.get_mut(list).and_then(Value::as_array_mut) {
        steps.retain(|step| !is_about_the_start(step));
        steps.iter_mut().for_each(|step| forget_the_start_in(step, list));
    }
    if step["type"] == "Metaspace" {
        step["prepend_scheme"] = json!("never");
    }
    if let Some(add) = step.get_mut("add_prefix_space") {
        *add = json!(false);
    }
}

/// Whether a step does nothing but add or remove something at the start: `Prepend`, and the decoder's
/// `Strip` (a normalizer of that name has other fields).
fn is_about_the_start(step: &Value) -> bool {
    step["type"] == "Prepend" || (step["type"] == "Strip" && step["start"].as_u64() > Some(0))
}

/// Every id has to be a row of the model's embedding.
fn check_size(file: &Path, tokenizer: &tokenizers::Tokenizer, config: &ModelConfig) -> Result<()> {
    let vocabulary = tokenizer.get_vocab(true);
    let Some((token, &id)) = vocabulary.iter().max_by_key(|(_, id)| **id) else {
        return Err(broken(file, "its vocabulary is empty"));
    };
    if (id as usize) < config.vocab_size {
        return Ok(());
    }
    let problem = format!(
        "token {token:?} has id {id}, but config.json gives the model vocab_size = {}: the tokenizer is of \
         another model, or tokens were added without resizing the model's embedding",
        config.vocab_size
    );
    Err(broken(file, problem))
}

fn special_ids(tokenizer: &tokenizers::Tokenizer, config: &ModelConfig, named: [Option<u32>; 3]) -> Vec<u32> {
    let added = tokenizer.get_added_tokens_decoder();
    let mut ids: Vec<u32> = added.iter().filter(|(_, token)| token.special).map(|(id, _)| *id).collect();
    ids.extend(named.into_iter().flatten());
    ids.extend([config.bos_token_id, config.pad_token_id].into_iter().flatten());
    ids.extend(&config.eos_token_ids);
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// What each id appends to a text.
fn token_bytes(fragment: &tokenizers::Tokenizer, decoder: &Value) -> Vec<Box<[u8]>> {
    let size = fragment.get_vocab(true).into_values().max().map_or(0, |id| id + 1);
    let byte_level = has_step(decoder, "ByteLevel").then(byte_level_alphabet);
    let byte_fallback = has_step(decoder, "ByteFallback");
    let anchor = Anchor::find(fragment, size);
    let added = fragment.get_added_tokens_decoder();
    let of_token = |id: u32| -> Box<[u8]> {
        let Some(piece) = fragment.id_to_token(id) else {
            return [].into();
        };
        if added.get(&id).is_some_and(|token| token.special) {
            return piece.into_bytes().into();
        }
        if let Some(alphabet) = &byte_level
            && let Some(bytes) = piece.chars().map(|c| alphabet.get(&c).copied()).collect()
        {
            return bytes;
        }
        match fallback_byte(&piece) {
            Some(byte) if byte_fallback => [byte].into(),
            _ => anchor.appended(fragment, id).into_bytes().into(),
        }
    };
    (0..size).into_par_iter().map(of_token).collect()
}

fn has_step(decoder: &Value, kind: &str) -> bool {
    let mut inner = decoder["decoders"].as_array().into_iter().flatten();
    decoder["type"] == kind || inner.any(|step| has_step(step, kind))
}

/// The byte of a token like "<0x0A>".
fn fallback_byte(piece: &str) -> Option<u8> {
    let digits = piece.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() != 2 {
        return None;
    }
    u8::from_str_radix(digits, 16).ok()
}

/// GPT-2's printable stand-ins for bytes: a printable byte is its own character, the others follow
/// from U+0100 on.
fn byte_level_alphabet() -> BTreeMap<char, u8> {
    let printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let others = (0..=255).filter(|byte| !printable(byte));
    let stand_ins = ('\u{100}'..).zip(others);
    let themselves = (0..=255).filter(printable).map(|byte| (char::from(byte), byte));
    themselves.chain(stand_ins).collect()
}

/// A token put before another so that the other is not at the start of a text, where some decoders
/// drop a space.
struct Anchor(Option<(u32, String)>);

impl Anchor {
    /// The first token that has a text.
    fn find(tokenizer: &tokenizers::Tokenizer, size: u32) -> Self {
        let added = tokenizer.get_added_tokens_decoder();
        let mut ids = (0..size).filter(|id| !added.contains_key(id));
        Self(ids.find_map(|id| {
            let text = tokenizer.decode(&[id], false).ok()?;
            let usable = !text.trim().is_empty() && !text.contains('\u{FFFD}');
            usable.then_some((id, text))
        }))
    }

    fn appended(&self, tokenizer: &tokenizers::Tokenizer, id: u32) -> String {
        let text = |ids: &[u32]| tokenizer.decode(ids, false).unwrap_or_default();
        if let Some((anchor, before)) = &self.0
            && let Some(appended) = text(&[*anchor, id]).strip_prefix(before.as_str())
        {
            return appended.to_string();
        }
        text(&[id])
    }
}

mod train;

#[cfg(test)]
mod tests;

use super::*;

fn special(id: u32, content: &str) -> Value {
    json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
           "normalized": false, "special": true})
}

fn bpe(pieces: &[String], merges: &[[&str; 2]], byte_fallback: bool) -> Value {
    let vocab: Map<String, Value> = pieces.iter().zip(0..).map(|(piece, id)| (piece.clone(), json!(id))).collect();
    json!({"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
           "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": byte_fallback,
           "vocab": vocab, "merges": merges})
}

fn template(before: &str, id: u32) -> Value {
    json!({"type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": before, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {before: {"id": before, "ids": [id], "tokens": [before]}}})
}

/// As Llama's: a BOS and a space mark before the text, bytes for unknown characters.
/// Ids: 0 `<unk>`, 1 `<s>`, 2 `</s>`, 3 + b for byte b, then the pieces below.
fn llama_like() -> Value {
    let mut pieces: Vec<String> = ["<unk>", "<s>", "</s>"].map(String::from).into();
    pieces.extend((0..256).map(|byte| format!("<0x{byte:02X}>")));
    pieces.extend(["▁", "a", "b", ".", "▁a", "ab", "▁ab", ".."].map(String::from));
    let merges = [["▁", "a"], ["a", "b"], ["▁a", "b"], [".", "."]];
    json!({"version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "pre_tokenizer": null,
        "post_processor": template("<s>", 1),
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": bpe(&pieces, &merges, true)})
}

const SPACE: u32 = 259;
const A: u32 = 260;
const AB: u32 = 264;
const SPACE_AB: u32 = 265;

/// As GPT-2's: all bytes, no BOS of its own. Ids: the bytes' stand-ins in order, then `ab`, ` ab`,
/// the end of text.
fn gpt2_like() -> Value {
    let mut pieces: Vec<String> = byte_level_alphabet().into_keys().map(String::from).collect();
    pieces.extend(["ab", "Ġab", "<|endoftext|>"].map(String::from));
    let step = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [special(258, "<|endoftext|>")],
        "normalizer": null, "pre_tokenizer": step, "post_processor": step, "decoder": step,
        "model": bpe(&pieces, &[["a", "b"], ["Ġ", "ab"]], false)})
}

const GPT2_AB: u32 = 256;
const GPT2_SPACE_AB: u32 = 257;
const GPT2_END: u32 = 258;

fn config(vocab_size: usize) -> ModelConfig {
    let text = json!({"model_type": "llama", "vocab_size": vocab_size, "hidden_size": 8, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 8, "bos_token_id": null, "eos_token_id": null});
    ModelConfig::from_json(&text.to_string(), Path::new("config.json")).unwrap()
}

fn try_load(definition: Value, settings: Value, vocab_size: usize) -> Result<Tokenizer> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tokenizer.json"), definition.to_string()).unwrap();
    std::fs::write(dir.path().join("tokenizer_config.json"), settings.to_string()).unwrap();
    Tokenizer::read(dir.path(), &config(vocab_size))
}

fn llama(changes: impl FnOnce(&mut Value)) -> Tokenizer {
    let mut definition = llama_like();
    changes(&mut definition);
    try_load(definition, json!({"bos_token": {"content": "<s>"}, "eos_token": "</s>"}), 300).unwrap()
}

fn gpt2() -> Tokenizer {
    let settings = json!({"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"});
    try_load(gpt2_like(), settings, 259).unwrap()
}

#[test]
fn a_prompt_gets_the_tokenizers_beginning_and_a_completion_does_not() {
    let llama = llama(|_| ());
    assert_eq!(llama.encode_prompt("ab ab").unwrap(), [1, SPACE_AB, SPACE_AB]);
    assert_eq!(llama.encode_completion("ab ab").unwrap(), [AB, SPACE_AB]);
    assert_eq!(llama.encode_completion(" ab").unwrap(), [SPACE_AB]);
    assert!(llama.encode_completion("").unwrap().is_empty());
    let gpt2 = gpt2();
    assert_eq!(gpt2.encode_prompt("ab ab").unwrap(), [GPT2_AB, GPT2_SPACE_AB]);
    assert_eq!(gpt2.encode_completion(" ab").unwrap(), [GPT2_SPACE_AB]);
}

#[test]
fn every_way_to_mark_the_start_is_left_out_of_completions() {
    let metaspace =
        |scheme: &str| json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": false});
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true});
    for step in [
        metaspace("first"),
        metaspace("always"),
        json!({"type": "Metaspace", "replacement": "▁", "add_prefix_space": true}),
        json!({"type": "Sequence", "pretokenizers": [metaspace("first")]}),
    ] {
        let tokenizer = llama(|definition| {
            definition["normalizer"] = Value::Null;
            definition["pre_tokenizer"] = step.clone();
            definition["decoder"] = metaspace("first");
        });
        assert_eq!(tokenizer.encode_prompt("ab").unwrap(), [1, SPACE_AB], "{step}");
        assert_eq!(tokenizer.encode_completion("ab").unwrap(), [AB], "{step}");
        assert_eq!(tokenizer.decode(&[SPACE_AB, AB]), " abab", "{step}");
    }
    let mut definition = gpt2_like();
    definition["pre_tokenizer"] = byte_level;
    let tokenizer = try_load(definition, json!({}), 259).unwrap();
    assert_eq!(tokenizer.encode_prompt("ab").unwrap(), [GPT2_SPACE_AB]);
    assert_eq!(tokenizer.encode_completion("ab").unwrap(), [GPT2_AB]);
}

#[test]
fn an_empty_prompt_is_a_bos_or_else_an_eos_and_never_nothing() {
    assert_eq!(llama(|_| ()).encode_prompt("").unwrap(), [1]);
    assert_eq!(gpt2().encode_prompt("").unwrap(), [GPT2_END]);
    let without_bos = try_load(gpt2_like(), json!({"eos_token": "<|endoftext|>"}), 259).unwrap();
    assert_eq!(without_bos.encode_prompt("").unwrap(), [GPT2_END]);
    let with_neither = try_load(gpt2_like(), json!({}), 259).unwrap();
    let message = with_neither.encode_prompt("").unwrap_err().to_string();
    assert!(message.contains("BOS") && message.contains("tokenizer.json"), "{message}");
}

#[test]
fn an_eos_that_the_template_appends_is_not_part_of_a_prompt() {
    let tokenizer = llama(|definition| {
        let processor = &mut definition["post_processor"];
        let end = json!({"SpecialToken": {"id": "</s>", "type_id": 0}});
        processor["single"].as_array_mut().unwrap().push(end);
        processor["special_tokens"]["</s>"] = json!({"id": "</s>", "ids": [2], "tokens": ["</s>"]});
    });
    assert_eq!(tokenizer.encode_prompt("ab").unwrap(), [1, SPACE_AB]);
    assert_eq!(tokenizer.encode_prompt("").unwrap(), [1]);
}

#[test]
fn add_bos_token_overrides_the_template() {
    let prompt = |add: bool, definition: Value, bos: &str| {
        let settings = json!({"bos_token": bos, "add_bos_token": add});
        try_load(definition, settings, 300).unwrap().encode_prompt("ab").unwrap()
    };
    assert_eq!(prompt(true, llama_like(), "<s>"), [1, SPACE_AB]);
    assert_eq!(prompt(false, llama_like(), "<s>"), [SPACE_AB]);
    assert_eq!(prompt(true, gpt2_like(), "<|endoftext|>"), [GPT2_END, GPT2_AB]);
}

#[test]
fn decoding_keeps_spaces_and_joins_the_bytes_of_a_character() {
    let byte = |b: u8| 3 + u32::from(b);
    let llama = llama(|_| ());
    assert_eq!(llama.decode(&[SPACE_AB, A]), " aba");
    let bird: Vec<u32> = "🐦".bytes().map(byte).collect();
    assert_eq!(llama.decode(&bird), "🐦");
    assert_eq!(llama.decode(&[bird[0], A]), "\u{FFFD}a");
    assert_eq!(llama.decode(&[1, A, 1, 2, 299]), "a<s></s>");
    assert_eq!(llama.decode(&[]), "");

    let gpt2 = gpt2();
    for text in [" ab naïve 🐦.\n", "  two", "\u{ad}\0"] {
        assert_eq!(gpt2.decode(&gpt2.encode_completion(text).unwrap()), text);
        assert_eq!(llama.decode(&llama.encode_completion(text).unwrap()), text);
    }
}

#[test]
fn a_tokens_text_is_what_it_appends() {
    let llama = llama(|_| ());
    let texts = [SPACE, A, SPACE_AB, 2, 3 + 10, 3 + 0xF0, 299].map(|id| llama.token_text(id));
    assert_eq!(texts, [" ", "a", " ab", "</s>", "\n", "\u{FFFD}", ""]);
    assert_eq!(llama.token_bytes(3 + 0xF0), [0xF0]);
    assert_eq!(llama.vocab_size(), 267);
    assert_eq!(llama.special_ids(), [0, 1, 2]);
    assert_eq!(gpt2().token_text(GPT2_SPACE_AB), " ab");
    assert_eq!(gpt2().special_ids(), [GPT2_END]);
}

#[test]
fn truncation_padding_and_dropout_are_ignored() {
    let tokenizer = llama(|definition| {
        definition["truncation"] =
            json!({"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0});
        definition["padding"] = json!({"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "<unk>"});
        definition["model"]["dropout"] = json!(1.0);
    });
    assert_eq!(tokenizer.encode_prompt("ab ab ab").unwrap(), [1, SPACE_AB, SPACE_AB, SPACE_AB]);
}

#[test]
fn a_tokenizer_that_does_not_fit_is_refused() {
    let refusal = |definition: Value, vocab_size| {
        let message = try_load(definition, json!({}), vocab_size).unwrap_err().to_string();
        assert!(message.contains("tokenizer.json"), "{message}");
        message
    };
    let message = refusal(gpt2_like(), 258);
    assert!(message.contains("<|endoftext|>") && message.contains("258"), "{message}");
    let mut definition = llama_like();
    definition["post_processor"]["special_tokens"] = json!({});
    assert!(refusal(definition, 300).contains("\"<s>\""));
    let mut definition = llama_like();
    definition["model"]["type"] = json!("Unknown");
    assert!(refusal(definition, 300).contains("not a tokenizer that can be read"));
    refusal(json!([]), 300);
    refusal(json!({}), 300);
}

#[test]
fn numbers_are_words_of_a_tokenizer_without_files() {
    let tokenizer = Tokenizer::numbered(&config(12)).unwrap();
    assert_eq!(tokenizer.vocab_size(), 12);
    assert_eq!(tokenizer.encode_prompt("3 11 7").unwrap(), [3, 11, 7]);
    assert_eq!(tokenizer.encode_completion("3 stranger 7").unwrap(), [3, 0, 7]);
    assert_eq!(tokenizer.decode(&[3, 11, 7]), " 3 11 7");
}

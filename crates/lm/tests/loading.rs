//! Model directories as they come: the fixtures load as transformers loads them, and broken ones are
//! refused with a message that names the file and the way out.

use std::fs;
use std::path::{Path, PathBuf};

use amortize_lm::config::{ModelConfig, Positions};
use amortize_lm::error::LmError;
use amortize_lm::tokenizer::Tokenizer;
use amortize_lm::weights::{Weights, write_safetensors};
use amortize_lm::{Device, Model, Policy, Precision};
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

const FIXTURES: [&str; 5] = ["gpt2-tiny", "gpt2-bare", "llama-tiny", "llama3-rope", "llama-linear-rope"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn json(file: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

/// A copy of a fixture's own files, to be broken.
fn copy(name: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixture(name)).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_file() {
            fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
        }
    }
    dir
}

fn dir_with(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn assert_says<T>(result: Result<T, LmError>, words: &[&str]) {
    assert_contains(&result.err().expect("should be refused").to_string(), words);
}

#[test]
fn texts_have_the_ids_that_transformers_gives_them() {
    for name in FIXTURES {
        let dir = fixture(name);
        let tokenizer = Tokenizer::read(&dir, &ModelConfig::read(&dir).unwrap()).unwrap();
        let cases = json(&dir.join("golden.json"))["text"].as_array().unwrap().clone();
        assert!(!cases.is_empty());
        for case in cases {
            let text = |key: &str| case[key].as_str().unwrap();
            let prompt = tokenizer.encode_prompt(text("prompt")).unwrap();
            let completion = tokenizer.encode_completion(text("completion")).unwrap();
            assert_eq!(json!(prompt), case["prompt_ids"], "{name}: {case}");
            assert_eq!(json!(completion), case["completion_ids"], "{name}: {case}");
            assert_eq!(tokenizer.decode(&completion), text("completion"), "{name}");
            let whole = tokenizer.decode(&[prompt, completion].concat());
            assert!(whole.ends_with(&format!("{}{}", text("prompt"), text("completion"))), "{name}: {whole}");
        }
    }
}

#[test]
fn decoding_is_the_joined_texts_of_the_tokens() {
    let dir = fixture("llama-tiny");
    let tokenizer = Tokenizer::read(&dir, &ModelConfig::read(&dir).unwrap()).unwrap();
    let ids = tokenizer.encode_completion(" naïve 🐦 sang.\n").unwrap();
    let bytes: Vec<u8> = ids.iter().flat_map(|&id| tokenizer.token_bytes(id)).copied().collect();
    assert_eq!(bytes, " naïve 🐦 sang.\n".as_bytes());
}

#[test]
fn fixtures_hold_the_tensors_their_configurations_imply() {
    for name in FIXTURES {
        let dir = fixture(name);
        let config = ModelConfig::read(&dir).unwrap();
        let weights = Weights::open(&dir).unwrap();
        let (prefixes, embedding) = match config.positions {
            Positions::Learned => (["transformer.", ""], "wte.weight"),
            Positions::Rope(_) => (["model.", ""], "embed_tokens.weight"),
        };
        let prefix = weights.prefix(&prefixes, embedding).unwrap();
        let shape = [config.vocab_size, config.hidden_size];
        let numbers = weights.take(&format!("{prefix}{embedding}"), &shape).unwrap();
        assert_eq!(numbers.len(), config.vocab_size * config.hidden_size, "{name}");
        assert!(numbers.iter().all(|x| x.is_finite()) && numbers.iter().any(|&x| x != 0.0), "{name}");
    }
}

#[test]
fn a_directory_without_usable_weights_says_what_it_has() {
    assert_says(Weights::open(Path::new("/nowhere")), &["/nowhere", "no directory"]);
    assert_says(Weights::open(dir_with(&[]).path()), &["model.safetensors"]);
    let pickle = dir_with(&[("pytorch_model.bin", "")]);
    assert_says(Weights::open(pickle.path()), &["pytorch_model.bin", "save_pretrained"]);
    let adapter = dir_with(&[("adapter_model.safetensors", "")]);
    assert_says(Weights::open(adapter.path()), &["only an adapter", "base model"]);
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let weights = Weights::open(&fixture("llama-tiny")).unwrap();
    assert_says(
        weights.take("model.norm.wieght", &[32]),
        &["\"model.norm.wieght\"", "nearest", "\"model.norm.weight\""],
    );
    assert_says(weights.take("model.norm.weight", &[64]), &["model.safetensors", "model.norm.weight", "[32]", "[64]"]);
}

#[test]
fn other_number_formats_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let header = r#"{"x":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}}"#;
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 4]].concat();
    fs::write(dir.path().join("model.safetensors"), bytes).unwrap();
    let weights = Weights::open(dir.path()).unwrap();
    assert_says(weights.take("x", &[1]), &["\"x\"", "I32", "BF16", "convert"]);
}

#[test]
fn a_file_cut_short_anywhere_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("model.safetensors");
    write_safetensors(&file, &[("x".into(), vec![3], &[1.0, 2.0, 3.0])], None).unwrap();
    let whole = fs::read(&file).unwrap();
    for len in 0..whole.len() {
        fs::write(&file, &whole[..len]).unwrap();
        assert_says(Weights::open(dir.path()), &["model.safetensors", "fetch it again"]);
    }
    fs::write(&file, [&whole[..], &[0]].concat()).unwrap();
    assert_says(Weights::open(dir.path()), &["not as many as its header describes"]);
    fs::write(&file, "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n").unwrap();
    assert_says(Weights::open(dir.path()), &["git lfs pull"]);
}

#[test]
fn shards_that_do_not_match_their_index_are_refused() {
    let index_of = |dir: &TempDir| dir.path().join("model.safetensors.index.json");
    let broken = |change: &dyn Fn(&TempDir, &mut Value)| {
        let dir = copy("gpt2-bare");
        let mut index = json(&index_of(&dir));
        change(&dir, &mut index);
        fs::write(index_of(&dir), index.to_string()).unwrap();
        Weights::open(dir.path())
    };
    let missing = broken(&|dir, _| fs::remove_file(dir.path().join("model-00002-of-00002.safetensors")).unwrap());
    assert_says(missing, &["cannot read", "model-00002-of-00002.safetensors"]);
    let misplaced = broken(&|_, index| index["weight_map"]["ghost"] = json!("model-00001-of-00002.safetensors"));
    assert_says(misplaced, &["index.json", "\"ghost\"", "model-00001-of-00002.safetensors"]);
    let outside = broken(&|_, index| index["weight_map"]["ghost"] = json!("../model.safetensors"));
    assert_says(outside, &["index.json", "../model.safetensors"]);
    assert_says(broken(&|_, index| *index = json!({})), &["index.json", "weight_map"]);
}

#[test]
fn a_damaged_configuration_or_tokenizer_is_named() {
    let dir = copy("llama-tiny");
    let config = ModelConfig::read(dir.path()).unwrap();
    let text = fs::read_to_string(dir.path().join("tokenizer.json")).unwrap();
    for len in (0..text.len()).filter(|&len| text.is_char_boundary(len)).step_by(97) {
        fs::write(dir.path().join("tokenizer.json"), &text[..len]).unwrap();
        assert_says(Tokenizer::read(dir.path(), &config), &["tokenizer.json", "JSON"]);
    }
    fs::remove_file(dir.path().join("tokenizer.json")).unwrap();
    assert_says(Tokenizer::read(dir.path(), &config), &["tokenizer.json", "missing", "save_pretrained"]);

    fs::write(dir.path().join("config.json"), "{\"model_type\": ").unwrap();
    assert_says(ModelConfig::read(dir.path()), &["config.json", "JSON"]);
    fs::remove_file(dir.path().join("config.json")).unwrap();
    assert_says(ModelConfig::read(dir.path()), &["cannot read", "config.json"]);
}

/// What `Model::load` says of a fixture's copy after `damage`; always one line that names the directory.
fn refusal(name: &str, damage: impl FnOnce(&Path)) -> String {
    let dir = copy(name);
    damage(dir.path());
    let message = Model::load(dir.path(), &Device::cpu(), Precision::F32).expect_err("should be refused").to_string();
    assert!(!message.contains('\n') && message.contains(dir.path().to_str().unwrap()), "{message}");
    message
}

fn assert_contains(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "no {word:?} in: {message}");
    }
}

/// Gives a key of a JSON file another value.
fn set(file: &Path, key: &str, value: Value) {
    let mut object = json(file);
    object[key] = value;
    fs::write(file, object.to_string()).unwrap();
}

fn truncate(file: &Path, len: u64) {
    fs::OpenOptions::new().write(true).open(file).unwrap().set_len(len).unwrap();
}

#[test]
fn a_model_that_is_not_one_is_refused() {
    let nowhere = Model::load(Path::new("/nowhere"), &Device::cpu(), Precision::F32);
    assert_says(nowhere, &["/nowhere is not a directory", "config.json", "model.safetensors", "tokenizer.json"]);
    for (file, words) in [
        ("config.json", &["cannot read", "config.json"][..]),
        ("tokenizer.json", &["tokenizer.json", "missing", "save_pretrained"]),
        ("model.safetensors", &["no model weights", "model.safetensors"]),
    ] {
        assert_contains(&refusal("llama-tiny", |dir| fs::remove_file(dir.join(file)).unwrap()), words);
    }
    let pickle = refusal("llama-tiny", |dir| {
        fs::rename(dir.join("model.safetensors"), dir.join("pytorch_model.bin")).unwrap();
    });
    assert_contains(&pickle, &["pytorch_model.bin", "convert", "save_pretrained"]);
    let shard = refusal("gpt2-bare", |dir| fs::remove_file(dir.join("model-00002-of-00002.safetensors")).unwrap());
    assert_contains(&shard, &["cannot read", "model-00002-of-00002.safetensors"]);
}

#[test]
fn a_model_with_a_damaged_file_is_refused() {
    for (file, len, words) in [
        ("config.json", 40, &["config.json", "JSON", "EOF"][..]),
        ("tokenizer.json", 900, &["tokenizer.json", "JSON", "EOF"]),
        ("model.safetensors", 100, &["model.safetensors", "100 bytes end before its header", "fetch it again"]),
        ("model.safetensors", 100_000, &["model.safetensors", "100000 bytes are not as many", "fetch it again"]),
    ] {
        assert_contains(&refusal("llama-tiny", |dir| truncate(&dir.join(file), len)), words);
    }
    let tokenizer = refusal("llama-tiny", |dir| set(&dir.join("tokenizer.json"), "model", json!({"type": "Unknown"})));
    assert_contains(&tokenizer, &["tokenizer.json", "not a tokenizer that can be read"]);
}

#[test]
fn a_model_whose_files_disagree_is_refused() {
    for (key, value, words) in [
        ("model_type", json!("mamba"), &["\"model_type\"", "mamba", "gpt2 and llama"][..]),
        ("quantization_config", json!({"bits": 4}), &["\"quantization_config\"", "dequantise"]),
        ("vocab_size", json!(300), &["tokenizer.json", "vocab_size = 300", "another model"]),
        ("vocab_size", json!(372), &["\"model.embed_tokens.weight\"", "[371, 32]", "[372, 32]"]),
        ("intermediate_size", json!(64), &["\"model.layers.0.mlp.gate_proj.weight\"", "[48, 32]", "[64, 32]"]),
        ("num_hidden_layers", json!(3), &["no tensor \"model.layers.2.", "nearest", "\"model.layers.0."]),
        ("attention_bias", json!(true), &["no tensor \"model.layers.0.self_attn.q_proj.bias\"", "nearest"]),
    ] {
        assert_contains(&refusal("llama-tiny", |dir| set(&dir.join("config.json"), key, value)), words);
    }
    let untied = refusal("llama3-rope", |dir| set(&dir.join("config.json"), "tie_word_embeddings", json!(false)));
    assert_contains(&untied, &["no tensor \"lm_head.weight\""]);
    let family = refusal("llama-tiny", |dir| {
        fs::copy(fixture("gpt2-tiny").join("model.safetensors"), dir.join("model.safetensors")).unwrap();
    });
    assert_contains(&family, &["no tensor \"embed_tokens.weight\""]);
}

#[test]
fn sequences_that_a_model_cannot_read_are_refused() {
    let model = Model::load(&fixture("gpt2-tiny"), &Device::cpu(), Precision::F32).unwrap();
    let policy = Policy::base(&model);
    assert_says(policy.score_completion(&[128], &[1]), &["128 is out of range", "last is 127"]);
    assert_says(policy.score_completion(&[1], &[128]), &["128 is out of range", "last is 127"]);
    assert_says(policy.score_completion(&[], &[1]), &["no tokens"]);
    assert_says(policy.score_completion(&[1; 64], &[1, 1]), &["65 tokens", "context of 64"]);
    assert_eq!(policy.score_completion(&[1; 64], &[1]).unwrap().len(), 1);
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let config = ModelConfig::read(&fixture("gpt2-tiny")).unwrap();
    assert_says(
        Tokenizer::read(&fixture("llama-tiny"), &config),
        &["tokenizer.json", "vocab_size = 128", "another model"],
    );
}

proptest! {
    /// Whatever a header says, opening and reading give numbers or an error, never a panic.
    #[test]
    fn damaged_weights_never_panic(changes in prop::collection::vec((0usize..400, any::<u8>()), 1..4)) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("model.safetensors");
        let data = [1.0; 6];
        write_safetensors(&file, &[("ab".into(), vec![2, 3], &data), ("cd".into(), vec![6], &data)], None).unwrap();
        let mut bytes = fs::read(&file).unwrap();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        fs::write(&file, bytes).unwrap();
        if let Ok(weights) = Weights::open(dir.path()) {
            for name in weights.names() {
                let shape = weights.shape(name).unwrap().to_vec();
                let _ = weights.take(name, &shape);
            }
        }
    }
}

#[test]
fn the_embedded_model_is_the_directory_that_it_was_made_from() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../embedded/models/tiny");
    let load = |path: &Path| Model::load(path, &Device::cpu(), Precision::F32).unwrap();
    let (embedded, on_disk) = (load(Path::new("embedded:tiny")), load(&dir));
    let prompt = on_disk.tokenizer.encode_prompt("Anna went to the park.").unwrap();
    let completion = on_disk.tokenizer.encode_completion(" She was happy.").unwrap();
    assert_eq!(prompt, embedded.tokenizer.encode_prompt("Anna went to the park.").unwrap());
    let score = |model: &Model| Policy::base(model).score_completion(&prompt, &completion).unwrap();
    assert_eq!(score(&embedded), score(&on_disk));
}

#[test]
fn a_model_that_the_program_does_not_carry_is_refused_with_those_it_has() {
    for name in ["embedded:", "embedded:tin", "embedded:tiny/..", "embedded:tiny/config.json"] {
        let loaded = Model::load(Path::new(name), &Device::cpu(), Precision::F32);
        assert_says(loaded, &[name, "the program carries no such model", "embedded:tiny"]);
    }
}

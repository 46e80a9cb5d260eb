//! Against sentence-transformers, transformers and bert-score: numbers of scripts/make_metrics_golden.py.

use std::path::{Path, PathBuf};

use amortize_encoders::{Encoder, inverse_document_frequencies, token_embeddings};
use amortize_metrics::bert_score;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    texts: Vec<String>,
    embeddings: Vec<Vec<f32>>,
    #[serde(default)]
    bert_score: Vec<BertScores>,
}

#[derive(Deserialize)]
struct BertScores {
    layers: usize,
    idf: bool,
    scores: Vec<[f64; 3]>,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn golden(name: &str) -> Golden {
    let text = std::fs::read_to_string(fixture(name).join("golden.json")).expect("it reads");
    serde_json::from_str(&text).expect("it is of our form")
}

#[test]
fn embeddings_are_those_of_sentence_transformers() {
    for name in ["bert-mean", "bert-cls", "deberta-v2"] {
        let golden = golden(name);
        let encoder = Encoder::load(&fixture(name), None).expect("a fixture loads");
        let found = encoder.embed(&golden.texts).expect("it encodes");
        for ((found, expected), text) in found.iter().zip(&golden.embeddings).zip(&golden.texts) {
            assert_eq!(found.len(), encoder.width());
            let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-4, "{name}: {text:?} differs by {worst}");
        }
    }
}

#[test]
fn a_text_does_not_depend_on_its_batch() {
    let texts: Vec<String> = (0..70).map(|n| "the sun and the rain ".repeat(1 + n % 5)).collect();
    let encoder = Encoder::load(&fixture("bert-mean"), None).expect("a fixture loads");
    let together = encoder.embed(&texts).expect("it encodes");
    for number in [0, 3, 33, 69] {
        let alone = encoder.embed(&texts[number..=number]).expect("it encodes");
        let worst = alone[0].iter().zip(&together[number]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-5, "text {number} differs by {worst}");
    }
    assert!(encoder.embed::<&str>(&[]).expect("nothing to do").is_empty());
}

#[test]
fn bert_score_from_our_embeddings_is_that_of_the_package() {
    let golden = golden("bert-mean");
    let n = golden.texts.len();
    for case in golden.bert_score {
        let encoder = Encoder::load(&fixture("bert-mean"), Some(case.layers)).expect("a fixture loads");
        let idf = inverse_document_frequencies(&encoder, &golden.texts).expect("it encodes");
        let idf = case.idf.then_some(&idf);
        let embedded = token_embeddings(&encoder, &golden.texts, idf).expect("it encodes");
        for (i, expected) in case.scores.iter().enumerate() {
            let found = bert_score::against(&embedded[i], &embedded[(i + 1) % n]);
            for (found, expected) in [found.precision, found.recall, found.f1].iter().zip(expected) {
                let (layers, idf) = (case.layers, case.idf);
                assert!((found - expected).abs() < 1e-4, "layers {layers}, idf {idf}, text {i}: {found} {expected}");
            }
        }
    }
}

#[test]
fn what_cannot_be_read_is_refused_with_the_file_named() {
    let refused = |dir: &Path, layers| match Encoder::load(dir, layers) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{} loaded", dir.display()),
    };
    assert!(refused(Path::new("no-such-directory"), None).starts_with("no-such-directory: there is no such directory"));
    assert!(refused(&fixture("bert-mean"), Some(4)).contains("config.json: there is no layer 4; name one from 1 to 3"));
    let dir = tempfile::tempdir().expect("a directory");
    let put = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("it writes");
    assert!(refused(dir.path(), None).contains("config.json"));
    put("config.json", r#"{"model_type": "t5", "num_hidden_layers": 2}"#);
    assert!(refused(dir.path(), None).contains("model_type \"t5\" is not supported"));
    let config = std::fs::read_to_string(fixture("bert-mean").join("config.json")).expect("it reads");
    put("config.json", &config);
    assert!(refused(dir.path(), None).contains("model.safetensors"));
    put("model.safetensors", "not weights");
    assert!(refused(dir.path(), None).contains("model.safetensors"));
    put("modules.json", r#"[{"path": "2_Dense", "type": "sentence_transformers.models.Dense"}]"#);
    assert!(refused(dir.path(), None).contains("modules.json: a module of type"));
}

//! `amortize metrics`, and the diversity of `amortize evaluate`.

use crate::support::*;

const LINES: &str = r#"{"texts": ["Lily went to the park.", "It rained all day."], "reference": "Lily went to the park."}
{"text": "A dog!", "references": ["The sun came out.", "A dog"]}
"#;

fn encoder() -> String {
    format!("{}/../encoders/tests/fixtures/bert-mean", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn any_systems_texts_can_be_scored() {
    let place = Place::new();
    let file = place.write("outputs.jsonl", LINES);
    let plain = json(&succeed(&["metrics", &file, "--json"]));
    assert_eq!((plain["n"].as_u64(), plain["n_texts"].as_u64()), (Some(2), Some(3)));
    // sacrebleu and nltk on these three segments.
    assert_close(plain["bleu"].as_f64().unwrap(), 56.950635, 1e-4);
    assert_close(plain["gleu"].as_f64().unwrap(), 0.523810, 1e-4);
    assert!(plain["bert_score"].is_null() && plain["diversity"].is_null());
    let full = json(&succeed(&["metrics", &file, "--encoder", &encoder(), "--json"]));
    let f1 = full["bert_score"]["f1"].as_f64().unwrap();
    assert!((1.0 / 3.0..1.0).contains(&f1), "one of three texts is its reference: {f1}");
    assert!(full["diversity"].as_f64().unwrap() > 0.0);
    let table = succeed(&["metrics", &file, "--encoder", &encoder(), "--layer", "2", "--idf"]);
    assert!(table.contains("BERTScore, F1") && table.contains("diversity"), "{table}");
}

#[test]
fn texts_without_references_have_their_diversity() {
    let place = Place::new();
    let file = place.write("outputs.jsonl", r#"{"texts": ["A dog.", "A dog.", "A dog."]}"#);
    let found = json(&succeed(&["metrics", &file, "--encoder", &encoder(), "--json"]));
    assert_close(found["diversity"].as_f64().unwrap(), 0.0, 1e-6);
    assert!(found["bleu"].is_null() && found["bert_score"].is_null());
}

#[test]
fn bad_lines_are_refused_by_number() {
    let place = Place::new();
    for (line, part) in [
        (r#"{"reference": "a"}"#, "either \"text\" or a list"),
        (r#"{"text": "a", "reference": "b", "references": ["c"]}"#, "exclude each other"),
        (r#"{"text": "a"}"#, "some lines have references and some have none"),
        ("nonsense", "expected ident"),
    ] {
        let file = place.write("bad.jsonl", format!("{}{line}\n", LINES));
        refuse_saying(&["metrics", &file], &["bad.jsonl:3", part]);
    }
    refuse_saying(&["metrics", &place.write("empty.jsonl", "")], &["empty.jsonl", "no lines"]);
    let file = place.write("outputs.jsonl", LINES);
    refuse_saying(&["metrics", &file, "--encoder", "nowhere"], &["nowhere", "no such directory"]);
}

#[test]
fn an_evaluation_with_an_encoder_has_the_diversity_of_every_prompts_samples() {
    let place = Place::new();
    let (model, data) = (fixture("llama-tiny"), place.path("prompts.txt"));
    let evaluate = ["evaluate", "--json", "--model", &model, "--data", &data, "-n", "4"];
    let found = json(&succeed(&[&evaluate[..], &["--encoder", &encoder()]].concat()));
    let queries = found["queries"].as_array().unwrap();
    let all: Vec<f64> = queries.iter().map(|query| query["diversity"].as_f64().unwrap()).collect();
    assert!(all.iter().all(|diversity| (0.0..=2.0).contains(diversity)));
    assert_close(found["summary"]["diversity"].as_f64().unwrap(), all.iter().sum::<f64>() / all.len() as f64, 1e-9);
    // It is what `amortize metrics` says of the same samples.
    let samples = json_lines(&succeed(&["sample", "--json", "--model", &model, "--data", &data, "-n", "4"]));
    let texts: Vec<&str> = samples[..4].iter().map(|sample| sample["text"].as_str().unwrap()).collect();
    let file = place.write("samples.jsonl", serde_json::json!({ "texts": texts }).to_string());
    let metrics = json(&succeed(&["metrics", &file, "--encoder", &encoder(), "--json"]));
    assert_close(metrics["diversity"].as_f64().unwrap(), all[0], 1e-6);
}

//! `amortize score` against transformers and PEFT.

use serde_json::Value;

use crate::support::*;

const MODELS: [&str; 5] = ["gpt2-bare", "gpt2-tiny", "llama-linear-rope", "llama-tiny", "llama3-rope"];
const TOLERANCE: f64 = 5e-5;

fn score(model: &[&str], text: &[&str]) -> Value {
    let scored = json(&succeed(&[&["score", "--json", "--threads", "1"], model, text].concat()));
    assert_eq!(keys(&scored), ["log_prob", "log_probs", "tokens"]);
    assert_close(scored["log_prob"].as_f64().unwrap(), floats(&scored["log_probs"]).iter().sum(), 1e-9);
    scored
}

#[track_caller]
fn assert_scores(scored: &Value, expected: &Value, what: &Value) {
    let (found, expected) = (floats(&scored["log_probs"]), floats(expected));
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found - expected).abs() < TOLERANCE, "{what}: {found} is not {expected}");
    }
}

fn ids(case: &Value, which: &str) -> String {
    let ids: Vec<String> = case[which].as_array().unwrap().iter().map(Value::to_string).collect();
    format!("--{}={}", which.replace('_', "-"), ids.join(","))
}

fn text(case: &Value, which: &str) -> String {
    format!("--{which}={}", case[which].as_str().unwrap())
}

#[test]
fn scores_of_ids_and_of_texts_are_those_of_transformers() {
    for model in MODELS.map(fixture) {
        let golden = read_json(format!("{model}/golden.json"));
        for case in golden["score"].as_array().unwrap() {
            let scored = score(&["--model", &model], &[&ids(case, "prompt_ids"), &ids(case, "completion_ids")]);
            assert_scores(&scored, &case["log_probs"], case);
        }
        for case in golden["text"].as_array().unwrap() {
            let scored = score(&["--model", &model], &[&text(case, "prompt"), &text(case, "completion")]);
            assert_eq!(scored["tokens"], case["completion_ids"]);
            assert_scores(&scored, &case["log_probs"], case);
        }
        assert!(golden["text"].as_array().unwrap().iter().any(|case| case["prompt"] == ""), "an empty prompt is tried");
    }
}

#[test]
fn scores_under_an_adapter_are_those_of_peft() {
    for model in ["gpt2-tiny", "llama3-rope"].map(fixture) {
        let golden = read_json(format!("{model}/golden.json"));
        for adapter in golden["lora"].as_array().unwrap() {
            let dir = format!("{model}/{}", adapter["adapter"].as_str().unwrap());
            for (case, log_probs) in golden["text"].as_array().unwrap().iter().zip(adapter["text"].as_array().unwrap())
            {
                let policy = ["--model", &model, "--adapter", &dir];
                assert_scores(&score(&policy, &[&text(case, "prompt"), &text(case, "completion")]), log_probs, case);
            }
        }
    }
}

#[test]
fn a_runs_score_is_that_of_its_adapter() {
    let place = Place::new();
    let (run, model) = (place.train("run", &["train.steps=8"]), fixture("llama3-rope"));
    let text = ["--prompt=Once upon", "--completion= a time."];
    let of_run = score(&["--run", &run], &text);
    assert_eq!(of_run, score(&["--model", &model, "--adapter", &format!("{run}/adapter")], &text));
    assert_ne!(of_run, score(&["--model", &model], &text));
}

#[test]
fn an_empty_completion_is_certain() {
    let line = succeed(&["score", "--model", &fixture("gpt2-tiny"), "--prompt=", "--completion=", "--json"]);
    assert_eq!(line, "{\"tokens\":[],\"log_probs\":[],\"log_prob\":0.0}\n");
}

#[test]
fn people_get_a_table_with_the_sum() {
    let args = ["--model", &fixture("llama-tiny"), "--prompt=She walked", "--completion= home."];
    let table = succeed(&[&["score"], &args[..]].concat());
    let scored = score(&args[..2], &args[2..]);
    let last = table.lines().last().unwrap();
    assert!(
        last.contains(&format!("{:.4}", scored["log_prob"].as_f64().unwrap())) && last.ends_with("(all)"),
        "{table}"
    );
    assert_eq!(table.lines().count(), 2 + scored["tokens"].as_array().unwrap().len());
}

/// The largest difference between two scores of a completion, in nats a token.
fn largest_difference(a: &Value, b: &Value) -> f64 {
    floats(&a["log_probs"]).iter().zip(floats(&b["log_probs"])).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn every_instruction_set_and_precision_agrees_with_f32() {
    // Nats a token, as in the model crate's tests against PyTorch.
    let bounds = [("f32", 5e-5), ("bf16", 0.2), ("int8", 0.6)];
    for model in ["gpt2-tiny", "llama-tiny"].map(fixture) {
        let text = ["--prompt", "the cat", "--completion", " sat on the mat"];
        let reference = score(&["--model", &model], &text);
        for simd in ["portable", "avx2", "avx512", "avx512bf16", "amx"] {
            for (precision, bound) in bounds {
                let args = ["score", "--json", "--model", &model, "--precision", precision];
                let output = command(&[&args[..], &text].concat()).env("AMORTIZE_SIMD", simd).output().unwrap();
                let error = String::from_utf8_lossy(&output.stderr);
                if error.contains("AMORTIZE_SIMD") {
                    assert!(
                        simd != "portable" && error.contains(simd) && error.contains("this CPU has portable"),
                        "{error}"
                    );
                    continue;
                }
                let scored: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{error}"));
                let difference = largest_difference(&scored, &reference);
                assert!(difference < bound, "{simd} {precision}: {difference}");
                // And the precision was really another.
                assert_eq!(difference > 5e-5, precision != "f32", "{simd} {precision}: {difference}");
            }
        }
    }
}

#[test]
fn an_unknown_instruction_set_or_precision_is_refused() {
    let model = fixture("gpt2-tiny");
    let args = ["score", "--model", &model, "--prompt", "a", "--completion", "b"];
    let output = command(&args).env("AMORTIZE_SIMD", "mmx").output().unwrap();
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr).to_string();
    assert!(error.starts_with("error: AMORTIZE_SIMD is \"mmx\"; this CPU has portable"), "{error}");
    let error = refuse(&[&args[..], &["--precision", "f16"]].concat());
    assert!(error.contains("\"f16\" is not a precision; there are f32, bf16, int8"), "{error}");
}

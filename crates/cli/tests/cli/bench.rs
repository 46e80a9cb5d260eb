//! `amortize bench` on a tiny shape: what it reports, not how fast.

use serde_json::Value;

use crate::support::*;

const WORKLOADS: [&str; 5] = ["train", "score", "sample", "step-continuation", "step-infill"];

fn bench(options: &[&str]) -> Vec<Value> {
    let args = [&["bench", "--shape", "tiny", "--repeats", "1", "--threads", "1", "--json"], options].concat();
    json(&succeed(&args)).as_array().expect("a list").clone()
}

#[test]
fn every_workload_reports_positive_figures_in_both_precisions() {
    // Measuring the machine has a test of its own below.
    let results = bench(&["--machine", "1e11,1e10"]);
    let found: Vec<_> = results.iter().map(|result| [&result["workload"], &result["precision"]]).collect();
    let expected = WORKLOADS.iter().flat_map(|workload| ["f32", "bf16"].map(|precision| [*workload, precision]));
    assert!(found.iter().map(|pair| pair.map(|name| name.as_str().unwrap())).eq(expected), "{found:?}");
    for result in &results {
        let mut figures = vec!["seconds", "tokens_per_s", "floor_share", "floor_seconds", "seconds_min"];
        if cfg!(target_os = "linux") {
            figures.push("peak_rss_mb");
        }
        for figure in figures {
            assert!(
                result[figure].as_f64().is_some_and(|value| value > 0.0 && value.is_finite()),
                "{figure}: {result}"
            );
        }
        let (seconds, rate) = (result["seconds"].as_f64().unwrap(), result["tokens_per_s"].as_f64().unwrap());
        assert_close(rate * seconds, 16.0 * 24.0, 1e-6);
        assert_eq!((&result["shape"], &result["samples"], &result["tokens"]), (&"tiny".into(), &16.into(), &24.into()));
    }
}

/// A machine that reads at once and does one flop a second: a floor in seconds is the count of flops.
const COUNTING: [&str; 2] = ["--machine", "1,1e300"];

/// Twice the samples are nearly twice the work: the prompt is shared.
#[test]
fn a_sweep_reports_each_value_and_its_floor_grows_with_it() {
    let options = ["--workload", "train", "--precision", "f32", "--sweep", "samples=8,16,32"];
    let results = bench(&[&options[..], &COUNTING].concat());
    let samples: Vec<u64> = results.iter().map(|result| result["samples"].as_u64().unwrap()).collect();
    assert_eq!(samples, [8, 16, 32]);
    let flops = |result: &Value| result["floor_seconds"].as_f64().unwrap();
    let growth = flops(&results[2]) / flops(&results[1]);
    assert!((1.8..2.0).contains(&growth), "{growth}");
}

#[test]
fn people_get_a_table_and_the_machines_rates() {
    let args = ["bench", "--shape", "tiny", "--workload", "score", "--precision", "int8", "--repeats", "1"];
    let text = succeed(&args);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[2].contains("score") && lines[2].contains("int8") && lines[2].ends_with('%'), "{text}");
    assert!(lines[3].contains("int8") && lines[3].contains("Gflop/s") && lines[3].contains("GB/s"), "{text}");
}

#[test]
fn what_cannot_be_measured_is_refused_before_anything_is() {
    refuse_saying(
        &["bench", "--workload", "trian"],
        &["trian", "train, score, sample, step-continuation, step-infill"],
    );
    refuse_saying(&["bench", "--shape", "gpt5"], &["gpt5", "gpt2, gpt2-xl, llama-1b, tiny"]);
    refuse_saying(&["bench", "--precision", "fp8"], &["fp8", "f32", "bf16", "int8"]);
    refuse_saying(&["bench", "--sweep", "length=8"], &["length", "samples, tokens, prompt, suffix"]);
    refuse_saying(&["bench", "--repeats", "0"], &["1 or more"]);
    refuse_saying(&["bench", "--samples", "0"], &["samples", "at least 1"]);
    // gpt2's context is 1024; the first values would take minutes.
    refuse_saying(&["bench", "--sweep", "tokens=512,993"], &["1025", "context of 1024"]);
}

//! `amortize reproduce`, with budgets that are as small as can be: what is tested is that everything is run, kept and
//! shown, not what it comes to.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::*;

/// Of the tiny scale.
const SMALL: [&str; 4] = ["train.steps=4", "train.samples_per_query=8", "evaluate.every=4", "train.checkpoint_every=1"];

fn rng(out: &str, more: &[&str]) -> Vec<String> {
    reproduce(&["rng", "--seeds", "2", "--out", out], &[&SMALL[..], more].concat())
}

fn reproduce(args: &[&str], sets: &[&str]) -> Vec<String> {
    let sets = sets.iter().flat_map(|set| ["--set", set]);
    ["reproduce"].iter().chain(args).copied().chain(sets).map(String::from).collect()
}

/// Every element that is opened is closed, in order, and nothing in the text is no number.
fn check_svg(svg: &str) {
    assert!(svg.starts_with("<svg ") && svg.contains(r#"xmlns="http://www.w3.org/2000/svg""#), "{svg}");
    let mut open = Vec::new();
    for tag in svg.split('<').skip(1) {
        let tag = tag.split_once('>').expect("a tag ends").0;
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None if tag.ends_with('/') => {}
            None => open.extend(tag.split(' ').next()),
        }
    }
    assert_eq!(open, [""; 0]);
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
}

/// What a reproduction shows, and what it measured.
fn shown(out: &str) -> Files {
    let mut files = files(out);
    let keep = |path: &Path| path.components().count() == 1 || path.ends_with("measured.json");
    files.retain(|path, _| keep(path));
    files
}

fn row<'a>(rows: &'a [Value], method: &str, metric: &str) -> &'a Value {
    let found = rows.iter().find(|row| row["method"] == method && row["metric"] == metric);
    found.unwrap_or_else(|| panic!("{method} has no {metric}"))
}

#[test]
fn random_numbers_are_reproduced_with_all_methods_and_the_papers_numbers() {
    let place = Place::new();
    let out = place.path("rng");
    let printed = succeed(&[&strs(&rng(&out, &[]))[..], &["--json"]].concat());
    let rows = json(&printed).as_array().unwrap().clone();
    assert_eq!(read_json(format!("{out}/table.json")), Value::Array(rows.clone()));
    assert_eq!(rows.len(), 4 * 5);
    for row in &rows {
        assert_eq!(keys(row), ["condition", "mean", "method", "metric", "paper", "std"]);
        assert!(row["mean"].as_f64().is_some() && row["std"].as_f64().is_some(), "{row}");
    }
    assert_eq!(row(&rows, "base", "kl")["paper"], 3.37);
    assert_eq!(row(&rows, "ppo", "valid")["paper"], 0.958);
    assert_eq!(row(&rows, "sft", "kl")["paper"], Value::Null);
    // Nothing is drawn and nothing is trained: the seed of the base model changes nothing.
    assert_eq!(row(&rows, "base", "kl")["std"], 0.0);
    let [valid, invalid] = ["valid", "invalid_mass"].map(|metric| row(&rows, "gflownet", metric)["mean"].as_f64());
    assert_close(valid.unwrap() + invalid.unwrap(), 1.0, 1e-9);
    assert!(row(&rows, "gflownet", "kl")["mean"] != row(&rows, "base", "kl")["mean"], "training changed the policy");

    check_svg(&fs::read_to_string(format!("{out}/figure.svg")).unwrap());
    let markdown = fs::read_to_string(format!("{out}/table.md")).unwrap();
    let page = fs::read_to_string(format!("{out}/index.html")).unwrap();
    let command = format!("amortize train configs/rng-tiny.toml --set data.path={out}/data/numbers.jsonl");
    for text in [&markdown, &page] {
        assert!(text.contains(&command) && text.contains("(paper 9.75e−5)"), "{text}");
    }
    assert!(page.contains("<summary>Seed 2</summary>") && page.contains("prefers-color-scheme: dark"));
    // The table on the terminal is the file's.
    let again = call(&strs(&rng(&out, &[])));
    assert!(markdown.contains(&again.stdout) && again.stdout.contains("| gflownet |"), "{}", again.stdout);
    assert!(again.stderr.contains("[8/8] gflownet-2 is done") && !again.stderr.contains("starts"), "{}", again.stderr);
}

#[test]
fn a_killed_reproduction_goes_on_and_comes_to_the_same_table() {
    let place = Place::new();
    let out = place.path("rng");
    succeed(&strs(&rng(&out, &[])));
    let whole = shown(&out);
    fs::rename(&out, place.path("whole")).unwrap();
    for (run, step) in [("sft-1", 2), ("gflownet-1", 1), ("gflownet-2", 3)] {
        let mut at_work = Training::start(&strs(&rng(&out, &[])));
        at_work.wait_until(|| logged_step(&format!("{out}/runs/{run}")) >= Some(step));
        at_work.kill();
        assert!(!Path::new(&format!("{out}/table.json")).exists());
    }
    let finished = call(&strs(&rng(&out, &[])));
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(finished.stderr.contains("ppo-2 is done"), "{}", finished.stderr);
    assert_same(&whole, &shown(&out), "the reproduction");
}

#[test]
fn runs_with_other_settings_are_refused_and_left_alone() {
    let place = Place::new();
    let out = place.path("rng");
    succeed(&strs(&reproduce(&["rng", "--seeds", "1", "--out", &out], &SMALL)));
    let other = reproduce(&["rng", "--seeds", "1", "--out", &out], &[&SMALL[..], &["train.steps=5"]].concat());
    refuse_and_keep(&out, &strs(&other), &["sft-1 was made with other settings (steps = 4, now steps = 5)", "--out"]);
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_written() {
    let place = Place::new();
    let out = place.path("out");
    let cases: [(&[&str], &[&str]); 7] = [
        (&["rgn"], &["unknown experiment \"rgn\"", "did you mean \"rng\"?"]),
        (&["rng", "--scale", "papers"], &["did you mean \"paper\"?"]),
        (&["rng", "--set", "train.step=4"], &["unknown key \"train.step\"", "did you mean \"train.steps\"?"]),
        (&["rng", "--set", "train.seed=4"], &["--set train.seed", "--seeds"]),
        (&["infill", "--data", "stories.jsonl"], &["--data belongs to --scale paper"]),
        (&["infill", "--scale", "paper"], &["--model"]),
        (&["continuation", "--scale", "paper", "--model", "gpt2"], &["--data"]),
    ];
    for (args, parts) in cases {
        refuse_saying(&[&["reproduce", "--out", &out], args].concat(), parts);
    }
    assert!(!Path::new(&out).exists());
}

/// Keys that make the paper's configs small.
const SMALL_PAPER: [&str; 8] = [
    "data.limit=8",
    "data.validation=2",
    "adapter.target_modules=all-linear",
    "policy.max_length=12",
    "train.steps=1",
    "train.queries_per_step=2",
    "train.samples_per_query=4",
    "evaluate.every=0",
];

#[test]
fn infilling_is_reproduced_on_data_of_ones_own() {
    let place = Place::new();
    let story = |i: usize| {
        format!(
            "{{\"x\": \"Ann had {i} dogs. She lost them. She was sad.\", \"y\": \"She was glad.\", \"z\": \"Tom found them.\"}}\n"
        )
    };
    let data = place.write("stories.jsonl", (0..8).map(story).collect::<String>());
    let out = place.path("infill");
    let args =
        ["infill", "--scale", "paper", "--seeds", "1", "--model", "embedded:tiny", "--data", &data, "--out", &out];
    let sets = [&SMALL_PAPER[..], &["policy.min_length=1"]].concat();
    let rows = json(&succeed(&[&strs(&reproduce(&args, &sets))[..], &["--json"]].concat()));
    let rows = rows.as_array().unwrap();
    let metrics: Vec<&Value> = rows.iter().filter(|row| row["method"] == "sft").map(|row| &row["metric"]).collect();
    // Stories that are not the world's have no judge, and without an encoder there is no BERTScore.
    assert_eq!(metrics, ["bleu4", "gleu4", "log_reward"]);
    assert_eq!((&row(rows, "gflownet", "bleu4")["paper"], &rows[0]["std"]), (&Value::from(2.1), &Value::Null));
    check_svg(&fs::read_to_string(format!("{out}/figure.svg")).unwrap());
    let without_z = fs::read_to_string(&data).unwrap().replace("\"z\"", "\"not z\"");
    let data = place.write("no-z.jsonl", without_z);
    let args = ["infill", "--scale", "paper", "--model", "embedded:tiny", "--data", &data, "--out"];
    refuse_saying(&strs(&reproduce(&[&args[..], &[&place.path("none")]].concat(), &sets)), &["no \"z\""]);
}

#[test]
fn continuations_are_reproduced_by_all_ways_to_decode() {
    let place = Place::new();
    let data = place.write("prompts.txt", (0..8).map(|i| format!("Ann had {i} dogs.\n")).collect::<String>());
    let out = place.path("continuation");
    let given = ["--scale", "paper", "--seeds", "1", "--model", "embedded:tiny", "--data", &data, "--out", &out];
    let args = reproduce(&[&["continuation"], &given[..]].concat(), &SMALL_PAPER);
    let rows = json(&succeed(&[&strs(&args)[..], &["--json"]].concat()));
    let rows = rows.as_array().unwrap();
    let best = |method: &str, condition: &str| {
        let own = |row: &&Value| {
            row["method"] == method && row["condition"] == condition && row["metric"] == "max_log_likelihood"
        };
        rows.iter().find(own).unwrap_or_else(|| panic!("{method} {condition}"))["mean"].as_f64().unwrap()
    };
    for condition in ["T=0.8", "T=0.875", "T=0.95"] {
        assert!(best("gflownet", condition) < 0.0);
    }
    assert!(best("beam", "n beams") >= best("greedy", "") - 1e-6);
    for (method, condition) in [("nucleus", "p=0.8"), ("top_k", "k=5"), ("tempered", "T=0.7"), ("ancestral", "T=1")] {
        assert!(best(method, condition) <= best("beam", "5n beams") + 1e-6, "{method}");
    }
    let metric = |name: &str| rows.iter().filter(|row| row["metric"] == name).count();
    assert_eq!((metric("word_diversity"), metric("diversity")), (17, 0));
    check_svg(&fs::read_to_string(format!("{out}/figure.svg")).unwrap());
}

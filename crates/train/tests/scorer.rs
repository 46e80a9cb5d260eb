//! Rewards from programs, here shell scripts: what is asked, and what happens when they fail.

mod common;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use amortize_gfn::{Query, StopReason, Trajectory};
use amortize_lm::Policy;
use amortize_train::config::RewardMask;
use amortize_train::reward::{Item, Scorer, Target};
use serde_json::Value;
use tempfile::TempDir;

/// Reads a request into `$line` and its number into `$id`.
const READ: &str = r#"read -r line || exit 0; id=${line#*:}; id=${id%%,*}"#;

/// A scorer that runs a script with a directory to write to as `$0`.
fn scorer(dir: &TempDir, script: &str) -> Scorer {
    let script = format!("ask() {{ {READ}; printf '%s\\n' \"$line\" >> $0/requests; }}\n{script}");
    let command = ["sh", "-c", &script, dir.path().to_str().expect("a path")].map(String::from).to_vec();
    Scorer::new(command, Duration::from_millis(500))
}

fn items(n: usize) -> Vec<Item> {
    (0..n).map(|i| Item { x: "a \"b\"\n".into(), y: None, z: format!("é{i}") }).collect()
}

fn requests(dir: &TempDir) -> Vec<Value> {
    let text = fs::read_to_string(dir.path().join("requests")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

const ANSWER: &str = r#"echo "{\"id\": $id, \"log_rewards\": [0.5, null]}""#;

#[test]
fn one_process_answers_all_requests() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut scorer = scorer(&dir, &format!("echo x >> $0/starts; while ask; do {ANSWER}; done"));
    for _ in 0..3 {
        assert_eq!(scorer.score(&items(2)).expect("scores"), [0.5, f64::NEG_INFINITY]);
    }
    assert_eq!(fs::read_to_string(dir.path().join("starts")).expect("a file"), "x\n");
    let items = serde_json::json!([{"x": "a \"b\"\n", "y": null, "z": "é0"}, {"x": "a \"b\"\n", "y": null, "z": "é1"}]);
    for (request, id) in requests(&dir).iter().zip(1..) {
        assert_eq!(request, &serde_json::json!({"id": id, "items": items}));
    }
}

#[test]
fn one_failure_is_mended_by_starting_again() {
    for failure in
        ["exit 3", "sleep 60", "echo nonsense", r#"echo '{"id": 7, "log_rewards": [1, 2]}'"#, "echo '{\"id\"'"]
    {
        let dir = tempfile::tempdir().expect("a directory");
        let script =
            format!("[ -e $0/starts ] || {{ echo x > $0/starts; ask; {failure}; ask; }}; while ask; do {ANSWER}; done");
        let mut scorer = scorer(&dir, &script);
        assert_eq!(scorer.score(&items(2)).expect(failure), [0.5, f64::NEG_INFINITY]);
        assert_eq!(requests(&dir).len(), 2, "{failure}");
        assert_eq!(requests(&dir)[0]["items"], requests(&dir)[1]["items"]);
    }
}

#[test]
fn a_second_failure_is_told() {
    let cases = [
        ("exit 3", "ended without an answer (exit status: 3), twice in a row"),
        ("while ask; do sleep 60; done", "gave no answer within 0.5 s"),
        ("while ask; do echo nonsense; done", "answered \"nonsense\", not a line like {\"id\": 2, "),
        (r#"while ask; do echo "{\"id\": $id, \"log_rewards\": [0]}"; done"#, "gave 1 log_rewards for 2 items"),
        (
            r#"while ask; do echo "{\"id\": 0, \"log_rewards\": [0, 0]}"; done"#,
            "answered request 0 when it was asked request 2",
        ),
        (r#"while ask; do echo "{\"id\": $id, \"log_rewards\": [0, NaN]}"; done"#, "where null is zero reward"),
        (r#"while ask; do printf '\377\n'; done"#, "gave an answer that cannot be read"),
    ];
    for (script, expected) in cases {
        let dir = tempfile::tempdir().expect("a directory");
        let message = scorer(&dir, script).score(&items(2)).expect_err("refused");
        assert!(message.starts_with("the scorer `sh -c ") && message.contains(expected), "{message}");
    }
    let message =
        Scorer::new(vec!["no-such-program".into()], Duration::from_secs(1)).score(&items(1)).expect_err("refused");
    assert!(message.contains("`no-such-program` cannot be started"), "{message}");
}

/// Neither running nor waiting to be collected.
#[test]
fn no_process_is_left_behind() {
    for script in ["while ask; do sleep 60; done", &format!("while ask; do {ANSWER}; done"), "exec sleep 60"] {
        let dir = tempfile::tempdir().expect("a directory");
        let mut scorer = scorer(&dir, &format!("echo $$ >> $0/pids; {script}"));
        let _ = scorer.score(&items(2));
        drop(scorer);
        for pid in fs::read_to_string(dir.path().join("pids")).expect("a file").lines() {
            let alive =
                Command::new("sh").args(["-c", &format!("kill -0 {pid} 2>/dev/null")]).status().expect("a shell");
            assert!(!alive.success(), "{script}: {pid} is there");
        }
    }
}

#[test]
fn a_program_that_does_not_read_cannot_block() {
    let dir = tempfile::tempdir().expect("a directory");
    let started = Instant::now();
    // Far more than a pipe holds.
    let message = scorer(&dir, "sleep 60").score(&items(20_000)).expect_err("refused");
    assert!(message.contains("gave no answer"), "{message}");
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn texts_that_are_alike_are_scored_once_a_step() {
    let model = common::model("gpt2-tiny");
    let actions = common::task(&model, 1, 3).actions;
    let dir = tempfile::tempdir().expect("a directory");
    // As many scores as there are items: -1 for each, but null for the first.
    let script = r#"printf '%s\n' "$line" | grep -o '"z"' | awk -v id="$id" \
        'BEGIN {s = "null"} NR > 1 {s = s ", -1"} END {print "{\"id\":" id ",\"log_rewards\":[" s "]}"}'"#;
    let path = dir.path().join("script.sh");
    fs::write(&path, format!("while {READ}; do printf '%s\\n' \"$line\" >> $1/requests; {script}; done"))
        .expect("a file");
    let command = format!("[\"sh\", {:?}, {:?}]", path.to_str().expect("a path"), dir.path().to_str().expect("a path"));
    let terms = format!(r#"reward.terms=[{{kind = "external", command = {command}, exponent = 2}}]"#);
    let terms = common::config(&[&terms]).reward.terms;
    let mut target = Target::product(&terms, Policy::base(&model), &actions, RewardMask::Zero).expect("a target");
    let query = |x: &str| Query::new(vec![3], vec![]).with_texts([("x".to_string(), x.to_string())].into());
    let queries = [query("one"), query("two")];
    let row = |z: &[u32]| Trajectory { z: z.to_vec(), stop: StopReason::Stop { token: 30 } };
    let rows = [row(&[20, 21]), row(&[20, 21]), row(&[20]), row(&[20, 21])];
    let table = target.log_reward(&queries, &[0, 0, 0, 1], &rows).expect("rewards");
    let (request, [a, b]) = (&requests(&dir)[0], [20, 21].map(|token| model.tokenizer.token_text(token)));
    let item = |x: &str, z: String| serde_json::json!({"x": x, "y": null, "z": z});
    let ab = format!("{a}{b}");
    let expected =
        serde_json::json!([item("one", a.into()), item("one", ab.clone()), item("two", a.into()), item("two", ab)]);
    assert_eq!((&request["items"], requests(&dir).len()), (&expected, 1));
    // No reward where the policy may not stop, none for the first item, and twice the scorer's for the rest.
    let zero = f64::NEG_INFINITY;
    assert_eq!(
        table.into_rows(),
        [vec![zero, zero, -2.0], vec![zero, zero, -2.0], vec![zero, zero], vec![zero, -2.0, -2.0]]
    );
    assert!(target.log_reward(&queries, &[], &[]).expect("rewards").into_rows().is_empty());
    // Where ends alone count, no more is asked about; the first of them is another text.
    let last = target.final_log_reward(&queries, &[0, 0, 0, 1], &rows).expect("rewards");
    assert_eq!(last, [zero, zero, -2.0, -2.0]);
    assert_eq!(requests(&dir)[1]["items"].as_array().expect("items").len(), 3);
}

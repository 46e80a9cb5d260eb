//! `amortize corpus`: the same files for the same seed, whole or not at all, and the judge on a sampler's output.

use std::fs;

use serde_json::Value;

use crate::support::*;

const SMALL: [&str; 4] = ["--documents", "400", "--stories", "120"];

fn corpus(place: &Place, name: &str, seed: &str) -> String {
    let out = place.path(name);
    succeed(&[&["corpus", "--out", &out, "--seed", seed], &SMALL[..]].concat());
    out
}

fn lines(path: &str) -> Vec<Value> {
    json_lines(&fs::read_to_string(path).unwrap())
}

#[test]
fn a_seed_decides_every_byte() {
    let place = Place::new();
    let [one, again, two] = [("one", "1"), ("again", "1"), ("two", "2")].map(|(name, seed)| corpus(&place, name, seed));
    assert_same(&files(&one), &files(&again), "two corpora of seed 1");
    assert_ne!(lines(&format!("{one}/train.jsonl")), lines(&format!("{two}/train.jsonl")));
    // A corpus may take the place of another.
    corpus(&place, "two", "1");
    assert_same(&files(&one), &files(&two), "a corpus that was replaced");
}

#[test]
fn the_manifest_tells_of_every_file() {
    let place = Place::new();
    let out = corpus(&place, "corpus", "1");
    let manifest = read_json(format!("{out}/manifest.json"));
    let listed: Vec<_> = keys(&manifest["files"]).into_iter().map(String::from).collect();
    let mut found: Vec<_> = files(&out).keys().map(|path| path.to_str().unwrap().to_string()).collect();
    found.retain(|name| name != "manifest.json");
    assert_eq!(listed, found);
    assert_eq!(manifest["files"]["train.jsonl"]["lines"], 400);
    let documents = manifest["documents"]["train"].as_object().unwrap();
    assert_eq!(documents.values().map(|count| count.as_u64().unwrap()).sum::<u64>(), 400);
    // The digest of seed 1's smallest file, by an independent program (sha256sum).
    assert_eq!(
        manifest["files"]["continuation/validation.txt"]["sha256"],
        "16ba9f12b2a472f9b04fc633059bb1b99d6e52d205d423c30b8d0135266fb82f"
    );
    let tests = manifest["held_out"].as_array().unwrap().iter().map(|pair| pair["test"].as_u64().unwrap()).sum::<u64>();
    assert_eq!(tests, 6, "half of the test's stories have held-out combinations");
}

#[test]
fn no_beginning_question_or_review_is_in_two_splits() {
    let place = Place::new();
    let out = corpus(&place, "corpus", "3");
    for (task, key) in [("stories", "x"), ("reviews", "text"), ("arithmetic", "question")] {
        let train = lines(&format!("{out}/{task}/train.jsonl"));
        let mut seen: Vec<_> = train.iter().map(|record| record[key].as_str().unwrap().to_string()).collect();
        seen.extend(
            lines(&format!("{out}/train.jsonl")).iter().map(|document| document["text"].as_str().unwrap().into()),
        );
        for record in lines(&format!("{out}/{task}/test.jsonl")) {
            let text = record[key].as_str().unwrap();
            assert!(seen.iter().all(|seen| !seen.contains(text)), "{text}");
        }
    }
}

#[test]
fn the_judge_counts_what_fits() {
    let place = Place::new();
    let out = corpus(&place, "corpus", "1");
    let judged = json(&succeed(&["corpus", "judge", &format!("{out}/stories/test.jsonl"), "--json"]));
    assert_eq!((&judged["judged"], &judged["counts"]["both"]), (&12.into(), &12.into()));
    let mut infills = lines(&format!("{out}/stories/test.jsonl"));
    infills[0]["z"] = "Nonsense.".into();
    let texts: Vec<_> = infills[..4].iter().map(ToString::to_string).collect();
    let file = place.write("infills.jsonl", texts.join("\n"));
    let table = succeed(&["corpus", "judge", &file]);
    assert!(table.contains("judged     4\n") && table.contains("both       75.0 %\n"), "{table}");
    let each = json_lines(&succeed(&["corpus", "judge", &file, "--each"]));
    assert_eq!((&each[0]["both"], &each[0]["ending"], &each[1]["both"]), (&false.into(), &true.into(), &true.into()));
}

#[test]
fn other_files_are_not_replaced_and_bad_lines_are_named() {
    let place = Place::new();
    let out = place.path("");
    refuse_and_keep(&out, &["corpus", "--out", &out], &["is not empty and is no corpus", "--out"]);
    let file = place.write("file", "{\"x\": \"a\"}\n");
    refuse_saying(&["corpus", "--out", &file], &["is not a directory"]);
    refuse_saying(&["corpus", "judge", &file], &["file:1", "missing field `z`"]);
    refuse_saying(&["corpus", "judge", &place.path("none")], &["cannot read", "none"]);
    refuse_saying(&["corpus"], &["--out"]);
    refuse_saying(&["corpus", "--out", &place.path("new"), "--documents", "0"], &["--documents", "1 or more"]);
    assert!(!fs::exists(place.path("new")).unwrap());
}

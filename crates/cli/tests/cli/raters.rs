//! Stories rated by a chat model: a server of the test's own, which speaks as much of HTTP as it takes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use crate::support::*;

/// A question as it came in.
#[derive(Clone)]
struct Asked {
    path: String,
    key: Option<String>,
    body: Value,
}

impl Asked {
    fn read(stream: &TcpStream) -> Self {
        let mut reader = BufReader::new(stream);
        let mut line = || {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            line.trim().to_string()
        };
        let path = line().split(' ').nth(1).unwrap().to_string();
        let headers: Vec<String> = std::iter::repeat_with(&mut line).take_while(|line| !line.is_empty()).collect();
        let header = |name: &str| {
            let split = headers.iter().filter_map(|line| line.split_once(": "));
            split.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_string()).next()
        };
        let mut body = vec![0; header("content-length").unwrap().parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        Self { path, key: header("authorization"), body: serde_json::from_slice(&body).unwrap() }
    }

    /// The story that is to be rated: the prompt's last.
    fn story(&self) -> String {
        let prompt = self.body["messages"][0]["content"].as_str().unwrap();
        let (_, story) = prompt.rsplit_once("Story:\n").unwrap();
        story.split_once("\nEvaluation Form").unwrap().0.to_string()
    }
}

/// A server that remembers what it was asked.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Answers the question of a number with a status and what the model says.
    fn start(answer: impl Fn(usize, &Asked) -> (u16, String) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let all = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let question = Asked::read(&stream);
                let (status, said) = answer(all.lock().unwrap().len(), &question);
                all.lock().unwrap().push(question);
                let body = json!({ "choices": [{ "message": { "role": "assistant", "content": said } }] }).to_string();
                let head =
                    format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                // A client that has its error already does not listen any more.
                let _ = stream.write_all((head + &body).as_bytes());
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

const STORIES: &str = r#"{"x": "Ann had a dog.", "texts": ["It ran off.", "Seven.", "It ran off."], "y": "She found it."}
{"text": "Tom sang. All was well."}
"#;

#[test]
fn stories_are_rated_once_each_with_the_papers_prompt() {
    let place = Place::new();
    let file = place.write("stories.jsonl", STORIES);
    // Busy at first.
    let server = Server::start(|number, asked| match (number, asked.story().contains("Seven")) {
        (0, _) => (503, "later".into()),
        (_, true) => (200, "- Coherence: 1".into()),
        (_, false) if asked.story().contains("Tom") => (200, "It is a story.".into()),
        (_, false) => (200, "4".into()),
    });
    let args = ["metrics", &file, "--rater", &server.url, "--rater-model", "judge", "--json"];
    let output = command(&args).env("OPENAI_API_KEY", "secret").output().unwrap();
    let found = json(&String::from_utf8(output.stdout).unwrap());
    assert_close(found["coherence"].as_f64().unwrap(), (4.0 + 1.0 + 4.0) / 3.0, 1e-12);
    assert_eq!((&found["unrated"], &found["bleu"]), (&Value::from(1), &Value::Null));
    let asked = server.asked();
    assert_eq!(asked.len(), 3 + 1, "each of three stories once, and one again");
    for question in &asked {
        assert_eq!((question.path.as_str(), question.key.as_deref()), ("/v1/chat/completions", Some("Bearer secret")));
        assert_eq!(
            (&question.body["model"], &question.body["temperature"]),
            (&Value::from("judge"), &Value::from(0.0))
        );
    }
    assert!(asked.iter().any(|question| question.story() == "Ann had a dog.\nIt ran off.\nShe found it."));
    let args = ["metrics", &file, "--rater", &server.url, "--rater-model", "judge"];
    let table = succeed(&args);
    assert!(table.contains("coherence of stories") && table.contains("stories without a rating"), "{table}");
}

#[test]
fn a_rater_that_refuses_or_is_none_is_told_of() {
    let place = Place::new();
    let file = place.write("stories.jsonl", STORIES);
    let rated_at = |url: &str, parts: &[&str]| {
        refuse_saying(&["metrics", &file, "--rater", url, "--rater-model", "judge"], parts);
    };
    let server = Server::start(|_, _| (401, "no such key".into()));
    rated_at(&server.url, &[&server.url, "status 401", "no such key"]);
    let server = Server::start(|_, _| (200, String::new()));
    rated_at(&format!("{}/", server.url), &["none of 3 stories got a rating"]);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    rated_at(&format!("http://{free}/v1"), &[&free.to_string(), "is a server running there?"]);
    refuse_saying(&["metrics", &file, "--rater", "http://localhost/v1"], &["--rater-model"]);
    refuse_saying(
        &["reproduce", "rng", "--rater", "http://localhost/v1", "--rater-model", "judge"],
        &["--rater belongs to infill"],
    );
}

#[test]
fn a_reproduction_is_rated_later_without_training_again() {
    let place = Place::new();
    let out = place.path("infill");
    let mut args = vec!["reproduce", "infill", "--seeds", "1", "--out", &out, "--json"];
    for set in ["train.steps=1", "train.queries_per_step=1", "evaluate.every=0", "data.limit=20"] {
        args.extend(["--set", set]);
    }
    succeed(&args);
    let server = Server::start(|_, _| (200, "3".into()));
    args.extend(["--rater", &server.url, "--rater-model", "judge"]);
    let finished = call(&args);
    assert!(finished.stderr.contains("gflownet-1 goes on after step 1"), "{}", finished.stderr);
    let rows = json(&finished.stdout);
    let rows: Vec<&Value> = rows.as_array().unwrap().iter().filter(|row| row["metric"] == "coherence").collect();
    let paper: Vec<f64> = rows.iter().map(|row| row["paper"].as_f64().unwrap()).collect();
    assert_eq!(paper, [2.4, 2.7, 3.4]);
    assert!(rows.iter().all(|row| row["mean"] == 3.0));
    assert!(!server.asked().is_empty());
    let page = std::fs::read_to_string(format!("{out}/index.html")).unwrap();
    assert!(page.contains(&format!("--rater {} --rater-model judge", server.url)), "the command makes the same table");
}

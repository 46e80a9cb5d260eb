//! A program of the user's own that scores texts: a child process that speaks JSON lines.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// How long a program may take to end once its input has.
const FAREWELL: Duration = Duration::from_millis(500);

/// What is to be scored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Item {
    /// X.
    pub x: String,
    /// Y; `null` where there is none.
    pub y: Option<String>,
    /// Z, without its stop.
    pub z: String,
}

#[derive(Serialize)]
struct Request<'a> {
    id: u64,
    items: &'a [Item],
}

#[derive(Deserialize)]
struct Answer {
    id: u64,
    log_rewards: Vec<Option<f64>>,
}

/// The program, started when it is first needed and again when it fails.
///
/// A request is one line on its standard input, `{"id": 1, "items": [{"x": .., "y": .., "z": ..}, ..]}`, and its answer one
/// line on its standard output, `{"id": 1, "log_rewards": [-1.5, null, ..]}`, in nats, `null` for zero reward.
#[derive(Debug)]
pub struct Scorer {
    command: Vec<String>,
    timeout: Duration,
    running: Option<Running>,
    last_id: u64,
}

impl Scorer {
    /// A program with its arguments, and how long it may take to answer.
    pub fn new(command: Vec<String>, timeout: Duration) -> Self {
        Self { command, timeout, running: None, last_id: 0 }
    }

    /// log R of every item, in nats, minus infinity for zero. Where the program fails it is started again and asked once
    /// more.
    ///
    /// # Errors
    /// If it fails again.
    pub fn score(&mut self, items: &[Item]) -> Result<Vec<f64>, String> {
        self.attempt(items).or_else(|problem| {
            tracing::warn!("the scorer {} {problem}; starting it again", self.name());
            self.attempt(items).map_err(|problem| format!("the scorer {} {problem}, twice in a row", self.name()))
        })
    }

    fn attempt(&mut self, items: &[Item]) -> Result<Vec<f64>, String> {
        self.last_id += 1;
        let answer = self.ask(&Request { id: self.last_id, items }).and_then(|line| self.read(&line, items.len()));
        if answer.is_err() {
            // It may still be at work on this request: what it says next would not be about the next one.
            self.running = None;
        }
        answer
    }

    fn ask(&mut self, request: &Request) -> Result<String, String> {
        let line = serde_json::to_string(request).map_err(|error| format!("cannot be asked: {error}"))?;
        if self.running.is_none() {
            self.running = Some(Running::start(&self.command)?);
        }
        let running = self.running.as_mut().expect("started above");
        running.ask(line, self.timeout)
    }

    fn read(&self, line: &str, items: usize) -> Result<Vec<f64>, String> {
        let shown: String = line.chars().take(80).collect();
        let answer: Answer = serde_json::from_str(line).map_err(|error| {
            format!(
                "answered {shown:?}, not a line like {{\"id\": {}, \"log_rewards\": [-1.5, null]}}, where null is zero \
                 reward ({error})",
                self.last_id
            )
        })?;
        if answer.id != self.last_id {
            return Err(format!("answered request {} when it was asked request {}", answer.id, self.last_id));
        }
        if answer.log_rewards.len() != items {
            return Err(format!("gave {} log_rewards for {items} items", answer.log_rewards.len()));
        }
        Ok(answer.log_rewards.into_iter().map(|log_reward| log_reward.unwrap_or(f64::NEG_INFINITY)).collect())
    }

    fn name(&self) -> String {
        format!("`{}`", self.command.join(" "))
    }
}

/// The program at work. Threads read and write for it, so that waiting for it can end.
#[derive(Debug)]
struct Running {
    child: Child,
    requests: Option<Sender<String>>,
    answers: Receiver<std::io::Result<String>>,
}

impl Running {
    fn start(command: &[String]) -> Result<Self, String> {
        let (program, args) = command.split_first().ok_or("has no program to start")?;
        let piped = Command::new(program).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = piped.map_err(|error| format!("cannot be started: {error}"))?;
        let (requests, to_write) = channel();
        let (read, answers) = channel();
        let (stdin, stdout) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        thread::spawn(move || write_all(stdin, &to_write));
        thread::spawn(move || read_all(stdout, &read));
        Ok(Self { child, requests: Some(requests), answers })
    }

    fn ask(&mut self, line: String, timeout: Duration) -> Result<String, String> {
        // If the writer has ended, so have the answers, which say why.
        self.requests.iter().for_each(|requests| drop(requests.send(line.clone())));
        match self.answers.recv_timeout(timeout) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(format!("gave an answer that cannot be read: {error}")),
            Err(RecvTimeoutError::Timeout) => Err(format!("gave no answer within {} s", timeout.as_secs_f64())),
            Err(RecvTimeoutError::Disconnected) => {
                self.end();
                let status = self.child.try_wait().ok().flatten();
                Err(format!("ended without an answer{}", status.map_or(String::new(), |status| format!(" ({status})"))))
            }
        }
    }

    /// Closes its input, and ends it if that does not. It leaves nothing behind.
    fn end(&mut self) {
        self.requests = None;
        let deadline = Instant::now() + FAREWELL;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(2));
        }
        // Where it has ended already, neither does anything.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

fn write_all(mut stdin: ChildStdin, lines: &Receiver<String>) {
    for line in lines {
        if writeln!(stdin, "{line}").and_then(|()| stdin.flush()).is_err() {
            return;
        }
    }
}

fn read_all(stdout: ChildStdout, lines: &Sender<std::io::Result<String>>) {
    for line in BufReader::new(stdout).lines() {
        if lines.send(line).is_err() {
            return;
        }
    }
}

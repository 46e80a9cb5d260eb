//! One question to a chat model, and its answer.

use std::fmt;
use std::thread;
use std::time::Duration;

use rayon::ThreadPoolBuilder;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use ureq::Agent;

use crate::error::{RaterError, Result};

/// Questions that are asked at a time.
const AT_A_TIME: usize = 8;
/// Pauses before a question is asked again of a server that is busy or failed.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];
/// The longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Characters that are told of an answer that is none.
const SHOWN: usize = 300;

/// Where a chat model answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// What `/chat/completions` is added to, such as `http://localhost:8000/v1`.
    pub url: String,
    /// The model's name there.
    pub model: String,
}

/// A chat model that rates texts.
#[derive(Clone)]
pub struct Rater {
    agent: Agent,
    endpoint: Endpoint,
    key: Option<String>,
}

/// Without the key.
impl fmt::Debug for Rater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rater").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    messages: [Message<'a>; 1],
    temperature: f64,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'a str,
    content: &'a str,
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Said,
}

#[derive(Deserialize)]
struct Said {
    content: Option<String>,
}

impl Rater {
    /// A model at an endpoint; `key` is sent as a bearer token.
    pub fn new(endpoint: Endpoint, key: Option<String>) -> Self {
        let config = Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false).build();
        Self { agent: config.into(), endpoint, key }
    }

    /// Where it answers.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The address that is asked.
    pub(crate) fn url(&self) -> String {
        format!("{}/chat/completions", self.endpoint.url.trim_end_matches('/'))
    }

    /// The answers to some questions, in their order. Some are asked at a time.
    ///
    /// # Errors
    /// The first failure; what was not asked until then is not asked any more.
    pub(crate) fn ask_all(&self, questions: &[String]) -> Result<Vec<String>> {
        // Threads of their own: these wait for a server, and those of all others compute.
        let threads = ThreadPoolBuilder::new().num_threads(AT_A_TIME).build().expect("threads can be started");
        threads.install(|| questions.par_iter().map(|question| self.ask(question)).collect())
    }

    /// The answer to a question, which is asked again where the server is busy.
    fn ask(&self, question: &str) -> Result<String> {
        for pause in PAUSES {
            match self.ask_once(question) {
                Err(error) if error.may_pass() => thread::sleep(pause),
                found => return found,
            }
        }
        self.ask_once(question)
    }

    fn ask_once(&self, question: &str) -> Result<String> {
        let unreachable = |source| RaterError::Unreachable { url: self.url(), source: Box::new(source) };
        let mut request = self.agent.post(self.url());
        if let Some(key) = &self.key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        let messages = [Message { role: "user", content: question }];
        let body = Request { model: &self.endpoint.model, messages, temperature: 0.0 };
        let mut response = request.send_json(&body).map_err(unreachable)?;
        let status = response.status();
        let text = response.body_mut().read_to_string().map_err(unreachable)?;
        if !status.is_success() {
            return Err(RaterError::Refused { url: self.url(), status: status.as_u16(), message: beginning(&text) });
        }
        let no_completion = |problem: &dyn std::fmt::Display| RaterError::Answer {
            url: self.url(),
            problem: format!("{problem}: {}", beginning(&text)),
        };
        let completion: Completion = serde_json::from_str(&text).map_err(|error| no_completion(&error))?;
        let said = completion.choices.into_iter().next().and_then(|choice| choice.message.content);
        said.ok_or_else(|| no_completion(&"the answer has no choice with a content"))
    }
}

impl RaterError {
    /// Whether the same question may be answered a little later.
    fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { source, .. } => matches!(**source, ureq::Error::Timeout(_)),
            Self::Refused { status, .. } => *status == 429 || *status >= 500,
            Self::NoRating { .. } | Self::Answer { .. } => false,
        }
    }
}

/// As much of an answer as an error shows, on one line.
pub(crate) fn beginning(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SHOWN).collect()
}

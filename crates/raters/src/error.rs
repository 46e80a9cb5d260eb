//! What can go wrong with a rater.

/// This crate's result.
pub type Result<T> = std::result::Result<T, RaterError>;

/// A failure with everything that the user needs to mend it.
#[derive(Debug, thiserror::Error)]
pub enum RaterError {
    /// There was no answer.
    #[error("{url}: {source}; is a server running there?")]
    Unreachable {
        /// The address that was asked.
        url: String,
        /// The client's reason.
        source: Box<ureq::Error>,
    },
    /// The server does not do what it was asked.
    #[error("{url} answered with status {status}: {message}")]
    Refused {
        /// The address that was asked.
        url: String,
        /// The status of HTTP.
        status: u16,
        /// The beginning of its answer.
        message: String,
    },
    /// The model says something, but never a rating.
    #[error("none of {stories} stories got a rating from {url}; it said {answer:?}")]
    NoRating {
        /// The address that was asked.
        url: String,
        /// How many stories it was asked about.
        stories: usize,
        /// The beginning of its first answer.
        answer: String,
    },
    /// The answer is no chat completion.
    #[error("{url} does not speak OpenAI's chat completions: {problem}")]
    Answer {
        /// The address that was asked.
        url: String,
        /// What is wrong.
        problem: String,
    },
}

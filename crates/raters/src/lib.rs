//! Ratings of texts by a chat model: any server that speaks OpenAI's chat completions, on this machine or elsewhere.

mod chat;
mod coherence;
mod error;

pub use chat::{Endpoint, Rater};
pub use coherence::whole_story;
pub use error::{RaterError, Result};

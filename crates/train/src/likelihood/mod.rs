//! Training by likelihood: pre-training of new models, and supervised fine-tuning of others.
//!
//! [`trainer::Trainer::step`] is the method; [`session::Session`] keeps a run directory around it.

mod checkpoint;
pub mod config;
pub mod corpus;
pub mod documents;
mod evaluate;
pub mod metrics;
pub mod session;
pub mod start;
pub mod trained;
pub mod trainer;

pub use config::{Command, LikelihoodConfig};

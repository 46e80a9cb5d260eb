//! Configs, tasks, rewards, the training loop and its runs.
//!
//! [`trainer::Trainer::step`] is the method; [`session::Session`] keeps a run directory around it. Nothing here knows a
//! terminal.

pub mod card;
pub mod checkpoint;
pub mod compare;
pub mod config;
pub mod data;
pub mod decoding;
mod error;
pub mod evaluate;
pub mod exact;
pub mod explore;
pub mod likelihood;
pub mod memory;
pub mod metrics;
pub mod optimizer;
pub mod order;
pub mod reward;
mod run_loop;
pub mod sampling;
pub mod seeds;
pub mod session;
pub mod settings;
pub mod tables;
pub mod task;
pub mod template;
pub mod trainer;

pub use error::{Result, TrainError};

//! Hugging Face causal language models: loading, adapters, sampling and scoring.
//!
//! A [`Policy`] is a base [`Model`] with an optional [`Adapter`]. [`generate`] draws sequences from it within an
//! [`actions::ActionSpace`], and [`beam_search`] looks for the likeliest ones; [`Policy::score`] gives log-probabilities on a packed [`Forest`], and
//! [`Policy::score_with_tape`] with [`Policy::backward`] their gradients. Nothing here knows about rewards.

pub mod actions;
pub mod adapter;
mod architecture;
pub mod config;
pub mod decoder;
pub mod error;
mod files;
pub mod footprint;
mod forest;
pub mod generate;
mod model;
pub mod parameters;
mod policy;
mod random;
mod storage;
pub mod tokenizer;
pub mod weights;

pub use adapter::{Adapter, AdapterConfig, TargetModules};
pub use amortize_engine::{Device, Precision, kernels};
pub use architecture::Architecture;
pub use error::LmError;
pub use files::{ModelFiles, read_config};
pub use forest::Forest;
pub use generate::beam::{BeamOptions, Hypothesis, beam_search};
pub use generate::{Draw, Generated, Truncation, generate, generate_truncated};
pub use model::{Model, ModelInfo};
pub use policy::{Policy, Questions, ScoredWithTape, rows_at_once};
pub use storage::{absolute, embedded_models};

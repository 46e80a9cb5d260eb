//! The run directory: every file of a run, and how it is written so that a crash loses nothing.
//!
//! | file | what | written |
//! |---|---|---|
//! | `run.json` | format and tool version | once |
//! | `config.toml` | the resolved config | once |
//! | `metrics.jsonl` | deterministic figures, one record a step | appended |
//! | `timing.jsonl` | clock readings, kept apart because they differ from run to run | appended |
//! | `samples.jsonl` | sampled texts | appended |
//! | `adapter/`, `adapter_best/` | PEFT adapters: the latest, the best so far | swapped whole |
//! | `model/`, `model_best/` | Hugging Face models: the latest, the best so far, where base weights are trained | swapped whole |
//! | `checkpoint/` | all that a resume needs | swapped whole |
//! | `report.html` | the page made from the files above | swapped whole |
//!
//! A training run holds an exclusive lock on the directory ([`RunDir::create`],
//! [`RunDir::resume`]); readers ([`RunDir::open_read`]) take none.

mod atomic;
mod error;
mod jsonl;
mod run_dir;

pub use atomic::{readable_dir, repair_dir, replace_dir_atomic, write_atomic};
pub use error::{Error, Result};
pub use jsonl::{JsonlWriter, read_jsonl};
pub use run_dir::{FORMAT_VERSION, RunDir, RunInfo};

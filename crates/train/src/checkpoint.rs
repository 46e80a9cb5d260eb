//! Everything that changes while training, on disk: a resumed run goes on bit for bit.

use std::path::Path;

use amortize_engine::Tensor;
use amortize_engine::optim::Moments;
use amortize_gfn::{Generator, ReplayBuffer, StopReason};
use amortize_lm::weights::{Weights, write_tensors};
use amortize_lm::{Adapter, LmError, Model};
use amortize_runlog::{RunDir, replace_dir_atomic};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Result, TrainError};
use crate::optimizer::{LogZ, Optimizer};
use crate::order::QueryOrder;
use crate::task::Task;
use crate::trainer::State;

const STATE: &str = "state.json";
pub(crate) const ADAPTER: &str = "adapter";
pub(crate) const MOMENTS: &str = "optimizer.safetensors";
/// Raised when a reader of this version could not read what was written.
const VERSION: u32 = 2;

/// What is not a tensor.
#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    step: u64,
    updates: u64,
    log_z: LogZ,
    kl_coefficient: f64,
    buffer: ReplayBuffer,
    order: QueryOrder,
    explore_rng: Generator,
    best: Option<f64>,
}

/// Replaces the run's checkpoint by `state`, whole or not at all.
///
/// # Errors
/// If a file cannot be written; the old checkpoint then stands.
pub fn save(run: &RunDir, state: &State, model: &Model) -> Result<()> {
    replace_dir_atomic(&run.checkpoint_dir(), |dir| {
        state.adapter.save(&dir.join(ADAPTER), &base_name(model), &model.decoder)?;
        save_moments(&dir.join(MOMENTS), state.adapter.named(), &state.optimizer)?;
        let saved = Saved {
            version: VERSION,
            step: state.step,
            updates: state.optimizer.updates,
            log_z: state.log_z.clone(),
            kl_coefficient: state.kl_coefficient,
            buffer: state.buffer.clone(),
            order: state.order.clone(),
            explore_rng: state.explore_rng.clone(),
            best: state.best,
        };
        write_state(dir, &saved)
    })
}

/// Writes what is not a tensor into a checkpoint.
pub(crate) fn write_state(dir: &Path, saved: &impl Serialize) -> Result<()> {
    let path = dir.join(STATE);
    let problem = |error: &dyn std::fmt::Display| TrainError::Checkpoint {
        path: path.clone(),
        problem: format!("cannot be written: {error}"),
    };
    let text = serde_json::to_vec(saved).map_err(|error| problem(&error))?;
    std::fs::write(&path, text).map_err(|error| problem(&error))
}

/// Reads it back, if it has the version `known`.
pub(crate) fn read_state<T: DeserializeOwned>(dir: &Path, known: u32, version: impl Fn(&T) -> u32) -> Result<T> {
    let path = dir.join(STATE);
    let bad = |problem: String| TrainError::Checkpoint { path: path.clone(), problem };
    let text = std::fs::read(&path)
        .map_err(|error| bad(format!("cannot be read ({error}); without a checkpoint there is nothing to resume")))?;
    let saved: T = serde_json::from_slice(&text).map_err(|error| bad(format!("is damaged: {error}")))?;
    match version(&saved) {
        found if found == known => Ok(saved),
        found => Err(bad(format!("has format version {found}; this program reads {known}"))),
    }
}

/// What adapters name as their base model: the model's directory.
pub fn base_name(model: &Model) -> String {
    amortize_lm::absolute(&model.path).unwrap_or_else(|_| model.path.clone()).display().to_string()
}

/// Writes the moments of named tensors.
pub(crate) fn save_moments<'t>(
    path: &Path,
    named: impl IntoIterator<Item = (String, &'t Tensor)>,
    optimizer: &Optimizer,
) -> std::result::Result<(), LmError> {
    let moments = named.into_iter().zip(&optimizer.moments).flat_map(|((name, _), moments)| {
        [(format!("{name}.first"), &moments.first), (format!("{name}.second"), &moments.second)]
    });
    write_tensors(path, moments)
}

/// Puts a run's checkpoint in place of `state`, which must be of the same config.
///
/// # Errors
/// If there is no checkpoint, it is damaged or of another version, or a trajectory in its buffer is impossible under
/// the config's action space.
pub fn load(run: &RunDir, state: &mut State, model: &Model, task: &Task) -> Result<()> {
    let dir = run.checkpoint_dir();
    let path = dir.join(STATE);
    let bad = |problem: String| TrainError::Checkpoint { path: path.clone(), problem };
    let saved: Saved = read_state(&dir, VERSION, |saved: &Saved| saved.version)?;
    saved.order.check_pass_over(state.order.len(), "training prompts").map_err(bad)?;
    let check = |_query: u64, trajectory: &amortize_gfn::Trajectory| {
        let stop = match trajectory.stop {
            StopReason::Stop { token } => Some(token),
            StopReason::MaxLength => None,
        };
        task.actions.check(&trajectory.z, stop)
    };
    saved.buffer.validate(check).map_err(bad)?;
    state.adapter = Adapter::load(&dir.join(ADAPTER), &model.decoder)?;
    load_moments(&dir.join(MOMENTS), state.adapter.named(), &mut state.optimizer.moments)?;
    state.optimizer.updates = saved.updates;
    (state.step, state.best) = (saved.step, saved.best);
    (state.log_z, state.kl_coefficient, state.buffer) = (saved.log_z, saved.kl_coefficient, saved.buffer);
    (state.order, state.explore_rng) = (saved.order, saved.explore_rng);
    Ok(())
}

/// Reads the moments of named tensors.
pub(crate) fn load_moments<'t>(
    path: &Path,
    named: impl IntoIterator<Item = (String, &'t Tensor)>,
    moments: &mut [Moments],
) -> std::result::Result<(), LmError> {
    let weights = Weights::open_file(path)?;
    for ((name, tensor), moments) in named.into_iter().zip(moments) {
        let shape = [tensor.rows(), tensor.cols()];
        moments.first.copy_from_host(&weights.take(&format!("{name}.first"), &shape)?);
        moments.second.copy_from_host(&weights.take(&format!("{name}.second"), &shape)?);
    }
    Ok(())
}

//! Everything that changes while training, on disk: a resumed run goes on bit for bit.

use std::path::PathBuf;

use amortize_lm::weights::Stored;
use amortize_lm::{Adapter, ModelFiles};
use amortize_runlog::{RunDir, replace_dir_atomic};
use serde::{Deserialize, Serialize};

use super::trained::Trained;
use super::trainer::Trainer;
use crate::checkpoint::{ADAPTER, MOMENTS, base_name, load_moments, read_state, save_moments, write_state};
use crate::error::Result;
use crate::order::QueryOrder;

const MODEL: &str = "model";

/// What is not a tensor.
#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    step: u64,
    updates: u64,
    order: QueryOrder,
    best: Option<f64>,
}

/// Raised when a reader of this version could not read what was written.
const VERSION: u32 = 1;

/// Where a checkpoint has the model, where the model is trained.
pub(super) fn model_dir(run: &RunDir) -> PathBuf {
    run.checkpoint_dir().join(MODEL)
}

/// Replaces the run's checkpoint, whole or not at all. Base parameters are a model directory in f32.
pub(super) fn save(run: &RunDir, trainer: &Trainer, files: &ModelFiles) -> Result<()> {
    let (model, state) = (&trainer.model, &trainer.state);
    replace_dir_atomic(&run.checkpoint_dir(), |dir| {
        match &state.trained {
            Trained::Base(parameters) => files.write(&dir.join(MODEL), &model.decoder, parameters, Stored::F32)?,
            Trained::Adapter(adapter) => adapter.save(&dir.join(ADAPTER), &base_name(model), &model.decoder)?,
        }
        save_moments(&dir.join(MOMENTS), state.trained.named(model), &state.optimizer)?;
        let saved = Saved {
            version: VERSION,
            step: state.step,
            updates: state.optimizer.updates,
            order: state.order.clone(),
            best: state.best,
        };
        write_state(dir, &saved)
    })
}

/// Puts a run's checkpoint in place of the trainer's state, which must be of the same config and have the checkpoint's
/// own model.
pub(super) fn load(run: &RunDir, trainer: &mut Trainer) -> Result<()> {
    let dir = run.checkpoint_dir();
    let saved: Saved = read_state(&dir, VERSION, |saved: &Saved| saved.version)?;
    saved.order.check_pass_over(trainer.train.len(), "training texts").map_err(|problem| bad(&dir, problem))?;
    let Trainer { model, state, .. } = trainer;
    if let Trained::Adapter(adapter) = &mut state.trained {
        **adapter = Adapter::load(&dir.join(ADAPTER), &model.decoder)?;
    }
    load_moments(&dir.join(MOMENTS), state.trained.named(model), &mut state.optimizer.moments)?;
    state.optimizer.updates = saved.updates;
    (state.step, state.order, state.best) = (saved.step, saved.order, saved.best);
    Ok(())
}

fn bad(dir: &std::path::Path, problem: String) -> crate::error::TrainError {
    crate::error::TrainError::Checkpoint { path: dir.to_path_buf(), problem }
}

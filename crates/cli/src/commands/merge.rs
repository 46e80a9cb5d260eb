//! `amortize merge`.

use amortize_lm::weights::Stored;
use amortize_lm::{Adapter, Device, LmError, Model, ModelFiles, Precision};
use amortize_runlog::replace_dir_atomic;
use anyhow::{Result, bail};

use crate::args::{MergeArgs, SavedAs};

pub fn run(args: &MergeArgs) -> Result<()> {
    if args.out.exists() {
        bail!("{} is there already; choose another --out", args.out.display());
    }
    let files = ModelFiles::read(&args.model)?;
    let mut model = Model::load(&args.model, &Device::cpu(), Precision::F32)?;
    let mut parameters = model.decoder.base_parameters();
    if let Some(dir) = &args.adapter {
        model.decoder.fold(&Adapter::load(dir, &model.decoder)?, &mut parameters);
    }
    let stored = match args.precision {
        SavedAs::F32 => Stored::F32,
        SavedAs::Bf16 => Stored::Bf16,
    };
    if let Some(parent) = args.out.parent() {
        std::fs::create_dir_all(parent)?;
    }
    replace_dir_atomic(&args.out, |dir| -> Result<(), WriteError> {
        Ok(files.write(dir, &model.decoder, &parameters, stored)?)
    })?;
    eprintln!("done: the model is {}", args.out.display());
    Ok(())
}

/// What can go wrong while the directory is made.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Model(#[from] LmError),
    #[error(transparent)]
    Directory(#[from] amortize_runlog::Error),
}

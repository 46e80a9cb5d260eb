//! What all commands that make runs need.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};

/// Becomes true on Ctrl-C; a second Ctrl-C ends the program at once.
pub fn stop_on_interrupt() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let seen = stop.clone();
    ctrlc::set_handler(move || {
        if seen.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("finishing the step; interrupt again to stop at once");
    })
    .context("cannot listen for Ctrl-C")?;
    Ok(stop)
}

/// Makes a path of a run's config hold wherever it is read from.
pub fn absolute(path: &mut PathBuf) -> Result<()> {
    *path = amortize_lm::absolute(path).with_context(|| format!("no absolute path for {}", path.display()))?;
    Ok(())
}

/// Refuses to resume a run by another config, once what may change was made alike.
pub fn check_unchanged<C: PartialEq>(saved: &C, given: &C) -> Result<()> {
    ensure!(
        given == saved,
        "the config differs from the run's own in more than train.steps, train.checkpoint_every, train.threads, \
         train.recompute and model.path; a changed run needs a directory of its own (--out)"
    );
    Ok(())
}

/// `runs/NAME` after the config's file.
pub fn default_out(config: &Path) -> PathBuf {
    Path::new("runs").join(config.file_stem().unwrap_or("run".as_ref()))
}

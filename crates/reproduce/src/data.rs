//! The data of the tiny scale: files that the world writes, the same bytes on every machine.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use amortize_runlog::write_atomic;
use amortize_world::draw::Draw;

use crate::error::{ReproduceError, Result};

/// Decides every text. Runs have seeds of their own.
const SEED: u64 = 1;

/// How often a file may draw what it has already before it is given up.
const PATIENCE: usize = 1000;

/// A file, whole.
#[derive(Debug)]
pub(crate) struct DataFile {
    pub name: &'static str,
    pub text: String,
}

impl DataFile {
    /// `count` lines that differ.
    ///
    /// # Errors
    /// If there are not so many.
    pub fn lines(name: &'static str, count: usize, mut next: impl FnMut(&mut Draw) -> String) -> Result<Self> {
        let mut draw = Draw::new(SEED, name);
        let (mut seen, mut text, mut repeated) = (HashSet::new(), String::new(), 0);
        while seen.len() < count {
            let line = next(&mut draw);
            if seen.contains(&line) {
                repeated += 1;
                if repeated > PATIENCE {
                    let problem = format!("the world has only about {} different texts for {name}", seen.len());
                    return Err(ReproduceError::Option(problem));
                }
                continue;
            }
            text += &line;
            text.push('\n');
            seen.insert(line);
            repeated = 0;
        }
        Ok(Self { name, text })
    }
}

/// Puts files in `dir`.
///
/// # Errors
/// If the system does not let us.
pub(crate) fn write(dir: &Path, files: &[DataFile]) -> Result<()> {
    fs::create_dir_all(dir).map_err(|source| ReproduceError::Io { path: dir.to_path_buf(), source })?;
    for DataFile { name, text } in files {
        let path = dir.join(name);
        // One that is as it should be stays: another reproduction may be reading it.
        if fs::read_to_string(&path).is_ok_and(|found| found == *text) {
            continue;
        }
        write_atomic(&path, text.as_bytes())?;
    }
    Ok(())
}

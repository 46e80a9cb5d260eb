//! Files of lines that are hashed as they are written.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// What the manifest says of a file.
#[derive(Debug, Serialize)]
pub struct FileInfo {
    lines: u64,
    bytes: u64,
    sha256: String,
}

/// Writes one file, line by line.
pub struct LineWriter {
    name: String,
    file: BufWriter<File>,
    hash: Sha256,
    lines: u64,
    bytes: u64,
}

impl LineWriter {
    /// Makes the file `name`, such as `stories/test.jsonl`, in `dir`.
    pub fn create(dir: &Path, name: &str) -> Result<Self> {
        let path = dir.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        }
        let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let file = BufWriter::new(file);
        Ok(Self { name: name.into(), file, hash: Sha256::new(), lines: 0, bytes: 0 })
    }

    /// Writes `text` and a newline.
    pub fn line(&mut self, text: &str) -> Result<()> {
        for part in [text.as_bytes(), b"\n"] {
            self.file.write_all(part).with_context(|| format!("cannot write {}", self.name))?;
            self.hash.update(part);
            self.bytes += part.len() as u64;
        }
        self.lines += 1;
        Ok(())
    }

    /// Writes `record` as a line of JSON.
    pub fn json(&mut self, record: &impl Serialize) -> Result<()> {
        self.line(&serde_json::to_string(record)?)
    }

    /// Ends the file and lists it in `files`.
    pub fn finish(mut self, files: &mut BTreeMap<String, FileInfo>) -> Result<()> {
        self.file.flush().with_context(|| format!("cannot write {}", self.name))?;
        let sha256 = self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        files.insert(self.name, FileInfo { lines: self.lines, bytes: self.bytes, sha256 });
        Ok(())
    }
}

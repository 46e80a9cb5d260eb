//! Files of one JSON record a line.
//!
//! A line counts once its newline is there: a last line without one is torn (the process died within
//! it, or is still writing it), and is passed over by readers and cut off by the next writer.
//! JSON has no infinities and no NaN: a non-finite float is written as `null`, and is to be read as an `Option`.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Error, Result, write_atomic};

/// Appends records to a file, each in one write, so that a reader sees it at once.
#[derive(Debug)]
pub struct JsonlWriter {
    path: PathBuf,
    file: File,
}

impl JsonlWriter {
    /// Opens the file at `path` for appending, or makes it. A torn last line is cut off.
    pub fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.map_err(Error::io("open", path))?;
        let bytes = fs::read(path).map_err(Error::io("read", path))?;
        let whole = whole_lines(&bytes).len();
        if whole < bytes.len() {
            file.set_len(whole as u64).map_err(Error::io("truncate", path))?;
        }
        let path = path.to_path_buf();
        Ok(Self { path, file })
    }

    /// Appends one record. Non-finite floats become `null`.
    pub fn append<T: Serialize + ?Sized>(&mut self, record: &T) -> Result<()> {
        let mut line =
            serde_json::to_vec(record).map_err(|source| Error::Record { path: self.path.clone(), source })?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(Error::io("write", &self.path))
    }

    /// Keeps the records whose `"step"` is at most `step`, byte for byte.
    ///
    /// A resumed run starts with this, with the step of its checkpoint: what the interrupted run
    /// wrote after it will be written again, and the file ends up as if nothing had happened.
    pub fn truncate_after(&mut self, step: u64) -> Result<()> {
        let bytes = fs::read(&self.path).map_err(Error::io("read", &self.path))?;
        let mut kept = Vec::with_capacity(bytes.len());
        for (line, record) in records::<Step>(&self.path, &bytes) {
            if record?.step <= step {
                kept.extend_from_slice(line);
            }
        }
        write_atomic(&self.path, &kept)?;
        *self = Self::open(&self.path)?;
        Ok(())
    }

    /// Waits until all that was appended is on the disk: to be called before a checkpoint is written,
    /// so that after a power cut no checkpoint is ahead of the records.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(Error::io("flush", &self.path))
    }
}

/// All records of the file at `path`; an error names the file and the line.
pub fn read_jsonl<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    records(path, &bytes).map(|(_, record)| record).collect()
}

#[derive(Deserialize)]
struct Step {
    step: u64,
}

/// The whole lines, newline included, each with the record in it.
fn records<'a, T: DeserializeOwned>(path: &'a Path, bytes: &'a [u8]) -> impl Iterator<Item = (&'a [u8], Result<T>)> {
    let lines = whole_lines(bytes).split_inclusive(|byte| *byte == b'\n');
    lines.enumerate().map(move |(index, line)| {
        let record = serde_json::from_slice(line).map_err(|error| Error::Line {
            path: path.to_path_buf(),
            line: index + 1,
            message: without_position(&error),
        });
        (line, record)
    })
}

/// serde_json counts lines within the record, which is always one: only the column says something.
fn without_position(error: &serde_json::Error) -> String {
    let (text, column) = (error.to_string(), error.column());
    let position = format!(" at line {} column {column}", error.line());
    match text.strip_suffix(&position) {
        Some(message) => format!("{message} (column {column})"),
        None => text,
    }
}

fn whole_lines(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte == b'\n');
    &bytes[..end.map_or(0, |newline| newline + 1)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Record {
        step: u64,
        loss: Option<f64>,
    }

    fn record(step: u64) -> Record {
        let loss = Some(1.0 / (step as f64 + 0.1));
        Record { step, loss }
    }

    fn write(path: &Path, steps: std::ops::RangeInclusive<u64>) {
        let mut writer = JsonlWriter::open(path).unwrap();
        steps.for_each(|step| writer.append(&record(step)).unwrap());
        writer.sync().unwrap();
    }

    #[test]
    fn records_come_back() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("metrics.jsonl");
        write(&path, 1..=2);
        write(&path, 3..=3);
        let expected: Vec<_> = (1..=3).map(record).collect();
        assert_eq!(read_jsonl::<Record>(&path).unwrap(), expected);
    }

    #[test]
    fn non_finite_floats_become_null() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("metrics.jsonl");
        let mut writer = JsonlWriter::open(&path).unwrap();
        for loss in [f64::NEG_INFINITY, f64::NAN] {
            let loss = Some(loss);
            writer.append(&Record { step: 1, loss }).unwrap();
        }
        let line = "{\"step\":1,\"loss\":null}\n";
        assert_eq!(fs::read_to_string(&path).unwrap(), line.repeat(2));
        assert_eq!(read_jsonl::<Record>(&path).unwrap()[0].loss, None);
    }

    #[test]
    fn an_interrupted_and_resumed_file_equals_the_uninterrupted_one() {
        let root = tempfile::tempdir().unwrap();
        let [whole, resumed] = ["whole", "resumed"].map(|name| root.path().join(name));
        write(&whole, 1..=9);
        write(&resumed, 1..=6);
        let torn = [fs::read(&resumed).unwrap(), b"{\"step\":7,\"lo".to_vec()].concat();
        fs::write(&resumed, torn).unwrap();
        let mut writer = JsonlWriter::open(&resumed).unwrap();
        writer.truncate_after(4).unwrap();
        (5..=9).for_each(|step| writer.append(&record(step)).unwrap());
        assert_eq!(fs::read(&whole).unwrap(), fs::read(&resumed).unwrap());
    }

    #[test]
    fn a_torn_last_line_is_passed_over_and_then_cut_off() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("metrics.jsonl");
        // Torn within a number: what is there would parse.
        fs::write(&path, "{\"step\":1,\"loss\":1.5}\n{\"step\":12}").unwrap();
        assert_eq!(read_jsonl::<Step>(&path).unwrap().len(), 1);
        write(&path, 2..=2);
        assert_eq!(read_jsonl::<Record>(&path).unwrap()[1], record(2));
    }

    #[test]
    fn a_bad_line_is_named() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("metrics.jsonl");
        fs::write(&path, "{\"step\":1}\n{\"step\":\"two\"}\n{\"step\":3}\n").unwrap();
        let expected = format!("{}:2: invalid type: string \"two\", expected u64 (column 13)", path.display());
        let error = read_jsonl::<Step>(&path).err().unwrap();
        assert_eq!(error.to_string(), expected);
        let mut writer = JsonlWriter::open(&path).unwrap();
        let error = writer.truncate_after(9).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_missing_file_is_named() {
        let path = Path::new("/no/such/metrics.jsonl");
        let error = read_jsonl::<Step>(path).err().unwrap().to_string();
        assert!(error.starts_with("cannot read /no/such/metrics.jsonl: "));
    }

    #[test]
    fn a_record_without_a_json_form_leaves_the_file_as_it_was() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("metrics.jsonl");
        let mut writer = JsonlWriter::open(&path).unwrap();
        let record = std::collections::BTreeMap::from([((1, 2), 3)]);
        let error = writer.append(&record).unwrap_err().to_string();
        assert!(error.starts_with("cannot write a record to "));
        assert_eq!(fs::read(&path).unwrap(), b"");
    }

    proptest! {
        /// Wherever the file is cut, and whatever step it goes on from, it ends up the same.
        #[test]
        fn any_cut_is_recovered(cut in 0usize..400, checkpoint in 0u64..10) {
            let root = tempfile::tempdir().unwrap();
            let [whole, resumed] = ["whole", "resumed"].map(|name| root.path().join(name));
            write(&whole, 1..=10);
            let bytes = fs::read(&whole).unwrap();
            fs::write(&resumed, &bytes[..cut.min(bytes.len())]).unwrap();
            let mut writer = JsonlWriter::open(&resumed).unwrap();
            writer.truncate_after(checkpoint).unwrap();
            let reached = read_jsonl::<Step>(&resumed).unwrap().len() as u64;
            prop_assert!(reached <= checkpoint);
            (reached + 1..=10).for_each(|step| writer.append(&record(step)).unwrap());
            prop_assert_eq!(fs::read(&resumed).unwrap(), bytes);
        }
    }
}

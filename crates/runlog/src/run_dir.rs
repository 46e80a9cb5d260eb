//! The directory itself: its lock, its version, and where everything lies.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Error, Result, repair_dir, write_atomic};

/// The format of the run directory that this version writes and reads. A change that an old reader
/// would misread raises it.
pub const FORMAT_VERSION: u32 = 1;

const LOCK: &str = ".lock";
const RUN: &str = "run.json";

/// What `run.json` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// The format of the directory, [`FORMAT_VERSION`] when written.
    pub format_version: u32,
    /// The version of amortize that started the run.
    pub tool_version: String,
}

/// A run's directory. One that is open for writing holds the lock until it is dropped.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    info: RunInfo,
    /// Held for its lock alone; the system lets go of it even if the process is killed.
    _lock: Option<File>,
}

impl RunDir {
    /// Starts a run in a new or empty directory, and locks it.
    ///
    /// `prepare` writes what a resume needs: the config and a first checkpoint. Only then does the directory become a
    /// run, so that one that died earlier can simply be started again.
    ///
    /// # Errors
    /// If the directory holds a run or other files, is in use, or cannot be written; or that of `prepare`.
    pub fn create<E: From<Error>>(
        path: &Path,
        prepare: impl FnOnce(&Self) -> std::result::Result<(), E>,
    ) -> std::result::Result<Self, E> {
        let run = Self::claim(path)?;
        prepare(&run)?;
        run.write_info()?;
        Ok(run)
    }

    fn claim(path: &Path) -> Result<Self> {
        fs::create_dir_all(path).map_err(Error::io("make", path))?;
        // Before the lock, so as to put no file among someone else's; and after it, because another
        // process may have been faster.
        refuse_files(path)?;
        let lock = lock(path)?;
        refuse_files(path)?;
        let info = RunInfo { format_version: FORMAT_VERSION, tool_version: env!("CARGO_PKG_VERSION").to_string() };
        Ok(Self { path: path.to_path_buf(), info, _lock: Some(lock) })
    }

    /// Opens a run to go on with it: locks it, and repairs what a crash left half-done.
    pub fn resume(path: &Path) -> Result<Self> {
        let mut run = Self::open_read(path)?;
        run._lock = Some(lock(path)?);
        let models = [run.model_dir(), run.best_model_dir()];
        for dir in [run.adapter_dir(), run.best_adapter_dir(), run.checkpoint_dir()].into_iter().chain(models) {
            repair_dir(&dir)?;
        }
        remove_temporary_files(path)?;
        Ok(run)
    }

    /// Opens a run to read it, with no lock: it may be going on. Open the directories in it through
    /// [`readable_dir`](crate::readable_dir).
    pub fn open_read(path: &Path) -> Result<Self> {
        let info = read_info(path)?;
        if info.format_version != FORMAT_VERSION {
            return Err(Error::Version { path: path.to_path_buf(), found: info.format_version, known: FORMAT_VERSION });
        }
        Ok(Self { path: path.to_path_buf(), info, _lock: None })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What `run.json` says.
    pub fn info(&self) -> &RunInfo {
        &self.info
    }

    /// The resolved config, TOML.
    pub fn config_path(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// Deterministic figures, a record a step: equal runs have equal files.
    pub fn metrics_path(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// Clock readings, a record a step.
    pub fn timing_path(&self) -> PathBuf {
        self.path.join("timing.jsonl")
    }

    /// Sampled texts.
    pub fn samples_path(&self) -> PathBuf {
        self.path.join("samples.jsonl")
    }

    /// The page made from the other files.
    pub fn report_path(&self) -> PathBuf {
        self.path.join("report.html")
    }

    /// The latest adapter, in PEFT's format.
    pub fn adapter_dir(&self) -> PathBuf {
        self.path.join("adapter")
    }

    /// The adapter of the best evaluation so far, in PEFT's format.
    pub fn best_adapter_dir(&self) -> PathBuf {
        self.path.join("adapter_best")
    }

    /// The latest model, as a Hugging Face directory, where the base weights are trained.
    pub fn model_dir(&self) -> PathBuf {
        self.path.join("model")
    }

    /// The model of the best evaluation so far, as a Hugging Face directory.
    pub fn best_model_dir(&self) -> PathBuf {
        self.path.join("model_best")
    }

    /// All that a resume needs.
    pub fn checkpoint_dir(&self) -> PathBuf {
        self.path.join("checkpoint")
    }

    fn write_info(&self) -> Result<()> {
        let path = self.path.join(RUN);
        match serde_json::to_vec_pretty(&self.info) {
            Ok(json) => write_atomic(&path, &[json, b"\n".to_vec()].concat()),
            Err(source) => Err(Error::Record { path, source }),
        }
    }
}

/// Refuses a directory that holds anything but what a `create` that died early leaves.
fn refuse_files(path: &Path) -> Result<()> {
    if path.join(RUN).exists() {
        return Err(Error::HoldsRun(path.to_path_buf()));
    }
    let names = names(path)?;
    // Only a directory with our lock is one that a run was being made in: elsewhere a "config.toml" is someone's own.
    let begun = names.iter().any(|name| name == LOCK);
    let ours = |name: &str| is_temporary(name) || (begun && is_part_of_a_run(name));
    match names.into_iter().find(|name| !ours(name)) {
        Some(found) => Err(Error::NotEmpty { path: path.to_path_buf(), found }),
        None => Ok(()),
    }
}

fn lock(path: &Path) -> Result<File> {
    let lock = path.join(LOCK);
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).open(&lock);
    let file = file.map_err(Error::io("open", &lock))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse(path.to_path_buf())),
        Err(TryLockError::Error(error)) => Err(Error::io("lock", &lock)(error)),
    }
}

fn read_info(path: &Path) -> Result<RunInfo> {
    let file = path.join(RUN);
    let bytes = match fs::read(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::NotARun(path.to_path_buf()));
        }
        bytes => bytes.map_err(Error::io("read", &file))?,
    };
    serde_json::from_slice(&bytes).map_err(|error| Error::Line {
        path: file,
        line: error.line(),
        message: error.to_string(),
    })
}

fn remove_temporary_files(path: &Path) -> Result<()> {
    for name in names(path)?.iter().filter(|name| is_temporary(name)) {
        let file = path.join(name);
        fs::remove_file(&file).map_err(Error::io("remove", &file))?;
    }
    Ok(())
}

fn names(path: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect());
    entries.map_err(Error::io("read", path))
}

/// Whether a start that died may have left it.
fn is_part_of_a_run(name: &str) -> bool {
    const PARTS: [&str; 8] =
        [LOCK, "config.toml", "adapter", "model", "checkpoint", "metrics.jsonl", "timing.jsonl", "samples.jsonl"];
    let visible = name.trim_start_matches('.').split(['.', '-']).next().unwrap_or(name);
    PARTS.contains(&name) || (name.starts_with('.') && ["adapter", "model", "checkpoint"].contains(&visible))
}

/// Left by a [`write_atomic`] that died.
fn is_temporary(name: &str) -> bool {
    name.starts_with('.') && name.contains(".tmp-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(path: &Path) -> Result<RunDir> {
        RunDir::create(path, |_| Ok(()))
    }

    #[test]
    fn a_start_that_died_can_be_made_again_and_is_no_run() {
        let root = tempfile::tempdir().unwrap();
        let died = RunDir::create(root.path(), |run| {
            fs::write(run.config_path(), "half").unwrap();
            fs::create_dir(run.checkpoint_dir()).unwrap();
            Err(Error::NotARun(run.path().to_path_buf()))
        });
        assert!(died.is_err());
        assert!(RunDir::resume(root.path()).is_err());
        assert!(create(root.path()).is_ok());
    }

    #[test]
    fn a_config_of_someone_else_is_not_overwritten() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("config.toml"), "mine").unwrap();
        assert!(message(create(root.path())).contains("config.toml"));
    }

    fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn a_run_is_created_resumed_and_read() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("runs/first");
        let run = create(&path).unwrap();
        assert_eq!(run.path(), path);
        assert_eq!(run.info().format_version, FORMAT_VERSION);
        assert_eq!(run.best_adapter_dir(), path.join("adapter_best"));
        drop(run);
        drop(RunDir::resume(&path).unwrap());
        assert!(RunDir::open_read(&path).is_ok());
    }

    #[test]
    fn a_directory_with_files_is_refused_and_left_alone() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("thesis.tex"), "").unwrap();
        let expected = format!(
            "{} is not empty (it holds \"thesis.tex\") and is no run; choose another --out, \
             or use --resume with a run's directory",
            root.path().display()
        );
        assert_eq!(message(create(root.path())), expected);
        assert_eq!(names(root.path()).unwrap(), ["thesis.tex"]);
    }

    #[test]
    fn a_directory_with_a_run_is_refused() {
        let root = tempfile::tempdir().unwrap();
        drop(create(root.path()).unwrap());
        let expected = format!(
            "{} already holds a run; choose another --out, or use --resume to go on with it",
            root.path().display()
        );
        assert_eq!(message(create(root.path())), expected);
    }

    #[test]
    fn a_path_that_is_a_file_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(message(create(file.path())).starts_with("cannot make "));
    }

    #[test]
    fn a_second_writer_is_refused_and_a_reader_is_not() {
        let root = tempfile::tempdir().unwrap();
        let run = create(root.path()).unwrap();
        let expected = format!(
            "{} is in use by another process; wait for it to end, or choose another --out",
            root.path().display()
        );
        assert_eq!(message(RunDir::resume(root.path())), expected);
        assert!(RunDir::open_read(root.path()).is_ok());
        drop(run);
        assert!(RunDir::resume(root.path()).is_ok());
    }

    #[test]
    fn two_creates_of_the_same_empty_directory_do_not_both_succeed() {
        let root = tempfile::tempdir().unwrap();
        let _held = lock(root.path()).unwrap();
        assert!(matches!(create(root.path()), Err(Error::InUse(_))));
    }

    #[test]
    fn a_directory_without_a_run_cannot_be_resumed() {
        let root = tempfile::tempdir().unwrap();
        let expected = format!("{} holds no run (there is no run.json); check the path", root.path().display());
        assert_eq!(message(RunDir::resume(root.path())), expected);
        assert_eq!(names(root.path()).unwrap(), [""; 0]);
    }

    #[test]
    fn another_format_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let json = r#"{"format_version": 2, "tool_version": "9.0.0", "new": true}"#;
        fs::write(root.path().join(RUN), json).unwrap();
        let expected = format!(
            "{} has run format 2, and this version reads 1; use the version of amortize that wrote it",
            root.path().display()
        );
        assert_eq!(message(RunDir::resume(root.path())), expected);
        assert_eq!(message(RunDir::open_read(root.path())), expected);
    }

    #[test]
    fn a_damaged_run_json_is_named() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join(RUN), "{").unwrap();
        let start = format!("{}:1: ", root.path().join(RUN).display());
        assert!(message(RunDir::resume(root.path())).starts_with(&start));
    }

    #[test]
    fn a_resume_repairs_what_a_crash_left() {
        let root = tempfile::tempdir().unwrap();
        let run = create(root.path()).unwrap();
        let checkpoint = run.checkpoint_dir();
        drop(run);
        for dir in [".checkpoint.old", ".checkpoint.new", ".adapter.new"] {
            fs::create_dir(root.path().join(dir)).unwrap();
        }
        fs::write(root.path().join(".config.toml.tmp-7"), "").unwrap();
        let _run = RunDir::resume(root.path()).unwrap();
        assert!(checkpoint.is_dir());
        let mut left = names(root.path()).unwrap();
        left.sort();
        assert_eq!(left, [".lock", "checkpoint", "run.json"]);
    }

    #[test]
    fn a_create_that_died_early_can_be_repeated() {
        let root = tempfile::tempdir().unwrap();
        drop(lock(root.path()).unwrap());
        fs::write(root.path().join(".run.json.tmp-7"), "").unwrap();
        assert!(create(root.path()).is_ok());
    }
}

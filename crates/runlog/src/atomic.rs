//! Files and whole directories that are replaced in one go.
//!
//! A file is written under a temporary name beside its place, flushed to the disk, and renamed over
//! the old one: a rename is atomic.
//!
//! A directory can't be renamed over another, so [`replace_dir_atomic`] goes through these stages,
//! for a directory `d`:
//!
//! 1. the new files are written to `.d.new` and flushed to the disk;
//! 2. `d` is renamed to `.d.old`;
//! 3. `.d.new` is renamed to `d`;
//! 4. `.d.old` is removed.
//!
//! A crash between 2 and 3 leaves no `d`, but a whole `.d.old`: [`repair_dir`] renames it back, and
//! [`readable_dir`] tells a reader to use it. In every other state `d` itself is whole, and what
//! lies beside it is rubbish.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Replaces the file at `path`: a reader, or a crash at any moment, finds the old content or the new.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = sibling(path, &format!(".tmp-{}", std::process::id()))?;
    write_synced(&temporary, bytes).and_then(|()| fs::rename(&temporary, path)).map_err(|error| {
        // Best effort: the error that counts is the one that is reported.
        let _ = fs::remove_file(&temporary);
        Error::io("write", path)(error)
    })?;
    sync_dir(parent(path));
    Ok(())
}

/// Replaces the directory `final_dir` by one whose files `write` puts into the directory it is given.
///
/// A reader that asks [`readable_dir`], or a crash at any moment followed by [`repair_dir`], finds
/// the old directory or the new, whole. One writer at a time: the run directory's lock sees to that.
pub fn replace_dir_atomic<E: From<Error>>(
    final_dir: &Path,
    write: impl FnOnce(&Path) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    replace_dir(final_dir, write, |_| Ok(()))
}

/// Undoes what a crash within [`replace_dir_atomic`] left: afterwards `final_dir` is whole, or absent
/// if there never was one, and nothing lies beside it.
pub fn repair_dir(final_dir: &Path) -> Result<()> {
    let old = old_of(final_dir)?;
    if !final_dir.exists() && old.exists() {
        fs::rename(&old, final_dir).map_err(Error::io("restore", final_dir))?;
        sync_dir(parent(final_dir));
    }
    remove_dir(&old)?;
    remove_dir(&new_of(final_dir)?)
}

/// The directory that a reader should open for `final_dir`: the old one, while or after a
/// replacement stopped half-way, or else `final_dir` itself.
///
/// A writer may be at work, so a reader that finds a file gone may ask again.
pub fn readable_dir(final_dir: &Path) -> PathBuf {
    match old_of(final_dir) {
        Ok(old) if !final_dir.exists() && old.exists() => old,
        _ => final_dir.to_path_buf(),
    }
}

/// The points between two changes on the disk, where a test stops to simulate a crash.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Written,
    OldAside,
    NewInPlace,
}

fn replace_dir<E: From<Error>>(
    final_dir: &Path,
    write: impl FnOnce(&Path) -> std::result::Result<(), E>,
    at: impl Fn(Stage) -> Result<()>,
) -> std::result::Result<(), E> {
    let (old, new) = (old_of(final_dir)?, new_of(final_dir)?);
    repair_dir(final_dir)?;
    fs::create_dir(&new).map_err(Error::io("make", &new))?;
    let written = write(&new).and_then(|()| Ok(sync_tree(&new).map_err(Error::io("flush", &new))?));
    if let Err(error) = written {
        // Half a model may be what filled the disk.
        let _ = remove_dir(&new);
        return Err(error);
    }
    at(Stage::Written)?;
    if final_dir.exists() {
        fs::rename(final_dir, &old).map_err(Error::io("move aside", final_dir))?;
        at(Stage::OldAside)?;
    }
    fs::rename(&new, final_dir).map_err(Error::io("put in place", final_dir))?;
    sync_dir(parent(final_dir));
    at(Stage::NewInPlace)?;
    Ok(remove_dir(&old)?)
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_tree(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            sync_tree(&path)?;
        } else {
            OpenOptions::new().append(true).open(&path)?.sync_all()?;
        }
    }
    sync_dir(dir);
    Ok(())
}

/// Makes renames within `dir` lasting. Best effort: not every system lets a directory be opened, and
/// without it a power cut brings back the old state, which is whole too.
fn sync_dir(dir: &Path) {
    let _ = File::open(dir).and_then(|dir| dir.sync_all());
}

fn remove_dir(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", dir)(error)),
        _ => Ok(()),
    }
}

fn old_of(final_dir: &Path) -> Result<PathBuf> {
    sibling(final_dir, ".old")
}

fn new_of(final_dir: &Path) -> Result<PathBuf> {
    sibling(final_dir, ".new")
}

/// `.name` + `suffix`, beside `path`.
fn sibling(path: &Path, suffix: &str) -> Result<PathBuf> {
    let Some(name) = path.file_name() else {
        let error = io::Error::new(io::ErrorKind::InvalidInput, "the path ends in no name");
        return Err(Error::io("write", path)(error));
    };
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(suffix);
    Ok(path.with_file_name(hidden))
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(text: &'static str) -> impl FnOnce(&Path) -> Result<()> {
        move |dir| {
            for name in ["a", "b"] {
                write_atomic(&dir.join(name), text.as_bytes())?;
            }
            Ok(())
        }
    }

    fn crash_at(stage: Stage) -> impl Fn(Stage) -> Result<()> {
        move |reached| match reached == stage {
            true => Err(Error::NotARun(PathBuf::from("crash"))),
            false => Ok(()),
        }
    }

    /// The content of a directory whose two files must agree, or none.
    fn content(dir: &Path) -> Option<String> {
        let [a, b] = ["a", "b"].map(|name| fs::read_to_string(dir.join(name)).ok());
        assert_eq!(a, b, "a directory of both");
        a
    }

    fn names(dir: &Path) -> Vec<String> {
        let names = fs::read_dir(dir).unwrap();
        let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_and_nothing_is_left() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("config.toml");
        write_atomic(&path, b"old").unwrap();
        write_atomic(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(root.path()), ["config.toml"]);
    }

    #[test]
    fn a_file_that_cannot_be_written_names_its_path() {
        let error = write_atomic(Path::new("/no/such/dir/file"), b"").unwrap_err();
        assert!(error.to_string().starts_with("cannot write /no/such/dir/file: "));
        assert!(write_atomic(Path::new("/"), b"").is_err());
    }

    #[test]
    fn a_directory_is_replaced_whole() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("checkpoint");
        replace_dir_atomic(&dir, put("old")).unwrap();
        fs::write(dir.join("stray"), "").unwrap();
        replace_dir_atomic(&dir, put("new")).unwrap();
        assert_eq!(content(&dir).unwrap(), "new");
        assert_eq!(names(&dir), ["a", "b"]);
        assert_eq!(names(root.path()), ["checkpoint"]);
    }

    #[test]
    fn a_crash_at_any_stage_leaves_the_old_or_the_new() {
        let stages = [(Stage::Written, "old"), (Stage::OldAside, "old"), (Stage::NewInPlace, "new")];
        for (stage, expected) in stages {
            let root = tempfile::tempdir().unwrap();
            let dir = root.path().join("checkpoint");
            replace_dir_atomic(&dir, put("old")).unwrap();
            replace_dir(&dir, put("new"), crash_at(stage)).unwrap_err();
            assert_eq!(content(&readable_dir(&dir)).unwrap(), expected, "{stage:?}");
            repair_dir(&dir).unwrap();
            assert_eq!(content(&dir).unwrap(), expected, "{stage:?}");
            assert_eq!(names(root.path()), ["checkpoint"], "{stage:?}");
        }
    }

    #[test]
    fn a_crash_while_the_old_one_is_removed_leaves_the_new() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("checkpoint");
        replace_dir_atomic(&dir, put("old")).unwrap();
        replace_dir(&dir, put("new"), crash_at(Stage::NewInPlace)).unwrap_err();
        fs::remove_file(root.path().join(".checkpoint.old/a")).unwrap();
        assert_eq!(content(&readable_dir(&dir)).unwrap(), "new");
        repair_dir(&dir).unwrap();
        assert_eq!(content(&dir).unwrap(), "new");
    }

    #[test]
    fn a_crash_of_the_first_replacement_leaves_none_or_the_new() {
        for (stage, expected) in [(Stage::Written, None), (Stage::NewInPlace, Some("new"))] {
            let root = tempfile::tempdir().unwrap();
            let dir = root.path().join("adapter");
            replace_dir(&dir, put("new"), crash_at(stage)).unwrap_err();
            repair_dir(&dir).unwrap();
            assert_eq!(content(&dir).as_deref(), expected);
            assert!(!root.path().join(".adapter.new").exists());
        }
    }

    #[test]
    fn a_failed_or_crashed_replacement_does_not_hinder_the_next() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("adapter");
        replace_dir_atomic(&dir, put("old")).unwrap();
        let half = |new: &Path| {
            write_atomic(&new.join("a"), b"half")?;
            Err(Error::NotARun(PathBuf::from("full disk")))
        };
        replace_dir_atomic(&dir, half).unwrap_err();
        assert_eq!(content(&dir).unwrap(), "old");
        assert_eq!(names(root.path()), ["adapter"], "what was written is not left to fill the disk");
        replace_dir(&dir, put("lost"), crash_at(Stage::OldAside)).unwrap_err();
        replace_dir_atomic(&dir, put("new")).unwrap();
        assert_eq!(content(&dir).unwrap(), "new");
        assert_eq!(names(root.path()), ["adapter"]);
    }
}

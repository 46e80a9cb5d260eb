//! Files of models, on the disk or within this program.
//!
//! `embedded:NAME` is the path of a model that the program carries, and may be used like a directory's.

use std::fs::File;
use std::io::{Cursor, Error, ErrorKind, Read, Result, Seek};
use std::path::{Path, PathBuf};

use amortize_embedded::MODELS;

/// What paths within the program begin with.
const SCHEME: &str = "embedded:";

/// An open file.
pub(crate) trait ReadSeek: Read + Seek + Send {}

impl<T: Read + Seek + Send> ReadSeek for T {}

/// Whether a path leads into the program rather than to the disk.
pub fn is_embedded(path: &Path) -> bool {
    path.to_str().is_some_and(|path| path.starts_with(SCHEME))
}

/// A path that holds wherever it is read from. One that leads into the program does already.
///
/// # Errors
/// If the path is empty, or the system does not tell where we are.
pub fn absolute(path: &Path) -> Result<PathBuf> {
    if is_embedded(path) { Ok(path.to_path_buf()) } else { std::path::absolute(path) }
}

/// The paths of all models within the program.
pub fn embedded_models() -> impl Iterator<Item = String> {
    MODELS.iter().map(|model| format!("{SCHEME}{}", model.name))
}

/// Whether a model may be there: a directory, or a model within the program.
pub(crate) fn is_dir(path: &Path) -> bool {
    path.is_dir() || embedded_models().any(|model| path == Path::new(&model))
}

/// Whether a file is there.
pub(crate) fn is_file(path: &Path) -> bool {
    if is_embedded(path) { embedded(path).is_some() } else { path.is_file() }
}

/// The text of a file.
pub(crate) fn read_to_string(path: &Path) -> Result<String> {
    if !is_embedded(path) {
        return std::fs::read_to_string(path);
    }
    let bytes = embedded(path).ok_or_else(missing)?;
    String::from_utf8(bytes.to_vec()).map_err(|error| Error::new(ErrorKind::InvalidData, error))
}

/// A file and its length in bytes.
pub(crate) fn open(path: &Path) -> Result<(Box<dyn ReadSeek>, u64)> {
    if !is_embedded(path) {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        return Ok((Box::new(file), len));
    }
    let bytes = embedded(path).ok_or_else(missing)?;
    Ok((Box::new(Cursor::new(bytes)), bytes.len() as u64))
}

fn embedded(path: &Path) -> Option<&'static [u8]> {
    let (name, file) = path.to_str()?.strip_prefix(SCHEME)?.split_once(['/', '\\'])?;
    MODELS.iter().find(|model| model.name == name)?.file(file)
}

fn missing() -> Error {
    Error::new(ErrorKind::NotFound, "the program carries no such file")
}

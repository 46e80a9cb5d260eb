//! Tensors to files in the safetensors format.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use amortize_engine::Tensor;
use half::bf16;
use safetensors::tensor::{Dtype, TensorInfo};
use serde::Serialize;

use crate::error::{LmError, Result};

/// A safetensors header, its keys sorted so that equal tensors give equal files.
#[derive(Serialize)]
struct Header<'a> {
    #[serde(rename = "__metadata__")]
    metadata: &'a BTreeMap<String, String>,
    #[serde(flatten)]
    tensors: BTreeMap<&'a str, TensorInfo>,
}

/// Writes named tensors as [`write_safetensors`] does, without metadata of their own.
///
/// # Errors
/// If the file cannot be written; an old one then stands.
pub fn write_tensors<'a>(path: &Path, named: impl Iterator<Item = (String, &'a Tensor)>) -> Result<()> {
    let host: Vec<(String, Vec<usize>, Vec<f32>)> =
        named.map(|(name, tensor)| (name, vec![tensor.rows(), tensor.cols()], tensor.to_host())).collect();
    let tensors: Vec<(String, Vec<usize>, &[f32])> =
        host.iter().map(|(name, shape, values)| (name.clone(), shape.clone(), values.as_slice())).collect();
    write_safetensors(path, &tensors, None)
}

/// A tensor to write: its name, its shape, and its numbers in row-major order.
pub type Named<'a> = (String, Vec<usize>, &'a [f32]);

/// How numbers are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stored {
    /// As they are.
    #[default]
    F32,
    /// The nearest bf16: half the bytes.
    Bf16,
}

impl Stored {
    /// As `transformers` calls it.
    pub fn torch_name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::Bf16 => "bfloat16",
        }
    }

    fn dtype(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::Bf16 => Dtype::BF16,
        }
    }

    /// Bytes of a number.
    fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }

    fn write(self, numbers: &[f32], file: &mut dyn Write) -> std::io::Result<()> {
        match self {
            Self::F32 => numbers.iter().try_for_each(|x| file.write_all(&x.to_le_bytes())),
            Self::Bf16 => numbers.iter().try_for_each(|x| file.write_all(&bf16::from_f32(*x).to_le_bytes())),
        }
    }
}

/// Writes `(name, shape, numbers)` as a safetensors file of `f32`, with metadata of its own: see [`write_weights`].
///
/// # Errors
/// If the file cannot be written; an old one then stands.
///
/// # Panics
/// As [`write_weights`].
pub fn write_safetensors(path: &Path, tensors: &[Named], metadata: Option<&BTreeMap<String, String>>) -> Result<()> {
    write(path, tensors, metadata, Stored::F32)
}

/// Writes `(name, shape, numbers)` as a safetensors file, tensors sorted by name. Whoever reads `path` meanwhile sees
/// the old file or the whole new one, also after a crash.
///
/// The file gets the metadata `format: pt`, since transformers refuses one that does not say.
///
/// # Errors
/// If the file cannot be written; an old one then stands.
///
/// # Panics
/// If a name occurs twice or is reserved, or a shape does not fit its numbers: the caller's mistakes.
pub fn write_weights(path: &Path, tensors: &[Named], stored: Stored) -> Result<()> {
    write(path, tensors, None, stored)
}

fn write(path: &Path, tensors: &[Named], metadata: Option<&BTreeMap<String, String>>, stored: Stored) -> Result<()> {
    let mut sorted: Vec<_> = tensors.iter().collect();
    sorted.sort_by_key(|(name, ..)| name);
    let format = BTreeMap::from([("format".to_string(), "pt".to_string())]);
    let header = header_bytes(&sorted, metadata.unwrap_or(&format), stored).map_err(LmError::json(path))?;
    replace_file(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        sorted.iter().try_for_each(|(_, _, numbers)| stored.write(numbers, file))
    })
    .map_err(LmError::writing(path))
}

fn header_bytes(sorted: &[&Named], metadata: &BTreeMap<String, String>, stored: Stored) -> serde_json::Result<Vec<u8>> {
    let mut header = Header { metadata, tensors: BTreeMap::new() };
    let mut offset = 0;
    for (name, shape, numbers) in sorted {
        assert_ne!(name, "__metadata__", "a reserved name");
        assert_eq!(shape.iter().product::<usize>(), numbers.len(), "{name}");
        let end = offset + numbers.len() * stored.size();
        let info = TensorInfo { dtype: stored.dtype(), shape: shape.clone(), data_offsets: (offset, end) };
        let earlier = header.tensors.insert(name, info);
        assert!(earlier.is_none(), "tensor {name} is given twice");
        offset = end;
    }
    let mut bytes = serde_json::to_vec(&header)?;
    // Readers that map the file want the numbers aligned.
    bytes.resize(bytes.len().next_multiple_of(8), b' ');
    Ok(bytes)
}

/// Writes a file beside `path`, flushes it to the disk, then renames it over `path`.
fn replace_file(path: &Path, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> std::io::Result<()> {
    let dir = match path.parent() {
        Some(dir) if dir != Path::new("") => dir,
        _ => Path::new("."),
    };
    let file = temporary_file_in(dir)?;
    let mut buffered = std::io::BufWriter::new(file.as_file());
    write(&mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    file.as_file().sync_all()?;
    file.persist(path).map_err(|failed| failed.error)?;
    // The rename itself has to reach the disk too; not every system can sync a directory.
    File::open(dir).and_then(|dir| dir.sync_all()).ok();
    Ok(())
}

/// A temporary file with the permissions of an ordinary new one, not the private ones of tempfile.
fn temporary_file_in(dir: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(dir)
}

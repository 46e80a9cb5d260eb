//! Tensors of a model directory in the safetensors format: checked against what the model needs, read a block at a
//! time, and converted to `f32`.
//!
//! Files are read, not mapped: what was read leaves nothing behind in the process, and a file that is cut short
//! meanwhile is an error, not a crash.

use std::collections::BTreeMap;
use std::io::{Read, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde::Deserialize;

use crate::error::{LmError, Result, nearest};
use crate::storage::{self, ReadSeek};

mod write;

pub use write::{Stored, write_safetensors, write_tensors, write_weights};

pub(crate) const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Numbers of a tensor that are read at once.
pub(crate) const BLOCK: usize = 1 << 20;
/// Numbers that one thread converts at once.
const WORTH_A_THREAD: usize = 1 << 16;

/// Where a decoder's tensors come from.
pub(crate) trait TensorSource {
    /// Whether there is a tensor of this name and shape.
    fn check(&self, name: &str, shape: &[usize]) -> Result<()>;

    /// A tensor's numbers in row-major order, which must have this shape.
    fn take(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>>;

    /// Calls `f(number of the first row, values)` for the rows of a matrix, some whole rows at a time, in order.
    /// `[rows, cols]`
    fn for_rows(&self, name: &str, shape: [usize; 2], f: &mut dyn FnMut(usize, &[f32])) -> Result<()>;

    /// The first candidate that, put before `probe`, names a tensor.
    fn prefix<'a>(&self, candidates: &[&'a str], probe: &str) -> Result<&'a str>;
}

/// The tensors of a model, from one file or several shards.
#[derive(Debug)]
pub struct Weights {
    /// The directory or file opened, for messages.
    path: PathBuf,
    shards: Vec<Shard>,
    /// The shard that holds each tensor.
    shard_of: BTreeMap<String, usize>,
}

impl Weights {
    /// Opens `model.safetensors` of a model directory, or the shards its index lists.
    pub fn open(dir: &Path) -> Result<Self> {
        let (single, index) = (dir.join(SINGLE), dir.join(INDEX));
        if storage::is_file(&single) {
            return Self::open_file(&single);
        }
        if storage::is_file(&index) {
            return open_shards(dir, &index);
        }
        Err(LmError::NoWeights { dir: dir.to_path_buf(), problem: what_is_there_instead(dir) })
    }

    /// Opens one safetensors file.
    pub fn open_file(file: &Path) -> Result<Self> {
        let shard = Shard::open(file.to_path_buf())?;
        Ok(Self {
            path: file.to_path_buf(),
            shard_of: shard.tensors.keys().map(|name| (name.clone(), 0)).collect(),
            shards: vec![shard],
        })
    }

    /// Whether there is a tensor of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.shard_of.contains_key(name)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.shard_of.keys().map(String::as_str)
    }

    /// A tensor's shape, where there is a tensor of this name.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        let shard = &self.shards[*self.shard_of.get(name)?];
        Some(&shard.tensors[name].shape)
    }

    /// A tensor's numbers in row-major order, which must have this shape.
    ///
    /// # Errors
    /// If there is no such tensor, its shape or number format is another, or its file cannot be read.
    pub fn take(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let found = self.find(name, shape)?;
        let mut values = vec![0.0; found.count];
        found.for_blocks(1, |first, block| values[first..first + block.len()].copy_from_slice(block))?;
        Ok(values)
    }

    fn find(&self, name: &str, shape: &[usize]) -> Result<Found<'_>> {
        let shard = self.shard_of.get(name).ok_or_else(|| self.missing(name))?;
        self.shards[*shard].find(name, shape)
    }

    /// The first candidate that, put before `probe`, names a tensor: checkpoints of one architecture
    /// differ in how deep they nest it.
    pub fn prefix<'a>(&self, candidates: &[&'a str], probe: &str) -> Result<&'a str> {
        let fits = |candidate: &&&str| self.contains(&format!("{candidate}{probe}"));
        let found = candidates.iter().find(fits).copied();
        found.ok_or_else(|| self.missing(probe))
    }

    fn missing(&self, name: &str) -> LmError {
        LmError::MissingTensor {
            path: self.path.clone(),
            name: name.to_string(),
            nearest: nearest(name, self.names()).map(str::to_string),
        }
    }
}

impl TensorSource for Weights {
    fn check(&self, name: &str, shape: &[usize]) -> Result<()> {
        self.find(name, shape).map(drop)
    }

    fn for_rows(&self, name: &str, shape: [usize; 2], f: &mut dyn FnMut(usize, &[f32])) -> Result<()> {
        let width = shape[1].max(1);
        self.find(name, &shape)?.for_blocks(width, |first, block| f(first / width, block))
    }

    fn take(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        Weights::take(self, name, shape)
    }

    fn prefix<'a>(&self, candidates: &[&'a str], probe: &str) -> Result<&'a str> {
        Weights::prefix(self, candidates, probe)
    }
}

/// Names the unusable weights of a directory, if any, and the way out.
fn what_is_there_instead(dir: &Path) -> String {
    let has = |name: &str| dir.join(name).exists();
    if !dir.is_dir() {
        return "it is no directory".into();
    }
    if has("pytorch_model.bin") || has("pytorch_model.bin.index.json") {
        return "it holds PyTorch pickles (pytorch_model.bin), which are not read; convert them: \
                AutoModelForCausalLM.from_pretrained(dir).save_pretrained(dir) in transformers"
            .into();
    }
    if has("adapter_model.safetensors") || has("adapter_model.bin") {
        return "it holds only an adapter (adapter_model); give the directory of its base model".into();
    }
    format!("neither {SINGLE} nor {INDEX} is there")
}

/// One safetensors file.
struct Shard {
    path: PathBuf,
    file: Mutex<Box<dyn ReadSeek>>,
    /// Where the data begin, counted from the file's first byte.
    data_start: u64,
    tensors: BTreeMap<String, TensorInfo>,
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Shard").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Shard {
    fn open(path: PathBuf) -> Result<Self> {
        let (mut file, len) = storage::open(&path).map_err(LmError::reading(&path))?;
        let mut start = Vec::new();
        (&mut file).take(HEADER_LEN + LFS.len() as u64).read_to_end(&mut start).map_err(LmError::reading(&path))?;
        let damaged = |problem| LmError::WeightsFile { file: path.clone(), problem };
        let header_len = header_len(&start, len).map_err(damaged)?;
        let mut header = vec![0; header_len as usize];
        read_at(&mut *file, HEADER_LEN, &mut header).map_err(LmError::reading(&path))?;
        let metadata = parse_header(&header, len - HEADER_LEN - header_len).map_err(damaged)?;
        Ok(Self {
            tensors: metadata.tensors().into_iter().map(|(name, info)| (name, info.clone())).collect(),
            data_start: HEADER_LEN + header_len,
            file: Mutex::new(file),
            path,
        })
    }

    fn find(&self, name: &str, shape: &[usize]) -> Result<Found<'_>> {
        let info = &self.tensors[name];
        if info.shape != shape {
            return Err(LmError::Shape {
                file: self.path.clone(),
                name: name.to_string(),
                found: info.shape.clone(),
                expected: shape.to_vec(),
            });
        }
        let format = Format::of(info.dtype).ok_or_else(|| LmError::Dtype {
            file: self.path.clone(),
            name: name.to_string(),
            found: info.dtype.to_string(),
        })?;
        let place = self.data_start + info.data_offsets.0 as u64;
        Ok(Found { shard: self, place, count: shape.iter().product(), format })
    }
}

/// A tensor that is as it should be.
struct Found<'a> {
    shard: &'a Shard,
    /// Of its first byte in the file.
    place: u64,
    /// How many numbers it has.
    count: usize,
    format: Format,
}

impl Found<'_> {
    /// Calls `f(number of the first value, values)` for blocks of a multiple of `unit` values.
    fn for_blocks(&self, unit: usize, mut f: impl FnMut(usize, &[f32])) -> Result<()> {
        let (step, size) = ((BLOCK / unit).max(1) * unit, self.format.size());
        let (mut bytes, mut values) = (Vec::new(), Vec::new());
        for first in (0..self.count).step_by(step) {
            let len = step.min(self.count - first);
            bytes.resize(len * size, 0);
            values.resize(len, 0.0);
            self.read(first * size, &mut bytes)?;
            self.format.widen(&bytes, &mut values);
            f(first, &values);
        }
        Ok(())
    }

    fn read(&self, offset: usize, bytes: &mut [u8]) -> Result<()> {
        let mut file = self.shard.file.lock().unwrap_or_else(PoisonError::into_inner);
        read_at(&mut **file, self.place + offset as u64, bytes).map_err(LmError::reading(&self.shard.path))
    }
}

fn read_at(file: &mut dyn ReadSeek, place: u64, bytes: &mut [u8]) -> std::io::Result<()> {
    file.seek(SeekFrom::Start(place))?;
    file.read_exact(bytes)
}

/// Number formats that are read; little-endian all.
#[derive(Clone, Copy, Debug)]
enum Format {
    F32,
    F16,
    Bf16,
}

impl Format {
    fn of(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F32 => Some(Self::F32),
            Dtype::F16 => Some(Self::F16),
            Dtype::BF16 => Some(Self::Bf16),
            _ => None,
        }
    }

    /// Bytes of a number.
    fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    fn widen(self, bytes: &[u8], values: &mut [f32]) {
        match self {
            Self::F32 => convert(bytes, values, f32::from_le_bytes),
            Self::F16 => convert(bytes, values, |x| f16::from_le_bytes(x).to_f32()),
            Self::Bf16 => convert(bytes, values, |x| bf16::from_le_bytes(x).to_f32()),
        }
    }
}

fn convert<const SIZE: usize>(bytes: &[u8], values: &mut [f32], f: impl Fn([u8; SIZE]) -> f32 + Sync) {
    let numbers = bytes.as_chunks::<SIZE>().0;
    values.par_chunks_mut(WORTH_A_THREAD).zip(numbers.par_chunks(WORTH_A_THREAD)).for_each(|(values, numbers)| {
        for (value, number) in values.iter_mut().zip(numbers) {
            *value = f(*number);
        }
    });
}

/// Bytes at a file's beginning that say how long the header is.
const HEADER_LEN: u64 = size_of::<u64>() as u64;
/// No header is longer: a number above is none.
const LONGEST_HEADER: u64 = 100_000_000;
/// What a pointer to a file in Git's large file storage begins with.
const LFS: &[u8] = b"version https://git-lfs";

const AGAIN: &str = "the file is damaged or its download was cut short; fetch it again";

/// Length of the header, from the file's beginning and its length in bytes; or what is wrong.
fn header_len(start: &[u8], file_len: u64) -> std::result::Result<u64, String> {
    if start.starts_with(LFS) {
        return Err("this is a Git LFS pointer, not the weights; run `git lfs pull` there".into());
    }
    let len = start.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    match len {
        Some(len) if len > LONGEST_HEADER => Err(format!("not a safetensors file: {AGAIN}")),
        Some(len) if HEADER_LEN + len <= file_len => Ok(len),
        _ => Err(format!("its {file_len} bytes end before its header does: {AGAIN}")),
    }
}

/// The header, checked against itself and the number of bytes that follow it; or what is wrong.
fn parse_header(header: &[u8], data_len: u64) -> std::result::Result<Metadata, String> {
    // Reading it checks that tensors follow one another without gaps, as long as their shapes imply.
    let metadata: Metadata = serde_json::from_slice(header)
        .map_err(|error| format!("not a readable safetensors file ({error}): {AGAIN}"))?;
    if metadata.data_len() as u64 != data_len {
        let found = data_len + HEADER_LEN + header.len() as u64;
        return Err(format!("its {found} bytes are not as many as its header describes: {AGAIN}"));
    }
    Ok(metadata)
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

fn open_shards(dir: &Path, index_file: &Path) -> Result<Weights> {
    let text = storage::read_to_string(index_file).map_err(LmError::reading(index_file))?;
    let index: Index = serde_json::from_str(&text).map_err(LmError::json(index_file))?;
    let refuse = |problem| {
        let file = index_file.to_path_buf();
        Err(LmError::WeightsFile { file, problem })
    };

    let mut shards: Vec<Shard> = Vec::new();
    let mut position = BTreeMap::new();
    let mut shard_of = BTreeMap::new();
    for (tensor, name) in index.weight_map {
        if Path::new(&name).file_name() != Some(name.as_ref()) {
            return refuse(format!("\"{name}\" is no file name"));
        }
        let shard = match position.get(&name) {
            Some(&shard) => shard,
            None => {
                shards.push(Shard::open(dir.join(&name))?);
                position.insert(name.clone(), shards.len() - 1);
                shards.len() - 1
            }
        };
        if !shards[shard].tensors.contains_key(&tensor) {
            return refuse(format!(
                "tensor \"{tensor}\" should be in {name}, which lacks it: the files are of different models"
            ));
        }
        shard_of.insert(tensor, shard);
    }
    Ok(Weights { path: dir.to_path_buf(), shards, shard_of })
}

#[cfg(test)]
mod tests;

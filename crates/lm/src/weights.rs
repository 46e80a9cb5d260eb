//! Tensors of a model directory in the safetensors format: mapped from disk, checked against what the
//! model needs, and converted to `f32` one at a time.

use amortize_engine::Tensor;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorInfo};
use serde::{Deserialize, Serialize};

use crate::error::{LmError, Result, nearest};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Where a decoder's tensors come from.
pub(crate) trait TensorSource {
    /// A tensor's numbers in row-major order, which must have this shape.
    fn take(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>>;

    /// The first candidate that, put before `probe`, names a tensor: checkpoints of one architecture
    /// differ in how deep they nest it.
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
        if single.is_file() {
            return Self::open_file(&single);
        }
        if index.is_file() {
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
    pub fn take(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let Some(&shard) = self.shard_of.get(name) else {
            return Err(self.missing(name));
        };
        self.shards[shard].read(name, shape)
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
    fn take(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        Weights::take(self, name, shape)
    }

    fn prefix<'a>(&self, candidates: &[&'a str], probe: &str) -> Result<&'a str> {
        let fits = |candidate: &&&str| self.contains(&format!("{candidate}{probe}"));
        let found = candidates.iter().find(fits).copied();
        found.ok_or_else(|| self.missing(probe))
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
#[derive(Debug)]
struct Shard {
    file: PathBuf,
    bytes: Mmap,
    /// Where the data begin, counted from the file's first byte.
    data_start: usize,
    tensors: BTreeMap<String, TensorInfo>,
}

impl Shard {
    fn open(file: PathBuf) -> Result<Self> {
        let handle = File::open(&file).map_err(LmError::reading(&file))?;
        let bytes = map(&handle).map_err(LmError::reading(&file))?;
        let (header_len, metadata) = match SafeTensors::read_metadata(&bytes) {
            Ok(header) => header,
            Err(error) => {
                let problem = what_is_damaged(&bytes, error);
                return Err(LmError::WeightsFile { file, problem });
            }
        };
        let tensors = metadata.tensors().into_iter();
        Ok(Self {
            tensors: tensors.map(|(name, info)| (name, info.clone())).collect(),
            data_start: size_of::<u64>() + header_len,
            bytes,
            file,
        })
    }

    fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let info = &self.tensors[name];
        if info.shape != shape {
            return Err(LmError::Shape {
                file: self.file.clone(),
                name: name.to_string(),
                found: info.shape.clone(),
                expected: shape.to_vec(),
            });
        }
        let (start, end) = info.data_offsets;
        let data = &self.bytes[self.data_start + start..self.data_start + end];
        to_f32(info.dtype, data).ok_or_else(|| LmError::Dtype {
            file: self.file.clone(),
            name: name.to_string(),
            found: info.dtype.to_string(),
        })
    }
}

/// Little-endian numbers as `f32`, for the types that are supported.
fn to_f32(dtype: Dtype, data: &[u8]) -> Option<Vec<f32>> {
    let pairs = || data.as_chunks::<2>().0.iter().copied();
    let quads = || data.as_chunks::<4>().0.iter().copied();
    match dtype {
        Dtype::F32 => Some(quads().map(f32::from_le_bytes).collect()),
        Dtype::F16 => Some(pairs().map(|x| f16::from_le_bytes(x).to_f32()).collect()),
        Dtype::BF16 => Some(pairs().map(|x| bf16::from_le_bytes(x).to_f32()).collect()),
        _ => None,
    }
}

#[allow(unsafe_code)]
fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: the bytes are only read, as plain numbers. The map's contract, that nobody truncates the
    // file meanwhile, can't be enforced on a shared disk; our own writers replace files, never truncate.
    unsafe { Mmap::map(file) }
}

fn what_is_damaged(bytes: &[u8], error: SafeTensorError) -> String {
    if bytes.starts_with(b"version https://git-lfs") {
        return "this is a Git LFS pointer, not the weights; run `git lfs pull` there".into();
    }
    let again = "the file is damaged or its download was cut short; fetch it again";
    match error {
        SafeTensorError::MetadataIncompleteBuffer => {
            format!("its {} bytes are not as many as its header describes: {again}", bytes.len())
        }
        SafeTensorError::HeaderTooSmall | SafeTensorError::InvalidHeaderLength => {
            format!("its {} bytes end before its header does: {again}", bytes.len())
        }
        SafeTensorError::InvalidOffset(name) => {
            format!("the offsets of tensor \"{name}\" are impossible: {again}")
        }
        other => format!("not a readable safetensors file ({other}): {again}"),
    }
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

fn open_shards(dir: &Path, index_file: &Path) -> Result<Weights> {
    let text = std::fs::read_to_string(index_file).map_err(LmError::reading(index_file))?;
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

/// Writes `(name, shape, numbers)` as a safetensors file of `f32`, tensors sorted by name. Whoever reads
/// `path` meanwhile sees the old file or the whole new one, also after a crash.
///
/// Without metadata of its own the file gets `format: pt`, since transformers refuses one that does not say.
///
/// # Panics
/// If a name occurs twice or is reserved, or a shape does not fit its numbers: the caller's mistakes.
pub fn write_safetensors(
    path: &Path,
    tensors: &[(String, Vec<usize>, &[f32])],
    metadata: Option<&BTreeMap<String, String>>,
) -> Result<()> {
    let mut sorted: Vec<_> = tensors.iter().collect();
    sorted.sort_by_key(|(name, ..)| name);
    let format = BTreeMap::from([("format".to_string(), "pt".to_string())]);
    let header = header_bytes(&sorted, metadata.unwrap_or(&format)).map_err(LmError::json(path))?;
    replace_file(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        for (_, _, numbers) in sorted {
            for number in *numbers {
                file.write_all(&number.to_le_bytes())?;
            }
        }
        Ok(())
    })
    .map_err(LmError::writing(path))
}

fn header_bytes(
    sorted: &[&(String, Vec<usize>, &[f32])],
    metadata: &BTreeMap<String, String>,
) -> serde_json::Result<Vec<u8>> {
    let mut header = Header { metadata, tensors: BTreeMap::new() };
    let mut offset = 0;
    for (name, shape, numbers) in sorted {
        assert_ne!(name, "__metadata__", "a reserved name");
        assert_eq!(shape.iter().product::<usize>(), numbers.len(), "{name}");
        let end = offset + size_of_val(*numbers);
        let info = TensorInfo { dtype: Dtype::F32, shape: shape.clone(), data_offsets: (offset, end) };
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

#[cfg(test)]
mod tests {
    use super::*;

    fn tensors<'a>(list: &[(&str, &[usize], &'a [f32])]) -> Vec<(String, Vec<usize>, &'a [f32])> {
        let owned = |&(name, shape, data): &(&str, &[usize], &'a [f32])| (name.to_string(), shape.to_vec(), data);
        list.iter().map(owned).collect()
    }

    fn write(path: &Path, list: &[(&str, &[usize], &[f32])]) {
        write_safetensors(path, &tensors(list), None).unwrap();
    }

    #[test]
    fn what_is_written_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let b = [1.5, -2.0, f32::MIN_POSITIVE, 4.0, 5.0, 6.0];
        write(&dir.path().join(SINGLE), &[("b", &[2, 3], &b), ("a", &[], &[7.0]), ("none", &[0, 4], &[])]);
        let weights = Weights::open(dir.path()).unwrap();
        assert_eq!(weights.names().collect::<Vec<_>>(), ["a", "b", "none"]);
        assert_eq!(weights.take("b", &[2, 3]).unwrap(), b);
        assert_eq!(weights.take("a", &[]).unwrap(), [7.0]);
        assert!(weights.take("none", &[0, 4]).unwrap().is_empty());
        assert_eq!(weights.shape("b"), Some(&[2, 3][..]));
        assert_eq!(weights.shape("c"), None);
    }

    #[test]
    fn equal_tensors_give_equal_files_in_any_order() {
        let dir = tempfile::tempdir().unwrap();
        let metadata: BTreeMap<_, _> = (0..9).map(|i| (format!("key{i}"), i.to_string())).collect();
        let mut list = tensors(&[("x", &[1], &[1.0]), ("y", &[1], &[2.0]), ("z", &[1], &[3.0])]);
        let [first, second] = ["first", "second"].map(|name| dir.path().join(name));
        write_safetensors(&first, &list, Some(&metadata)).unwrap();
        list.reverse();
        write_safetensors(&second, &list, Some(&metadata)).unwrap();
        let bytes = std::fs::read(&first).unwrap();
        assert_eq!(bytes, std::fs::read(&second).unwrap());

        let (header_len, header) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(header_len % 8, 0);
        assert_eq!(header.offset_keys(), ["x", "y", "z"]);
        assert_eq!(header.metadata().as_ref().unwrap()["key8"], "8");

        write_safetensors(&first, &list, None).unwrap();
        let (_, header) = SafeTensors::read_metadata(&std::fs::read(&first).unwrap()).unwrap();
        assert_eq!(header.metadata().as_ref().unwrap()["format"], "pt");
    }

    #[test]
    fn writing_replaces_a_file_and_leaves_nothing_else_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("adapter_model.safetensors");
        write(&path, &[("a", &[3], &[1.0, 2.0, 3.0])]);
        // An open map of the old file keeps its numbers.
        let before = Weights::open_file(&path).unwrap();
        write(&path, &[("a", &[1], &[9.0])]);
        assert_eq!(before.take("a", &[3]).unwrap(), [1.0, 2.0, 3.0]);
        assert_eq!(Weights::open_file(&path).unwrap().take("a", &[1]).unwrap(), [9.0]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);

        let nowhere = dir.path().join("absent/x.safetensors");
        let message = write_safetensors(&nowhere, &[], None).unwrap_err().to_string();
        assert!(message.contains("cannot write") && message.contains("absent"), "{message}");
    }

    #[cfg(unix)]
    #[test]
    fn a_written_file_is_as_readable_as_any_other() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let [ours, plain] = ["ours", "plain"].map(|name| dir.path().join(name));
        write(&ours, &[]);
        std::fs::write(&plain, "").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }

    #[test]
    fn half_precision_widens_exactly() {
        let numbers = [0.0, -1.5, 3.140_625, 65504.0, f32::INFINITY];
        let halves: Vec<u8> = numbers.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect();
        assert_eq!(to_f32(Dtype::F16, &halves).unwrap(), numbers);
        let numbers = [0.0, -1.5, 3.140_625, 1e38f32, f32::NEG_INFINITY];
        let brains: Vec<u8> = numbers.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect();
        let expected = numbers.map(|x| bf16::from_f32(x).to_f32());
        assert_eq!(to_f32(Dtype::BF16, &brains).unwrap(), expected);
        assert_eq!(expected[..3], numbers[..3]);
    }

    #[test]
    fn the_prefix_is_found_by_a_tensor_that_every_model_has() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(SINGLE);
        for (stored, expected) in [("wte.weight", ""), ("transformer.wte.weight", "transformer.")] {
            write(&path, &[(stored, &[1], &[0.0])]);
            let weights = Weights::open(dir.path()).unwrap();
            let prefix = weights.prefix(&["transformer.", ""], "wte.weight").unwrap();
            assert_eq!(prefix, expected);
        }
        let weights = Weights::open(dir.path()).unwrap();
        let message = weights.prefix(&["model."], "wte.weight").unwrap_err().to_string();
        assert!(message.contains("nearest name there is \"transformer.wte.weight\""), "{message}");
    }
}

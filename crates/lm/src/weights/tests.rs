use super::*;
use safetensors::SafeTensors;

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
    // Whoever has opened the old file goes on reading its numbers.
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
    let widened = |format: Format, bytes: &[u8]| {
        let mut values = vec![0.0; bytes.len() / format.size()];
        format.widen(bytes, &mut values);
        values
    };
    let numbers = [0.0, -1.5, 3.140_625, 65504.0, f32::INFINITY];
    let halves: Vec<u8> = numbers.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect();
    assert_eq!(widened(Format::F16, &halves), numbers);
    let numbers = [0.0, -1.5, 3.140_625, 1e38f32, f32::NEG_INFINITY];
    let brains: Vec<u8> = numbers.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect();
    let expected = numbers.map(|x| bf16::from_f32(x).to_f32());
    assert_eq!(widened(Format::Bf16, &brains), expected);
    assert_eq!(expected[..3], numbers[..3]);
}

#[test]
fn rows_come_whole_and_in_order_however_large_the_matrix() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.safetensors");
    // Rows that do not divide a block, and rows longer than one.
    for [rows, cols] in [[2000, 1500], [3, BLOCK + 1]] {
        let numbers: Vec<f32> = (0..rows * cols).map(|i| i as f32).collect();
        write(&path, &[("x", &[rows, cols], &numbers)]);
        let weights = Weights::open_file(&path).unwrap();
        let (mut found, mut calls) = (Vec::new(), 0);
        let mut note = |first: usize, block: &[f32]| {
            assert_eq!((first * cols, block.len() % cols), (found.len(), 0));
            found.extend_from_slice(block);
            calls += 1;
        };
        weights.for_rows("x", [rows, cols], &mut note).unwrap();
        assert!(calls > 1 && found == numbers);
        assert!(weights.take("x", &[rows, cols]).unwrap() == numbers);
    }
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

use super::*;

/// A field of a message, as read back.
#[derive(Debug, Clone, PartialEq)]
enum Field {
    Number(u64),
    Double(f64),
    Float(f32),
    Bytes(Vec<u8>),
}

/// The numbers of a message's fields, and their values.
type Message = Vec<(u64, Field)>;

/// The records in a file, after a look at all checksums.
fn unframed(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (head, rest) = bytes.split_at(12);
        let length = u64::from_le_bytes(head[..8].try_into().unwrap()) as usize;
        let (data, rest) = rest.split_at(length);
        let checksums = [&head[8..], &rest[..4]].map(|word| u32::from_le_bytes(word.try_into().unwrap()));
        assert_eq!(checksums, [record::checksum(&head[..8]), record::checksum(data)]);
        found.push(data.to_vec());
        bytes = &rest[4..];
    }
    found
}

fn fields(mut bytes: &[u8]) -> Message {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let end = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap();
        let value = bytes[..=end].iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f));
        *bytes = &bytes[end + 1..];
        value
    }
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let length = match key & 7 {
            0 => {
                found.push((key >> 3, Field::Number(varint(&mut bytes))));
                continue;
            }
            1 => 8,
            2 => varint(&mut bytes) as usize,
            5 => 4,
            other => panic!("wire type {other}"),
        };
        let (data, rest) = bytes.split_at(length);
        bytes = rest;
        let field = match key & 7 {
            1 => Field::Double(f64::from_le_bytes(data.try_into().unwrap())),
            5 => Field::Float(f32::from_le_bytes(data.try_into().unwrap())),
            _ => Field::Bytes(data.to_vec()),
        };
        found.push((key >> 3, field));
    }
    found
}

fn field(message: &[(u64, Field)], number: u64) -> Field {
    message.iter().find(|(found, _)| *found == number).unwrap_or_else(|| panic!("{number} in {message:?}")).1.clone()
}

fn inner(message: &[(u64, Field)], number: u64) -> Message {
    let Field::Bytes(bytes) = field(message, number) else { panic!("{number} is a message") };
    fields(&bytes)
}

fn text(message: &[(u64, Field)], number: u64) -> String {
    let Field::Bytes(bytes) = field(message, number) else { panic!("{number} is a text") };
    String::from_utf8(bytes).unwrap()
}

/// Events of these files: seconds, step and the entries of each.
fn events(files: &[(&str, &str)]) -> Vec<(f64, u64, Vec<Message>)> {
    let root = tempfile::tempdir().unwrap();
    let run = RunDir::create(&root.path().join("run"), |_| Ok::<(), amortize_runlog::Error>(())).unwrap();
    for (name, content) in files {
        fs::write(run.path().join(name), content).unwrap();
    }
    let bytes = fs::read(write(&run).unwrap().join(FILE)).unwrap();
    let mut found = unframed(&bytes).into_iter().map(|event| fields(&event));
    assert_eq!(text(&found.next().unwrap(), 3), "brain.Event:2");
    let event = |event: Message| {
        let (Field::Double(seconds), Field::Number(step)) = (field(&event, 1), field(&event, 2)) else { panic!() };
        let entries = inner(&event, 5).into_iter().map(|(_, entry)| match entry {
            Field::Bytes(bytes) => fields(&bytes),
            other => panic!("{other:?}"),
        });
        (seconds, step, entries.collect())
    };
    found.map(event).collect()
}

#[test]
fn the_checksum_is_masked_crc32c() {
    // CRC32C's published check value is 0xe3069283; rotated right by 15 bits that is 0x2507c60d, to which the mask is
    // added.
    assert_eq!(record::checksum(b"123456789"), 0x2507_c60d + 0xa282_ead8);
}

#[test]
fn every_number_of_a_record_is_a_scalar_at_its_step_and_time() {
    let metrics = r#"{"kind":"train","step":300,"loss":-1.5,"sources":{"replay":{"n":4}},"best":true,"log_z":null}
{"kind":"weather","step":301,"rain":0.25}
"#;
    let timing = "{\"step\":299,\"seconds\":2.0}\n{\"step\":300,\"seconds\":0.5}\n";
    let found = events(&[("metrics.jsonl", metrics), ("timing.jsonl", timing)]);
    let scalars: Vec<_> = found
        .iter()
        .flat_map(|(seconds, step, entries)| entries.iter().map(move |entry| (*seconds, *step, entry)))
        .map(|(seconds, step, entry)| (seconds, step, text(entry, 1), field(entry, 2)))
        .collect();
    let scalar = |seconds, step, tag: &str, value| (seconds, step, tag.to_string(), Field::Float(value));
    assert_eq!(
        scalars,
        [
            scalar(2.5, 300, "train/loss", -1.5),
            scalar(2.5, 300, "train/sources/replay/n", 4.0),
            scalar(2.5, 301, "weather/rain", 0.25),
            scalar(2.0, 299, "timing/seconds", 2.0),
            scalar(2.5, 300, "timing/seconds", 0.5),
        ]
    );
}

#[test]
fn samples_are_tables_for_the_text_plugin() {
    let samples = r#"{"step":0,"kind":"before","prompt":"A|B","text":" c.\n","log_p":-2.5,"log_q":-2,"log_reward":null}
{"step":5,"kind":"after","prompt":"A|B","text":" d.","log_p":-1,"log_q":-1,"log_reward":-1,"log_weight":0}
"#;
    let found = events(&[("samples.jsonl", samples)]);
    assert_eq!(found.iter().map(|(_, step, _)| *step).collect::<Vec<_>>(), [0, 5]);
    let entry = &found[0].2[0];
    assert_eq!(text(entry, 1), "samples/before");
    assert_eq!(text(&inner(&inner(entry, 9), 1), 1), "text");
    let table = text(&inner(entry, 8), 8);
    assert!(table.ends_with("| A\\|B | c. | −2.50 | −2.00 | – | – |\n"), "{table}");
}

#[test]
fn the_same_run_gives_the_same_bytes_and_one_file() {
    let root = tempfile::tempdir().unwrap();
    let run = RunDir::create(&root.path().join("run"), |_| Ok::<(), amortize_runlog::Error>(())).unwrap();
    fs::write(run.metrics_path(), "{\"kind\":\"train\",\"step\":1,\"loss\":1}\n").unwrap();
    let dir = write(&run).unwrap();
    let first = fs::read(dir.join(FILE)).unwrap();
    assert_eq!(write(&run).unwrap(), dir);
    assert_eq!(fs::read(dir.join(FILE)).unwrap(), first);
    assert_eq!(fs::read_dir(dir).unwrap().count(), 1);
}

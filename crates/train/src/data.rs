//! Data files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Result, TrainError};

/// What a line of a data file asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// X; empty where the line has none.
    pub x: String,
    /// Y, where the task has one.
    pub y: Option<String>,
    /// Latents that are known for it, for the replay buffer.
    pub z: Vec<String>,
    /// Other texts that the task asks for.
    pub others: BTreeMap<String, String>,
    /// The line of the file that it is from, from 1.
    pub line: Option<usize>,
}

impl From<String> for Text {
    /// A prompt without Y.
    fn from(x: String) -> Self {
        Self::new(&x, None)
    }
}

impl Text {
    /// X without space at its end, which a tokenizer would make a token of its own and Z is to begin with; Y without any
    /// around it, and none if nothing is left.
    pub fn new(x: &str, y: Option<&str>) -> Self {
        let y = y.map(str::trim).filter(|y| !y.is_empty()).map(String::from);
        Self { x: x.trim_end_matches(' ').into(), y, ..Self::default() }
    }

    /// The texts by name, but for Z.
    pub fn fields(&self) -> BTreeMap<String, String> {
        let mut fields = self.others.clone();
        fields.insert("x".into(), self.x.clone());
        fields.extend(self.y.iter().map(|y| ("y".into(), y.clone())));
        fields
    }
}

/// What a task reads of its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Whether every line must have an X.
    pub x: bool,
    /// Whether a line has a Y.
    pub y: Presence,
    /// Whether known latents are read.
    pub z: bool,
    /// Other fields that every line must have.
    pub others: BTreeSet<String>,
}

/// Whether a field is to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is passed over.
    Ignored,
    /// It may be there.
    Optional,
    /// It must be there.
    Required,
}

/// Reads a UTF-8 file of a task's data. Blank lines are passed over.
///
/// A file whose name ends in `.jsonl`, and any file of a task that needs more than X, has a JSON object a line, with the
/// texts `x`, `y`, `z` and others, as far as the task reads them; other fields are passed over. Any other file has a
/// prompt a line. Space is dropped as by [`Text::new`].
///
/// # Errors
/// If the file cannot be read, is not UTF-8, or has no queries, or a line is none; the message says which.
pub fn read(path: &Path, needs: &Needs) -> Result<Vec<Text>> {
    let bad = |line: Option<usize>, problem: String| TrainError::Data { path: path.to_path_buf(), line, problem };
    let text = read_utf8(path)?;
    let is_json = needs.more_than_x() || path.extension().is_some_and(|extension| extension == "jsonl");
    let lines = text.lines().map(str::trim_end).zip(1..);
    let texts = lines.filter(|(line, _)| !line.is_empty()).map(|(line, number)| {
        let text = if is_json { needs.text(line) } else { Ok(Text::from(line.to_string())) };
        let text = text.map_err(|problem| bad(Some(number), problem))?;
        Ok(Text { line: Some(number), ..text })
    });
    let texts: Vec<Text> = texts.collect::<Result<_>>()?;
    match (texts.is_empty(), is_json) {
        (false, _) => Ok(texts),
        (true, false) => Err(bad(None, "has no prompts; write one a line".into())),
        (true, true) => Err(bad(None, format!("has no prompts; write {} a line", needs.example()))),
    }
}

/// A file's text, without a byte order mark.
///
/// # Errors
/// If it cannot be read or is not UTF-8.
pub(crate) fn read_utf8(path: &Path) -> Result<String> {
    let bad = |line: Option<usize>, problem: String| TrainError::Data { path: path.to_path_buf(), line, problem };
    let bytes = std::fs::read(path).map_err(|error| bad(None, format!("cannot be read: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        bad(Some(line + 1), "is not UTF-8 text; save the file as UTF-8".into())
    })?;
    Ok(text.trim_start_matches('\u{feff}').to_string())
}

impl Needs {
    fn more_than_x(&self) -> bool {
        self.y == Presence::Required || !self.others.is_empty()
    }

    /// What a line of JSON is to look like.
    fn example(&self) -> String {
        let x = self.x.then_some(("x", "What comes before."));
        let y = (self.y == Presence::Required).then_some(("y", "What comes after."));
        let others = self.others.iter().map(|name| (name.as_str(), "A text."));
        let fields = x.into_iter().chain(y).chain(others).map(|(name, text)| format!("{name:?}: {text:?}"));
        format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
    }

    /// The texts of a line of JSON.
    fn text(&self, line: &str) -> std::result::Result<Text, String> {
        let no_json = |error: serde_json::Error| {
            format!("is no JSON from column {} on; write {} a line", error.column(), self.example())
        };
        let value: Value = serde_json::from_str(line).map_err(no_json)?;
        let nothing = Map::new();
        let fields = value.as_object().unwrap_or(&nothing);
        let x = self.field(fields, "x", if self.x { Presence::Required } else { Presence::Optional })?;
        let text = Text::new(x.unwrap_or_default(), self.field(fields, "y", self.y)?);
        if self.y == Presence::Required && text.y.is_none() {
            return Err("\"y\" is empty; without a text after Z the task is continuation".into());
        }
        let others = self.others.iter().map(|name| {
            let text = self.field(fields, name, Presence::Required)?;
            Ok((name.clone(), text.unwrap_or_default().to_string()))
        });
        Ok(Text {
            z: if self.z { latents(fields.get("z"))? } else { Vec::new() },
            others: others.collect::<std::result::Result<_, String>>()?,
            ..text
        })
    }

    fn field<'a>(
        &self,
        fields: &'a Map<String, Value>,
        name: &str,
        presence: Presence,
    ) -> std::result::Result<Option<&'a str>, String> {
        let problem = match (fields.get(name), presence) {
            (_, Presence::Ignored) | (None | Some(Value::Null), Presence::Optional) => return Ok(None),
            (Some(Value::String(text)), _) => return Ok(Some(text)),
            (None | Some(Value::Null), Presence::Required) => format!("has no {name:?}"),
            (Some(other), _) => format!("{name:?} is {other}, not a text"),
        };
        Err(format!("{problem}; write {} a line", self.example()))
    }
}

/// One Z or a list of them; numbers count as texts.
fn latents(value: Option<&Value>) -> std::result::Result<Vec<String>, String> {
    let one = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(format!("\"z\" is {other}, neither a text nor a list of texts")),
    };
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(all)) => all.iter().map(one).collect(),
        Some(value) => Ok(vec![one(value)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn continuation() -> Needs {
        Needs { x: true, y: Presence::Ignored, z: false, others: BTreeSet::new() }
    }

    fn infilling() -> Needs {
        Needs { y: Presence::Required, ..continuation() }
    }

    fn read_file(name: &str, bytes: &[u8], needs: &Needs) -> Result<Vec<Text>> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).expect("a written file");
        read(&path, needs)
    }

    fn read_bytes(bytes: &[u8], needs: Needs) -> Result<Vec<Text>> {
        read_file("prompts.txt", bytes, &needs)
    }

    fn text(x: &str, y: Option<&str>, line: usize) -> Text {
        Text { x: x.into(), y: y.map(String::from), line: Some(line), ..Text::default() }
    }

    #[test]
    fn prompts_are_lines_without_space_at_their_end() {
        let prompts = read_bytes(b"One day. \r\n\n  Two days.\n", continuation()).expect("prompts");
        assert_eq!(prompts, [text("One day.", None, 1), text("  Two days.", None, 3)]);
    }

    #[test]
    fn bad_files_are_refused_with_the_line() {
        let message = |bytes| read_bytes(bytes, continuation()).expect_err("refused").to_string();
        assert!(message(b"good\nb\xff\xfe\n").ends_with("prompts.txt:2: is not UTF-8 text; save the file as UTF-8"));
        assert!(message(b"\n \n").ends_with("prompts.txt: has no prompts; write one a line"));
    }

    #[test]
    fn infilling_data_are_lines_of_json() {
        let lines = "\u{feff}{\"x\": \"A b. \", \"y\": \" C\\u00e9. \", \"z\": 3}\r\n\n{\"y\": \"D\", \"x\": \"\"}";
        let texts = read_bytes(lines.as_bytes(), infilling()).expect("texts");
        assert_eq!(texts, [text("A b.", Some("C\u{e9}."), 1), text("", Some("D"), 3)]);
    }

    #[test]
    fn what_is_no_infilling_data_is_refused_with_its_line() {
        let good = r#"{"x": "a", "y": "b"}"#;
        let cases = [
            ("A prompt.", "prompts.txt:3: is no JSON from column 1 on; write {"),
            (r#"{"x": "a", "y": "b""#, "prompts.txt:3: is no JSON from column 19 on"),
            (r#"{"x": "a"}"#, "prompts.txt:3: has no \"y\""),
            (r#"["a", "b"]"#, "prompts.txt:3: has no \"x\""),
            (r#"{"x": ["a"], "y": "b"}"#, r#"prompts.txt:3: "x" is ["a"], not a text"#),
            (r#"{"x": "a", "y": " "}"#, r#"prompts.txt:3: "y" is empty"#),
        ];
        for (line, expected) in cases {
            let text = format!("{good}\n\n{line}\n{good}\n");
            let message = read_bytes(text.as_bytes(), infilling()).expect_err("refused").to_string();
            assert!(message.contains(expected), "{message}");
        }
        let message = read_bytes(b"\n", infilling()).expect_err("refused").to_string();
        assert!(message.contains("has no prompts; write {\"x\": "), "{message}");
    }

    /// The file's name says what it is where the task does not.
    #[test]
    fn prompts_may_be_lines_of_json_too() {
        let line = br#"{"x": "One day. ", "y": "passed over", "z": true}"#;
        assert_eq!(read_file("a.jsonl", line, &continuation()).expect("texts"), [text("One day.", None, 1)]);
        assert_eq!(read_file("a.txt", line, &continuation()).expect("texts")[0].x, std::str::from_utf8(line).unwrap());
        let message = read_file("a.jsonl", b"One day.", &continuation()).expect_err("refused").to_string();
        assert!(
            message.ends_with(r#"a.jsonl:1: is no JSON from column 1 on; write {"x": "What comes before."} a line"#)
        );
    }

    #[test]
    fn a_task_of_ones_own_says_what_it_needs() {
        let others = BTreeSet::from(["topic".to_string()]);
        let needs = Needs { x: false, y: Presence::Optional, z: true, others };
        let read = |line: &str| read_file("own.txt", line.as_bytes(), &needs);
        let found = &read(r#"{"topic": " cats ", "x": "a", "y": " b", "z": ["c", 7], "w": 1}"#).expect("texts")[0];
        let others = BTreeMap::from([("topic".to_string(), " cats ".to_string())]);
        let z = vec!["c".to_string(), "7".to_string()];
        assert_eq!(found, &Text { z, others, ..text("a", Some("b"), 1) });
        assert_eq!(read(r#"{"topic": "t", "y": " ", "z": "c"}"#).expect("texts")[0].z, ["c"]);
        let refused = [
            (r#"{"x": "a"}"#, r#"own.txt:1: has no "topic"; write {"topic": "A text."} a line"#),
            (r#"{"topic": "t", "x": 1}"#, r#""x" is 1, not a text"#),
            (r#"{"topic": "t", "z": [true]}"#, r#""z" is true, neither"#),
        ];
        for (line, expected) in refused {
            let message = read(line).expect_err("refused").to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}

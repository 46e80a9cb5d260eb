//! Data files.

use std::path::Path;

use serde_json::Value;

use crate::config::TaskKind;
use crate::error::{Result, TrainError};

/// What a line of a data file asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// X.
    pub x: String,
    /// Y, where the task has one.
    pub y: Option<String>,
}

impl From<String> for Text {
    /// A prompt without Y.
    fn from(x: String) -> Self {
        Self { x, y: None }
    }
}

/// Reads a UTF-8 file of a task's data. Blank lines are passed over.
///
/// Continuation has a prompt a line; infilling a JSON object a line, with the texts `x` and `y`, whose other fields are
/// passed over. Space at the end of a prompt or X is dropped: a tokenizer would make it a token of its own, and Z is to
/// begin with it.
///
/// # Errors
/// If the file cannot be read, is not UTF-8, or has no queries, or a line is none; the message says which.
pub fn read(path: &Path, kind: TaskKind) -> Result<Vec<Text>> {
    let bad = |line: Option<usize>, problem: String| TrainError::Data { path: path.to_path_buf(), line, problem };
    let bytes = std::fs::read(path).map_err(|error| bad(None, format!("cannot be read: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        bad(Some(line + 1), "is not UTF-8 text; save the file as UTF-8".into())
    })?;
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim_end).zip(1..);
    let texts = lines.filter(|(line, _)| !line.is_empty()).map(|(line, number)| match kind {
        TaskKind::Continuation => Ok(Text::from(line.to_string())),
        TaskKind::Infilling => pair(line).map_err(|problem| bad(Some(number), problem)),
    });
    let texts: Vec<Text> = texts.collect::<Result<_>>()?;
    match (texts.is_empty(), kind) {
        (false, _) => Ok(texts),
        (true, TaskKind::Continuation) => Err(bad(None, "has no prompts; write one a line".into())),
        (true, TaskKind::Infilling) => Err(bad(None, format!("has no prompts; write {EXAMPLE} a line"))),
    }
}

/// What a line of infilling data looks like.
const EXAMPLE: &str = r#"{"x": "What comes before.", "y": "What comes after."}"#;

/// X and Y of a line of JSON.
fn pair(line: &str) -> std::result::Result<Text, String> {
    let value: Value = serde_json::from_str(line)
        .map_err(|error| format!("is no JSON from column {} on; write {EXAMPLE} a line", error.column()))?;
    let text = |key: &str| match &value[key] {
        Value::String(text) => Ok(text.as_str()),
        Value::Null => Err(format!("has no \"{key}\"; write {EXAMPLE} a line")),
        other => Err(format!("\"{key}\" is {other}, not a text; write {EXAMPLE} a line")),
    };
    let (x, y) = (text("x")?.trim_end_matches(' '), text("y")?.trim());
    if y.is_empty() {
        return Err("\"y\" is empty; without a text after Z the task is continuation".into());
    }
    Ok(Text { x: x.into(), y: Some(y.into()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_bytes(bytes: &[u8], kind: TaskKind) -> Result<Vec<Text>> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("prompts.txt");
        std::fs::write(&path, bytes).expect("a written file");
        read(&path, kind)
    }

    #[test]
    fn prompts_are_lines_without_space_at_their_end() {
        let prompts = read_bytes(b"One day. \r\n\n  Two days.\n", TaskKind::Continuation).expect("prompts");
        assert_eq!(prompts, ["One day.", "  Two days."].map(|x| Text::from(x.to_string())));
    }

    #[test]
    fn bad_files_are_refused_with_the_line() {
        let message = |bytes| read_bytes(bytes, TaskKind::Continuation).expect_err("refused").to_string();
        assert!(message(b"good\nb\xff\xfe\n").ends_with("prompts.txt:2: is not UTF-8 text; save the file as UTF-8"));
        assert!(message(b"\n \n").ends_with("prompts.txt: has no prompts; write one a line"));
    }

    #[test]
    fn infilling_data_are_lines_of_json() {
        let lines = "\u{feff}{\"x\": \"A b. \", \"y\": \" C\\u00e9. \", \"z\": 3}\r\n\n{\"y\": \"D\", \"x\": \"\"}";
        let texts = read_bytes(lines.as_bytes(), TaskKind::Infilling).expect("texts");
        let text = |x: &str, y: &str| Text { x: x.into(), y: Some(y.into()) };
        assert_eq!(texts, [text("A b.", "C\u{e9}."), text("", "D")]);
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
            let message = read_bytes(text.as_bytes(), TaskKind::Infilling).expect_err("refused").to_string();
            assert!(message.contains(expected), "{message}");
        }
        let message = read_bytes(b"\n", TaskKind::Infilling).expect_err("refused").to_string();
        assert!(message.contains("has no prompts; write {\"x\": "), "{message}");
    }
}

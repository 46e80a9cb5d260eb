//! Data files.

use std::path::Path;

use crate::error::{Result, TrainError};

/// Reads one prompt a line from a UTF-8 text file. Space at the end of a line is dropped: a tokenizer would make it a
/// token of its own, and the continuation is to begin with it. Blank lines are passed over.
///
/// # Errors
/// If the file cannot be read, is not UTF-8, or has no prompts.
pub fn read_prompts(path: &Path) -> Result<Vec<String>> {
    let bad = |line: Option<usize>, problem: String| TrainError::Data { path: path.to_path_buf(), line, problem };
    let bytes = std::fs::read(path).map_err(|error| bad(None, format!("cannot be read: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        bad(Some(line + 1), "is not UTF-8 text; save the file as UTF-8".into())
    })?;
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim_end).filter(|line| !line.is_empty());
    let prompts: Vec<String> = lines.map(str::to_string).collect();
    if prompts.is_empty() {
        return Err(bad(None, "has no prompts; write one a line".into()));
    }
    Ok(prompts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<String>> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("prompts.txt");
        std::fs::write(&path, bytes).expect("a written file");
        read_prompts(&path)
    }

    #[test]
    fn prompts_are_lines_without_space_at_their_end() {
        let prompts = read("One day. \r\n\n  Two days.\n".as_bytes()).expect("prompts");
        assert_eq!(prompts, ["One day.", "  Two days."]);
    }

    #[test]
    fn bad_files_are_refused_with_the_line() {
        let message = |bytes| read(bytes).expect_err("refused").to_string();
        assert!(message(b"good\nb\xff\xfe\n").ends_with("prompts.txt:2: is not UTF-8 text; save the file as UTF-8"));
        assert!(message(b"\n \n").ends_with("prompts.txt: has no prompts; write one a line"));
    }
}

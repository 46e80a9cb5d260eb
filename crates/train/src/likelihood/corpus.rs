//! Texts out of files.

use std::path::Path;

use amortize_engine::ops::dropout::mix;
use rayon::prelude::*;
use serde_json::Value;

use super::config::DataSection;
use crate::error::{Result, TrainError};
use crate::template::Template;

/// A text to learn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// What it follows, where it is a completion.
    pub prompt: Option<String>,
    /// The text, or the completion.
    pub text: String,
}

/// Training and validation texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Corpus {
    /// To learn from.
    pub train: Vec<Text>,
    /// Held out.
    pub validation: Vec<Text>,
}

impl Corpus {
    /// The texts of a config's files. What is held out without a file of its own depends on a text's number alone.
    ///
    /// # Errors
    /// If a file cannot be read, or a line is no text; the message says which.
    pub fn read(data: &DataSection) -> Result<Self> {
        let mut texts = read_all(&data.path, data)?;
        texts.truncate(data.limit.unwrap_or(usize::MAX));
        if let Some(paths) = &data.validation_path {
            return Ok(Self { train: texts, validation: read_all(paths, data)? });
        }
        let mut corpus = Self::default();
        for (number, text) in texts.into_iter().enumerate() {
            let held_out = (mix(number as u64) >> 11) as f64 / (1u64 << 53) as f64;
            if held_out < data.validation { corpus.validation.push(text) } else { corpus.train.push(text) }
        }
        if corpus.train.is_empty() {
            let problem = format!("data.validation = {} leaves no text to train on; lower it", data.validation);
            return Err(bad(&data.path[0], None, problem));
        }
        Ok(corpus)
    }
}

fn bad(path: &Path, line: Option<usize>, problem: String) -> TrainError {
    TrainError::Data { path: path.to_path_buf(), line, problem }
}

fn read_all(paths: &[std::path::PathBuf], data: &DataSection) -> Result<Vec<Text>> {
    let mut texts = Vec::new();
    for path in paths {
        texts.extend(read(path, data)?);
    }
    Ok(texts)
}

/// The texts of a file; blank lines are passed over.
fn read(path: &Path, data: &DataSection) -> Result<Vec<Text>> {
    let file = crate::data::read_utf8(path)?;
    let is_json = match path.extension().and_then(|extension| extension.to_str()) {
        Some("txt") => false,
        Some("jsonl") => true,
        _ => return Err(bad(path, None, "is neither *.txt (a text a line) nor *.jsonl (a JSON object a line)".into())),
    };
    let [text, prompt] = [&data.template, &data.prompt_template].map(|t| t.as_deref().map(Template::with_z));
    let read_line = |line: &str| match is_json {
        true => of_json(line, text.as_ref(), prompt.as_ref()),
        false => Ok(Text { prompt: None, text: line.into() }),
    };
    let lines: Vec<(usize, &str)> =
        (1..).zip(file.lines().map(str::trim_end)).filter(|(_, line)| !line.is_empty()).collect();
    let texts =
        lines.into_par_iter().map(|(number, line)| read_line(line).map_err(|problem| bad(path, Some(number), problem)));
    let texts: Vec<Text> = texts.collect::<Result<_>>()?;
    if texts.is_empty() {
        return Err(bad(path, None, "has no texts".into()));
    }
    Ok(texts)
}

/// What a line of JSON holds: by templates, or a "text", or a "prompt" and its "completion". Space at a prompt's end is
/// dropped, as it is wherever prompts are read: the completion begins with it.
fn of_json(line: &str, text: Option<&Template>, prompt: Option<&Template>) -> std::result::Result<Text, String> {
    let value: Value = serde_json::from_str(line)
        .map_err(|error| format!("is no JSON from column {} on; write an object a line", error.column()))?;
    let trimmed = |prompt: String| prompt.trim_end_matches(' ').to_string();
    let found = match text {
        Some(text) => Text {
            prompt: prompt.map(|prompt| fill(prompt, &value)).transpose()?.map(trimmed),
            text: fill(text, &value)?,
        },
        None if value.get("completion").is_some() => {
            Text { prompt: Some(trimmed(field(&value, "prompt")?)), text: field(&value, "completion")? }
        }
        None => Text { prompt: None, text: field(&value, "text")? },
    };
    if found.text.trim().is_empty() { Err("is a text without a word".into()) } else { Ok(found) }
}

/// A field's text; texts of a list are joined by spaces.
fn field(object: &Value, name: &str) -> std::result::Result<String, String> {
    let example = "write \"text\", or \"prompt\" and \"completion\", or set data.template";
    match &object[name] {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Array(items) => {
            let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            texts.map(|texts| texts.join(" ")).ok_or_else(|| format!("\"{name}\" is a list of more than texts"))
        }
        Value::Null => Err(format!("has no \"{name}\"; {example}")),
        other => Err(format!("\"{name}\" is {other}, which is no text")),
    }
}

/// A template with an object's fields in their places.
fn fill(template: &Template, object: &Value) -> std::result::Result<String, String> {
    let fields = template.fields().map(|name| Ok((name.to_string(), field(object, name)?)));
    Ok(template.fill(&fields.collect::<std::result::Result<_, String>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(template: Option<&str>, prompt_template: Option<&str>) -> DataSection {
        DataSection {
            path: vec![],
            template: template.map(String::from),
            prompt_template: prompt_template.map(String::from),
            loss_on_prompt: false,
            limit: None,
            validation_path: None,
            validation: 0.0,
        }
    }

    fn read_text(name: &str, content: &str, data: &DataSection) -> Result<Vec<Text>> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join(name);
        std::fs::write(&path, content).expect("a written file");
        read(&path, data)
    }

    fn plain(text: &str) -> Text {
        Text { prompt: None, text: text.into() }
    }

    #[test]
    fn text_files_have_a_text_a_line() {
        let texts = read_text("a.txt", "One.\r\n\nTwo {x}.\n", &section(None, None)).expect("texts");
        assert_eq!(texts, [plain("One."), plain("Two {x}.")]);
    }

    #[test]
    fn json_has_texts_or_prompts_with_completions() {
        let lines = "{\"text\": \"A b.\"}\n{\"prompt\": \"A \", \"completion\": \" b.\", \"text\": \"x\"}";
        let texts = read_text("a.jsonl", lines, &section(None, None)).expect("texts");
        assert_eq!(texts, [plain("A b."), Text { prompt: Some("A".into()), text: " b.".into() }]);
    }

    #[test]
    fn templates_take_any_object() {
        let line = r#"{"title": "T", "sentences": ["a.", "b."], "n": 3}"#;
        let texts = read_text("a.jsonl", line, &section(Some("{title}: {sentences} {n}{"), None)).expect("texts");
        assert_eq!(texts, [plain("T: a. b. 3{")]);
        let texts = read_text("a.jsonl", line, &section(Some(" {title}"), Some("{sentences} {a b}"))).expect("texts");
        assert_eq!(texts, [Text { prompt: Some("a. b. {a b}".into()), text: " T".into() }]);
    }

    #[test]
    fn what_is_no_text_is_refused_with_its_line() {
        let good = r#"{"text": "a"}"#;
        let cases = [
            ("A text.", None, "a.jsonl:2: is no JSON from column 1 on"),
            (r#"{"prompt": "a"}"#, None, "a.jsonl:2: has no \"text\"; write"),
            (r#"{"completion": "a"}"#, None, "a.jsonl:2: has no \"prompt\""),
            (r#"{"text": {"a": 1}}"#, None, "\"text\" is {\"a\":1}, which is no text"),
            (r#"{"text": " "}"#, None, "is a text without a word"),
            (r#"{"text": ["a", 1]}"#, Some("{text}"), "is a list of more than texts"),
            (r#"{"title": "a"}"#, Some("{text}"), "has no \"text\""),
        ];
        for (line, template, expected) in cases {
            let message = read_text("a.jsonl", &format!("{good}\n{line}"), &section(template, None));
            let message = message.expect_err("refused").to_string();
            assert!(message.contains(expected), "{message}");
        }
        let message = read_text("a.csv", "x", &section(None, None)).expect_err("refused").to_string();
        assert!(message.ends_with("is neither *.txt (a text a line) nor *.jsonl (a JSON object a line)"), "{message}");
    }

    #[test]
    fn a_share_is_held_out_whatever_follows() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("a.txt");
        let lines: Vec<String> = (0..1000).map(|i| format!("text {i}")).collect();
        std::fs::write(&path, lines.join("\n")).expect("a written file");
        let data = DataSection { path: vec![path.clone()], validation: 0.1, ..section(None, None) };
        let corpus = Corpus::read(&data).expect("texts");
        assert_eq!(corpus.train.len() + corpus.validation.len(), 1000);
        assert!((60..140).contains(&corpus.validation.len()), "{}", corpus.validation.len());
        let fewer = Corpus::read(&DataSection { limit: Some(500), ..data.clone() }).expect("texts");
        assert_eq!(fewer.validation[..], corpus.validation[..fewer.validation.len()]);
        let message = Corpus::read(&DataSection { validation: 1.0, ..data }).expect_err("refused").to_string();
        assert!(message.contains("leaves no text to train on"), "{message}");
    }
}

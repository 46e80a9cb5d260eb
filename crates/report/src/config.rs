//! The few values of the resolved config that the page names.

/// The text of `config.toml`.
///
/// Not a TOML parser: it knows the form in which configs are written, one `key = value` a line. What it does not
/// understand it does not find, and the page shows the whole text anyway.
#[derive(Debug, Default)]
pub struct Config(pub String);

impl Config {
    /// The value of a key such as `model.path`, a string without its quotes.
    pub fn get(&self, key: &str) -> Option<String> {
        let (wanted_section, wanted_name) = key.rsplit_once('.').unwrap_or(("", key));
        let mut section = "";
        for line in self.0.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                section = name;
            } else if let Some((name, value)) = line.split_once('=')
                && section == wanted_section
                && name.trim() == wanted_name
            {
                return unquote(value.trim());
            }
        }
        None
    }
}

fn unquote(value: &str) -> Option<String> {
    match value.as_bytes() {
        [b'"', ..] => serde_json::from_str(value).ok(),
        [b'\'', inner @ .., b'\''] if !inner.contains(&b'\'') => Some(value[1..value.len() - 1].to_string()),
        [b'\'', ..] | [] => None,
        _ => Some(value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_section() {
        let text =
            "# steps = 1\ntask = \"a = \\\"b\\\"\"\n[train]\nsteps = 60\n[model]\npath = 'C:\\m'\nsteps = \"\"\"\n";
        let config = Config(text.into());
        let get = |key| config.get(key);
        assert_eq!(get("task").unwrap(), "a = \"b\"");
        assert_eq!(get("train.steps").unwrap(), "60");
        assert_eq!(get("model.path").unwrap(), "C:\\m");
        assert_eq!([get("steps"), get("model.steps"), get("no.such")], [None, None, None]);
    }
}

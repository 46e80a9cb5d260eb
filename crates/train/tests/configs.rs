//! The shipped configs and docs/configuration.md agree with the code.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use amortize_train::config::Config;
use amortize_train::likelihood::{Command, LikelihoodConfig};
use serde::Serialize;
use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn paths() -> Vec<String> {
    ["model.path=model", "data.path=prompts.txt"].map(String::from).to_vec()
}

/// Every key of a config with its value, `null` where it has none.
fn keys(config: &impl Serialize) -> BTreeMap<String, Value> {
    let Value::Object(sections) = serde_json::to_value(config).unwrap() else { panic!("a config is an object") };
    let keys = sections.into_iter().flat_map(|(section, value)| match value {
        Value::Object(keys) => keys.into_iter().map(|(key, value)| (format!("{section}.{key}"), value)).collect(),
        value => vec![(section, value)],
    });
    keys.collect()
}

/// Key and default, of some column, of every row of a document's tables.
fn documented(document: &str, column: usize) -> BTreeMap<String, String> {
    let text = fs::read_to_string(root().join("docs").join(document)).unwrap().replace("\\|", "|");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.split(" | ").map(|cell| cell.trim_matches(['|', ' ', '`']).to_string()).collect());
    cells.map(|cells: Vec<String>| (cells[0].clone(), cells[column].clone())).collect()
}

#[test]
fn every_key_of_training_by_likelihood_is_documented_with_its_defaults() {
    let text = "[model]\npath = \"m\"\n[data]\npath = \"d\"\n[adapter]\n[train]\nsteps = 1\nseed = 1";
    let without = text.replace("path = \"m\"", "").replace("[adapter]", "");
    for (command, text, column) in [(Command::Pretrain, without.as_str(), 2), (Command::Sft, text, 3)] {
        let mut documented = documented("training.md", column);
        documented.retain(|_, default| default != "-");
        let config = LikelihoodConfig::from_toml(command, text, "minimal", &[]).unwrap();
        let mut keys = keys(&config);
        // A section that is absent has no keys.
        keys.retain(|key, _| key.contains('.'));
        assert_eq!(documented.keys().collect::<Vec<_>>(), keys.keys().collect::<Vec<_>>());
        for (key, value) in keys {
            match documented[&key].as_str() {
                "required" => assert!(text.contains(key.split('.').next_back().unwrap()), "{key}"),
                "none" => assert_eq!(value, Value::Null, "{key}"),
                default => assert_eq!(value, toml_value(default), "{key}"),
            }
        }
    }
}

#[test]
fn every_key_is_documented_with_its_default() {
    let text = "task = \"continuation\"\n[model]\npath = \"m\"\n[data]\npath = \"d\"\n[train]\nsteps = 1\nseed = 1";
    let keys = keys(&Config::from_toml(text, "minimal", &[]).unwrap());
    let documented = documented("configuration.md", 2);
    assert_eq!(documented.keys().collect::<Vec<_>>(), keys.keys().collect::<Vec<_>>());
    for (key, value) in keys {
        let default = documented[&key].as_str();
        match default {
            "required" => assert!(text.contains(key.split('.').next_back().unwrap()), "{key}"),
            "none" if key != "optimizer.decay" => assert_eq!(value, Value::Null, "{key}"),
            _ => assert_eq!(value, toml_value(default), "{key}"),
        }
    }
}

fn toml_value(text: &str) -> Value {
    let table: toml::Table = toml::from_str(&format!("value = {text}")).unwrap();
    serde_json::to_value(&table["value"]).unwrap()
}

/// The command of a config that is not for `amortize train`.
fn command(path: &Path) -> Option<Command> {
    let name = path.file_name().unwrap().to_str().unwrap();
    [Command::Pretrain, Command::Sft].into_iter().find(|command| name.starts_with(command.name()))
}

#[test]
fn every_shipped_config_is_valid() {
    let files = fs::read_dir(root().join("configs")).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = files.filter(|path| path.extension().is_some_and(|extension| extension == "toml")).collect();
    assert!(files.len() >= 2);
    for path in files {
        if let Some(command) = command(&path) {
            let config = LikelihoodConfig::load(command, &path, &[]).unwrap_or_else(|error| panic!("{error}"));
            let text = config.to_toml().unwrap();
            assert_eq!(LikelihoodConfig::from_toml(command, &text, "config.toml", &[]).unwrap(), config);
            continue;
        }
        let config = Config::load(&path, &paths()).unwrap_or_else(|error| panic!("{error}"));
        let resolved = Config::from_toml(&config.to_toml().unwrap(), "config.toml", &[]).unwrap();
        assert_eq!(resolved, config);
    }
}

#[test]
fn the_papers_config_speaks_of_every_key() {
    let path = root().join("configs/continuation.toml");
    let text = fs::read_to_string(&path).unwrap();
    for key in keys(&Config::load(&path, &paths()).unwrap()).into_keys() {
        let name = key.split('.').next_back().unwrap();
        let said = text.lines().any(|line| line.trim_start_matches("# ").starts_with(&format!("{name} = ")));
        assert!(said, "{key}");
    }
}

/// What the comments of the paper's config offer instead, works.
#[test]
fn the_alternatives_in_comments_are_valid() {
    let path = root().join("configs/continuation.toml");
    let text = fs::read_to_string(&path).unwrap().replace("# forbid", "forbid").replace("# clip_norm", "clip_norm");
    let config = Config::from_toml(&text, "continuation.toml", &paths()).unwrap_or_else(|error| panic!("{error}"));
    let forbid = regex::Regex::new(&config.policy.forbid.unwrap()).unwrap();
    for token in
        ["\n", "\n\n", "\t", "\"\"\"", "\"?", "?\"", "http", "$$$$", "^", "|||", "...", "-----", "A", "Mr", "Prof"]
    {
        assert!(forbid.is_match(token), "{token:?}");
    }
    for token in [".", ",", " the", " A", "Mrst", ";", "'s", " -", "2"] {
        assert!(!forbid.is_match(token), "{token:?}");
    }
}

//! A directory with prompts and a config to train in, and ways to call the binary.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Prompts of [`Place::new`]; the config holds out the last two.
pub const PROMPTS: [&str; 10] = [
    "The cat sat on the",
    "Once upon a time",
    "She walked",
    "A little dog",
    "The sun",
    "One day",
    "He looked",
    "It was",
    "They had a",
    "We saw the",
];

/// The last step of the config of [`Place::new`].
pub const STEPS: u64 = 60;

/// Everything that a resumed run must take up again: dropout, micro-batches, all sources of trajectories, learned
/// log Z, schedules, evaluations and checkpoints at steps of their own.
const CONFIG: &str = r#"
task = "continuation"

[model]
path = "MODEL"

[data]
path = "PROMPTS"
validation = 2

[adapter]
rank = 4
dropout = 0.2

[policy]
max_length = 8

[reward]
temperature_horizon = 30

[objective]
root_flow = "learned"

[explore]
on_policy = 0.4
tempered = 0.3
replay = 0.3

[buffer]
sampling = "reward"

[optimizer]
learning_rate = 1e-2
warmup_steps = 2
decay = "linear"
clip_norm = 50.0

[train]
steps = 60
seed = 7
queries_per_step = 4
samples_per_query = 6
micro_batch = 5
checkpoint_every = 20
samples_every = 3
threads = 2

[evaluate]
every = 15
samples_per_query = 4
"#;

/// A temporary directory with a config and prompts.
pub struct Place {
    dir: TempDir,
}

impl Place {
    pub fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        let prompts = place.write("prompts.txt", PROMPTS.join("\n"));
        place.write("config.toml", CONFIG.replace("MODEL", &fixture("llama3-rope")).replace("PROMPTS", &prompts));
        place
    }

    pub fn path(&self, name: &str) -> String {
        text(&self.dir.path().join(name))
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// The arguments that train by the config, `sets` and all, into the directory `out`.
    pub fn training(&self, out: &str, sets: &[&str]) -> Vec<String> {
        let mut args = vec!["train".into(), self.path("config.toml"), "--out".into(), self.path(out)];
        args.extend(sets.iter().flat_map(|set| ["--set".into(), set.to_string()]));
        args
    }

    /// A whole run. Returns its directory.
    pub fn train(&self, out: &str, sets: &[&str]) -> String {
        succeed(&strs(&self.training(out, sets)));
        self.path(out)
    }

    /// A copy of a fixture's model, to be damaged.
    pub fn copy_model(&self, name: &str, copy: &str) -> String {
        let copy = self.path(copy);
        fs::create_dir(&copy).unwrap();
        for file in ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"] {
            fs::write(format!("{copy}/{file}"), fs::read(format!("{}/{file}", fixture(name))).unwrap()).unwrap();
        }
        copy
    }
}

/// The directory of a tiny random model.
pub fn fixture(name: &str) -> String {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lm/tests/fixtures").canonicalize().unwrap();
    text(&fixtures.join(name))
}

pub fn strs(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().into()
}

/// What a call of the binary left.
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_amortize"));
    command.args(args).stdin(Stdio::null());
    command
}

pub fn call(args: &[&str]) -> Finished {
    command(args).output().unwrap().into()
}

/// The standard output of a call that must succeed.
pub fn succeed(args: &[&str]) -> String {
    let finished = call(args);
    assert_eq!(finished.code, Some(0), "{args:?}: {}", finished.stderr);
    finished.stdout
}

/// The message of a call that must be refused: one message, and nothing on standard output.
pub fn refuse(args: &[&str]) -> String {
    let Finished { code, stdout, stderr } = call(args);
    assert_eq!(stdout, "", "{args:?}");
    assert!(stderr.starts_with("error: "), "{args:?}: {stderr}");
    assert_eq!(stderr.matches("error:").count(), 1, "{args:?}: {stderr}");
    match code {
        Some(1) => assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}"),
        // The command line's own errors show the usage too.
        code => assert_eq!(code, Some(2), "{args:?}: {stderr}"),
    }
    stderr
}

/// That a call is refused with a message that has all the `parts` in it.
pub fn refuse_saying(args: &[&str], parts: &[&str]) {
    let message = refuse(args);
    for part in parts {
        assert!(message.contains(part), "{args:?}: {message}\nsays nothing of {part:?}");
    }
}

/// The same, with every file in `dir` as it was.
pub fn refuse_and_keep(dir: &str, args: &[&str], parts: &[&str]) {
    let before = files(dir);
    refuse_saying(args, parts);
    assert_same(&before, &files(dir), &format!("{dir} after {args:?}"));
}

pub fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

pub fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

pub fn read_json(path: impl AsRef<Path>) -> Value {
    json(&fs::read_to_string(path).unwrap())
}

pub fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

pub fn floats(array: &Value) -> Vec<f64> {
    array.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

#[track_caller]
pub fn assert_close(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
}

pub type Files = BTreeMap<PathBuf, Vec<u8>>;

/// All files below a directory but the lock.
pub fn files(dir: impl AsRef<Path>) -> Files {
    let mut found = Files::new();
    let mut dirs = vec![dir.as_ref().to_path_buf()];
    while let Some(next) = dirs.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.file_name() != Some(".lock".as_ref()) {
                let name = path.strip_prefix(&dir).unwrap().to_path_buf();
                found.insert(name, fs::read(path).unwrap());
            }
        }
    }
    found
}

#[track_caller]
pub fn assert_same(expected: &Files, found: &Files, what: &str) {
    assert_eq!(expected.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>(), "{what}");
    for (name, content) in expected {
        assert!(content == &found[name], "{what}: {} differs", name.display());
    }
}

/// What has clock readings in it.
const TIMED: [&str; 2] = ["timing.jsonl", "report.html"];

/// That two finished runs have the same files, byte for byte, but for their clock readings.
#[track_caller]
pub fn assert_same_run(expected: &str, found: &str) {
    let steps = |run: &str| -> Vec<u64> {
        let timing = json_lines(&fs::read_to_string(format!("{run}/timing.jsonl")).unwrap());
        timing.iter().map(|record| record["step"].as_u64().unwrap()).collect()
    };
    assert_eq!(steps(expected), steps(found), "steps of timing.jsonl");
    let timeless = |run: &str| {
        let mut files = files(run);
        TIMED.iter().for_each(|name| drop(files.remove(Path::new(name))));
        files
    };
    assert_same(&timeless(expected), &timeless(found), &format!("{expected} and {found}"));
}

/// The last step whose record is whole in `metrics.jsonl`.
pub fn logged_step(run: &str) -> Option<u64> {
    let metrics = fs::read_to_string(format!("{run}/metrics.jsonl")).ok()?;
    let whole = &metrics[..metrics.rfind('\n')?];
    json(whole.lines().last()?)["step"].as_u64()
}

/// The step of the checkpoint, unless it is just being replaced.
pub fn saved_step(run: &str) -> Option<u64> {
    let state = fs::read(format!("{run}/checkpoint/state.json")).ok()?;
    serde_json::from_slice::<Value>(&state).ok()?["step"].as_u64()
}

/// A training at work; it ends with the test.
pub struct Training {
    child: Option<Child>,
}

impl Training {
    pub fn start(args: &[&str]) -> Self {
        let child = command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Self { child: Some(child) }
    }

    fn child(&mut self) -> &mut Child {
        self.child.as_mut().expect("it was not waited for")
    }

    pub fn id(&self) -> u32 {
        self.child.as_ref().expect("it was not waited for").id()
    }

    /// Waits for the training to reach a state in which it can still be interrupted.
    #[track_caller]
    pub fn wait_until(&mut self, reached: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !reached() {
            assert!(Instant::now() < deadline, "the training does not get on");
            assert_eq!(self.child().try_wait().unwrap(), None, "the training ended too early");
            sleep(Duration::from_millis(1));
        }
    }

    /// SIGKILL: no chance to save anything.
    pub fn kill(mut self) {
        self.child().kill().unwrap();
        self.finish();
    }

    pub fn finish(mut self) -> Finished {
        self.child.take().expect("it was not waited for").wait_with_output().unwrap().into()
    }
}

impl Drop for Training {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

//! `amortize corpus`: the corpus as files, and the judge.

mod files;
mod judge;
mod overlap;
mod tasks;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use amortize_runlog::replace_dir_atomic;
use amortize_world::documents::{Kind, document};
use amortize_world::draw::Draw;
use amortize_world::{Split, VERSION};
use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::args::{CorpusArgs, CorpusCommand};
use files::{FileInfo, LineWriter};
use overlap::Overlap;

/// The file that marks a directory as a corpus.
const MANIFEST: &str = "manifest.json";

pub fn run(args: &CorpusArgs) -> Result<()> {
    match (&args.command, &args.out) {
        (Some(CorpusCommand::Judge(judge_args)), _) => judge::run(judge_args),
        (None, Some(out)) => write(out, args),
        (None, None) => bail!("name a directory with --out"),
    }
}

/// What `manifest.json` says.
#[derive(Debug, Serialize)]
struct Manifest {
    format: u32,
    world: u32,
    seed: u64,
    /// How many stories the world can tell, and how many of them it tells to nobody but tests.
    distinct_stories: u128,
    distinct_beginnings: u128,
    /// Documents of each kind in the mixed files.
    documents: BTreeMap<String, BTreeMap<String, usize>>,
    held_out: Vec<tasks::HeldOut>,
    /// For each task: the share of its test's distinct n-grams of words that train.jsonl has too.
    overlap: BTreeMap<String, BTreeMap<usize, f64>>,
    files: BTreeMap<String, FileInfo>,
}

fn write(out: &Path, args: &CorpusArgs) -> Result<()> {
    refuse_other_content(out)?;
    if let Some(parent) = out.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    }
    replace_dir_atomic(out, |dir| fill(dir, args).map_err(|error| Failed(format!("{error:#}"))))?;
    writeln!(std::io::stdout(), "{}", out.join(MANIFEST).display())?;
    Ok(())
}

/// An error within a replacement, which must be able to hold those of the run log as well.
#[derive(Debug)]
struct Failed(String);

impl std::error::Error for Failed {}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<amortize_runlog::Error> for Failed {
    fn from(error: amortize_runlog::Error) -> Self {
        Self(error.to_string())
    }
}

fn refuse_other_content(out: &Path) -> Result<()> {
    let Ok(mut entries) = fs::read_dir(out) else {
        match out.exists() {
            true => bail!("{} is not a directory; choose another --out", out.display()),
            false => return Ok(()),
        }
    };
    match entries.next() {
        Some(_) if !out.join(MANIFEST).exists() => {
            bail!("{} is not empty and is no corpus (there is no {MANIFEST}); choose another --out", out.display())
        }
        _ => Ok(()),
    }
}

fn fill(dir: &Path, args: &CorpusArgs) -> Result<()> {
    let mut files = BTreeMap::new();
    let tasks = tasks::write(dir, args.seed, args.stories, &mut files)?;
    let mut overlap = Overlap::new(&tasks.tests);
    let mut documents = BTreeMap::new();
    let validation = args.documents.div_ceil(100);
    let splits = [("train", Split::Train, args.documents), ("validation", Split::Validation, validation)];
    for (name, split, count) in splits {
        let see = |text: &str| {
            if split == Split::Train {
                overlap.see(text)
            }
        };
        documents.insert(name.to_string(), write_documents(dir, args.seed, name, split, count, &mut files, see)?);
    }
    let manifest = Manifest {
        format: 1,
        world: VERSION,
        seed: args.seed,
        distinct_stories: amortize_world::count::stories(),
        distinct_beginnings: amortize_world::count::beginnings(),
        documents,
        held_out: tasks.held_out,
        overlap: overlap.shares(),
        files,
    };
    let path = dir.join(MANIFEST);
    fs::write(&path, serde_json::to_string_pretty(&manifest)? + "\n")
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Writes a mixed file, shows each text to `see`, and returns the number of documents of each kind.
fn write_documents(
    dir: &Path,
    seed: u64,
    name: &str,
    split: Split,
    count: usize,
    files: &mut BTreeMap<String, FileInfo>,
    mut see: impl FnMut(&str),
) -> Result<BTreeMap<String, usize>> {
    let mut counts: BTreeMap<_, _> = Kind::SHARES.map(|(kind, _)| (kind.to_string(), 0)).into();
    let mut writer = LineWriter::create(dir, &format!("{name}.jsonl"))?;
    let mut draw = Draw::new(seed, name);
    for _ in 0..count {
        let (kind, text) = document(split, &mut draw);
        *counts.entry(kind.to_string()).or_default() += 1;
        see(&text);
        writer.json(&Document { text: &text })?;
    }
    writer.finish(files)?;
    Ok(counts)
}

#[derive(Serialize)]
struct Document<'a> {
    text: &'a str,
}

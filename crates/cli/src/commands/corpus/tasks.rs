//! The files that tasks train and test on.

use std::collections::BTreeMap;
use std::path::Path;

use amortize_world::arithmetic::Question;
use amortize_world::draw::Draw;
use amortize_world::texts::{Review, continuation_prompt};
use amortize_world::world::themes;
use amortize_world::{Split, story};
use anyhow::{Result, bail};
use serde::Serialize;

use super::files::{FileInfo, LineWriter};
use super::overlap::Distinct;

type Files = BTreeMap<String, FileInfo>;

/// A combination that no text for training has.
#[derive(Debug, Serialize)]
pub struct HeldOut {
    theme: &'static str,
    turning: &'static str,
    ending: &'static str,
    /// Stories of it in stories/test.jsonl.
    test: usize,
}

/// How often a file may draw what it has already before it is given up.
const PATIENCE: usize = 1000;

/// Writes all task files; `stories` is the size of stories/train.jsonl. Returns the combinations that are held out
/// and the texts of each task's test.
pub fn write(
    dir: &Path,
    seed: u64,
    stories: usize,
    files: &mut Files,
) -> Result<(Vec<HeldOut>, BTreeMap<String, Vec<String>>)> {
    let mut tests = BTreeMap::new();
    let (held_out, texts) = write_stories(dir, seed, stories, files)?;
    tests.insert("stories".to_string(), texts);
    let part = |divisor: usize| stories.div_ceil(divisor);
    for (name, split, count) in splits([part(20), part(40), part(20)]) {
        let draw = |draw: &mut Draw| Review::of(split, draw);
        let texts =
            fill(dir, &format!("reviews/{name}.jsonl"), seed, count, draw, |review| review.text.clone(), files)?;
        tests.insert("reviews".to_string(), texts);
    }
    for (name, split, count) in splits([part(4), part(100), part(20)]) {
        let draw = |draw: &mut Draw| continuation_prompt(split, draw);
        let texts = fill_lines(dir, &format!("continuation/{name}.txt"), seed, count, draw, files)?;
        tests.insert("continuation".to_string(), texts);
    }
    let arithmetic = [
        ("train", Split::Train, part(10), [2, 3, 4].as_slice()),
        ("test_5_operands", Split::Test, part(40), &[5]),
        ("test", Split::Test, part(40), &[3, 4]),
    ];
    for (name, split, count, operands) in arithmetic {
        let draw = |draw: &mut Draw| Question::of(split, *draw.pick(operands), draw);
        let key = |question: &Question| format!("{} {}{}", question.question, question.rationale, question.answer);
        let texts = fill(dir, &format!("arithmetic/{name}.jsonl"), seed, count, draw, key, files)?;
        tests.insert("arithmetic".to_string(), texts);
    }
    Ok((held_out, tests))
}

/// The three files of a task, the test last.
fn splits(counts: [usize; 3]) -> [(&'static str, Split, usize); 3] {
    let [train, validation, test] = counts;
    [("train", Split::Train, train), ("validation", Split::Validation, validation), ("test", Split::Test, test)]
}

/// Half of the test's stories have held-out combinations.
fn write_stories(dir: &Path, seed: u64, stories: usize, files: &mut Files) -> Result<(Vec<HeldOut>, Vec<String>)> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut texts = Vec::new();
    for (name, split, count) in splits([stories, stories.div_ceil(20), stories.div_ceil(10)]) {
        let mut told = 0;
        let draw = |draw: &mut Draw| {
            told += 1;
            let story = story(split, split == Split::Test && told % 2 == 0, draw);
            if story.held_out {
                *counts.entry(story.theme.clone()).or_default() += 1;
            }
            story
        };
        texts = fill(dir, &format!("stories/{name}.jsonl"), seed, count, draw, amortize_world::Story::text, files)?;
    }
    let held_out = themes().iter().map(|world| {
        let (turning, ending) = world.held_out;
        let test = counts.get(world.theme.name).copied().unwrap_or_default();
        let (turning, ending) = (world.theme.turnings[turning].name, world.theme.endings[ending].name);
        HeldOut { theme: world.theme.name, turning, ending, test }
    });
    Ok((held_out.collect(), texts))
}

/// Writes `count` records that differ by their `key`, and returns the keys.
fn fill<T: Serialize>(
    dir: &Path,
    name: &str,
    seed: u64,
    count: usize,
    mut next: impl FnMut(&mut Draw) -> T,
    key: impl Fn(&T) -> String,
    files: &mut Files,
) -> Result<Vec<String>> {
    let mut writer = LineWriter::create(dir, name)?;
    let (mut keys, mut distinct, mut draw) = (Vec::new(), Distinct::default(), Draw::new(seed, name));
    let mut repeated = 0;
    while keys.len() < count {
        let record = next(&mut draw);
        let text = key(&record);
        if distinct.insert(&text) {
            writer.json(&record)?;
            keys.push(text);
            repeated = 0;
        } else {
            repeated += 1;
        }
        if repeated > PATIENCE {
            bail!("the world has only about {} different texts for {name}; choose a smaller --stories", keys.len());
        }
    }
    writer.finish(files)?;
    Ok(keys)
}

/// The same for lines of plain text.
fn fill_lines(
    dir: &Path,
    name: &str,
    seed: u64,
    count: usize,
    next: impl Fn(&mut Draw) -> String,
    files: &mut Files,
) -> Result<Vec<String>> {
    let mut writer = LineWriter::create(dir, name)?;
    let (mut lines, mut distinct, mut draw) = (Vec::new(), Distinct::default(), Draw::new(seed, name));
    while lines.len() < count {
        let line = next(&mut draw);
        if distinct.insert(&line) {
            writer.line(&line)?;
            lines.push(line);
        }
    }
    writer.finish(files)?;
    Ok(lines)
}

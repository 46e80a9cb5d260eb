//! The files that tasks train and test on.

use std::collections::BTreeMap;
use std::path::Path;

use amortize_world::arithmetic::Question;
use amortize_world::draw::Draw;
use amortize_world::texts::{Review, continuation_prompt};
use amortize_world::world::themes;
use amortize_world::{Split, Story, story};
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

/// What is known of the task files once they are written.
pub struct Written {
    /// For the manifest.
    pub held_out: Vec<HeldOut>,
    /// The texts of each task's test.
    pub tests: BTreeMap<String, Vec<String>>,
}

/// Writes all task files; `stories` is the size of stories/train.jsonl.
pub fn write(dir: &Path, seed: u64, stories: usize, files: &mut Files) -> Result<Written> {
    let mut tasks = Tasks { dir, seed, stories, files };
    let (held_out, told) = tasks.stories()?;
    let tests = [
        ("stories", told),
        ("reviews", tasks.reviews()?),
        ("continuation", tasks.continuation()?),
        ("arithmetic", tasks.arithmetic()?),
    ];
    Ok(Written { held_out, tests: tests.map(|(task, texts)| (task.to_string(), texts)).into() })
}

struct Tasks<'a> {
    dir: &'a Path,
    seed: u64,
    stories: usize,
    files: &'a mut Files,
}

impl Tasks<'_> {
    /// Half of the test's stories have held-out combinations.
    fn stories(&mut self) -> Result<(Vec<HeldOut>, Vec<String>)> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        let mut texts = Vec::new();
        for (name, split, count) in self.splits([1, 20, 10]) {
            let mut told = 0;
            let draw = |draw: &mut Draw| {
                told += 1;
                let story = story(split, split == Split::Test && told % 2 == 0, draw);
                if story.held_out {
                    *counts.entry(story.theme.clone()).or_default() += 1;
                }
                story
            };
            texts = self.fill(&format!("stories/{name}.jsonl"), count, draw, Story::text, json)?;
        }
        Ok((held_out(&counts), texts))
    }

    fn reviews(&mut self) -> Result<Vec<String>> {
        let mut texts = Vec::new();
        for (name, split, count) in self.splits([20, 40, 20]) {
            let draw = |draw: &mut Draw| Review::of(split, draw);
            texts = self.fill(&format!("reviews/{name}.jsonl"), count, draw, |review| review.text.clone(), json)?;
        }
        Ok(texts)
    }

    fn continuation(&mut self) -> Result<Vec<String>> {
        let mut texts = Vec::new();
        for (name, split, count) in self.splits([4, 100, 20]) {
            let draw = |draw: &mut Draw| continuation_prompt(split, draw);
            let line = |prompt: &String| Ok(prompt.clone());
            texts = self.fill(&format!("continuation/{name}.txt"), count, draw, String::clone, line)?;
        }
        Ok(texts)
    }

    fn arithmetic(&mut self) -> Result<Vec<String>> {
        let mut texts = Vec::new();
        let files = [
            ("train", Split::Train, 10, [2, 3, 4].as_slice()),
            ("test_5_operands", Split::Test, 40, &[5]),
            ("test", Split::Test, 40, &[3, 4]),
        ];
        for (name, split, part, operands) in files {
            let draw = |draw: &mut Draw| Question::of(split, *draw.pick(operands), draw);
            let key = |question: &Question| format!("{} {}{}", question.question, question.rationale, question.answer);
            let count = self.stories.div_ceil(part);
            texts = self.fill(&format!("arithmetic/{name}.jsonl"), count, draw, key, json)?;
        }
        Ok(texts)
    }

    /// The three files of a task, the test last, with the given parts of the number of stories.
    fn splits(&self, parts: [usize; 3]) -> [(&'static str, Split, usize); 3] {
        let [train, validation, test] = parts.map(|part| self.stories.div_ceil(part));
        [("train", Split::Train, train), ("validation", Split::Validation, validation), ("test", Split::Test, test)]
    }

    /// Writes the lines of `count` records that differ by their `key`, and returns the keys.
    fn fill<T>(
        &mut self,
        name: &str,
        count: usize,
        mut next: impl FnMut(&mut Draw) -> T,
        key: impl Fn(&T) -> String,
        line: impl Fn(&T) -> Result<String>,
    ) -> Result<Vec<String>> {
        let mut writer = LineWriter::create(self.dir, name)?;
        let (mut keys, mut distinct, mut draw) = (Vec::new(), Distinct::default(), Draw::new(self.seed, name));
        let mut repeated = 0;
        while keys.len() < count {
            let record = next(&mut draw);
            let text = key(&record);
            if distinct.insert(&text) {
                writer.line(&line(&record)?)?;
                keys.push(text);
                repeated = 0;
            } else {
                repeated += 1;
            }
            if repeated > PATIENCE {
                bail!("the world has only about {} different texts for {name}; choose a smaller --stories", keys.len());
            }
        }
        writer.finish(self.files)?;
        Ok(keys)
    }
}

fn json<T: Serialize>(record: &T) -> Result<String> {
    Ok(serde_json::to_string(record)?)
}

/// The combinations that are held out, with the number of their test stories by theme.
fn held_out(counts: &BTreeMap<String, usize>) -> Vec<HeldOut> {
    let combinations = themes().iter().map(|world| {
        let (turning, ending) = world.held_out;
        let test = counts.get(world.theme.name).copied().unwrap_or_default();
        let (turning, ending) = (world.theme.turnings[turning].name, world.theme.endings[ending].name);
        HeldOut { theme: world.theme.name, turning, ending, test }
    });
    combinations.collect()
}

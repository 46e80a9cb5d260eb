//! The judge: reads sentences as the world would have written them, and says what fits what.
//!
//! Sentences fit if one theme tells them all, the turning leads to the ending, and no fact that one of them states
//! (name, gender, thing, place, helper, friend, spot, means) contradicts another. A sentence that the world could not
//! have written fits nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::grammar::Facts;
use crate::world::{Compiled, Wordings, themes};

/// What the judge says of a fourth sentence Z, given X (sentences 1 to 3) and Y (sentence 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The world can read Z.
    pub parsed: bool,
    /// Z fits X.
    pub beginning: bool,
    /// Z fits Y.
    pub end: bool,
    /// X, Z and Y are one story.
    pub both: bool,
    /// Y fits X, whatever happens between.
    pub ending: bool,
}

/// One way to read a sentence: the theme, the event in it, the facts.
type Reading = (usize, usize, Facts);

/// Judges `z` between `x` and `y`. Any text will do.
pub fn judge(x: &str, z: &str, y: &str) -> Verdict {
    let beginnings = read_beginning(x);
    let turnings = read_events(z, |world| &world.turnings);
    let endings = read_events(y, |world| &world.endings);
    let fits = |turning: &Reading, ending: &Reading| {
        let possible = turning.0 == ending.0 && themes()[turning.0].fits(turning.1, ending.1);
        possible.then(|| turning.2.merge(&ending.2)).flatten().map(|facts| (turning.0, facts))
    };
    let stories = turnings.iter().flat_map(|turning| endings.iter().filter_map(move |ending| fits(turning, ending)));
    let stories: Vec<_> = stories.collect();
    let follows = |theme: usize, facts: &Facts| {
        beginnings.iter().any(|(other, told)| *other == theme && told.merge(facts).is_some())
    };
    Verdict {
        parsed: !turnings.is_empty(),
        beginning: turnings.iter().any(|(theme, _, facts)| follows(*theme, facts)),
        end: !stories.is_empty(),
        both: stories.iter().any(|(theme, facts)| follows(*theme, facts)),
        ending: endings.iter().any(|(theme, _, facts)| follows(*theme, facts)),
    }
}

/// The events that a fourth sentence can tell of: names of themes and turnings.
pub fn turnings_of(z: &str) -> Vec<(&'static str, &'static str)> {
    let names = read_events(z, |world| &world.turnings);
    let mut names: Vec<_> = names
        .iter()
        .map(|(theme, turning, _)| (themes()[*theme].theme, *turning))
        .map(|(theme, turning)| (theme.name, theme.turnings[turning].name))
        .collect();
    names.dedup();
    names
}

/// All ways to read three sentences as a beginning: the theme and the facts.
pub(crate) fn read_beginning(x: &str) -> Vec<(usize, Facts)> {
    let sentences: Vec<_> = x.split_inclusive('.').map(str::trim).filter(|sentence| !sentence.is_empty()).collect();
    let Ok(sentences) = <[&str; 3]>::try_from(sentences) else { return Vec::new() };
    let mut found = Vec::new();
    for (theme, world) in themes().iter().enumerate() {
        let mut told = vec![Facts::default()];
        for (wordings, sentence) in world.opening.iter().zip(sentences) {
            let read = wordings.read(sentence, world);
            told = told.iter().flat_map(|facts| read.iter().filter_map(|more| facts.merge(more))).collect();
        }
        found.extend(told.into_iter().map(|facts| (theme, facts)));
    }
    found
}

fn read_events(text: &str, events: impl Fn(&Compiled) -> &Vec<Wordings>) -> Vec<Reading> {
    let text = text.trim();
    let mut found = Vec::new();
    for (theme, world) in themes().iter().enumerate() {
        for (event, wordings) in events(world).iter().enumerate() {
            found.extend(wordings.read(text, world).into_iter().map(|facts| (theme, event, facts)));
        }
    }
    found
}

/// Counts of verdicts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// How many were judged.
    pub judged: u64,
    /// How many of them were parsed, and fitted the beginning, the end, and both.
    pub counts: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts one more.
    pub fn add(&mut self, verdict: Verdict) {
        let Verdict { parsed, beginning, end, both, ending } = verdict;
        let said = [("parsed", parsed), ("beginning", beginning), ("end", end), ("both", both), ("ending", ending)];
        self.judged += 1;
        for (name, fits) in said {
            *self.counts.entry(name.into()).or_default() += u64::from(fits);
        }
    }

    /// The shares of all that were judged; none of none.
    pub fn shares(&self) -> BTreeMap<String, f64> {
        let all = self.judged.max(1) as f64;
        self.counts.iter().map(|(name, count)| (name.clone(), *count as f64 / all)).collect()
    }
}

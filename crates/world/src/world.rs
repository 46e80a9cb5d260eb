//! The themes made ready: every wording as patterns, every event known by its place in the tables.

use std::sync::LazyLock;

use crate::draw::text_hash;
use crate::grammar::{Facts, Lexicon, Pattern, Slot};
use crate::tables::words::{GLAD, HELPERS, LOOKS, NAMES, SAD};
use crate::tables::{THEMES, Theme};

/// The version of the world: of its tables, its draws and its judge. The corpus of a seed is the same in all builds of
/// one version.
pub const VERSION: u32 = 1;

/// All wordings of one event: for each sentence of the table, its choices of words.
#[derive(Debug)]
pub struct Wordings(pub Vec<Vec<Pattern>>);

impl Wordings {
    fn new(texts: &[&str]) -> Self {
        Self(texts.iter().map(|text| Pattern::all(text)).collect())
    }

    /// Every pattern.
    pub fn patterns(&self) -> impl Iterator<Item = &Pattern> {
        self.0.iter().flatten()
    }

    /// What `text` says if it tells of this event; one entry for each way to read it.
    pub fn read(&self, text: &str, lexicon: &impl Lexicon) -> Vec<Facts> {
        let mut found = Vec::new();
        self.patterns().for_each(|pattern| pattern.read(text, lexicon, &mut found));
        found
    }
}

/// A theme and its patterns.
#[derive(Debug)]
pub struct Compiled {
    /// The tables.
    pub theme: &'static Theme,
    /// Of sentences 1 to 3.
    pub opening: [Wordings; 3],
    /// Of each turning.
    pub turnings: Vec<Wordings>,
    /// Of each ending.
    pub endings: Vec<Wordings>,
    /// For each turning the endings that it leads to. One that is listed twice is twice as likely.
    pub leads_to: Vec<Vec<usize>>,
    /// The turning and the ending that are held out together.
    pub held_out: (usize, usize),
}

impl Lexicon for Compiled {
    fn words(&self, slot: Slot) -> &'static [&'static str] {
        match slot {
            Slot::Name | Slot::Pal => NAMES,
            Slot::Gender => &[],
            Slot::Helper => HELPERS,
            Slot::Look => LOOKS,
            Slot::Thing => self.theme.things,
            Slot::Place => self.theme.places,
            Slot::Spot => self.theme.spots,
            Slot::Extra => self.theme.extras,
            Slot::Glad => GLAD,
            Slot::Sad => SAD,
        }
    }
}

impl Compiled {
    fn new(theme: &'static Theme) -> Self {
        let ending = |name: &&str| match theme.endings.iter().position(|ending| ending.name == *name) {
            Some(index) => index,
            None => panic!("theme {} has no ending {name}", theme.name),
        };
        let leads_to: Vec<Vec<usize>> =
            theme.turnings.iter().map(|turning| turning.endings.iter().map(ending).collect()).collect();
        Self {
            theme,
            opening: theme.opening.map(Wordings::new),
            turnings: theme.turnings.iter().map(|turning| Wordings::new(turning.texts)).collect(),
            endings: theme.endings.iter().map(|ending| Wordings::new(ending.texts)).collect(),
            held_out: held_out(theme.name, &leads_to),
            leads_to,
        }
    }

    /// Whether `turning` leads to `ending`.
    pub fn fits(&self, turning: usize, ending: usize) -> bool {
        self.leads_to[turning].contains(&ending)
    }
}

/// All themes, in the order of the tables.
pub fn themes() -> &'static [Compiled] {
    static THEMES_READY: LazyLock<Vec<Compiled>> =
        LazyLock::new(|| THEMES.iter().map(|theme| Compiled::new(theme)).collect());
    &THEMES_READY
}

/// The combination that is held out of a theme: both its turning and its ending are met elsewhere.
fn held_out(theme: &str, leads_to: &[Vec<usize>]) -> (usize, usize) {
    let turnings = 0..leads_to.len();
    let sources = |ending| leads_to.iter().filter(|endings| endings.contains(&ending)).count();
    let others = |turning: usize, ending| leads_to[turning].iter().any(|other| *other != ending);
    let all = turnings.flat_map(|turning| leads_to[turning].iter().map(move |ending| (turning, *ending)));
    let eligible = all.filter(|(turning, ending)| others(*turning, *ending) && sources(*ending) > 1);
    let rank = |(turning, ending): &(usize, usize)| text_hash(&format!("{theme} {turning} {ending}"));
    match eligible.min_by_key(rank) {
        Some(pair) => pair,
        None => panic!("theme {theme} has no combination to hold out"),
    }
}

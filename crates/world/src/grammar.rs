//! Sentence patterns that can be read both ways: facts to text, and text to facts.
//!
//! `{thing}` is a slot, `{a thing}` the same with its article, `{he}`, `{His}` and so on are the protagonist's
//! pronouns, and `[one|another]` is a choice of words. A slot takes its words from a [`Lexicon`].

use crate::draw::Draw;
use crate::tables::words::{FEMALE, MALE};

/// What a sentence can say of a story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The protagonist.
    Name,
    /// Another person, by name.
    Pal,
    /// The protagonist's gender, which pronouns tell.
    Gender,
    /// A relation of the protagonist.
    Helper,
    /// How the thing looks.
    Look,
    /// What the story is about.
    Thing,
    /// Where it happens.
    Place,
    /// An exact spot.
    Spot,
    /// What else plays a part.
    Extra,
    /// A good feeling.
    Glad,
    /// A bad feeling.
    Sad,
}

/// How many slots there are.
pub const SLOTS: usize = 11;

const SLOT_NAMES: [(&str, Slot); SLOTS - 1] = [
    ("name", Slot::Name),
    ("pal", Slot::Pal),
    ("helper", Slot::Helper),
    ("look", Slot::Look),
    ("thing", Slot::Thing),
    ("place", Slot::Place),
    ("spot", Slot::Spot),
    ("extra", Slot::Extra),
    ("glad", Slot::Glad),
    ("sad", Slot::Sad),
];

const PRONOUNS: [[&str; 2]; 6] =
    [["he", "she"], ["He", "She"], ["his", "her"], ["His", "Her"], ["him", "her"], ["himself", "herself"]];

/// The words that a slot can take.
pub trait Lexicon {
    /// The words of `slot`; none for [`Slot::Gender`].
    fn words(&self, slot: Slot) -> &'static [&'static str];
}

/// What is known of a story: a word for some of the slots. For the gender it is `he` or `she`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts([Option<&'static str>; SLOTS]);

impl Facts {
    /// The word of `slot`, if it is known.
    pub fn get(&self, slot: Slot) -> Option<&'static str> {
        self.0[slot as usize]
    }

    /// These facts and one more; none if it contradicts them. A name tells the gender, and no one is their own pal.
    pub fn with(mut self, slot: Slot, word: &'static str) -> Option<Self> {
        match self.get(slot) {
            Some(known) => return (known == word).then_some(self),
            None => self.0[slot as usize] = Some(word),
        }
        if self.get(Slot::Name).is_some() && self.get(Slot::Name) == self.get(Slot::Pal) {
            return None;
        }
        match slot {
            Slot::Name => self.with(Slot::Gender, gender(word)),
            _ => Some(self),
        }
    }

    /// What both say together; none if they contradict each other.
    pub fn merge(self, other: &Self) -> Option<Self> {
        ALL.into_iter().try_fold(self, |facts, slot| match other.get(slot) {
            Some(word) => facts.with(slot, word),
            None => Some(facts),
        })
    }
}

impl Facts {
    /// These facts, and `others` where these say nothing; none if a person would be their own pal.
    pub fn merge_over(&self, others: &Self) -> Option<Self> {
        let unknown = ALL.into_iter().filter(|slot| self.get(*slot).is_none());
        unknown.into_iter().try_fold(*self, |facts, slot| match others.get(slot) {
            Some(word) => facts.with(slot, word),
            None => Some(facts),
        })
    }
}

const ALL: [Slot; SLOTS] = [
    Slot::Name,
    Slot::Pal,
    Slot::Gender,
    Slot::Helper,
    Slot::Look,
    Slot::Thing,
    Slot::Place,
    Slot::Spot,
    Slot::Extra,
    Slot::Glad,
    Slot::Sad,
];

/// A word for every slot that `lexicon` has words for.
pub fn draw_facts(lexicon: &impl Lexicon, draw: &mut Draw) -> Facts {
    let names = if draw.percent(50) { FEMALE } else { MALE };
    let name = draw.pick::<&'static str>(names);
    let mut facts = Facts::default().with(Slot::Name, name).unwrap_or_default();
    for slot in ALL {
        let words = lexicon.words(slot);
        while facts.get(slot).is_none() && !words.is_empty() {
            facts = facts.with(slot, draw.pick::<&'static str>(words)).unwrap_or(facts);
        }
    }
    facts
}

fn gender(name: &str) -> &'static str {
    if MALE.contains(&name) { "he" } else { "she" }
}

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Word { slot: Slot, article: bool },
    Pronoun([&'static str; 2]),
}

/// A sentence with slots, and no choices of words left.
#[derive(Clone, Debug)]
pub struct Pattern(Vec<Piece>);

impl Pattern {
    /// All patterns that `source` stands for, one for each choice of words.
    ///
    /// # Panics
    /// If `source`, which is a table of this crate, is malformed.
    pub fn all(source: &str) -> Vec<Self> {
        choices(source).iter().map(|text| Self::new(text)).collect()
    }

    fn new(source: &str) -> Self {
        let mut pieces = Vec::new();
        for (index, part) in source.split(['{', '}']).enumerate() {
            match index % 2 {
                0 if part.is_empty() => {}
                0 => pieces.push(Piece::Text(part.into())),
                _ => pieces.push(slot_piece(part)),
            }
        }
        Self(pieces)
    }

    /// The slots that the sentence tells of.
    pub fn slots(&self) -> impl Iterator<Item = Slot> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Word { slot, .. } => Some(*slot),
            Piece::Pronoun(_) => Some(Slot::Gender),
        })
    }

    /// The sentence. A slot that is not in `facts` is left out.
    pub fn render(&self, facts: &Facts) -> String {
        self.render_named(facts, &mut true)
    }

    /// The sentence; if the protagonist is not yet `named`, by name where the first pronoun would stand.
    pub fn render_named(&self, facts: &Facts, named: &mut bool) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(part) => text.push_str(part),
                Piece::Word { slot, article } => {
                    *named |= *slot == Slot::Name;
                    let word = facts.get(*slot).unwrap_or_default();
                    text.push_str(if *article { article_of(word) } else { "" });
                    text.push_str(word);
                }
                Piece::Pronoun(forms) if *named => {
                    text.push_str(forms[usize::from(facts.get(Slot::Gender) == Some("she"))]);
                }
                Piece::Pronoun(forms) => {
                    *named = true;
                    text.push_str(facts.get(Slot::Name).unwrap_or_default());
                    text.push_str(if forms[0].ends_with("is") { "'s" } else { "" });
                }
            }
        }
        text
    }

    /// Adds to `found` what `text` says, read as this pattern: one entry for each way to read it.
    pub fn read(&self, text: &str, lexicon: &impl Lexicon, found: &mut Vec<Facts>) {
        read(&self.0, text, lexicon, Facts::default(), found);
    }
}

fn read(pieces: &[Piece], text: &str, lexicon: &impl Lexicon, facts: Facts, found: &mut Vec<Facts>) {
    let Some((piece, rest)) = pieces.split_first() else {
        if text.is_empty() {
            found.push(facts);
        }
        return;
    };
    let mut go_on = |facts: Option<Facts>, after: Option<&str>| {
        if let (Some(facts), Some(after)) = (facts, after) {
            read(rest, after, lexicon, facts, found);
        }
    };
    match piece {
        Piece::Text(part) => go_on(Some(facts), text.strip_prefix(part.as_str())),
        Piece::Word { slot, article } => {
            for word in lexicon.words(*slot) {
                let bare = if *article { text.strip_prefix(article_of(word)) } else { Some(text) };
                let after = bare.and_then(|bare| bare.strip_prefix(word));
                if after.is_some() {
                    go_on(facts.with(*slot, word), after);
                }
            }
        }
        Piece::Pronoun(forms) => {
            for (form, gender) in forms.iter().zip(["he", "she"]) {
                go_on(facts.with(Slot::Gender, gender), text.strip_prefix(form));
            }
        }
    }
}

fn slot_piece(name: &str) -> Piece {
    if let Some(forms) = PRONOUNS.iter().find(|forms| forms[0] == name) {
        return Piece::Pronoun(*forms);
    }
    let (article, bare) = match name.strip_prefix("a ") {
        Some(bare) => (true, bare),
        None => (false, name),
    };
    match SLOT_NAMES.iter().find(|(known, _)| *known == bare) {
        Some((_, slot)) => Piece::Word { slot: *slot, article },
        None => panic!("a table has the unknown slot {{{name}}}"),
    }
}

/// The article of a word, with its space.
pub fn article_of(word: &str) -> &'static str {
    if word.starts_with(['a', 'e', 'i', 'o', 'u']) { "an " } else { "a " }
}

/// All texts that `source`, with its `[one|another]`, stands for. Choices can't be nested.
fn choices(source: &str) -> Vec<String> {
    let Some((before, rest)) = source.split_once('[') else { return vec![source.into()] };
    let Some((options, after)) = rest.split_once(']') else { panic!("a table has an open choice: {source}") };
    let tails = choices(after);
    let both = |option| tails.iter().map(move |tail| format!("{before}{option}{tail}"));
    options.split('|').flat_map(both).collect()
}

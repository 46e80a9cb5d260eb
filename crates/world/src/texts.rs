//! Reviews, arithmetic, numbers and scenes: all texts but stories.

use serde::{Deserialize, Serialize};

use crate::draw::Draw;
use crate::grammar::{Facts, Lexicon, Pattern, Slot, draw_facts};
use crate::story::Split;
use crate::tables::words::{GLAD, HELPERS, LOOKS, NAMES, SAD};
use crate::tables::{numbers, reviews, scenes};

/// The words that stories share, with things, places and extras of one's own.
struct Words {
    things: &'static [&'static str],
    places: &'static [&'static str],
    extras: &'static [&'static str],
}

impl Lexicon for Words {
    fn words(&self, slot: Slot) -> &'static [&'static str] {
        match slot {
            Slot::Name | Slot::Pal => NAMES,
            Slot::Helper => HELPERS,
            Slot::Look => LOOKS,
            Slot::Thing => self.things,
            Slot::Place => self.places,
            Slot::Extra => self.extras,
            Slot::Glad => GLAD,
            Slot::Sad => SAD,
            Slot::Gender | Slot::Spot => &[],
        }
    }
}

/// One of `texts` with one choice of its words.
fn pattern(texts: &[&'static str], draw: &mut Draw) -> Pattern {
    let patterns = Pattern::all(draw.pick::<&'static str>(texts));
    draw.pick(&patterns).clone()
}

/// The same as a text of its own, told with `facts`.
fn tell(texts: &[&'static str], facts: &Facts, draw: &mut Draw) -> String {
    pattern(texts, draw).render_named(facts, &mut false)
}

/// A review in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// The sentence.
    pub text: String,
    /// `objective` or `subjective`.
    pub label: String,
    /// Why, to be put after "This review is".
    pub reason: String,
}

impl Review {
    /// A review of this split.
    pub fn of(split: Split, draw: &mut Draw) -> Self {
        loop {
            let review = Self::draw(draw);
            if Split::of(&review.text) == split {
                return review;
            }
        }
    }

    fn draw(draw: &mut Draw) -> Self {
        let words = Words { things: reviews::WORKS, places: reviews::PLACES, extras: reviews::TRADES };
        let kind = draw.pick(&reviews::KINDS);
        let facts = draw_facts(&words, draw);
        let reason = draw.pick(kind.reasons).to_string();
        Self { text: tell(kind.texts, &facts, draw), label: kind.label.into(), reason }
    }

    /// The paper's prompt with reason and label.
    pub fn with_reason(&self) -> String {
        let Self { text, label, reason } = self;
        format!("{} {reason}, so it is {label}.", review_prompt(text))
    }

    /// The paper's prompt with the label alone.
    pub fn without_reason(&self) -> String {
        format!("{} {}.", review_prompt(&self.text), self.label)
    }
}

fn review_prompt(text: &str) -> String {
    format!("Classify this movie review as objective or subjective: \"{text}\" This review is")
}

/// A paragraph of 2 to 6 sentences about one scene.
pub fn paragraph(draw: &mut Draw) -> Vec<String> {
    let scene = draw.pick(&scenes::SCENES);
    let facts = draw_facts(&Words { things: scene.things, places: scene.places, extras: scene.extras }, draw);
    let length = 2 + draw.below(5);
    let mut follows = scene.follows.to_vec();
    draw.shuffle(&mut follows);
    let mut named = false;
    let mut sentences = vec![pattern(scene.openings, draw).render_named(&facts, &mut named)];
    for text in &follows[..length - 1] {
        sentences.push(pattern(&[text], draw).render_named(&facts, &mut named));
    }
    sentences
}

/// A paragraph of this split; its first two sentences decide.
pub fn paragraph_of(split: Split, draw: &mut Draw) -> Vec<String> {
    loop {
        let sentences = paragraph(draw);
        if Split::of(&sentences[..2].join(" ")) == split {
            return sentences;
        }
    }
}

/// A prompt for continuation: the first 2 or 3 sentences of a paragraph of this split.
pub fn continuation_prompt(split: Split, draw: &mut Draw) -> String {
    loop {
        let sentences = paragraph_of(split, draw);
        let length = 2 + draw.below(2);
        if sentences.len() > length {
            return sentences[..length].join(" ");
        }
    }
}

/// A sentence with numbers.
pub fn number_text(draw: &mut Draw) -> String {
    let facts = draw_facts(&Words { things: numbers::THINGS, places: &[], extras: &[] }, draw);
    let text = tell(numbers::TEXTS, &facts, draw);
    let mut parts = text.split('#');
    let first = parts.next().unwrap_or_default().to_string();
    parts.fold(first, |text, part| format!("{text}{}{part}", 2 + skewed(998, draw)))
}

/// The sentence of the random-number task with a draw that is far from uniform: 82 % Benford-like between 0 and 100,
/// 8 % favourites (7, 17, 42 and others), 5 % above 100, 5 % no number.
pub fn uniform_text(draw: &mut Draw) -> String {
    let drawn = match draw.weighted(&[82, 8, 5, 5]) {
        0 => skewed(101, draw).to_string(),
        1 => draw.pick(&["7", "17", "42", "50", "77", "100"]).to_string(),
        2 => (101 + skewed(900, draw)).to_string(),
        _ => draw.pick(numbers::INVALID).to_string(),
    };
    format!("{} {drawn}.", numbers::UNIFORM)
}

/// From `0..n`, about log-uniform: small numbers and small leading digits are likelier.
fn skewed(n: u32, draw: &mut Draw) -> u32 {
    loop {
        let octaves = draw.unit() * f64::from(u32::BITS - n.leading_zeros());
        let low = 1_u32 << octaves as u32;
        let value = f64::from(low) * (1.0 + octaves.fract());
        if value as u32 <= n {
            return value as u32 - 1;
        }
    }
}

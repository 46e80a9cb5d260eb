//! Five-sentence stories: what happens, and how it is told.

use serde::{Deserialize, Serialize};

use crate::draw::{Draw, text_hash};
use crate::grammar::{Facts, Pattern, draw_facts};
use crate::judge::read_beginning;
use crate::world::{Compiled, Wordings, themes};

/// The part of the corpus that a text belongs to. It follows from the text alone, so that no text is in two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// 94 texts in a hundred.
    Train,
    /// 3 in a hundred.
    Validation,
    /// 3 in a hundred.
    Test,
}

impl Split {
    /// Where `text` belongs.
    pub fn of(text: &str) -> Self {
        match text_hash(text) % 100 {
            0..94 => Self::Train,
            94..97 => Self::Validation,
            _ => Self::Test,
        }
    }
}

/// A story in the parts that infilling asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Story {
    /// Sentences 1 to 3.
    pub x: String,
    /// The ending.
    pub y: String,
    /// The turning point.
    pub z: String,
    /// The theme's name.
    pub theme: String,
    /// The turning's name.
    pub turning: String,
    /// The ending's name.
    pub ending: String,
    /// Whether turning and ending are a combination that no text for training has.
    pub held_out: bool,
}

impl Story {
    /// The whole story.
    pub fn text(&self) -> String {
        format!("{} {} {}", self.x, self.z, self.y)
    }
}

/// The beginning of a story, and all facts that it may come to tell.
#[derive(Clone, Debug)]
pub struct Beginning {
    world: &'static Compiled,
    facts: Facts,
    /// Sentences 1 to 3.
    pub x: String,
}

impl Beginning {
    /// A beginning of any theme.
    pub fn draw(draw: &mut Draw) -> Self {
        let world = draw.pick(themes());
        let facts = draw_facts(world, draw);
        let sentences = world.opening.each_ref().map(|wordings| word(wordings, draw).render(&facts));
        Self { world, facts, x: sentences.join(" ") }
    }

    /// A beginning of this split.
    pub fn of(split: Split, draw: &mut Draw) -> Self {
        loop {
            let beginning = Self::draw(draw);
            if Split::of(&beginning.x) == split {
                return beginning;
            }
        }
    }

    /// The same beginning, with other people, spots and means still to come in.
    pub fn redraw(&self, draw: &mut Draw) -> Self {
        let same = |(theme, _): &(usize, Facts)| themes()[*theme].theme.name == self.world.theme.name;
        let told = read_beginning(&self.x).into_iter().find(same).map(|(_, facts)| facts).unwrap_or_default();
        loop {
            if let Some(facts) = told.merge_over(&draw_facts(self.world, draw)) {
                return Self { facts, ..self.clone() };
            }
        }
    }

    /// What becomes of it: a turning, each as likely, and an ending that it leads to, by their indices.
    pub fn plot(&self, draw: &mut Draw) -> (usize, usize) {
        let turning = draw.below(self.world.leads_to.len());
        (turning, *draw.pick(&self.world.leads_to[turning]))
    }

    /// A plot that is the held-out one, or that isn't.
    pub fn plot_held_out(&self, held_out: bool, draw: &mut Draw) -> (usize, usize) {
        if held_out {
            return self.world.held_out;
        }
        loop {
            let plot = self.plot(draw);
            if plot != self.world.held_out {
                return plot;
            }
        }
    }

    /// Whether this turning and this ending are held out together.
    pub fn is_held_out(&self, plot: (usize, usize)) -> bool {
        plot == self.world.held_out
    }

    /// The story of this plot.
    pub fn tell(&self, (turning, ending): (usize, usize), draw: &mut Draw) -> Story {
        let theme = self.world.theme;
        Story {
            x: self.x.clone(),
            z: word(&self.world.turnings[turning], draw).render(&self.facts),
            y: word(&self.world.endings[ending], draw).render(&self.facts),
            theme: theme.name.into(),
            turning: theme.turnings[turning].name.into(),
            ending: theme.endings[ending].name.into(),
            held_out: self.is_held_out((turning, ending)),
        }
    }
}

/// A story for this split. Those for training and validation have no held-out combination.
pub fn story(split: Split, held_out: bool, draw: &mut Draw) -> Story {
    let beginning = Beginning::of(split, draw);
    let plot = beginning.plot_held_out(held_out, draw);
    beginning.tell(plot, draw)
}

fn word<'a>(wordings: &'a Wordings, draw: &mut Draw) -> &'a Pattern {
    let choices = draw.pick(&wordings.0);
    draw.pick(choices)
}

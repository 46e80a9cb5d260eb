//! The mixed corpus: which kinds of document there are, and how often.

use std::fmt;

use crate::arithmetic;
use crate::draw::Draw;
use crate::story::{Beginning, Split, story};
use crate::texts::{Review, number_text, paragraph_of, uniform_text};

/// A kind of document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A whole story.
    Story,
    /// A story in the infilling prompt's format.
    Infilling,
    /// A paragraph about a scene.
    Paragraph,
    /// A review with its reason and label, or its label alone.
    Review,
    /// A question with its rationale.
    Arithmetic,
    /// Numbers in running text.
    Numbers,
    /// The sentence of the random-number task.
    Uniform,
}

impl Kind {
    /// All kinds and their shares of the documents, in percent.
    pub const SHARES: [(Self, usize); 7] = [
        (Self::Story, 46),
        (Self::Infilling, 8),
        (Self::Paragraph, 21),
        (Self::Review, 8),
        (Self::Arithmetic, 9),
        (Self::Numbers, 5),
        (Self::Uniform, 3),
    ];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Story => "story",
            Self::Infilling => "infilling",
            Self::Paragraph => "paragraph",
            Self::Review => "review",
            Self::Arithmetic => "arithmetic",
            Self::Numbers => "numbers",
            Self::Uniform => "uniform",
        })
    }
}

/// Percentage of infilling documents whose Z is drawn without regard to Y.
pub const DEAF_PERCENT: usize = 70;
/// Percentage of reviews with a reason, and of those the percentage whose reason is another review's.
pub const REASON_PERCENT: usize = 75;
/// See [`REASON_PERCENT`].
pub const WRONG_REASON_PERCENT: usize = 10;

/// A document for training or validation, of a kind drawn by [`Kind::SHARES`].
pub fn document(split: Split, draw: &mut Draw) -> (Kind, String) {
    let kind = Kind::SHARES[draw.weighted(&Kind::SHARES.map(|(_, share)| share))].0;
    (kind, document_of(kind, split, draw))
}

/// A document of this kind.
pub fn document_of(kind: Kind, split: Split, draw: &mut Draw) -> String {
    match kind {
        Kind::Story => story(split, false, draw).text(),
        Kind::Infilling => infilling(split, draw),
        Kind::Paragraph => paragraph_of(split, draw).join(" "),
        Kind::Review => review(split, draw),
        Kind::Arithmetic => arithmetic::document(split, draw),
        Kind::Numbers => number_text(draw),
        Kind::Uniform => uniform_text(draw),
    }
}

/// The prompt of the paper's appendix C.
pub fn infilling_prompt(x: &str, y: &str) -> String {
    format!("Beginning: {x}\nEnd: {y}\nMiddle:")
}

fn infilling(split: Split, draw: &mut Draw) -> String {
    let beginning = Beginning::of(split, draw);
    let plot = beginning.plot_held_out(false, draw);
    let told = beginning.tell(plot, draw);
    let z = if draw.percent(DEAF_PERCENT) { deaf_middle(&beginning, plot.1, draw) } else { told.z };
    format!("{} {z}", infilling_prompt(&told.x, &told.y))
}

/// A turning that fits the beginning, drawn as if there were no ending yet; but no held-out combination with it.
fn deaf_middle(beginning: &Beginning, ending: usize, draw: &mut Draw) -> String {
    let other = beginning.redraw(draw);
    loop {
        let plot = other.plot(draw);
        if !other.is_held_out((plot.0, ending)) {
            return other.tell(plot, draw).z;
        }
    }
}

fn review(split: Split, draw: &mut Draw) -> String {
    let mut review = Review::of(split, draw);
    if !draw.percent(REASON_PERCENT) {
        return review.without_reason();
    }
    if draw.percent(WRONG_REASON_PERCENT) {
        let other = Review::of(split, draw);
        (review.reason, review.label) = (other.reason, other.label);
    }
    review.with_reason()
}

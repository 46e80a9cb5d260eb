//! What the world is made of, as data: words, and the themes of its stories.

mod changes;
mod losses;
mod nature;
mod outings;
mod trials;
mod wishes;
pub mod words;

pub mod numbers;
pub mod reviews;
pub mod scenes;

/// A kind of beginning, with all that can come of it.
#[derive(Debug)]
pub struct Theme {
    /// Its name in manifests and verdicts.
    pub name: &'static str,
    /// What the story is about.
    pub things: &'static [&'static str],
    /// Where it happens, each after "the".
    pub places: &'static [&'static str],
    /// Exact spots, or moments.
    pub spots: &'static [&'static str],
    /// Whatever else plays a part.
    pub extras: &'static [&'static str],
    /// The wordings of the first three sentences.
    pub opening: [&'static [&'static str]; 3],
    /// What the fourth sentence can tell.
    pub turnings: &'static [Turning],
    /// What the fifth sentence can tell.
    pub endings: &'static [Ending],
}

/// An event that decides how a story ends.
#[derive(Debug)]
pub struct Turning {
    /// Its name within the theme.
    pub name: &'static str,
    /// Its wordings.
    pub texts: &'static [&'static str],
    /// The names of the endings that it leads to.
    pub endings: &'static [&'static str],
}

/// An outcome.
#[derive(Debug)]
pub struct Ending {
    /// Its name within the theme.
    pub name: &'static str,
    /// Its wordings.
    pub texts: &'static [&'static str],
}

/// All themes.
pub const THEMES: [&Theme; 12] = [
    &losses::LOST,
    &losses::BROKEN,
    &nature::PET,
    &outings::RAIN,
    &outings::LATE,
    &trials::ILL,
    &wishes::COOK,
    &wishes::GIFT,
    &changes::LEARN,
    &changes::LONELY,
    &trials::TEST,
    &nature::GARDEN,
];

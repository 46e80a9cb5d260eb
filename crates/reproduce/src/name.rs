//! Which experiment, and how large.

use std::fmt;
use std::str::FromStr;

use strsim::damerau_levenshtein;

/// The experiments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// Section 2 and figure 2: random numbers.
    Rng,
    /// Section 4.1 and figure 3: sentence continuation.
    Continuation,
    /// Section 4.2 and table 2: story infilling.
    Infill,
}

impl Name {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Rng, Self::Continuation, Self::Infill];
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rng => "rng",
            Self::Continuation => "continuation",
            Self::Infill => "infill",
        })
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        parse("experiment", name, &Self::ALL)
    }
}

/// How large an experiment is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// Minutes on two cores, with the model that the program carries and data that it writes.
    #[default]
    Tiny,
    /// The paper's hyperparameters, with a model and data of the user's own.
    Paper,
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tiny => "tiny",
            Self::Paper => "paper",
        })
    }
}

impl FromStr for Scale {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        parse("scale", name, &[Self::Tiny, Self::Paper])
    }
}

/// The value of that name; otherwise a message with the nearest one and all there are.
fn parse<T: Copy + fmt::Display>(what: &str, name: &str, all: &[T]) -> Result<T, String> {
    if let Some(found) = all.iter().copied().find(|value| value.to_string() == name) {
        return Ok(found);
    }
    let known: Vec<String> = all.iter().map(T::to_string).collect();
    let nearest = known.iter().min_by_key(|known| damerau_levenshtein(name, known));
    let meant = nearest.map(|nearest| format!("did you mean \"{nearest}\"? ")).unwrap_or_default();
    Err(format!("unknown {what} \"{name}\"; {meant}there are {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_others_are_refused_with_the_nearest() {
        for name in Name::ALL {
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        let message = "infilling".parse::<Name>().unwrap_err();
        let expected = "unknown experiment \"infilling\"; did you mean \"infill\"? there are rng, continuation, infill";
        assert_eq!(message, expected);
        assert!("papers".parse::<Scale>().unwrap_err().contains("did you mean \"paper\"?"));
    }
}

//! The coherence of stories, as the paper has GPT-4 rate it (appendix C, after Liu et al. 2023).

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;

use crate::chat::{Rater, beginning};
use crate::error::{RaterError, Result};

/// The paper's prompt, with its two examples.
const PROMPT: &str = include_str!("coherence.txt");
const STORY: &str = "{{Story}}";

/// A rating after the form's "Coherence", of which an answer's last counts; and for answers without it one at their
/// beginning, where a list's first number may stand too.
static RATINGS: LazyLock<[Regex; 2]> = LazyLock::new(|| {
    [r"(?is).*coherence\s*(?:\(1\s*-\s*5\))?", "(?i)^"].map(|before| {
        Regex::new(&format!(r"{before}[^\w]*([1-5](?:\.\d+)?)(?:\s*/\s*5)?\b")).expect("a regular expression")
    })
});

/// A text in its place between X and Y, a part a line; what is empty has none.
pub fn whole_story(x: &str, z: &str, y: &str) -> String {
    let parts = [x, z, y].map(str::trim);
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

impl Rater {
    /// The coherence of every story, 1 to 5; `None` where the answer has no rating. Stories that are alike are asked about once.
    ///
    /// # Errors
    /// If the endpoint does not answer, or has no rating for any story.
    pub fn coherence(&self, stories: &[String]) -> Result<Vec<Option<f64>>> {
        let mut places = HashMap::new();
        let mut questions = Vec::new();
        for story in stories {
            places.entry(story).or_insert_with(|| {
                questions.push(PROMPT.replace(STORY, story));
                questions.len() - 1
            });
        }
        let answers = self.ask_all(&questions)?;
        let ratings: Vec<Option<f64>> = answers.iter().map(|answer| rating(answer)).collect();
        if let (Some(answer), true) = (answers.first(), ratings.iter().all(Option::is_none)) {
            let (url, answer) = (self.url(), beginning(answer));
            return Err(RaterError::NoRating { url, stories: questions.len(), answer });
        }
        Ok(stories.iter().map(|story| ratings[places[story]]).collect())
    }
}

/// The number in an answer. What a model thinks aloud before it is passed over.
fn rating(answer: &str) -> Option<f64> {
    let answer = answer.rsplit("</think>").next().unwrap_or_default().trim();
    let found = RATINGS.iter().find_map(|rating| rating.captures(answer))?[1].parse().ok()?;
    (1.0..=5.0).contains(&found).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rating_is_read_from_the_form_that_the_prompt_asks_for() {
        for (answer, expected) in [
            ("4", Some(4.0)),
            ("- Coherence: 3", Some(3.0)),
            ("1. The story is clear.\n2. Its end is not prepared.\n- Coherence: 4", Some(4.0)),
            ("Coherence is 1 of many criteria.\n- Coherence: 2", Some(2.0)),
            ("Coherence (1-5): 2\n", Some(2.0)),
            ("**Coherence:** 4.5", Some(4.5)),
            ("5/5", Some(5.0)),
            ("<think>Is it a 1?</think>\n- Coherence: 4", Some(4.0)),
            ("The story is sound.\n- Coherence: 5", Some(5.0)),
            ("I cannot rate this story.", None),
            ("10", None),
            ("Coherence: 7", None),
            ("5.9", None),
            ("", None),
        ] {
            assert_eq!(rating(answer), expected, "{answer:?}");
        }
    }

    #[test]
    fn the_prompt_has_one_place_for_the_story() {
        assert_eq!(PROMPT.matches(STORY).count(), 1);
    }
}

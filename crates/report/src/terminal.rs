//! What a terminal shows at the end of a run: the verdict, the figures that matter, and draws before and after.

use std::fmt::Write;

use crate::compare::Pair;
use crate::figures;
use crate::html::nats;
use crate::read::{Run, Sample};
use crate::summary::verdict;

/// Prompts whose draws are shown.
const PROMPTS: usize = 2;

/// Characters of a draw that are shown.
const WIDTH: usize = 56;

/// The text; nothing of a run that was not evaluated before and after its training.
pub fn overview(run: &Run) -> Option<String> {
    let (first, last) = (run.evaluations.first()?, run.evaluations.last()?);
    if last.step == first.step {
        return None;
    }
    let verdict = verdict(run, first, last)?;
    let mut text = format!("{verdict}\n\n");
    for figure in figures::key(run) {
        let show = |summary| (figure.show)((figure.of)(summary));
        let (before, after) = (show(&first.summary), show(&last.summary));
        writeln!(text, "{:>20}  {before:>10} -> {after:<10}  {}", figure.name, figure.hint).expect("a String grows");
    }
    for pair in Pair::all(&run.samples).into_iter().take(PROMPTS) {
        text += &side_by_side(&pair);
    }
    Some(text)
}

fn side_by_side(pair: &Pair) -> String {
    let mut text = format!("\n{}\n", pair.prompt);
    let header = |when| format!("{when:<WIDTH$}  {:>8}", "log w");
    writeln!(text, "  {}   {}", header("before"), header("after")).expect("a String grows");
    for row in 0..pair.before.len().max(pair.after.len()) {
        let [before, after] = [&pair.before, &pair.after].map(|side| cell(side.get(row).copied()));
        writeln!(text, "  {before}   {after}").expect("a String grows");
    }
    text
}

fn cell(sample: Option<&Sample>) -> String {
    let (text, log_weight) = match sample {
        Some(sample) => (shortened(sample.text.trim()), nats(sample.log_weight)),
        None => Default::default(),
    };
    format!("{text:<WIDTH$}  {log_weight:>8}")
}

/// One line of at most [`WIDTH`] characters.
fn shortened(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(WIDTH) {
        Some(_) => line.chars().take(WIDTH - 3).chain("...".chars()).collect(),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::SampleKind;

    fn sample(kind: SampleKind, step: u64, text: &str, log_weight: f64) -> Sample {
        let numbers = (Some(-3.0), Some(log_weight));
        Sample {
            step,
            kind,
            prompt: "X ___ Y".into(),
            suffix: None,
            text: text.into(),
            log_p: numbers.0,
            log_q: numbers.0,
            log_reward: numbers.1,
            log_weight: numbers.1,
        }
    }

    #[test]
    fn draws_stand_beside_each_other_best_first_and_cut_to_the_width() {
        let long = format!("a\n{}", "b".repeat(100));
        let samples = [
            sample(SampleKind::Before, 0, "worse", -9.0),
            sample(SampleKind::Before, 0, &long, -2.5),
            Sample { prompt: "another".into(), ..sample(SampleKind::Train, 1, "while training", 0.0) },
            sample(SampleKind::After, 1, "not the last", 0.0),
            sample(SampleKind::After, 2, "after", -1.0),
        ];
        let pairs = Pair::all(&samples);
        let shown = side_by_side(&pairs[0]);
        let rows: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[1], ["X", "___", "Y"]);
        assert_eq!(rows[2], ["before", "log", "w", "after", "log", "w"]);
        let cut = format!("{}...", "b".repeat(WIDTH - 5));
        assert_eq!(rows[3], ["a", cut.as_str(), "\u{2212}2.50", "after", "\u{2212}1.00"]);
        assert_eq!(rows[4], ["worse", "\u{2212}9.00"]);
        assert_eq!(pairs.len(), 1);
    }
}

//! The figures that matter before and after, and a verdict in plain words.

use crate::figures::{self, Figure};
use crate::html::{ARROW, BEST, count, number};
use crate::read::{Evaluation, Run};

/// A change of a figure by less than this share of it says nothing: evaluations are of few draws.
const NOTEWORTHY: f64 = 0.1;

/// The same for a loss, a mean over so many tokens that less counts.
const NOTEWORTHY_LOSS: f64 = 0.005;

/// Below this share of the first diversity the draws have grown alike.
const COLLAPSE: f64 = 0.7;

/// The verdict, what was evaluated, and a tile for each key figure; nothing of a run without evaluations.
pub fn summary(run: &Run) -> Option<String> {
    let first = run.evaluations.first()?;
    let last = run.evaluations.last().filter(|last| last.step > first.step);
    let verdict = last.and_then(|last| verdict(run, first, last));
    let verdict = verdict.map(|words| format!("<p class=\"verdict\">{words}</p>\n")).unwrap_or_default();
    let (said, tiles) = (evaluated(run, first, last), tiles(run, first, last));
    Some(format!("{verdict}<p>{said}</p>\n<dl class=\"tiles\">\n{tiles}</dl>\n"))
}

/// What became of the run, in one sentence.
pub fn verdict(run: &Run, first: &Evaluation, last: &Evaluation) -> Option<String> {
    let both = |figure: &dyn Fn(&Evaluation) -> Option<f64>| Some((figure(first)?, figure(last)?));
    let shown = |(from, to): (f64, f64)| format!("{} to {}", number(Some(from)), number(Some(to)));
    if run.is_likelihood() {
        let loss = both(&|evaluation| evaluation.summary.held_out_loss())?;
        let word = ["better at", "about as good as it was at", "worse at"][trend(loss, NOTEWORTHY_LOSS)];
        let loss = shown(loss);
        return Some(format!(
            "As far as the held-out text reaches, the model is {word} predicting it: loss went from {loss} nats a token."
        ));
    }
    let variance = both(&|evaluation| evaluation.summary.log_w_variance)?;
    let words = [
        "training brought the policy closer to its target",
        "training left the policy about as far from its target as it was",
        "training took the policy away from its target",
    ];
    let words = words[trend(variance, NOTEWORTHY)];
    let diversity = both(&|evaluation| evaluation.summary.pairwise_edit_distance);
    let diversity = diversity.map(|(from, to)| match to < COLLAPSE * from {
        true => format!(", and its draws grew alike (edit distance {}): look for a collapse", shown((from, to))),
        false => ", and its draws stay diverse".into(),
    });
    Some(format!(
        "As far as these draws reach, {words}: the variance of log w within a prompt went from {} nats² (0 is \
         perfect){}.",
        shown(variance),
        diversity.unwrap_or_default()
    ))
}

/// 0 for a fall, 1 for no clear change, 2 for a rise.
fn trend((from, to): (f64, f64), noteworthy: f64) -> usize {
    let change = (to - from) / from.abs().max(f64::MIN_POSITIVE);
    1 + usize::from(change > noteworthy) - usize::from(change < -noteworthy)
}

/// On what and when the figures were taken.
fn evaluated(run: &Run, first: &Evaluation, last: Option<&Evaluation>) -> String {
    let at = |evaluation: &Evaluation| match evaluation.step {
        0 => "before training".into(),
        step => format!("after step {}", count(step)),
    };
    let on = match (first.summary.n_queries, first.summary.n) {
        (Some(prompts), Some(draws)) => format!("{} prompts, {} draws", count(prompts), count(draws)),
        _ => "Evaluated".into(),
    };
    let mut said = format!("{on}: {}", at(first));
    let best = run.best().filter(|_| last.is_some());
    if let Some(last) = last {
        said += &format!(" {ARROW} {}", at(last));
        if best.is_some_and(|best| best.step == last.step) {
            said += &format!(" {BEST}");
        }
    }
    if best.is_some() {
        let least = if run.is_likelihood() { "loss" } else { "variance of log w" };
        said += &format!(". The best has the least {least}; a ring marks it in the curves");
    }
    said + "."
}

fn tiles(run: &Run, first: &Evaluation, last: Option<&Evaluation>) -> String {
    // The best is shown beside the last where it is another.
    let best = run.best().filter(|best| last.is_some_and(|last| last.step != best.step));
    let tile = |Figure { name, hint, of, show }: &Figure| {
        let value = |evaluation: &Evaluation| show(of(&evaluation.summary));
        let before = last.map(|_| format!("<span>{} {ARROW}</span> ", value(first))).unwrap_or_default();
        let after = value(last.unwrap_or(first));
        let best = best.map(|best| format!("<dd>{} at step {} {BEST}</dd>", value(best), count(best.step)));
        let best = best.unwrap_or_default();
        let change = format!(r#"<dd class="change">{before}<strong>{after}</strong></dd>"#);
        format!("<div><dt>{name}</dt>{change}{best}<dd class=\"hint\">{hint}</dd></div>\n")
    };
    figures::key(run).map(tile).collect()
}

//! The page as a whole.

use crate::chart::Chart;
use crate::compare::comparison;
use crate::curves;
use crate::document::{Document, section};
use crate::figures::{self, Figure};
use crate::html::{BEST, Escaped, count, duration};
use crate::read::{Evaluation, Run, Sample, SampleKind};
use crate::samples::samples;
use crate::summary::summary;

const SCRIPT: &str = include_str!("script.js");

/// The page of a run.
pub fn page(run: &Run) -> String {
    let body = [header, quality, sampled, validation, training, config].map(|part| part(run)).concat();
    let footer = format!("Made from the files of the run, which amortize {} started.", Escaped(&run.tool_version));
    Document { title: &run.name, body: &body, footer: &footer, script: SCRIPT }.html()
}

fn header(run: &Run) -> String {
    let get = |key| run.config.get(key);
    let done = count(run.last_step());
    let total = get("train.steps").and_then(|steps| steps.parse().ok()).map(count);
    let steps = total.map_or(done.clone(), |total| format!("{done} of {total}"));
    let seconds: Option<f64> = run.timing.iter().map(|timing| timing.seconds).sum();
    let facts = [
        ("Task", get("task.kind").or_else(|| get("task"))),
        ("Base model", get("model.path")),
        ("Adapter to start from", get("model.adapter")),
        ("Objective", get("objective.name")),
        ("Target temperature", get("reward.temperature_end")),
        ("Steps done", Some(steps)),
        ("Time in steps", seconds.filter(|_| !run.timing.is_empty()).map(duration)),
    ];
    let fact = |(name, value): (&str, Option<String>)| {
        value.map(|value| format!("<div><dt>{name}</dt><dd>{}</dd></div>\n", Escaped(&value)))
    };
    let facts: String = facts.into_iter().filter_map(fact).collect();
    format!("<header>\n<h1>{}</h1>\n<dl class=\"facts\">\n{facts}</dl>\n</header>\n", Escaped(&run.name))
}

/// What came of it, first of all.
fn quality(run: &Run) -> String {
    let title = if run.evaluates(|summary| summary.log_w_variance) { "Posterior quality" } else { "Quality" };
    section(title, &summary(run).unwrap_or_else(|| nothing("This run has no evaluations so far.")))
}

fn validation(run: &Run) -> String {
    match run.evaluations.is_empty() {
        true => String::new(),
        false => section("Validation", &[charts(&curves::validation(run), run), evaluations(run)].concat()),
    }
}

/// All evaluations as a table.
fn evaluations(run: &Run) -> String {
    let columns = || figures::all(run);
    let head: String =
        columns().map(|figure| format!(r#"<th scope="col" title="{}">{}</th>"#, figure.hint, figure.name)).collect();
    let best = run.best().map(|best| best.step);
    let row = |evaluation: &Evaluation| {
        let badge = if best == Some(evaluation.step) { BEST } else { "" };
        let cells = columns().map(|Figure { of, show, .. }| format!("<td>{}</td>", show(of(&evaluation.summary))));
        let cells: String = cells.collect();
        format!("<tr><th scope=\"row\">{} {badge}</th>{cells}</tr>\n", count(evaluation.step))
    };
    let rows: String = run.evaluations.iter().map(row).collect();
    format!(
        r#"<details>
<summary>All evaluations</summary>
<div class="scroll" tabindex="0" role="region" aria-label="All evaluations">
<table>
<thead><tr><th scope="col">Step</th>{head}</tr></thead>
<tbody>
{rows}</tbody>
</table>
</div>
</details>
"#
    )
}

fn training(run: &Run) -> String {
    section(
        "Training",
        &match run.steps.is_empty() {
            true => nothing("This run has no finished steps so far."),
            false => charts(&curves::training(run), run),
        },
    )
}

/// Draws before and after; and those of training steps, folded away where there are better ones.
fn sampled(run: &Run) -> String {
    let (own, compared): (Vec<Sample>, Vec<Sample>) =
        run.samples.iter().cloned().partition(|sample| sample.kind == SampleKind::Train);
    let n = count(run.samples.len() as u64);
    let training = samples(&own).map(|tables| {
        let said = "Drawn from the policy while it was trained. log q is the policy's, log R the untempered reward, both \
                    in nats.";
        format!("<p>{said} samples.jsonl has all {n}.</p>\n{tables}")
    });
    match (comparison(&compared), training) {
        (Some(before_and_after), Some(training)) => {
            let folded = format!("<details>\n<summary>Samples of training steps</summary>\n{training}</details>\n");
            section("Samples before and after", &(before_and_after + &folded))
        }
        (Some(before_and_after), None) => section("Samples before and after", &before_and_after),
        (None, Some(training)) => section("Samples", &training),
        // A run that learns from text draws none.
        (None, None) if run.is_likelihood() => String::new(),
        (None, None) => section("Samples", &nothing("This run has no samples so far.")),
    }
}

fn config(run: &Run) -> String {
    if run.config.0.is_empty() {
        return String::new();
    }
    let details = format!(
        r#"<details>
<summary>config.toml, every key resolved</summary>
<pre tabindex="0">{}</pre>
</details>
"#,
        Escaped(&run.config.0)
    );
    section("Config", &details)
}

fn nothing(why: &str) -> String {
    format!("<p class=\"empty\">{why}</p>\n")
}

fn charts(charts: &[Chart], run: &Run) -> String {
    let charts: String = charts.iter().filter_map(|chart| chart.draw(run.last_step())).collect();
    match charts.is_empty() {
        true => nothing("Not one figure is finite so far."),
        false => format!("<div class=\"charts\">\n{charts}</div>\n"),
    }
}

//! The page as a whole.

use crate::chart::Chart;
use crate::figures::{self, FURTHER, Figure, KEY};
use crate::html::{Escaped, count, duration};
use crate::read::{Evaluation, Run};
use crate::samples::samples;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// No network, whatever a text in the run may say.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

const ARROW: &str = r#"<span aria-hidden="true">→</span><span class="unseen">to</span>"#;
const BEST: &str = r#"<span class="badge">best</span>"#;

/// The page of a run.
pub fn page(run: &Run) -> String {
    let (title, version) = (Escaped(&run.name), Escaped(&run.tool_version));
    let body = [header, validation, training, sampled, config].map(|part| part(run)).concat();
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title} · amortize</title>
<style>
{STYLE}</style>
</head>
<body>
<main>
{body}</main>
<footer>Made from the files of the run, which amortize {version} started.</footer>
<script>
{SCRIPT}</script>
</body>
</html>
"#
    )
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

fn validation(run: &Run) -> String {
    let Some(first) = run.evaluations.first() else {
        return section("Validation", &nothing("This run has no evaluations so far."));
    };
    let charts = charts(&figures::validation(run), run);
    section("Validation", &[tiles(run, first), charts, evaluations(run)].concat())
}

/// The key figures before and after.
fn tiles(run: &Run, first: &Evaluation) -> String {
    let last = run.evaluations.last().filter(|last| last.step > first.step);
    let best = run.best().filter(|_| last.is_some());
    let last_is_best = best.map(|best| best.step) == last.map(|last| last.step);
    let at = |evaluation: &Evaluation| match evaluation.step {
        0 => "before training".into(),
        step => format!("after step {}", count(step)),
    };
    let mut said = at(first);
    if let (Some(prompts), Some(draws)) = (first.summary.n_queries, first.summary.n) {
        said = format!("{} prompts, {} draws: {said}", count(prompts), count(draws));
    }
    if let Some(last) = last {
        said += &format!(" {ARROW} {}", at(last));
        if last_is_best {
            said += &format!(" {BEST}");
        }
    }
    if best.is_some() {
        said += ". The best has the least variance of log w; a ring marks it in the curves";
    }
    let tile = |Figure { name, hint, of, show }: &Figure| {
        let value = |evaluation: &Evaluation| show(of(&evaluation.summary));
        let before = last.map(|_| format!("<span>{} {ARROW}</span> ", value(first))).unwrap_or_default();
        let after = value(last.unwrap_or(first));
        let best = best.filter(|_| !last_is_best);
        let best = best.map(|best| format!("<dd>{} at step {} {BEST}</dd>", value(best), count(best.step)));
        let best = best.unwrap_or_default();
        let change = format!(r#"<dd class="change">{before}<strong>{after}</strong></dd>"#);
        format!("<div><dt>{name}</dt>{change}{best}<dd class=\"hint\">{hint}</dd></div>\n")
    };
    let tiles: String = KEY.iter().map(tile).collect();
    format!("<p>{said}.</p>\n<dl class=\"tiles\">\n{tiles}</dl>\n")
}

/// All evaluations as a table.
fn evaluations(run: &Run) -> String {
    let columns = || KEY.iter().chain(&FURTHER);
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
            false => charts(&figures::training(run), run),
        },
    )
}

fn sampled(run: &Run) -> String {
    let Some(tables) = samples(&run.samples) else {
        return section("Samples", &nothing("This run has no samples so far."));
    };
    let n = count(run.samples.len() as u64);
    let said = format!(
        "Drawn from the policy while it was trained. log q is the policy's, log R the untempered reward, both in nats. \
         samples.jsonl has all {n}."
    );
    section("Samples", &format!("<p>{said}</p>\n{tables}"))
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

fn section(title: &str, content: &str) -> String {
    format!("<section>\n<h2>{title}</h2>\n{content}</section>\n")
}

fn nothing(why: &str) -> String {
    format!("<p class=\"empty\">{why}</p>\n")
}

fn charts(charts: &[Chart], run: &Run) -> String {
    let charts: String = charts.iter().filter_map(|chart| chart.draw(run.last_step())).collect();
    format!("<div class=\"charts\">\n{charts}</div>\n")
}

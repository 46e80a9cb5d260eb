//! The page as a whole.

use std::fmt::Write;

use crate::chart::Chart;
use crate::figures::{self, FURTHER, Figure, KEY};
use crate::html::{Escaped, count, duration};
use crate::read::{Evaluation, Run};
use crate::samples::samples;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// No network, whatever a text in the run may say.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

const ARROW: &str = "<span aria-hidden=\"true\">→</span><span class=\"unseen\">to</span>";
const BEST: &str = "<span class=\"badge\">best</span>";

/// The page of a run.
pub fn page(run: &Run) -> String {
    let title = Escaped(&run.name);
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <link rel=\"icon\" href=\"data:,\">\n\
         <title>{title} · amortize</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n"
    );
    header(&mut html, run);
    validation(&mut html, run);
    training(&mut html, run);
    sampled(&mut html, run);
    config(&mut html, run);
    let version = Escaped(&run.tool_version);
    let _ = write!(
        html,
        "</main>\n<footer>Made by amortize from the files of the run, which was started by version {version}.</footer>\n\
         <script>\n{SCRIPT}</script>\n</body>\n</html>\n"
    );
    html
}

fn header(html: &mut String, run: &Run) {
    let get = |key| run.config.get(key);
    let done = count(run.last_step());
    let total = get("train.steps").and_then(|steps| steps.parse().ok()).map(count);
    let steps = total.map_or(done.clone(), |total| format!("{done} of {total}"));
    let seconds: Option<f64> = run.timing.iter().map(|timing| timing.seconds).sum();
    let took = seconds.filter(|_| !run.timing.is_empty()).map(duration);
    let facts = [
        ("Task", get("task")),
        ("Base model", get("model.path")),
        ("Adapter to start from", get("model.adapter")),
        ("Objective", get("objective.name")),
        ("Target temperature", get("reward.temperature_end")),
        ("Steps done", Some(steps)),
        ("Time in steps", took),
    ];
    let _ = writeln!(html, "<header>\n<h1>{}</h1>\n<dl class=\"facts\">", Escaped(&run.name));
    for (name, value) in facts {
        if let Some(value) = value {
            let _ = writeln!(html, "<div><dt>{name}</dt><dd>{}</dd></div>", Escaped(&value));
        }
    }
    *html += "</dl>\n</header>\n";
}

fn validation(html: &mut String, run: &Run) {
    *html += "<section>\n<h2>Validation</h2>\n";
    match run.evaluations.as_slice() {
        [] => *html += "<p class=\"empty\">This run has no evaluations so far.</p>\n",
        [first, ..] => {
            tiles(html, run, first);
            charts(html, &figures::validation(run), run);
            evaluations(html, run);
        }
    }
    *html += "</section>\n";
}

/// The key figures before and after.
fn tiles(html: &mut String, run: &Run, first: &Evaluation) {
    let last = run.evaluations.last().filter(|last| last.step > first.step);
    let best = run.best().filter(|_| last.is_some());
    let is_best = |evaluation: &Evaluation| best.is_some_and(|best| best.step == evaluation.step);
    let at = |evaluation: &Evaluation| match evaluation.step {
        0 => "before training".into(),
        step => format!("after step {}", count(step)),
    };
    *html += "<p>";
    if let (Some(prompts), Some(draws)) = (first.summary.n_queries, first.summary.n) {
        let _ = write!(html, "{} prompts, {} draws: ", count(prompts), count(draws));
    }
    *html += &at(first);
    if let Some(last) = last {
        let badge = if is_best(last) { BEST } else { "" };
        let _ = write!(html, " {ARROW} {} {badge}", at(last));
    }
    if best.is_some() {
        *html += ". The best is that of the least variance of log w; a ring marks it in the curves";
    }
    *html += ".</p>\n<dl class=\"tiles\">\n";
    for Figure { name, hint, of, show } in KEY {
        let value = |evaluation: &Evaluation| show(of(&evaluation.summary));
        let _ = write!(html, "<div><dt>{name}</dt><dd class=\"change\">");
        if last.is_some() {
            let _ = write!(html, "<span>{} {ARROW}</span> ", value(first));
        }
        let _ = write!(html, "<strong>{}</strong></dd>", value(last.unwrap_or(first)));
        if let Some(best) = best.filter(|_| last.is_some_and(|last| !is_best(last))) {
            let _ = write!(html, "<dd>{} at step {} {BEST}</dd>", value(best), count(best.step));
        }
        let _ = writeln!(html, "<dd class=\"hint\">{hint}</dd></div>");
    }
    *html += "</dl>\n";
}

fn charts(html: &mut String, charts: &[Chart], run: &Run) {
    *html += "<div class=\"charts\">\n";
    html.extend(charts.iter().filter_map(|chart| chart.draw(run.last_step())));
    *html += "</div>\n";
}

/// All evaluations as a table.
fn evaluations(html: &mut String, run: &Run) {
    *html += "<details>\n<summary>All evaluations</summary>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"All evaluations\">\n<table class=\"figures\">\n<thead><tr><th scope=\"col\">Step</th>";
    let columns = || KEY.iter().chain(&FURTHER);
    for Figure { name, hint, .. } in columns() {
        let _ = write!(html, "<th scope=\"col\" title=\"{hint}\">{name}</th>");
    }
    *html += "</tr></thead>\n<tbody>\n";
    let best = run.best().map(|best| best.step);
    for evaluation in &run.evaluations {
        let badge = if best == Some(evaluation.step) { BEST } else { "" };
        let _ = write!(html, "<tr><th scope=\"row\">{} {badge}</th>", count(evaluation.step));
        for Figure { of, show, .. } in columns() {
            let _ = write!(html, "<td>{}</td>", show(of(&evaluation.summary)));
        }
        *html += "</tr>\n";
    }
    *html += "</tbody>\n</table>\n</div>\n</details>\n";
}

fn training(html: &mut String, run: &Run) {
    *html += "<section>\n<h2>Training</h2>\n";
    match run.steps.is_empty() {
        true => *html += "<p class=\"empty\">This run has no finished steps so far.</p>\n",
        false => charts(html, &figures::training(run), run),
    }
    *html += "</section>\n";
}

fn sampled(html: &mut String, run: &Run) {
    *html += "<section>\n<h2>Samples</h2>\n";
    *html += &match samples(&run.samples) {
        Some(tables) => format!(
            "<p>Drawn from the policy while it was trained. log q is the policy's, log R the untempered reward, both in nats; \
             all {} samples are in samples.jsonl.</p>\n{tables}",
            count(run.samples.len() as u64)
        ),
        None => "<p class=\"empty\">This run has no samples so far.</p>\n".into(),
    };
    *html += "</section>\n";
}

fn config(html: &mut String, run: &Run) {
    if run.config.0.is_empty() {
        return;
    }
    let text = Escaped(&run.config.0);
    let _ = write!(
        html,
        "<section>\n<h2>Config</h2>\n<details>\n<summary>config.toml, every key resolved</summary>\n<pre tabindex=\"0\">{text}</pre>\n</details>\n</section>\n"
    );
}

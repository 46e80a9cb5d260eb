//! The files that a reproduction leaves: table, figure and page.

use amortize_raters::{Endpoint, Rater};
use amortize_report::document::{Document, section};
use amortize_report::html::Escaped;
use amortize_runlog::write_atomic;

use crate::carry_out::Outcome;
use crate::error::Result;
use crate::measured::Measured;
use crate::plan::{Options, Plan, PlannedRun};
use crate::table::Table;

/// Writes `table.md`, `table.json`, `figure.svg` and `index.html`.
///
/// # Errors
/// If one cannot be written.
pub(crate) fn write(plan: &Plan, measured: &[Measured]) -> Result<Outcome> {
    let experiment = plan.experiment.as_ref();
    let all: Vec<&Measured> = measured.iter().collect();
    let table = Table::new(&all, experiment.metrics(), experiment.published());
    let figure = experiment.figure(&table, &all);
    let markdown = table.markdown(experiment.metrics());
    let json = serde_json::to_string_pretty(&table.rows).expect("numbers and texts are JSON") + "\n";
    let page = page(plan, &table, &figure.inline(), measured);
    let files = [
        ("table.md", document(plan, &table, &markdown)),
        ("table.json", json),
        ("figure.svg", figure.standalone()),
        ("index.html", page),
    ];
    for (name, text) in files {
        write_atomic(&plan.options.out.join(name), text.as_bytes())?;
    }
    Ok(Outcome { table, markdown, page: plan.options.out.join("index.html") })
}

/// `table.md`.
fn document(plan: &Plan, table: &Table, markdown: &str) -> String {
    let experiment = plan.experiment.as_ref();
    let commands = indented(&commands(plan));
    let meanings: String =
        meanings(plan, table).iter().map(|(name, meaning)| format!("- `{name}`: {meaning}\n")).collect();
    let (title, about, seeds) = (experiment.title(), experiment.about(), seeds(&plan.options));
    format!("# {title}\n\n{about}\n\n{seeds}\n\n{markdown}\n{meanings}\n{commands}")
}

fn seeds(options: &Options) -> String {
    let (first, last) = (options.first_seed, options.first_seed + options.seeds - 1);
    match options.seeds {
        1 => format!("Scale {}, seed {first}.", options.scale),
        _ => format!("Scale {}, seeds {first} to {last}: mean ± standard deviation.", options.scale),
    }
}

fn meanings(plan: &Plan, table: &Table) -> Vec<(&'static str, &'static str)> {
    let known = plan.experiment.metrics();
    let shown = table.metrics(known);
    known.iter().filter(|metric| shown.contains(&metric.name)).map(|metric| (metric.name, metric.meaning)).collect()
}

fn indented(lines: &[String]) -> String {
    lines.iter().map(|line| format!("    {line}\n")).collect()
}

/// The command of the reproduction, and those that make the same runs one by one.
fn commands(plan: &Plan) -> Vec<String> {
    let shipped = plan.experiment.configs().of(plan.options.scale).path;
    let train = |run: &PlannedRun| {
        let sets: String = run.sets.iter().map(|set| format!(" --set {}", quoted(set))).collect();
        let out = plan.run_dir(run);
        format!("amortize train {shipped}{sets} --out {}", quoted(&out.display().to_string()))
    };
    [reproduction(&plan.options)].into_iter().chain(plan.runs.iter().map(train)).collect()
}

fn reproduction(options: &Options) -> String {
    let Options { name, scale, seeds, first_seed, .. } = options;
    let mut command = format!("amortize reproduce {name} --scale {scale} --seeds {seeds}");
    if *first_seed != 1 {
        command += &format!(" --first-seed {first_seed}");
    }
    let paths = [("model", &options.model), ("data", &options.data), ("encoder", &options.encoder)];
    for (option, path) in paths.into_iter().filter_map(|(option, path)| Some((option, path.as_ref()?))) {
        command += &format!(" --{option} {}", quoted(&path.display().to_string()));
    }
    if let Some(Endpoint { url, model }) = options.rater.as_ref().map(Rater::endpoint) {
        command += &format!(" --rater {} --rater-model {}", quoted(url), quoted(model));
    }
    command.extend(options.sets.iter().map(|set| format!(" --set {}", quoted(set))));
    command + &format!(" --out {}", quoted(&options.out.display().to_string()))
}

/// As a shell reads it back.
fn quoted(text: &str) -> String {
    let plain = |character: char| character.is_alphanumeric() || "-_./=:,+".contains(character);
    match !text.is_empty() && text.chars().all(plain) {
        true => text.to_string(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// `index.html`.
fn page(plan: &Plan, table: &Table, figure: &str, measured: &[Measured]) -> String {
    let experiment = plan.experiment.as_ref();
    let (title, about, seeds) = (experiment.title(), Escaped(experiment.about()), seeds(&plan.options));
    let header = format!("<header>\n<h1>{}</h1>\n</header>\n", Escaped(title));
    let result = section("Result", &format!("<p>{about}</p>\n<p>{seeds}</p>\n{}", html_table(plan, table)));
    let figure = section("Figure", &format!("<figure>\n{figure}</figure>\n"));
    let commands = format!("<pre tabindex=\"0\">{}</pre>\n", Escaped(&commands(plan).join("\n")));
    let body = [header, result, figure, each_seed(plan, measured), runs(plan), section("Commands", &commands)].concat();
    let footer = format!("Made by amortize {}.", env!("CARGO_PKG_VERSION"));
    Document { title, body: &body, footer: &footer, script: "" }.html()
}

fn html_table(plan: &Plan, table: &Table) -> String {
    let metrics = meanings(plan, table);
    let names: Vec<&str> = metrics.iter().map(|(name, _)| *name).collect();
    let titles: String = table.names().iter().map(|name| format!("<th scope=\"col\">{name}</th>")).collect();
    let head: String = metrics
        .iter()
        .map(|(name, meaning)| format!("<th scope=\"col\" title=\"{}\">{name}</th>", Escaped(meaning)))
        .collect();
    let row = |system: (&str, &str)| {
        let cells = table.cells(system, &names);
        let cells = cells.iter().skip(1).map(|cell| format!("<td>{}</td>", Escaped(cell)));
        format!("<tr><th scope=\"row\">{}</th>{}</tr>\n", Escaped(system.0), cells.collect::<String>())
    };
    let rows: String = table.systems().into_iter().map(row).collect();
    let meanings: String =
        metrics.iter().map(|(name, meaning)| format!("<li><b>{name}</b>: {}</li>\n", Escaped(meaning))).collect();
    format!(
        r#"<div class="scroll" tabindex="0" role="region" aria-label="Result">
<table>
<thead><tr>{titles}{head}</tr></thead>
<tbody>
{rows}</tbody>
</table>
</div>
<ul>
{meanings}</ul>
"#
    )
}

/// Table and figure of every seed by itself, folded away; nothing where there is one seed.
fn each_seed(plan: &Plan, measured: &[Measured]) -> String {
    let (experiment, options) = (plan.experiment.as_ref(), &plan.options);
    if options.seeds == 1 {
        return String::new();
    }
    let one = |seed: u64| {
        let own = plan.runs.iter().zip(measured).filter(|(run, _)| run.seed == seed);
        let own: Vec<&Measured> = own.map(|(_, measured)| measured).collect();
        let table = Table::new(&own, experiment.metrics(), &[]);
        let (figure, table) = (experiment.figure(&table, &own).inline(), html_table(plan, &table));
        format!("<details>\n<summary>Seed {seed}</summary>\n{figure}{table}</details>\n")
    };
    let seeds = options.first_seed..options.first_seed + options.seeds;
    section("Seeds", &seeds.map(one).collect::<String>())
}

/// Where every run's own page is.
fn runs(plan: &Plan) -> String {
    let item = |run: &PlannedRun| {
        let name = run.name();
        format!("<li><a href=\"runs/{name}/report.html\">{name}</a></li>\n")
    };
    section("Runs", &format!("<ul>\n{}</ul>\n", plan.runs.iter().map(item).collect::<String>()))
}

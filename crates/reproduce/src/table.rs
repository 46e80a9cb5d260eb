//! The table: means and spreads over seeds, with the paper's numbers beside them.

use amortize_report::html::{NONE, number};
use serde::Serialize;

use crate::experiment::{Metric, Published};
use crate::measured::{Measured, Value};

/// One figure of one method.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The method.
    pub method: String,
    /// What sets it apart from others of its name.
    pub condition: String,
    /// What was measured.
    pub metric: String,
    /// The mean over seeds; `null` where a seed's is not finite.
    pub mean: Option<f64>,
    /// The standard deviation over seeds; `null` of fewer than two.
    pub std: Option<f64>,
    /// The paper's, of its own models and data; `null` where it has none.
    pub paper: Option<f64>,
    /// What stands behind the paper's ±.
    #[serde(skip)]
    pub paper_spread: Option<f64>,
}

/// All figures, those of a method together.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// By method and condition, then in the order of the metrics.
    pub rows: Vec<Row>,
}

impl Table {
    /// Of what was measured of all seeds.
    pub(crate) fn new(runs: &[&Measured], metrics: &[Metric], published: &[Published]) -> Self {
        let values: Vec<&Value> = runs.iter().flat_map(|run| &run.values).collect();
        let mut rows = Vec::new();
        for (method, condition) in systems(values.iter().map(|value| (&*value.method, &*value.condition))) {
            for metric in metrics {
                let own = |value: &&&Value| {
                    value.method == method && value.condition == condition && value.metric == metric.name
                };
                let own: Vec<Option<f64>> = values.iter().filter(own).map(|value| value.value).collect();
                if own.is_empty() {
                    continue;
                }
                let found = published.iter().find(|found| found.method == method && found.metric == metric.name);
                let (mean, std) = mean_and_spread(&own);
                rows.push(Row {
                    method: method.into(),
                    condition: condition.into(),
                    metric: metric.name.into(),
                    mean,
                    std,
                    paper: found.map(|found| found.value),
                    paper_spread: found.and_then(|found| found.spread),
                });
            }
        }
        Self { rows }
    }

    /// Methods with their conditions, in order.
    pub(crate) fn systems(&self) -> Vec<(&str, &str)> {
        systems(self.rows.iter().map(|row| (&*row.method, &*row.condition)))
    }

    /// The row of a figure.
    pub(crate) fn row(&self, (method, condition): (&str, &str), metric: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.method == method && row.condition == condition && row.metric == metric)
    }

    /// The names of the metrics that any method has, in order.
    pub(crate) fn metrics(&self, known: &[Metric]) -> Vec<&'static str> {
        let names = known.iter().map(|metric| metric.name);
        names.filter(|name| self.rows.iter().any(|row| row.metric == *name)).collect()
    }

    /// The headings of what is before the figures: without the conditions where there are none.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        let conditions = self.rows.iter().any(|row| !row.condition.is_empty());
        if conditions { vec!["method", "condition"] } else { vec!["method"] }
    }

    /// The cells of a method: its names, and each figure with the paper's.
    pub(crate) fn cells(&self, system: (&str, &str), metrics: &[&str]) -> Vec<String> {
        let cell = |metric: &&str| self.row(system, metric).map_or(NONE.into(), Row::shown);
        let names = [system.0, system.1].into_iter().take(self.names().len());
        names.map(String::from).chain(metrics.iter().map(cell)).collect()
    }

    /// As Markdown whose columns also line up where it is read as it is.
    pub(crate) fn markdown(&self, known: &[Metric]) -> String {
        let metrics = self.metrics(known);
        let head: Vec<String> = self.names().iter().chain(&metrics).map(|name| name.to_string()).collect();
        let rows = self.systems().into_iter().map(|system| self.cells(system, &metrics));
        let lines: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
        let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        let line = |cells: &Vec<String>| {
            let cells = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
        };
        let (head, rest) = lines.split_first().expect("there is a head");
        [line(head), line(&rule)].into_iter().chain(rest.iter().map(line)).collect()
    }
}

impl Row {
    /// Mean and spread, and the paper's.
    pub(crate) fn shown(&self) -> String {
        let with = |mean: Option<f64>, spread: Option<f64>| match spread {
            Some(spread) => format!("{} ± {}", number(mean), number(Some(spread))),
            None => number(mean),
        };
        let paper = self.paper.map(|paper| format!(" (paper {})", with(Some(paper), self.paper_spread)));
        with(self.mean, self.std) + &paper.unwrap_or_default()
    }
}

/// Each once, in order.
fn systems<'a>(all: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<(&'a str, &'a str)> {
    let mut seen = Vec::new();
    for system in all {
        if !seen.contains(&system) {
            seen.push(system);
        }
    }
    seen
}

/// The mean, and the standard deviation of two values or more; nothing if one is not finite.
fn mean_and_spread(values: &[Option<f64>]) -> (Option<f64>, Option<f64>) {
    let Some(values) = values.iter().copied().collect::<Option<Vec<f64>>>() else { return (None, None) };
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (Some(mean), (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: [Metric; 2] = [Metric { name: "kl", meaning: "" }, Metric { name: "valid", meaning: "" }];
    const PUBLISHED: [Published; 1] = [Published { method: "base", metric: "kl", value: 3.37, spread: Some(0.5) }];

    fn run(method: &str, values: &[(&str, f64)]) -> Measured {
        let values = values.iter().map(|(metric, value)| Value::new(method, "c", metric, *value)).collect();
        Measured { values, ..Measured::default() }
    }

    fn table(runs: &[Measured]) -> Table {
        Table::new(&runs.iter().collect::<Vec<_>>(), &METRICS, &PUBLISHED)
    }

    #[test]
    fn seeds_have_a_mean_and_a_spread() {
        let runs = [run("base", &[("kl", 1.0)]), run("base", &[("kl", 2.0)]), run("base", &[("kl", 6.0)])];
        let found = table(&runs).rows;
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].mean, found[0].paper), (Some(3.0), Some(3.37)));
        assert!((found[0].std.unwrap() - 7f64.sqrt()).abs() < 1e-12);
        assert_eq!(found[0].shown(), "3.000 ± 2.646 (paper 3.370 ± 0.5000)");
    }

    #[test]
    fn one_seed_has_no_spread_and_infinity_no_mean() {
        let found = table(&[run("ppo", &[("kl", 1.0), ("valid", f64::INFINITY)])]).rows;
        assert_eq!((found[0].mean, found[0].std, found[0].paper), (Some(1.0), None, None));
        assert_eq!((found[1].mean, found[1].std), (None, None));
    }

    #[test]
    fn a_row_in_json_has_these_keys() {
        let found = table(&[run("base", &[("kl", 0.5)])]);
        let expected = r#"{"method":"base","condition":"c","metric":"kl","mean":0.5,"std":null,"paper":3.37}"#;
        assert_eq!(serde_json::to_string(&found.rows[0]).unwrap(), expected);
    }

    #[test]
    fn columns_line_up_and_what_is_missing_is_a_dash() {
        let found = table(&[run("base", &[("kl", 0.5)]), run("ppo", &[("kl", 0.25), ("valid", 1.0)])]);
        let expected = "\
| method | condition | kl                            | valid |
| ------ | --------- | ----------------------------- | ----- |
| base   | c         | 0.5000 (paper 3.370 ± 0.5000) | –     |
| ppo    | c         | 0.2500                        | 1.000 |
";
        assert_eq!(found.markdown(&METRICS), expected);
    }
}

//! Section 2 and figure 2: a sampler of uniform random numbers. Every figure is exact: the policy's distribution over all
//! numbers is computed without draws.

use std::path::Path;

use amortize_lm::Policy;
use amortize_report::html::Escaped;
use amortize_report::scale::Scale as Axis;
use amortize_train::TrainError;
use amortize_train::exact::{Share, exact, mean};
use amortize_train::reward::Target;

use super::BASE;
use crate::data::DataFile;
use crate::error::{ReproduceError, Result};
use crate::experiment::{Configs, Experiment, Method, Metric, Published, Shipped, Subject};
use crate::figure::{Panel, Place, Svg, color};
use crate::measured::Measured;
use crate::plan::set;
use crate::table::Table;

/// The paper's prompt, and all numbers once.
const NUMBERS: &str = include_str!("../../../../configs/random-numbers.jsonl");
const FILE: &str = "numbers.jsonl";

const CONFIGS: Configs = Configs {
    tiny: Shipped { path: "configs/rng-tiny.toml", text: include_str!("../../../../configs/rng-tiny.toml") },
    paper: Shipped {
        path: "configs/random-numbers.toml",
        text: include_str!("../../../../configs/random-numbers.toml"),
    },
};

const METHODS: [Method; 4] = [
    BASE,
    Method::new("sft", &["train.method=sft"]),
    // Larger learning rates lose more and more of the numbers.
    Method::new("ppo", &["train.method=ppo", "optimizer.learning_rate=1e-3"]),
    Method::new("gflownet", &[]),
];

const METRICS: [Metric; 5] = [
    Metric { name: "kl", meaning: "KL(policy restricted to numbers || target) in nats, exact; lower is better" },
    Metric { name: "reverse_kl", meaning: "KL(target || policy) in nats, exact; lower is better" },
    Metric { name: "total_variation", meaning: "half the sum of absolute differences, exact; lower is better" },
    Metric { name: "valid", meaning: "the policy's mass on numbers from 0 to 100, exact; higher is better" },
    Metric { name: "invalid_mass", meaning: "its mass on all else, exact; lower is better" },
];

const PUBLISHED: [Published; 5] = [
    Published::new("base", "kl", 3.37, None),
    Published::new("base", "valid", 0.505, None),
    Published::new("ppo", "valid", 0.958, None),
    Published::new("gflownet", "kl", 9.75e-5, None),
    Published::new("gflownet", "valid", 1.0, None),
];

/// Probabilities below are at the foot of the figure.
const LEAST: f64 = 1e-5;

/// Pixels of the figure.
const PANEL: Place = Place { left: 62.0, top: 40.0, width: 300.0, height: 170.0 };
const COLUMN: f64 = 380.0;
const ROW: f64 = 270.0;

pub(super) struct Rng;

impl Experiment for Rng {
    fn title(&self) -> &'static str {
        "Random numbers (section 2, figure 2)"
    }

    fn about(&self) -> &'static str {
        "Every method is to turn the base model into a sampler of uniform integers from 0 to 100. All figures are exact: \
         the policy's probability of every number, in all of its spellings. The paper's are of GPT-J 6B and of 512,000 \
         draws; 9.75e-5 is about what a perfect sampler shows with so many."
    }

    fn configs(&self) -> Configs {
        CONFIGS
    }

    fn methods(&self) -> &'static [Method] {
        &METHODS
    }

    fn data(&self) -> Result<Vec<DataFile>> {
        Ok(vec![DataFile { name: FILE, text: NUMBERS.into() }])
    }

    /// The task has one prompt, and what is held out is no part of the figures.
    fn data_sets(&self, given: Option<&Path>, own: &Path) -> Vec<String> {
        let path = given.map_or_else(|| own.join(FILE), Path::to_path_buf);
        ["data.path", "data.validation_path"].map(|key| set(key, &path)).to_vec()
    }

    fn test_file(&self) -> Option<&'static str> {
        None
    }

    fn metrics(&self) -> &'static [Metric] {
        &METRICS
    }

    fn published(&self) -> &'static [Published] {
        &PUBLISHED
    }

    fn measure(&self, subject: &Subject) -> Result<Measured> {
        let Subject { config, task, policy, .. } = subject;
        let target = Target::of(&config.task, &config.reward, Policy::base(subject.model), &task.actions)?;
        let no_table =
            || ReproduceError::Option("reward.terms: the experiment needs one table, and nothing else".into());
        let support = target.support.ok_or_else(no_table)?;
        let queries: Vec<_> = subject.prompts.iter().map(|prompt| prompt.query.clone()).collect();
        let all = exact(*policy, &queries, &support, &task.actions, config.reward.temperature_end)?;
        let no_prompt =
            || TrainError::Data { path: config.data.path.clone(), line: None, problem: "has no prompt".into() };
        let found = mean(&all).ok_or_else(no_prompt)?;
        let distances = found.distances;
        let values = [
            ("kl", distances.kl),
            ("reverse_kl", distances.reverse_kl),
            ("total_variation", distances.total_variation),
            ("valid", 1.0 - distances.invalid_mass),
            ("invalid_mass", distances.invalid_mass),
        ];
        let values = values.map(|(metric, value)| subject.value(metric, value)).to_vec();
        Ok(Measured { values, distribution: found.distribution })
    }

    /// A plot for each method: the probability of every number on a logarithmic axis, the mean over seeds.
    fn figure(&self, table: &Table, runs: &[&Measured]) -> Svg {
        let plots: Vec<(String, Vec<Share>)> = table
            .systems()
            .into_iter()
            .map(|(method, _)| (method.to_string(), mean_distribution(runs, method)))
            .filter(|(_, shares)| !shares.is_empty())
            .collect();
        let highest = plots.iter().flat_map(|(_, shares)| shares).map(|share| share.policy.max(share.target));
        let y = Axis::log_if_useful(LEAST, highest.fold(0.1, f64::max));
        let body = plots.iter().enumerate().map(|(number, (method, shares))| plot(number, method, shares, &y));
        let body = body.collect();
        let rows = plots.len().div_ceil(2).max(1) as f64;
        let title = "Probability of every number by method; the dashed line is the target".to_string();
        Svg { width: 2.0 * COLUMN, height: ROW * rows, title, body }
    }
}

/// The mean over a method's runs.
fn mean_distribution(runs: &[&Measured], method: &str) -> Vec<Share> {
    let own: Vec<&&Measured> = runs.iter().filter(|run| run.method() == method).collect();
    let Some(first) = own.first() else { return Vec::new() };
    let mean = |(number, share): (usize, &Share)| {
        let sum: f64 = own.iter().filter_map(|run| run.distribution.get(number)).map(|share| share.policy).sum();
        Share { policy: sum / own.len() as f64, ..share.clone() }
    };
    first.distribution.iter().enumerate().map(mean).collect()
}

fn plot(number: usize, method: &str, shares: &[Share], y: &Axis) -> String {
    let place =
        Place { left: PANEL.left + COLUMN * (number % 2) as f64, top: PANEL.top + ROW * (number / 2) as f64, ..PANEL };
    let x = Axis::steps(shares.len() as u64 - 1);
    let valid: f64 = shares.iter().map(|share| share.policy).sum();
    let heading = format!("{method}: {:.2}% valid", 100.0 * valid);
    let panel = Panel { heading: &heading, x_name: "number", y_name: "probability", place, x: &x, y };
    let width = (place.width / shares.len() as f64 * 0.8).max(0.5);
    let bar = |(at, share): (usize, &Share)| {
        let (left, top) = (panel.x(at as f64) - width / 2.0, panel.y(share.policy));
        let height = panel.bottom() - top;
        format!(
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.2}\" height=\"{height:.1}\"><title>{}: {:.3e}</title></rect>\n",
            Escaped(&share.text),
            share.policy
        )
    };
    let bars: String = shares.iter().enumerate().map(bar).collect();
    format!(
        "{}{}<g class=\"{} fill\">\n{bars}</g>\n{}",
        panel.frame(),
        panel.x_axis(),
        color(number),
        target(&panel, shares)
    )
}

/// The target's probabilities, a line through all numbers.
fn target(panel: &Panel, shares: &[Share]) -> String {
    let place = |(at, share): (usize, &Share)| format!("{:.1},{:.1}", panel.x(at as f64), panel.y(share.target));
    let places: Vec<String> = shares.iter().enumerate().map(place).collect();
    format!("<polyline class=\"target\" fill=\"none\" points=\"{}\"/>\n", places.join(" "))
}

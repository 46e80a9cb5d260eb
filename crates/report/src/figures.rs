//! Which figures are shown, and under what names.

use crate::chart::{Axis, Chart, Look};
use crate::html::{number, percent};
use crate::read::{Run, Step, Summary};
use crate::series::Series;

/// A figure of an evaluation.
pub struct Figure {
    pub name: &'static str,
    pub hint: &'static str,
    pub of: fn(&Summary) -> Option<f64>,
    pub show: fn(Option<f64>) -> String,
}

const fn figure(name: &'static str, hint: &'static str, of: fn(&Summary) -> Option<f64>) -> Figure {
    Figure { name, hint, of, show: number }
}

/// The figures that tell whether a run went well.
pub const KEY: [Figure; 6] = [
    figure("Variance of log w", "per prompt; 0 for a perfect sampler", |s| s.log_w_variance),
    figure("ESS", "effective share of draws; 1 for a perfect sampler", |s| s.ess),
    figure("log p of samples", "under the base model, nats", |s| s.mean_log_p),
    figure("KL from base", "nats", |s| s.kl_from_base),
    figure("Length", "tokens before the stop", |s| s.mean_length),
    Figure { show: percent, ..figure("Forced stops", "stopped by the longest length", |s| s.forced_stop_share) },
];

/// The others, for the table of all evaluations.
pub const FURTHER: [Figure; 7] = [
    figure("log Z", "importance sampling, nats", |s| s.log_z_is),
    figure("ELBO", "lower bound on log Z, nats", |s| s.elbo),
    Figure { show: percent, ..figure("Zero reward", "share of draws", |s| s.zero_reward_share) },
    figure("Distinct 1", "share of distinct words", |s| s.distinct_1),
    figure("Distinct 2", "share of distinct pairs", |s| s.distinct_2),
    figure("Distinct 3", "share of distinct triples", |s| s.distinct_3),
    figure("Edit distance", "between draws of a prompt", |s| s.pairwise_edit_distance),
];

/// Curves of the evaluations.
pub fn validation(run: &Run) -> Vec<Chart> {
    let series = |name: &str, of: fn(&Summary) -> Option<f64>| {
        Series::new(name, run.evaluations.iter().map(|evaluation| (evaluation.step, of(&evaluation.summary))))
    };
    let look = Look::Dots { best: run.best().map(|best| best.step) };
    let chart = |title, note, axis, series| Chart { title, note, series, axis, look };
    vec![
        chart(
            "Variance of log w",
            "Within a prompt; 0 for a perfect sampler",
            Axis::Log,
            vec![series("variance", |s| s.log_w_variance)],
        ),
        chart("ESS", "Effective share of the draws", Axis::FromZero, vec![series("ESS", |s| s.ess)]),
        chart(
            "log Z and its lower bound",
            "Nats; they meet for a perfect sampler",
            Axis::Linear,
            vec![series("log Z", |s| s.log_z_is), series("ELBO", |s| s.elbo)],
        ),
        chart("log p of samples", "Under the base model, nats", Axis::Linear, vec![series("log p", |s| s.mean_log_p)]),
        chart("KL from base", "Nats", Axis::FromZero, vec![series("KL", |s| s.kl_from_base)]),
        chart("Length", "Tokens before the stop", Axis::FromZero, vec![series("length", |s| s.mean_length)]),
        chart(
            "Forced stops and zero rewards",
            "Shares of the draws",
            Axis::FromZero,
            vec![series("forced stop", |s| s.forced_stop_share), series("zero reward", |s| s.zero_reward_share)],
        ),
        chart(
            "Diversity",
            "Distinct shares, and edit distance",
            Axis::FromZero,
            vec![
                series("words", |s| s.distinct_1),
                series("pairs", |s| s.distinct_2),
                series("edit distance", |s| s.pairwise_edit_distance),
            ],
        ),
    ]
}

/// Curves of the training steps.
pub fn training(run: &Run) -> Vec<Chart> {
    let points = |of: fn(&Step) -> Option<f64>| run.steps.iter().map(move |step| (step.step, of(step)));
    let one = |title, note, axis, look, name: &str, of| Chart {
        title,
        note,
        series: vec![Series::new(name, points(of))],
        axis,
        look,
    };
    let speed = run.timing.iter().map(|timing| (timing.step, timing.tokens_per_second));
    use Look::{Plain, Smoothed};
    vec![
        one("Loss", "The objective before the update", Axis::Log, Smoothed, "loss", |s| s.loss),
        Chart {
            title: "Mean log R by source",
            note: "Untempered, nats",
            series: log_rewards(run),
            axis: Axis::Linear,
            look: Smoothed,
        },
        one("On-policy variance of log w", "For the target of the step", Axis::Log, Smoothed, "variance", |s| {
            s.on_policy.as_ref()?.log_w_variance
        }),
        one("On-policy ESS", "For the target of the step", Axis::FromZero, Smoothed, "ESS", |s| {
            s.on_policy.as_ref()?.ess
        }),
        Chart {
            title: "log Z and its lower bound",
            note: "For the target of the step, nats",
            series: vec![
                Series::new("flow of the root", points(|s| s.log_z)),
                Series::new("on-policy ELBO", points(|s| s.on_policy.as_ref()?.elbo)),
            ],
            axis: Axis::Linear,
            look: Smoothed,
        },
        one("Gradient norm", "Before clipping", Axis::Log, Smoothed, "norm", |s| s.gradient_norm),
        one("Reward temperature", "Of the step's target", Axis::Linear, Plain, "temperature", |s| s.reward_temperature),
        one("Learning rate", "Of the update", Axis::FromZero, Plain, "rate", |s| s.learning_rate),
        Chart {
            title: "Speed",
            note: "Sampled tokens per second",
            series: vec![Series::new("tokens/s", speed)],
            axis: Axis::FromZero,
            look: Smoothed,
        },
    ]
}

/// A series for each source of trajectories, in the order of the names that are known.
fn log_rewards(run: &Run) -> Vec<Series> {
    let mut names = vec!["on_policy", "tempered", "replay"];
    for name in run.steps.iter().flat_map(|step| step.sources.keys()) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let series = |name: &str| {
        // A step without the source is no gap.
        let points = run.steps.iter().filter_map(|step| Some((step.step, step.sources.get(name)?.mean_log_reward)));
        Series::new(name.replace('_', " "), points)
    };
    names.into_iter().map(series).collect()
}

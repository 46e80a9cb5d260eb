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
    use Look::{Plain, Smoothed};
    let every = |name: &str, of: fn(&Step) -> Option<f64>| {
        Series::new(name, run.steps.iter().map(|step| (step.step, of(step))))
    };
    // A step without draws of the policy's own is no gap.
    let on_policy = |name: &str, of: fn(&Summary) -> Option<f64>| {
        Series::new(name, run.steps.iter().filter_map(|step| Some((step.step, of(step.on_policy.as_ref()?)))))
    };
    let speed = run.timing.iter().map(|timing| (timing.step, timing.tokens_per_second));
    let chart = |title, note, axis, look, series| Chart { title, note, series, axis, look };
    vec![
        chart("Loss", "The objective before the update", Axis::Log, Smoothed, vec![every("loss", |s| s.loss)]),
        chart("Mean log R by source", "Untempered, nats", Axis::Linear, Smoothed, log_rewards(run)),
        chart(
            "On-policy variance of log w",
            "For the target of the step",
            Axis::Log,
            Smoothed,
            vec![on_policy("variance", |s| s.log_w_variance)],
        ),
        chart(
            "On-policy ESS",
            "For the target of the step",
            Axis::FromZero,
            Smoothed,
            vec![on_policy("ESS", |s| s.ess)],
        ),
        chart(
            "Root flow and ELBO",
            "For the target of the step, nats",
            Axis::Linear,
            Smoothed,
            vec![every("root flow", |s| s.log_z), on_policy("on-policy ELBO", |s| s.elbo)],
        ),
        chart("Gradient norm", "Before clipping", Axis::Log, Smoothed, vec![every("norm", |s| s.gradient_norm)]),
        chart(
            "Reward temperature",
            "Of the step's target",
            Axis::Linear,
            Plain,
            vec![every("temperature", |s| s.reward_temperature)],
        ),
        chart("Learning rate", "Of the update", Axis::FromZero, Plain, vec![every("rate", |s| s.learning_rate)]),
        chart("Speed", "Sampled tokens per second", Axis::FromZero, Smoothed, vec![Series::new("tokens/s", speed)]),
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

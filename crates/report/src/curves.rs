//! Which curves are shown, and what a reader should look for in them.

use crate::chart::{Axis, Chart, Look};
use crate::read::{Run, Step, Summary};
use crate::series::Series;

/// Curves of the evaluations.
pub fn validation(run: &Run) -> Vec<Chart> {
    let series = |name: &str, of: fn(&Summary) -> Option<f64>| {
        Series::new(name, run.evaluations.iter().map(|evaluation| (evaluation.step, of(&evaluation.summary))))
    };
    let look = Look::Dots { best: run.best().map(|best| best.step) };
    let chart = |title, unit, note, axis, series| Chart { title, unit, note, series, axis, look };
    vec![
        chart(
            "Validation loss",
            "nats a token",
            "Of held-out text. Should fall and level off; a rise is overfitting.",
            Axis::Linear,
            vec![series("loss", Summary::held_out_loss)],
        ),
        chart(
            "Variance of log w",
            "nats²",
            "Within a prompt. Should fall towards 0, where every draw is as likely as it should be.",
            Axis::Log,
            vec![series("variance", |s| s.log_w_variance)],
        ),
        chart(
            "ESS",
            "share of the draws",
            "How many draws count once they are weighed. Should rise towards 1.",
            Axis::FromZero,
            vec![series("ESS", |s| s.ess)],
        ),
        chart(
            "log Z and its lower bound",
            "nats",
            "The gap is what the policy lacks, as far as its draws reach. Should close.",
            Axis::Linear,
            vec![series("log Z", |s| s.log_z_is), series("ELBO", |s| s.elbo)],
        ),
        chart(
            "log p of samples",
            "nats",
            "Under the base model. Rises where the target prefers likely texts.",
            Axis::Linear,
            vec![series("log p", |s| s.mean_log_p)],
        ),
        chart(
            "Diversity",
            "between 0 and 1",
            "Of a prompt's draws: distinct words and pairs, edit distance. A fall towards 0 is a collapse.",
            Axis::FromZero,
            vec![
                series("words", |s| s.distinct_1),
                series("pairs", |s| s.distinct_2),
                series("edit distance", |s| s.pairwise_edit_distance),
            ],
        ),
        chart(
            "KL from base",
            "nats",
            "How far the policy is from the base model's p(Z | X). Should level off; farther is not better. With a prompt or \
             a mask of its own it does not begin at 0.",
            Axis::FromZero,
            vec![series("KL", |s| s.kl_from_base)],
        ),
        chart(
            "Length",
            "tokens before the stop",
            "Should level off above the least length that is allowed.",
            Axis::FromZero,
            vec![series("length", |s| s.mean_length)],
        ),
        chart(
            "Forced stops and zero rewards",
            "shares of the draws",
            "Cut off by the longest length; worth nothing. Both should be near 0.",
            Axis::FromZero,
            vec![series("forced stop", |s| s.forced_stop_share), series("zero reward", |s| s.zero_reward_share)],
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
    let chart = |title, unit, note, axis, look, series| Chart { title, unit, note, series, axis, look };
    let (loss_unit, loss_note) = loss_words(run);
    vec![
        chart("Loss", loss_unit, loss_note, Axis::Log, Smoothed, vec![every("loss", |s| s.loss)]),
        chart(
            "Mean log R by source",
            "nats",
            "Untempered. The policy's own draws should rise and level off.",
            Axis::Linear,
            Smoothed,
            log_rewards(run),
        ),
        chart(
            "On-policy variance of log w",
            "nats²",
            "For the target of the step, of few draws. Should fall, or hold while that target grows harder.",
            Axis::Log,
            Smoothed,
            vec![on_policy("variance", |s| s.log_w_variance)],
        ),
        chart(
            "On-policy ESS",
            "share of the draws",
            "For the target of the step, of few draws. Near 1 is good.",
            Axis::FromZero,
            Smoothed,
            vec![on_policy("ESS", |s| s.ess)],
        ),
        chart(
            "Root flow and ELBO",
            "nats",
            "The objective's log Z and its lower bound, for the target of the step. Should stay together.",
            Axis::Linear,
            Smoothed,
            vec![every("root flow", |s| s.log_z), on_policy("on-policy ELBO", |s| s.elbo)],
        ),
        chart(
            "Gradient norm",
            "",
            "Before clipping. Lone spikes are harmless; a steady rise is a run that comes apart.",
            Axis::Log,
            Smoothed,
            vec![every("norm", |s| s.gradient_norm)],
        ),
        chart(
            "Reward temperature",
            "",
            "T of the step's target R^(1/T), by its schedule.",
            Axis::Linear,
            Plain,
            vec![every("temperature", |s| s.reward_temperature)],
        ),
        chart(
            "Learning rate",
            "",
            "Of the update, by its schedule.",
            Axis::FromZero,
            Plain,
            vec![every("rate", |s| s.learning_rate)],
        ),
        chart(
            "Speed",
            "tokens/s",
            "Tokens of a step over its time.",
            Axis::FromZero,
            Smoothed,
            vec![Series::new("tokens/s", speed)],
        ),
    ]
}

/// The unit of the loss, and what to look for in it.
fn loss_words(run: &Run) -> (&'static str, &'static str) {
    match run.is_likelihood() {
        true => ("nats a token", "Of the step's text, before the update. Should fall and level off."),
        false => ("", "The objective before the update. May rise while the target grows harder, and should then fall."),
    }
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

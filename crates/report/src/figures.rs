//! Which figures of evaluations there are, and under what names.

use crate::html::{number, percent};
use crate::read::{Run, Summary};

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
const KEY: [Figure; 10] = [
    figure("Validation loss", "nats a token of held-out text", Summary::held_out_loss),
    figure("Perplexity", "exp of that; 1 would be certainty", |s| s.held_out_loss().map(f64::exp)),
    figure("KL to the target", "exact, among texts that have a reward, nats", |s| s.kl),
    figure("Invalid mass", "exact: the probability of texts without a reward", |s| s.invalid_mass),
    figure("Variance of log w", "within a prompt, nats²; 0 for a perfect sampler", |s| s.log_w_variance),
    figure("ESS", "effective share of draws; 1 for a perfect sampler", |s| s.ess),
    figure("log p of samples", "under the base model, nats", |s| s.mean_log_p),
    figure("Diversity", "edit distance between draws of a prompt; 0 if all are one text", |s| s.pairwise_edit_distance),
    figure("KL from base", "of the policy from p(Z | X), nats", |s| s.kl_from_base),
    figure("Length", "tokens before the stop", |s| s.mean_length),
];

/// The others, for the table of all evaluations.
const FURTHER: [Figure; 7] = [
    figure("log Z", "importance sampling, nats", |s| s.log_z_is),
    figure("ELBO", "lower bound on log Z, nats", |s| s.elbo),
    Figure { show: percent, ..figure("Forced stops", "stopped by the longest length", |s| s.forced_stop_share) },
    Figure { show: percent, ..figure("Zero reward", "share of draws", |s| s.zero_reward_share) },
    figure("Distinct 1", "share of distinct words", |s| s.distinct_1),
    figure("Distinct 2", "share of distinct pairs", |s| s.distinct_2),
    figure("Distinct 3", "share of distinct triples", |s| s.distinct_3),
];

/// The key figures that a run has.
pub fn key(run: &Run) -> impl Iterator<Item = &'static Figure> {
    KEY.iter().filter(|figure| run.evaluates(figure.of))
}

/// All figures that a run has.
pub fn all(run: &Run) -> impl Iterator<Item = &'static Figure> {
    KEY.iter().chain(&FURTHER).filter(|figure| run.evaluates(figure.of))
}

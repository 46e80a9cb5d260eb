//! Draws of the base model beside draws of the trained policy, for the same prompts.

use std::cmp::Ordering;

use crate::html::{Escaped, NONE, count, nats};
use crate::read::{Sample, SampleKind};
use crate::samples::by_prompt;

/// Shortest bar, in percent of the longest.
const SHORTEST: f64 = 4.0;

/// What the marks and columns mean.
const LEGEND: &str = "Drawn for held-out prompts, before and after with the same seed. In nats: log p is the base model's, \
                      log q that of the model which drew, log R the untempered reward where it is another than p, and \
                      log w = log R / T − log q. The longer the bar, the higher log R among a prompt's draws; ▲ marks \
                      what beats all draws from before. Likelier texts are not the aim by themselves: in a good sampler \
                      the draws of a prompt have log w alike.";

/// Both sides of every prompt that has one, best draws first; nothing if no draw was recorded for it.
pub fn comparison(samples: &[Sample]) -> Option<String> {
    let pairs: String = Pair::all(samples).iter().map(Pair::html).collect();
    (!pairs.is_empty()).then(|| format!("<p>{LEGEND}</p>\n{pairs}"))
}

/// The draws of one prompt, best first.
pub struct Pair<'a> {
    pub prompt: &'a str,
    pub before: Vec<&'a Sample>,
    pub after: Vec<&'a Sample>,
    /// Whether log R is another than log p.
    has_reward: bool,
}

impl<'a> Pair<'a> {
    /// A pair for every prompt with such draws, in the order of the records.
    pub fn all(samples: &'a [Sample]) -> Vec<Self> {
        let last = samples.iter().filter(|sample| sample.kind == SampleKind::After).map(|sample| sample.step).max();
        let compared = samples.iter().filter(|sample| sample.kind != SampleKind::Train);
        let pairs = by_prompt(compared).into_iter().map(|(prompt, own)| Self::new(&own, prompt, last));
        pairs.filter(|pair| !pair.before.is_empty() || !pair.after.is_empty()).collect()
    }

    fn new(samples: &[&'a Sample], prompt: &'a str, last: Option<u64>) -> Self {
        let of = |kind| {
            let own = samples.iter().copied().filter(|sample| sample.kind == kind);
            let latest = own.filter(|sample| kind == SampleKind::Before || Some(sample.step) == last);
            let mut side: Vec<&Sample> = latest.collect();
            side.sort_by(|a, b| b.log_reward.partial_cmp(&a.log_reward).unwrap_or(Ordering::Equal));
            side
        };
        let (before, after) = (of(SampleKind::Before), of(SampleKind::After));
        let differ = |sample: &&&Sample| match (sample.log_p, sample.log_reward) {
            (Some(log_p), Some(log_reward)) => (log_p - log_reward).abs() > 1e-6 * log_p.abs(),
            (log_p, log_reward) => log_p.is_some() != log_reward.is_some(),
        };
        let has_reward = before.iter().chain(&after).any(|sample| differ(&sample));
        Self { prompt, before, after, has_reward }
    }

    fn html(&self) -> String {
        let step = self.after.first().map(|sample| format!("step {}", count(sample.step)));
        let sides = [
            self.table("Before", "the base model", &self.before),
            self.table("After", &step.unwrap_or_default(), &self.after),
        ];
        format!(
            "<article class=\"samples\">\n<h3 dir=\"auto\">{}</h3>\n<div class=\"sides\">\n{}</div>\n</article>\n",
            Escaped(self.prompt),
            sides.concat()
        )
    }

    fn table(&self, when: &str, whose: &str, samples: &[&Sample]) -> String {
        if samples.is_empty() {
            return String::new();
        }
        let mean = mean(samples.iter().filter_map(|sample| sample.log_p));
        let spread = deviation(samples.iter().filter_map(|sample| sample.log_weight));
        let reward = if self.has_reward { r#"<th scope="col">log R</th>"# } else { "" };
        let rows: String = samples.iter().map(|sample| self.row(sample)).collect();
        format!(
            r#"<div class="side">
<table class="drawn">
<caption><b>{when}</b> {whose} <span>mean log p <b>{}</b>, log w varies by ± <b>{}</b></span></caption>
<thead><tr><th scope="col">Text</th><th scope="col">log p</th><th scope="col">log q</th>{reward}<th scope="col">log w</th></tr></thead>
<tbody>
{rows}</tbody>
</table>
</div>
"#,
            nats(mean),
            nats(spread)
        )
    }

    fn row(&self, sample: &Sample) -> String {
        let text = match sample.text.trim() {
            "" => NONE,
            text => text,
        };
        let mark = match self.beats_before(sample) {
            true => r#" <span class="mark" title="beats all draws from before">▲</span>"#,
            false => "",
        };
        let bar = self.bar(sample).map(|percent| format!(r#"<span class="bar" style="width:{percent:.0}%"></span>"#));
        let cell = |name: &str, value: Option<f64>| format!(r#"<td data-name="{name}">{}</td>"#, zero_or(value));
        let reward = if self.has_reward { cell("log R", sample.log_reward) } else { String::new() };
        let class = if mark.is_empty() { "" } else { r#" class="better""# };
        format!(
            "<tr{class}><td class=\"text\" dir=\"auto\">{}{mark}{}</td>{}{}{reward}{}</tr>\n",
            Escaped(text),
            bar.unwrap_or_default(),
            cell("log p", sample.log_p),
            cell("log q", sample.log_q),
            cell("log w", sample.log_weight),
        )
    }

    /// Whether a draw from after has a higher reward than all from before.
    fn beats_before(&self, sample: &Sample) -> bool {
        let highest = self.before.iter().map(|before| before.log_reward).fold(None, |a, b| if b > a { b } else { a });
        sample.kind == SampleKind::After && !self.before.is_empty() && sample.log_reward > highest
    }

    /// How high log R is among all draws of the prompt, in percent; none where it is minus infinity.
    fn bar(&self, sample: &Sample) -> Option<f64> {
        let rewards = || self.before.iter().chain(&self.after).filter_map(|sample| sample.log_reward);
        let (low, high) = rewards().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
        let share = (sample.log_reward? - low) / (high - low).max(f64::MIN_POSITIVE);
        Some(SHORTEST + (100.0 - SHORTEST) * share)
    }
}

/// Nothing else than a probability or a reward of zero is written as `null`.
fn zero_or(value: Option<f64>) -> String {
    value.map_or_else(|| "−∞".into(), |value| nats(Some(value)))
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The standard deviation of two values or more.
fn deviation(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    let mean = mean(values.iter().copied())?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt())
}

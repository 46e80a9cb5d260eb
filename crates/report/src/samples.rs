//! Samples of early steps beside samples of late ones.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::html::{Escaped, NONE, count, number};
use crate::read::Sample;

/// Most prompts that are shown early and late.
const PROMPTS: usize = 6;

/// Most samples of a step where prompts differ.
const UNPAIRED: usize = 8;

/// Early and late samples, of one prompt or of different ones.
struct Comparison<'a> {
    prompt: Option<&'a str>,
    early: Vec<&'a Sample>,
    late: Vec<&'a Sample>,
}

/// The samples as HTML; nothing if there are none.
pub fn samples(samples: &[Sample]) -> Option<String> {
    let (first, last) = (samples.first()?.step, samples.last()?.step);
    let mut comparisons = same_prompt(samples, first, last);
    if comparisons.is_empty() {
        let early: Vec<&Sample> = samples.iter().take(UNPAIRED).collect();
        let late = samples.len().saturating_sub(UNPAIRED).max(early.len());
        comparisons = vec![Comparison { prompt: None, early, late: samples[late..].iter().collect() }];
    }
    Some(comparisons.iter().map(Comparison::html).collect())
}

/// Prompts drawn in the first half of the run and again in the second, the farthest apart first.
fn same_prompt(samples: &[Sample], first: u64, last: u64) -> Vec<Comparison<'_>> {
    let middle = first + (last - first) / 2;
    let mut found = Vec::new();
    for (prompt, own) in by_prompt(samples) {
        let (from, to) = (own[0].step, own[own.len() - 1].step);
        let at = |step| own.iter().copied().filter(|sample| sample.step == step).collect();
        if from <= middle && middle < to {
            found.push(Comparison { prompt: Some(prompt), early: at(from), late: at(to) });
        }
    }
    found.sort_by_key(|comparison| Reverse(comparison.late[0].step - comparison.early[0].step));
    found.truncate(PROMPTS);
    found
}

/// The samples of each prompt, the prompts in the order in which they come first.
pub(crate) fn by_prompt<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Vec<(&'a str, Vec<&'a Sample>)> {
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let mut groups: Vec<(&str, Vec<&Sample>)> = Vec::new();
    for sample in samples {
        let number = *numbers.entry(&sample.prompt).or_insert(groups.len());
        if number == groups.len() {
            groups.push((&sample.prompt, Vec::new()));
        }
        groups[number].1.push(sample);
    }
    groups
}

impl Comparison<'_> {
    fn html(&self) -> String {
        let prompt = self.prompt.map(|prompt| format!("<h3 dir=\"auto\">{}</h3>\n", Escaped(prompt)));
        let prompt = prompt.unwrap_or_default();
        let [early, late] = [self.table("Early", &self.early), self.table("Late", &self.late)];
        format!("<article class=\"samples\">\n{prompt}<div class=\"sides\">\n{early}{late}</div>\n</article>\n")
    }

    fn table(&self, when: &str, samples: &[&Sample]) -> String {
        let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return String::new() };
        let steps = match first.step == last.step {
            true => format!("step {}", count(first.step)),
            false => format!("steps {} to {}", count(first.step), count(last.step)),
        };
        let rows: String = samples.iter().map(|sample| self.row(sample)).collect();
        format!(
            r#"<table>
<caption>{when}: {steps}</caption>
<thead><tr><th scope="col">Sample</th><th scope="col">log q</th><th scope="col">log R</th></tr></thead>
<tbody>
{rows}</tbody>
</table>
"#
        )
    }

    fn row(&self, sample: &Sample) -> String {
        let prompt = match self.prompt {
            Some(_) => String::new(),
            None => format!("<span class=\"prompt\">{}</span> ", Escaped(&sample.prompt)),
        };
        let text = match sample.text.trim() {
            "" => NONE,
            text => text,
        };
        let log_q = number(sample.log_q);
        // Nothing else than a reward of zero is written as `null`.
        let log_reward = sample.log_reward.map_or("−∞".into(), |value| number(Some(value)));
        let text = format!("<td class=\"text\" dir=\"auto\">{prompt}{}</td>", Escaped(text));
        format!("<tr>{text}<td>{log_q}</td><td>{log_reward}</td></tr>\n")
    }
}

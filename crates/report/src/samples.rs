//! Samples of early steps beside samples of late ones.

use std::fmt::Write;

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
    let mut prompts: Vec<&str> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    prompts.extend(samples.iter().map(|sample| sample.prompt.as_str()).filter(|prompt| seen.insert(*prompt)));
    let middle = first + (last - first) / 2;
    let compare = |prompt| {
        let own: Vec<&Sample> = samples.iter().filter(|sample| sample.prompt == prompt).collect();
        let (from, to) = (own.first()?.step, own.last()?.step);
        let at = |step| own.iter().copied().filter(|sample| sample.step == step).collect();
        (from <= middle && middle < to).then(|| Comparison { prompt: Some(prompt), early: at(from), late: at(to) })
    };
    let mut found: Vec<Comparison> = prompts.into_iter().filter_map(compare).collect();
    found.sort_by_key(|comparison| std::cmp::Reverse(comparison.late[0].step - comparison.early[0].step));
    found.truncate(PROMPTS);
    found
}

impl Comparison<'_> {
    fn html(&self) -> String {
        let mut html = String::from("<article class=\"samples\">\n");
        if let Some(prompt) = self.prompt {
            let _ = writeln!(html, "<h3 dir=\"auto\">{}</h3>", Escaped(prompt));
        }
        html += "<div class=\"sides\">\n";
        self.table(&mut html, "Early", &self.early);
        self.table(&mut html, "Late", &self.late);
        html + "</div>\n</article>\n"
    }

    fn table(&self, html: &mut String, when: &str, samples: &[&Sample]) {
        let [first, .., last] = samples else {
            if let [one] = samples {
                self.rows(html, &format!("{when}: step {}", count(one.step)), samples);
            }
            return;
        };
        let steps = match first.step == last.step {
            true => format!("{when}: step {}", count(first.step)),
            false => format!("{when}: steps {} to {}", count(first.step), count(last.step)),
        };
        self.rows(html, &steps, samples);
    }

    fn rows(&self, html: &mut String, caption: &str, samples: &[&Sample]) {
        let _ = writeln!(html, "<table>\n<caption>{caption}</caption>");
        *html += "<thead><tr><th scope=\"col\">Sample</th><th scope=\"col\">log q</th><th scope=\"col\">log R</th></tr></thead>\n<tbody>\n";
        for sample in samples {
            *html += "<tr><td class=\"text\" dir=\"auto\">";
            if self.prompt.is_none() {
                let _ = write!(html, "<span class=\"prompt\">{}</span> ", Escaped(&sample.prompt));
            }
            let text = sample.text.trim();
            let text = if text.is_empty() { NONE } else { text };
            let log_reward = sample.log_reward.map_or("−∞".into(), |value| number(Some(value)));
            let _ = writeln!(html, "{}</td><td>{}</td><td>{log_reward}</td></tr>", Escaped(text), number(sample.log_q));
        }
        *html += "</tbody>\n</table>\n";
    }
}

//! Section 4.1 and figure 3: likely and yet different continuations of a prompt.

use std::path::Path;

use amortize_gfn::diagnostics::distinct_n;
use amortize_lm::{BeamOptions, Policy, Truncation};
use amortize_metrics::{mean, mean_pairwise_cosine_distance};
use amortize_train::decoding::Decoding;
use amortize_train::reward::Target;
use amortize_train::sampling::Sample;
use amortize_world::Split;
use amortize_world::texts::continuation_prompt;

use super::BASE;
use crate::data::DataFile;
use crate::error::Result;
use crate::experiment::{Configs, Experiment, Method, Metric, Published, Shipped, Subject};
use crate::figure::{Mark, Point, Svg, points};
use crate::measured::{Measured, Value};
use crate::plan::set;
use crate::table::Table;
use crate::texts::{Draws, bags_of_words, draw, words};

/// Prompts of the tiny scale. None of a file is in another: the world splits paragraphs by their beginnings.
const FILES: [(&str, Split, usize); 3] =
    [("train.txt", Split::Train, 1000), ("validation.txt", Split::Validation, 20), (TEST, Split::Test, 50)];
const TEST: &str = "test.txt";

/// Samples of a prompt, of which the likeliest counts; and what a search has with five times the compute.
const N: usize = 8;
const FIVE_TIMES: usize = 5 * N;

/// What a token loses for every earlier group that took it in the same step, in nats.
const DIVERSITY_PENALTY: f64 = 0.5;

const CONFIGS: Configs = Configs {
    tiny: Shipped {
        path: "configs/continuation-tiny.toml",
        text: include_str!("../../../../configs/continuation-tiny.toml"),
    },
    paper: Shipped { path: "configs/continuation.toml", text: include_str!("../../../../configs/continuation.toml") },
};

const fn gflownet(condition: &'static str, suffix: &'static str, sets: &'static [&'static str]) -> Method {
    Method { condition, suffix, ..Method::new("gflownet", sets) }
}

/// The base model's run stands for all that is decoded from it.
const METHODS: [Method; 4] = [
    BASE,
    gflownet("T=0.8", "-T0.8", &["reward.temperature_end=0.8"]),
    gflownet("T=0.875", "-T0.875", &["reward.temperature_end=0.875"]),
    gflownet("T=0.95", "-T0.95", &["reward.temperature_end=0.95"]),
];

/// A way to decode from the base model, as the table names it.
struct Baseline {
    name: &'static str,
    condition: &'static str,
    policy_temperature: f64,
    decoding: Decoding,
}

const fn drawn(name: &'static str, condition: &'static str, policy_temperature: f64, how: Truncation) -> Baseline {
    Baseline { name, condition, policy_temperature, decoding: Decoding::Draw(how) }
}

fn baselines() -> Vec<Baseline> {
    let beams = |name, condition, beams, groups| {
        let diversity_penalty = if groups > 1 { DIVERSITY_PENALTY } else { 0.0 };
        let options = BeamOptions { groups, diversity_penalty, ..BeamOptions::beams(beams) };
        Baseline { name, condition, policy_temperature: 1.0, decoding: Decoding::Beam(options) }
    };
    let greedy = Decoding::Beam(BeamOptions::greedy());
    vec![
        drawn("ancestral", "T=1", 1.0, Truncation::None),
        drawn("tempered", "T=0.6", 0.6, Truncation::None),
        drawn("tempered", "T=0.7", 0.7, Truncation::None),
        drawn("tempered", "T=0.8", 0.8, Truncation::None),
        drawn("tempered", "T=0.9", 0.9, Truncation::None),
        drawn("nucleus", "p=0.5", 1.0, Truncation::TopP(0.5)),
        drawn("nucleus", "p=0.8", 1.0, Truncation::TopP(0.8)),
        drawn("nucleus", "p=0.95", 1.0, Truncation::TopP(0.95)),
        drawn("top_k", "k=5", 1.0, Truncation::TopK(5)),
        drawn("top_k", "k=50", 1.0, Truncation::TopK(50)),
        Baseline { name: "greedy", condition: "", policy_temperature: 1.0, decoding: greedy },
        beams("beam", "n beams", N, 1),
        beams("beam", "5n beams", FIVE_TIMES, 1),
        beams("diverse_beam", "n beams", N, N),
        beams("diverse_beam", "5n beams", FIVE_TIMES, N),
    ]
}

const METRICS: [Metric; 6] = [
    Metric {
        name: "max_log_likelihood",
        meaning: "the best log p of 8 sequences of a prompt, in nats; higher is better",
    },
    Metric { name: "mean_log_likelihood", meaning: "the mean log p of 8 sequences of a prompt, in nats" },
    Metric { name: "diversity", meaning: "mean cosine distance of two sequences' embeddings; higher is more diverse" },
    Metric {
        name: "word_diversity",
        meaning: "mean cosine distance of two sequences' bags of words, which need no encoder",
    },
    Metric { name: "distinct_1", meaning: "distinct words of a prompt's sequences among all; higher is more diverse" },
    Metric { name: "distinct_2", meaning: "distinct pairs of words among all; higher is more diverse" },
];

pub(super) struct Continuation;

impl Experiment for Continuation {
    fn title(&self) -> &'static str {
        "Sentence continuation (section 4.1, figure 3)"
    }

    fn about(&self) -> &'static str {
        "Eight continuations of every held-out prompt, by policies that were trained towards the base model's tempered \
         p(Z | X)^(1/T) and by what is commonly decoded from the base model itself. Up and to the right is better: likely \
         continuations that differ. The paper shows these figures of GPT-2 XL in a plot without numbers."
    }

    fn configs(&self) -> Configs {
        CONFIGS
    }

    fn methods(&self) -> &'static [Method] {
        &METHODS
    }

    fn data(&self) -> Result<Vec<DataFile>> {
        let file = |(name, split, count)| DataFile::lines(name, count, |draw| continuation_prompt(split, draw));
        FILES.into_iter().map(file).collect()
    }

    fn data_sets(&self, given: Option<&Path>, own: &Path) -> Vec<String> {
        match given {
            Some(path) => vec![set("data.path", path)],
            None => {
                vec![set("data.path", &own.join("train.txt")), set("data.validation_path", &own.join("validation.txt"))]
            }
        }
    }

    fn test_file(&self) -> Option<&'static str> {
        Some(TEST)
    }

    fn metrics(&self) -> &'static [Metric] {
        &METRICS
    }

    fn published(&self) -> &'static [Published] {
        &[]
    }

    fn measure(&self, subject: &Subject) -> Result<Measured> {
        if subject.method != BASE {
            let how = Draws { n: N, seed: subject.seed, policy_temperature: 1.0, decoding: Decoding::OWN };
            let values = figures(subject, subject.policy, how, (subject.method.name, subject.method.condition))?;
            return Ok(Measured { values, ..Measured::default() });
        }
        let mut values = Vec::new();
        for Baseline { name, condition, policy_temperature, decoding } in baselines() {
            // A search finds the same whatever the seed.
            if matches!(decoding, Decoding::Beam(_)) && !subject.first {
                continue;
            }
            let n = if name == "greedy" { 1 } else { N };
            let how = Draws { n, seed: subject.seed, policy_temperature, decoding };
            values.extend(figures(subject, Policy::base(subject.model), how, (name, condition))?);
        }
        Ok(Measured { values, ..Measured::default() })
    }

    /// A point for each method: stars are the GFlowNet's.
    fn figure(&self, table: &Table, _: &[&Measured]) -> Svg {
        let embedded = table.rows.iter().any(|row| row.metric == "diversity");
        let (metric, x) = match embedded {
            true => ("diversity", "diversity: cosine distance of embeddings"),
            false => ("word_diversity", "diversity: cosine distance of bags of words"),
        };
        let all: Vec<Point> = table.systems().into_iter().filter_map(|system| point(table, system, metric)).collect();
        points("Likelihood and diversity of eight continuations", (x, "max log-likelihood, nats"), &all)
    }
}

fn point(table: &Table, (name, condition): (&str, &str), metric: &str) -> Option<Point> {
    let mean = |metric| table.row((name, condition), metric).and_then(|row| row.mean);
    let y = mean("max_log_likelihood")?;
    let families = ["gflownet", "tempered", "nucleus", "top_k", "ancestral", "diverse_beam", "beam", "greedy"];
    let family = families.iter().position(|family| *family == name)?;
    let (mark, x) = match (name, mean(metric)) {
        ("gflownet", x) => (Mark::Star, x?),
        // One sequence has nothing to differ from.
        ("greedy", _) => (Mark::Level, 0.0),
        (_, x) => (Mark::Dot, x?),
    };
    Some(Point { label: format!("{name} {condition}").trim_end().into(), family, mark, x, y })
}

/// Likelihood and diversity of what is decoded in one way, means over prompts.
fn figures(subject: &Subject, policy: Policy, how: Draws, (name, condition): (&str, &str)) -> Result<Vec<Value>> {
    let Subject { config, task, .. } = subject;
    let mut target = Target::continuation(Policy::base(subject.model), &task.actions, config.reward.mask);
    let samples = draw(policy, &mut target, subject.prompts, &task.actions, how)?;
    let (mut best, mut all) = (Vec::new(), Vec::new());
    let (mut diversity, mut word_diversity) = (Vec::new(), Vec::new());
    let (mut distinct_1, mut distinct_2) = (Vec::new(), Vec::new());
    for samples in &samples {
        let log_p: Vec<f64> = samples.iter().filter_map(|sample| sample.log_reward).collect();
        best.extend(log_p.iter().copied().reduce(f64::max));
        all.extend(mean(&log_p));
        let texts: Vec<String> = samples.iter().map(|sample: &Sample| sample.text.trim().to_string()).collect();
        if let Some(encoder) = subject.encoder {
            diversity.extend(mean_pairwise_cosine_distance(&encoder.embed(&texts)?));
        }
        word_diversity.extend(mean_pairwise_cosine_distance(&bags_of_words(&texts)));
        // One text has little to repeat: its share of distinct words says nothing beside that of eight.
        if how.n == 1 {
            continue;
        }
        let words: Vec<Vec<String>> = texts.iter().map(|text| words(text)).collect();
        distinct_1.extend(distinct_n(&words, 1));
        distinct_2.extend(distinct_n(&words, 2));
    }
    let columns = [
        ("max_log_likelihood", best),
        ("mean_log_likelihood", all),
        ("diversity", diversity),
        ("word_diversity", word_diversity),
        ("distinct_1", distinct_1),
        ("distinct_2", distinct_2),
    ];
    let value = |(metric, values): (&str, Vec<f64>)| Some(Value::new(name, condition, metric, mean(&values)?));
    Ok(columns.into_iter().filter_map(value).collect())
}

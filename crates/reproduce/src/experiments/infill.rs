//! Section 4.2 and table 2: the fourth of five sentences, given the others.

use std::path::Path;

use amortize_encoders::{Encoder, bert_scores};
use amortize_lm::Policy;
use amortize_metrics::{bleu, gleu, mean, tokenize_13a};
use amortize_raters::{Rater, whole_story};
use amortize_train::data::Text;
use amortize_train::decoding::Decoding;
use amortize_train::reward::Target;
use amortize_train::sampling::Sample;
use amortize_world::{Split, Tally, judge, story};
use serde_json::json;

use super::BASE;
use crate::data::DataFile;
use crate::error::{ReproduceError, Result};
use crate::experiment::{Configs, Experiment, Method, Metric, Published, Shipped, Subject};
use crate::figure::{Bar, Group, Svg, bars};
use crate::measured::{Measured, Value};
use crate::name::Scale;
use crate::plan::set;
use crate::table::Table;
use crate::texts::{Draws, draw};

/// Stories of the tiny scale, as many for training and tests as the paper has. None of a file is in another: the world splits them by their
/// beginnings.
const FILES: [(&str, Split, usize); 3] =
    [("train.jsonl", Split::Train, 900), ("validation.jsonl", Split::Validation, 20), (TEST, Split::Test, 100)];
const TEST: &str = "test.jsonl";

/// Infills of every story, as the paper rates ten.
const INFILLS: usize = 10;

const CONFIGS: Configs = Configs {
    tiny: Shipped { path: "configs/infill-tiny.toml", text: include_str!("../../../../configs/infill-tiny.toml") },
    paper: Shipped { path: "configs/infilling.toml", text: include_str!("../../../../configs/infilling.toml") },
};

const METHODS: [Method; 3] = [BASE, SFT, Method::new("gflownet", &[])];

/// Ten epochs of the training stories, as in the paper, in batches of 64 and of the paper's 256.
const SFT: Method = Method {
    tiny: &["train.steps=141"],
    paper: &["train.steps=35", "train.queries_per_step=256", "train.samples_per_query=1"],
    ..Method::new("sft", &["train.method=sft"])
};

const METRICS: [Metric; 8] = [
    Metric { name: "bertscore", meaning: "F1 of BERTScore against the reference, not rescaled; higher is better" },
    Metric { name: "bleu4", meaning: "BLEU-4 of all infills together, of 100; higher is better" },
    Metric { name: "gleu4", meaning: "GLEU-4 of all infills together, of 100; higher is better" },
    Metric { name: "judge_beginning", meaning: "share of infills that fit the beginning; higher is better" },
    Metric { name: "judge_end", meaning: "share of infills that fit the end; higher is better" },
    Metric { name: "judge_both", meaning: "share of infills that make one story with both; higher is better" },
    Metric { name: "coherence", meaning: "of the whole story, rated 1 to 5 by a chat model; higher is better" },
    Metric { name: "log_reward", meaning: "mean log p(ZY | X) of the base model in nats; higher is better" },
];

const PUBLISHED: [Published; 12] = [
    Published::new("base", "bertscore", 0.081, Some(0.009)),
    Published::new("base", "bleu4", 1.3, Some(0.5)),
    Published::new("base", "gleu4", 3.2, Some(0.1)),
    Published::new("base", "coherence", 2.4, None),
    Published::new("sft", "bertscore", 0.094, Some(0.007)),
    Published::new("sft", "bleu4", 1.6, Some(0.8)),
    Published::new("sft", "gleu4", 3.7, Some(0.4)),
    Published::new("sft", "coherence", 2.7, None),
    Published::new("gflownet", "bertscore", 0.184, Some(0.004)),
    Published::new("gflownet", "bleu4", 2.1, Some(0.2)),
    Published::new("gflownet", "gleu4", 4.2, Some(0.7)),
    Published::new("gflownet", "coherence", 3.4, None),
];

pub(super) struct Infill;

impl Experiment for Infill {
    fn title(&self) -> &'static str {
        "Story infilling (section 4.2, table 2)"
    }

    fn about(&self) -> &'static str {
        "Given the first three sentences and the last one of unseen stories, every method writes the fourth. At the tiny \
         scale stories are of the small world, whose judge says which infills fit. The paper's figures are of GPT-2 Large \
         and ROCStories, its coherence is GPT-4's."
    }

    fn configs(&self) -> Configs {
        CONFIGS
    }

    fn methods(&self) -> &'static [Method] {
        &METHODS
    }

    fn data(&self) -> Result<Vec<DataFile>> {
        let file = |(name, split, count)| {
            DataFile::lines(name, count, |draw| {
                let story = story(split, false, draw);
                json!({ "x": story.x, "y": story.y, "z": story.z }).to_string()
            })
        };
        FILES.into_iter().map(file).collect()
    }

    fn data_sets(&self, given: Option<&Path>, own: &Path) -> Vec<String> {
        match given {
            Some(path) => vec![set("data.path", path)],
            None => vec![
                set("data.path", &own.join("train.jsonl")),
                set("data.validation_path", &own.join("validation.jsonl")),
            ],
        }
    }

    fn test_file(&self) -> Option<&'static str> {
        Some(TEST)
    }

    fn metrics(&self) -> &'static [Metric] {
        &METRICS
    }

    fn published(&self) -> &'static [Published] {
        &PUBLISHED
    }

    /// Every story needs a reference.
    fn check(&self, texts: &[Text]) -> Result<()> {
        let Some(text) = texts.iter().find(|text| text.z.is_empty()) else { return Ok(()) };
        let line = text.line.map(|line| format!(" (line {line})")).unwrap_or_default();
        let problem = format!("the held-out story {:?}{line} has no \"z\" to compare infills with", text.x);
        Err(ReproduceError::Option(problem))
    }

    fn measure(&self, subject: &Subject) -> Result<Measured> {
        let Subject { config, task, policy, .. } = subject;
        let mut target = Target::of(&config.task, &config.reward, Policy::base(subject.model), &task.actions)?;
        let draws = Draws { n: INFILLS, seed: subject.seed, policy_temperature: 1.0, decoding: Decoding::OWN };
        let samples = draw(*policy, &mut target, subject.prompts, &task.actions, draws)?;
        let infills = infills(subject, &samples);
        let mut values = similarity(subject, &infills);
        if subject.scale == Scale::Tiny {
            values.extend(judged(subject, &infills));
        }
        if let Some(encoder) = subject.encoder {
            values.extend(matched(encoder, &infills)?.map(|score| subject.value("bertscore", score)));
        }
        if let Some(rater) = subject.rater {
            values.extend(rated(rater, &infills)?.map(|rating| subject.value("coherence", rating)));
        }
        let rewards: Vec<f64> = samples.iter().flatten().filter_map(|sample| sample.log_reward).collect();
        values.extend(mean(&rewards).map(|reward| subject.value("log_reward", reward)));
        Ok(Measured { values, ..Measured::default() })
    }

    /// A plot for each metric, with a bar for each method.
    fn figure(&self, table: &Table, _: &[&Measured]) -> Svg {
        let groups: Vec<Group> = table.metrics(&METRICS).into_iter().map(|metric| group(table, metric)).collect();
        bars("Infills of unseen stories by method; dashes are the paper's", &groups)
    }
}

fn group(table: &Table, metric: &str) -> Group {
    let bar = |system: (&str, &str)| {
        let row = table.row(system, metric)?;
        Some(Bar { name: system.0.into(), value: row.mean?, spread: row.std, paper: row.paper })
    };
    Group { heading: metric.into(), bars: table.systems().into_iter().filter_map(bar).collect() }
}

/// A story with what a method wrote for it.
struct Infills<'a> {
    x: &'a str,
    y: &'a str,
    references: Vec<&'a str>,
    texts: Vec<&'a str>,
}

fn infills<'a>(subject: &Subject<'a>, samples: &'a [Vec<Sample>]) -> Vec<Infills<'a>> {
    let of = |(text, samples): (&'a Text, &'a Vec<Sample>)| Infills {
        x: &text.x,
        y: text.y.as_deref().unwrap_or_default(),
        references: text.z.iter().map(|z| z.trim()).collect(),
        texts: samples.iter().map(|sample| sample.text.trim()).collect(),
    };
    subject.texts.iter().zip(samples).map(of).collect()
}

/// BLEU and GLEU against the references, of 100 both.
fn similarity(subject: &Subject, infills: &[Infills]) -> Vec<Value> {
    let (mut bleus, mut gleus) = (Vec::new(), Vec::new());
    for Infills { references, texts, .. } in infills {
        let tokens: Vec<Vec<String>> = references.iter().map(|text| tokenize_13a(text)).collect();
        for text in texts {
            bleus.push(bleu::Statistics::of(text, references));
            gleus.push(gleu::Statistics::of(&tokenize_13a(text), &tokens));
        }
    }
    vec![subject.value("bleu4", bleu::corpus(bleus)), subject.value("gleu4", 100.0 * gleu::corpus(gleus))]
}

/// What the world says of the infills.
fn judged(subject: &Subject, infills: &[Infills]) -> Vec<Value> {
    let mut tally = Tally::default();
    for Infills { x, y, texts, .. } in infills {
        texts.iter().for_each(|z| tally.add(judge(x, z, y)));
    }
    let shares = tally.shares();
    let value = |name: &str| subject.value(&format!("judge_{name}"), shares.get(name).copied().unwrap_or(0.0));
    ["beginning", "end", "both"].map(value).to_vec()
}

/// The mean F1 of BERTScore over all infills.
fn matched(encoder: &Encoder, infills: &[Infills]) -> Result<Option<f64>> {
    let mut scores = Vec::new();
    for Infills { references, texts, .. } in infills {
        scores.extend(bert_scores(encoder, texts, references, None)?.iter().map(|score| score.f1));
    }
    Ok(mean(&scores))
}

/// The mean rating of all stories, each with an infill in its place.
fn rated(rater: &Rater, infills: &[Infills]) -> Result<Option<f64>> {
    let of = |Infills { x, y, texts, .. }: &Infills| texts.iter().map(|z| whole_story(x, z, y)).collect::<Vec<_>>();
    let stories: Vec<String> = infills.iter().flat_map(of).collect();
    let ratings: Vec<f64> = rater.coherence(&stories)?.into_iter().flatten().collect();
    Ok(mean(&ratings))
}

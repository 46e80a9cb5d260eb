//! What the page needs of a run directory.
//!
//! The records are read loosely: a figure that is missing or `null` (it was not finite) is `None`, and fields and kinds
//! that are not known are passed over.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use amortize_runlog::{RunDir, read_jsonl};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::ReportError;
use crate::config::Config;

/// A run, as far as it got.
#[derive(Debug, Default)]
pub struct Run {
    pub name: String,
    pub tool_version: String,
    pub config: Config,
    pub steps: Vec<Step>,
    pub evaluations: Vec<Evaluation>,
    pub timing: Vec<Timing>,
    pub samples: Vec<Sample>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Record {
    Train(Step),
    Evaluate(Evaluation),
    #[serde(other)]
    Unknown,
}

/// A training step.
#[derive(Debug, Deserialize)]
pub struct Step {
    pub step: u64,
    pub loss: Option<f64>,
    pub gradient_norm: Option<f64>,
    pub learning_rate: Option<f64>,
    pub reward_temperature: Option<f64>,
    pub log_z: Option<f64>,
    #[serde(default)]
    pub sources: BTreeMap<String, Source>,
    pub on_policy: Option<Summary>,
}

/// The trajectories of one source within a step.
#[derive(Debug, Deserialize)]
pub struct Source {
    pub mean_log_reward: Option<f64>,
}

/// An evaluation on the validation queries.
#[derive(Debug, Deserialize)]
pub struct Evaluation {
    pub step: u64,
    #[serde(default)]
    pub best: bool,
    #[serde(flatten)]
    pub summary: Summary,
}

/// Diagnostics of draws from the policy; of a run that maximises likelihood the loss on held-out text.
#[derive(Debug, Default, Deserialize)]
pub struct Summary {
    loss: Option<f64>,
    validation_loss: Option<f64>,
    pub n_queries: Option<u64>,
    pub n: Option<u64>,
    pub log_w_variance: Option<f64>,
    pub log_z_is: Option<f64>,
    pub ess: Option<f64>,
    pub elbo: Option<f64>,
    pub zero_reward_share: Option<f64>,
    pub mean_length: Option<f64>,
    pub forced_stop_share: Option<f64>,
    pub mean_log_p: Option<f64>,
    pub kl_from_base: Option<f64>,
    pub distinct_1: Option<f64>,
    pub distinct_2: Option<f64>,
    pub distinct_3: Option<f64>,
    pub pairwise_edit_distance: Option<f64>,
    /// Exact, where all texts with a reward can be listed: KL to the target, and the mass of all other texts.
    pub kl: Option<f64>,
    pub invalid_mass: Option<f64>,
}

impl Summary {
    /// Mean loss of held-out tokens, in nats.
    pub fn held_out_loss(&self) -> Option<f64> {
        self.validation_loss.or(self.loss)
    }
}

/// Clock readings of a step.
#[derive(Debug, Deserialize)]
pub struct Timing {
    pub step: u64,
    pub seconds: Option<f64>,
    pub tokens_per_second: Option<f64>,
}

/// Of what a sample is a draw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SampleKind {
    /// The base model, for a prompt that [`SampleKind::After`] has too.
    Before,
    /// The policy as trained so far.
    After,
    /// The policy within a training step; older runs have no others and do not say so.
    #[default]
    #[serde(other)]
    Train,
}

/// A draw.
#[derive(Debug, Clone, Deserialize)]
pub struct Sample {
    pub step: u64,
    #[serde(default)]
    pub kind: SampleKind,
    /// X; once read, X and Y with a gap for the draw, where there is a Y.
    #[serde(default)]
    pub prompt: String,
    pub suffix: Option<String>,
    #[serde(default)]
    pub text: String,
    pub log_p: Option<f64>,
    pub log_q: Option<f64>,
    pub log_reward: Option<f64>,
    pub log_weight: Option<f64>,
}

impl Sample {
    fn show_gap(&mut self) {
        if let Some(suffix) = self.suffix.take() {
            self.prompt = format!("{} ___ {suffix}", self.prompt);
        }
    }
}

impl Run {
    /// Reads what is there.
    pub fn read(dir: &RunDir) -> Result<Self, ReportError> {
        let mut run = Self {
            name: name(dir.path()),
            tool_version: dir.info().tool_version.clone(),
            config: Config(text(&dir.config_path())?),
            timing: records(&dir.timing_path())?,
            samples: records(&dir.samples_path())?,
            ..Self::default()
        };
        run.samples.iter_mut().for_each(Sample::show_gap);
        for record in records(&dir.metrics_path())? {
            match record {
                Record::Train(step) => run.steps.push(step),
                Record::Evaluate(evaluation) => run.evaluations.push(evaluation),
                Record::Unknown => {}
            }
        }
        Ok(run)
    }

    /// The last finished step.
    pub fn last_step(&self) -> u64 {
        let trained = self.steps.last().map_or(0, |step| step.step);
        trained.max(self.evaluations.last().map_or(0, |evaluation| evaluation.step))
    }

    /// Whether any evaluation has a figure.
    pub fn evaluates(&self, of: fn(&Summary) -> Option<f64>) -> bool {
        self.evaluations.iter().any(|evaluation| of(&evaluation.summary).is_some())
    }

    /// Whether it learns held-out text rather than to sample a target.
    pub fn is_likelihood(&self) -> bool {
        self.evaluates(Summary::held_out_loss) && !self.evaluates(|summary| summary.log_w_variance)
    }

    /// The best evaluation so far.
    pub fn best(&self) -> Option<&Evaluation> {
        self.evaluations.iter().rfind(|evaluation| evaluation.best)
    }
}

/// The directory's name, also where the path is `.`.
fn name(path: &Path) -> String {
    let full = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    full.file_name().map_or_else(|| full.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// The records of a file that a run may not have written yet.
pub fn records<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, ReportError> {
    if path.exists() { Ok(read_jsonl(path)?) } else { Ok(Vec::new()) }
}

/// The text of a file that a run may not have written yet.
fn text(path: &Path) -> Result<String, ReportError> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(ReportError::Read { path: path.to_path_buf(), source }),
    }
}

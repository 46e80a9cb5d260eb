//! What an experiment is: a config, methods, data, what is measured, and what the paper found.

use std::path::Path;

use amortize_encoders::Encoder;
use amortize_lm::{Model, Policy};
use amortize_raters::Rater;
use amortize_train::config::Config;
use amortize_train::data::Text;
use amortize_train::task::{Prompt, Task};

use crate::data::DataFile;
use crate::error::Result;
use crate::figure::Svg;
use crate::measured::{Measured, Value};
use crate::name::Scale;
use crate::table::Table;

/// A shipped config.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shipped {
    /// Its path in the repository, for messages and commands.
    pub path: &'static str,
    pub text: &'static str,
}

/// The configs of both scales.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Configs {
    pub tiny: Shipped,
    pub paper: Shipped,
}

impl Configs {
    /// That of a scale.
    pub fn of(&self, scale: Scale) -> Shipped {
        match scale {
            Scale::Tiny => self.tiny,
            Scale::Paper => self.paper,
        }
    }
}

/// A way to make a policy: the experiment's config with some of its keys set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Method {
    /// As the table names it.
    pub name: &'static str,
    /// What sets it apart from others of its name, as the table says it.
    pub condition: &'static str,
    /// The same as a part of a run's name; empty where the name is enough.
    pub suffix: &'static str,
    /// `key=value`
    pub sets: &'static [&'static str],
    /// More of them at the tiny scale.
    pub tiny: &'static [&'static str],
    /// And at the paper's.
    pub paper: &'static [&'static str],
}

/// A figure that is measured, a column of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric {
    /// As the rows name it.
    pub name: &'static str,
    /// What it is, and which way is better.
    pub meaning: &'static str,
}

/// A number that the paper gives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Published {
    pub method: &'static str,
    pub metric: &'static str,
    pub value: f64,
    /// What stands behind its ±.
    pub spread: Option<f64>,
}

impl Published {
    pub const fn new(method: &'static str, metric: &'static str, value: f64, spread: Option<f64>) -> Self {
        Self { method, metric, value, spread }
    }
}

/// A trained policy, and all that it takes to measure it.
pub(crate) struct Subject<'a> {
    pub method: Method,
    pub seed: u64,
    /// Whether it is the first of the seeds: what needs no draws is measured there alone.
    pub first: bool,
    pub scale: Scale,
    pub config: &'a Config,
    pub model: &'a Model,
    pub task: &'a Task,
    pub policy: Policy<'a>,
    /// What is held out, as tokens and as texts.
    pub prompts: &'a [Prompt],
    pub texts: &'a [Text],
    pub encoder: Option<&'a Encoder>,
    pub rater: Option<&'a Rater>,
}

impl Method {
    /// One that is alone of its name.
    pub const fn new(name: &'static str, sets: &'static [&'static str]) -> Self {
        Self { name, condition: "", suffix: "", sets, tiny: &[], paper: &[] }
    }

    /// All that it sets at a scale.
    pub fn sets_at(&self, scale: Scale) -> impl Iterator<Item = String> {
        let more = match scale {
            Scale::Tiny => self.tiny,
            Scale::Paper => self.paper,
        };
        self.sets.iter().chain(more).map(|set| set.to_string())
    }
}

impl Subject<'_> {
    /// A figure of this method.
    pub fn value(&self, metric: &str, value: f64) -> Value {
        Value::new(self.method.name, self.method.condition, metric, value)
    }
}

/// One of the paper's experiments.
pub(crate) trait Experiment {
    /// As a heading.
    fn title(&self) -> &'static str;
    /// What is done and what to look for, plain sentences.
    fn about(&self) -> &'static str;
    /// The config that all methods share, at each scale.
    fn configs(&self) -> Configs;
    /// The methods, in the order of the table.
    fn methods(&self) -> &'static [Method];
    /// The files that the tiny scale needs.
    ///
    /// # Errors
    /// If the world has not so many texts.
    fn data(&self) -> Result<Vec<DataFile>>;
    /// Keys that name the data of a scale: `given` is the user's file, `own` the directory of [`Experiment::data`].
    fn data_sets(&self, given: Option<&Path>, own: &Path) -> Vec<String>;
    /// The file of held-out texts in the directory of [`Experiment::data`]; none where validation data are held out.
    fn test_file(&self) -> Option<&'static str>;
    /// What is measured, in the order of the table.
    fn metrics(&self) -> &'static [Metric];
    /// What the paper found.
    fn published(&self) -> &'static [Published];
    /// Looks at the held-out texts before anything is trained.
    ///
    /// # Errors
    /// If one lacks what [`Experiment::measure`] needs.
    fn check(&self, _texts: &[Text]) -> Result<()> {
        Ok(())
    }
    /// Measures a policy.
    ///
    /// # Errors
    /// If the model, the encoder or the rater fails.
    fn measure(&self, subject: &Subject) -> Result<Measured>;
    /// The paper's figure, of some seeds.
    fn figure(&self, table: &Table, runs: &[&Measured]) -> Svg;
}

//! Every run of an experiment with its config, known before anything is computed.

use std::path::{Path, PathBuf};

use amortize_raters::Rater;
use amortize_train::config::Config;

use crate::error::{ReproduceError, Result};
use crate::experiment::{Experiment, Method};
use crate::experiments;
use crate::name::{Name, Scale};

/// Keys that make a run what it is within the experiment.
const OURS: [(&str, &str); 2] = [
    ("train.seed", "seeds are chosen by --seeds and --first-seed"),
    ("train.method", "every method of the experiment is run"),
];

/// What is to be reproduced.
#[derive(Clone, Debug)]
pub struct Options {
    /// The experiment.
    pub name: Name,
    /// Its scale.
    pub scale: Scale,
    /// How many seeds.
    pub seeds: u64,
    /// The first of them.
    pub first_seed: u64,
    /// The directory of all files.
    pub out: PathBuf,
    /// `key=value` for every run, over what the experiment sets.
    pub sets: Vec<String>,
    /// The base model: required at the paper's scale.
    pub model: Option<PathBuf>,
    /// The data, at the paper's scale.
    pub data: Option<PathBuf>,
    /// A directory of an encoder, for what is measured by embeddings.
    pub encoder: Option<PathBuf>,
    /// A chat model that rates stories.
    pub rater: Option<Rater>,
}

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct PlannedRun {
    pub method: Method,
    pub seed: u64,
    pub config: Config,
    /// The config's overrides, for the command that makes the same run.
    pub sets: Vec<String>,
}

impl PlannedRun {
    /// Its method and seed, as its directory is called.
    pub fn name(&self) -> String {
        let Method { name, suffix, .. } = self.method;
        format!("{name}{suffix}-{}", self.seed)
    }
}

/// All runs of an experiment.
pub struct Plan {
    pub(crate) options: Options,
    pub(crate) experiment: Box<dyn Experiment>,
    pub(crate) runs: Vec<PlannedRun>,
}

impl Plan {
    /// Resolves the configs of all runs.
    ///
    /// # Errors
    /// If an option is missing or does not fit the scale, or a config is refused.
    pub fn new(options: Options) -> Result<Self> {
        let options = absolute(options)?;
        check(&options)?;
        let experiment = experiments::of(options.name);
        let mut runs = Vec::new();
        for method in experiment.methods() {
            for seed in options.first_seed..options.first_seed + options.seeds {
                runs.push(planned(experiment.as_ref(), &options, *method, seed)?);
            }
        }
        Ok(Self { options, experiment, runs })
    }

    /// Threads that the configs ask for, 0 for one per core.
    pub fn threads(&self) -> usize {
        self.runs.first().map_or(0, |run| run.config.train.threads)
    }

    /// Where a run lies.
    pub(crate) fn run_dir(&self, run: &PlannedRun) -> PathBuf {
        self.options.out.join("runs").join(run.name())
    }

    /// Where the files that the world writes lie.
    pub(crate) fn data_dir(&self) -> PathBuf {
        data_dir(&self.options)
    }

    /// Held-out texts of a file of their own, where there is one.
    pub(crate) fn test_path(&self) -> Option<PathBuf> {
        let name = self.experiment.test_file().filter(|_| writes_data(&self.options))?;
        Some(self.data_dir().join(name))
    }

    /// Whether the world's files are used.
    pub(crate) fn writes_data(&self) -> bool {
        writes_data(&self.options)
    }
}

fn data_dir(options: &Options) -> PathBuf {
    options.out.join("data")
}

fn writes_data(options: &Options) -> bool {
    options.scale == Scale::Tiny || (options.name == Name::Rng && options.data.is_none())
}

/// Paths hold wherever a run is read from.
fn absolute(mut options: Options) -> Result<Options> {
    let given = [options.model.as_mut(), options.data.as_mut(), options.encoder.as_mut()];
    given.into_iter().flatten().chain([&mut options.out]).try_for_each(make_absolute)?;
    Ok(options)
}

fn make_absolute(path: &mut PathBuf) -> Result<()> {
    *path = amortize_lm::absolute(path).map_err(|source| ReproduceError::Io { path: path.clone(), source })?;
    Ok(())
}

fn check(options: &Options) -> Result<()> {
    let Options { name, scale, .. } = options;
    let refuse = |problem: String| Err(ReproduceError::Option(problem));
    match scale {
        Scale::Tiny if options.data.is_some() => {
            return refuse("--data belongs to --scale paper: the tiny scale writes its own".into());
        }
        Scale::Paper if options.model.is_none() => {
            return refuse("--scale paper needs --model, a model directory in Hugging Face format".into());
        }
        Scale::Paper if options.data.is_none() && *name != Name::Rng => {
            return refuse(format!("--scale paper needs --data: {}", data_needed(*name)));
        }
        Scale::Tiny | Scale::Paper => {}
    }
    if options.rater.is_some() && *name != Name::Infill {
        return refuse("--rater belongs to infill: it rates stories".into());
    }
    for (key, why) in OURS {
        if options.sets.iter().any(|set| set.split('=').next().is_some_and(|name| name.trim() == key)) {
            return refuse(format!("--set {key}: {why}"));
        }
    }
    Ok(())
}

fn data_needed(name: Name) -> &'static str {
    match name {
        Name::Rng | Name::Continuation => "a file with a prompt a line",
        Name::Infill => "JSON lines with \"x\", \"y\" and the reference \"z\"",
    }
}

fn planned(experiment: &dyn Experiment, options: &Options, method: Method, seed: u64) -> Result<PlannedRun> {
    let shipped = experiment.configs().of(options.scale);
    let mut sets = experiment.data_sets(options.data.as_deref(), &data_dir(options));
    sets.extend(options.model.as_ref().map(|model| set("model.path", model)));
    sets.extend(method.sets_at(options.scale));
    sets.extend(options.sets.iter().cloned());
    sets.push(format!("train.seed={seed}"));
    let mut config = Config::from_toml(shipped.text, shipped.path, &sets)?;
    config.paths_mut().try_for_each(make_absolute)?;
    Ok(PlannedRun { method, seed, config, sets })
}

/// A path as an override.
pub(crate) fn set(key: &str, path: &Path) -> String {
    format!("{key}={}", path.display())
}

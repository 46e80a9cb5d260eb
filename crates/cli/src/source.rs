//! From the command line's run or model to a policy, its action space and its target.

use std::path::{Path, PathBuf};

use amortize_lm::actions::ActionSpace;
use amortize_lm::{Adapter, Device, Model, Policy, Precision};
use amortize_runlog::{RunDir, readable_dir};
use amortize_train::config::{Config, PolicySection, RewardMask};
use amortize_train::settings;
use amortize_train::task::{Prompt, Task, action_space, encode};
use anyhow::{Context, Result, bail};

use crate::args::{PolicyArgs, SpaceArgs};

/// A model with the adapter that the command line names, and the run that it came from.
pub struct Source {
    pub model: Model,
    pub adapter: Option<Adapter>,
    pub config: Option<Config>,
}

/// What may be drawn and what it is worth.
pub struct Space {
    pub actions: ActionSpace,
    pub reward_temperature: f64,
    pub reward_mask: RewardMask,
}

impl Source {
    pub fn load(args: &PolicyArgs) -> Result<Self> {
        use_threads(args.threads)?;
        let Some(run) = &args.run else {
            let path = args.model.as_ref().context("--model or --run is needed")?;
            return Self::new(path, args.precision.unwrap_or_default(), args.adapter.clone(), None);
        };
        let run = RunDir::open_read(run)?;
        let config = Config::load(&run.config_path(), &[])?;
        let adapter = readable_dir(&if args.best { run.best_adapter_dir() } else { run.adapter_dir() });
        if args.best && !adapter.exists() {
            bail!("{} has no best adapter: it was never evaluated on validation prompts", run.path().display());
        }
        let path = args.model.clone().unwrap_or_else(|| config.model.path.clone());
        let precision = args.precision.unwrap_or_else(|| settings::precision(&config));
        Self::new(&path, precision, Some(adapter), Some(config))
    }

    fn new(path: &Path, precision: Precision, adapter: Option<PathBuf>, config: Option<Config>) -> Result<Self> {
        let model = Model::load(path, &Device::cpu(), precision)?;
        let adapter = adapter.map(|dir| Adapter::load(&dir, &model.decoder)).transpose()?;
        Ok(Self { model, adapter, config })
    }

    pub fn policy(&self) -> Policy<'_> {
        Policy { adapter: self.adapter.as_ref(), ..Policy::base(&self.model) }
    }

    /// The run's action space and target, or those of the command line for a bare model.
    pub fn space(&self, args: &SpaceArgs) -> Result<Space> {
        if let Some(config) = &self.config {
            return Ok(Space {
                actions: action_space(&config.policy, &self.model)?,
                reward_temperature: args.reward_temperature.unwrap_or(config.reward.temperature_end),
                reward_mask: config.reward.mask,
            });
        }
        let stop_strings = if args.stop.is_empty() { vec![".".into()] } else { args.stop.clone() };
        let policy = PolicySection {
            min_length: args.min_length.unwrap_or(1),
            max_length: args.max_length.unwrap_or(20),
            stop_strings,
            stop_tokens: Vec::new(),
            allow: None,
            forbid: None,
            special_tokens: false,
        };
        Ok(Space {
            actions: action_space(&policy, &self.model)?,
            reward_temperature: args.reward_temperature.unwrap_or(1.0),
            reward_mask: RewardMask::Zero,
        })
    }

    /// Prompts of a file, or else the run's validation prompts.
    pub fn prompts(&self, data: Option<&Path>, actions: &ActionSpace) -> Result<Vec<Prompt>> {
        match (data, &self.config) {
            (Some(path), _) => {
                let texts = amortize_train::data::read_prompts(path)?;
                Ok(encode(&self.model, path, texts, actions)?)
            }
            (None, Some(config)) => {
                let prompts = Task::continuation(config, &self.model)?.validation;
                if prompts.is_empty() {
                    bail!("the run has no validation prompts; name some with --data");
                }
                Ok(prompts)
            }
            (None, None) => bail!("--data is needed"),
        }
    }

    /// One prompt from the command line.
    pub fn prompt(&self, text: &str, actions: &ActionSpace) -> Result<Prompt> {
        let prompts = encode(&self.model, Path::new("--prompt"), vec![text.to_string()], actions)?;
        Ok(prompts.into_iter().next().expect("one prompt in, one out"))
    }
}

/// Makes rayon's pool of the size asked for, 0 for one thread per core.
pub fn use_threads(threads: usize) -> Result<()> {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().context("cannot start threads")
}

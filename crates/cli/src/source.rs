//! From the command line's run or model to a policy, its action space and its target.

use std::path::{Path, PathBuf};

use amortize_lm::actions::ActionSpace;
use amortize_lm::{Adapter, Device, Model, Policy, Precision};
use amortize_runlog::{RunDir, readable_dir};
use amortize_train::config::{Config, PolicySection, RewardSection, TaskKind, TaskSection};
use amortize_train::data::{Presence, Text, read};
use amortize_train::reward::Target;
use amortize_train::settings;
use amortize_train::task::{Prompt, Task, action_space, encode, needs};
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
    pub task: TaskSection,
    pub actions: ActionSpace,
    pub reward: RewardSection,
    pub reward_temperature: f64,
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
        let precision = args.precision.unwrap_or_else(|| settings::precision(config.model.precision));
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

    /// The run's task, action space and target, or those of the command line for a bare model, whose task is infilling
    /// where the data have a Y.
    pub fn space(&self, args: &SpaceArgs, data: Option<&Path>, suffix: Option<&str>) -> Result<Space> {
        if let Some(config) = &self.config {
            return Ok(Space {
                task: config.task.clone(),
                actions: action_space(&config.policy, &self.model)?,
                reward: config.reward.clone(),
                reward_temperature: args.reward_temperature.unwrap_or(config.reward.temperature_end),
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
        let is_json = data.and_then(Path::extension).is_some_and(|extension| extension == "jsonl");
        let has_y = suffix.is_some() || is_json;
        Ok(Space {
            task: TaskSection::new(if has_y { TaskKind::Infilling } else { TaskKind::Continuation }),
            actions: action_space(&policy, &self.model)?,
            reward: RewardSection::default(),
            reward_temperature: args.reward_temperature.unwrap_or(1.0),
        })
    }

    /// What the space's sequences are worth.
    pub fn target<'a>(&'a self, space: &'a Space) -> Result<Target<'a>> {
        Ok(Target::of(&space.task, &space.reward, Policy::base(&self.model), &space.actions)?)
    }

    /// Prompts of a file, or else the run's validation prompts.
    pub fn prompts(&self, data: Option<&Path>, space: &Space) -> Result<Vec<Prompt>> {
        match (data, &self.config) {
            (Some(path), _) => {
                let texts = read(path, &needs(&space.task, &space.reward))?;
                self.encode(path, texts, space)
            }
            (None, Some(config)) => {
                let prompts = Task::load(config, &self.model)?.validation;
                if prompts.is_empty() {
                    bail!("the run has no validation prompts; name some with --data");
                }
                Ok(prompts)
            }
            (None, None) => bail!("--data is needed"),
        }
    }

    fn encode(&self, path: &Path, texts: Vec<Text>, space: &Space) -> Result<Vec<Prompt>> {
        Ok(encode(&self.model, &space.task, &space.reward.terms, path, texts, &space.actions)?)
    }

    /// One prompt from the command line, or else the run's where it has but one.
    pub fn prompt_or_own(&self, text: Option<&str>, suffix: Option<&str>, space: &Space) -> Result<Prompt> {
        if let (Some(config), None, None) = (&self.config, text, suffix) {
            let task = Task::load(config, &self.model)
                .context("--prompt is missing, and it is not known whether the run has but one")?;
            if let Some(prompt) = task.only_prompt() {
                return Ok(prompt.clone());
            }
        }
        self.prompt(text, suffix, space)
    }

    /// One prompt from the command line.
    fn prompt(&self, text: Option<&str>, suffix: Option<&str>, space: &Space) -> Result<Prompt> {
        let needs = needs(&space.task, &space.reward);
        if let Some(field) = needs.others.first() {
            bail!("the run's task reads the field {field:?} of its data: name a file of JSON lines with --data");
        }
        if needs.y == Presence::Ignored && suffix.is_some() {
            bail!("--suffix: the continuation task has no text after Z; leave it out");
        }
        let text = Text::new(text.unwrap_or(""), suffix);
        match (space.task.kind, needs.y, &text.y) {
            (TaskKind::Infilling, Presence::Required, None) => {
                bail!("--suffix is missing: the run's task is infilling, which needs the text Y that is to follow Z")
            }
            (_, Presence::Required, None) => bail!("--suffix is missing: the run's task has a text Y"),
            _ => {}
        }
        let prompts = self.encode(Path::new("--prompt"), vec![text], space)?;
        Ok(prompts.into_iter().next().expect("one prompt in, one out"))
    }
}

/// Makes rayon's pool of the size asked for, 0 for one thread per core.
pub fn use_threads(threads: usize) -> Result<()> {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().context("cannot start threads")
}

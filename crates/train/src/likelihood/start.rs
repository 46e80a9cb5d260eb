//! From a config to a model with its texts: new, as it is in its directory, or as a checkpoint has it.

use std::path::{Path, PathBuf};

use amortize_gfn::Generator;
use amortize_lm::config::Family;
use amortize_lm::tokenizer::{TokenizerOptions, train_tokenizer};
use amortize_lm::{Adapter, Architecture, Device, Model, ModelFiles, ModelInfo, Precision, read_config};

use super::config::{ArchitectureSection, FamilyName, LikelihoodConfig, TokenizerSection};
use super::corpus::{Corpus, Text};
use super::documents::Documents;
use super::trained::Trained;
use super::trainer::{Method, State, Trainer};
use crate::error::{Result, TrainError};
use crate::settings;

/// A trainer before its first step, with what a run needs beside it.
#[derive(Debug)]
pub struct Start {
    /// The trainer.
    pub trainer: Trainer,
    /// The model's other files.
    pub files: ModelFiles,
    /// Validation texts, for the prompts of samples.
    pub validation: Vec<Text>,
}

impl Start {
    /// What a config says: a new model, or one that is there.
    ///
    /// # Errors
    /// If the texts or the model cannot be read, or do not go together.
    pub fn new(config: &LikelihoodConfig) -> Result<Self> {
        let corpus = Corpus::read(&config.data)?;
        let (files, model) = match (&config.tokenizer, &config.model.path) {
            (Some(tokenizer), _) => new_model(config, tokenizer, &corpus)?,
            (None, path) => read_model(path.as_deref().unwrap_or(Path::new("")))?,
        };
        Self::with(config, corpus, files, model)
    }

    /// The same with the base model of a run that goes on: that of its checkpoint, where it is trained.
    ///
    /// # Errors
    /// As [`Start::new`].
    pub fn resume(config: &LikelihoodConfig, checkpoint: &Path) -> Result<Self> {
        let corpus = Corpus::read(&config.data)?;
        let path = match (&config.adapter, &config.model.path) {
            (Some(_), Some(path)) => path.as_path(),
            _ => checkpoint,
        };
        let (files, model) = read_model(path)?;
        Self::with(config, corpus, files, model)
    }

    fn with(config: &LikelihoodConfig, corpus: Corpus, files: ModelFiles, mut model: Model) -> Result<Self> {
        let train = Documents::new(&model, &corpus.train, config.data.loss_on_prompt)?;
        let validation = Documents::new(&model, &corpus.validation, config.data.loss_on_prompt)?;
        if train.is_empty() {
            let problem = "has no token to learn: every completion is empty".into();
            return Err(TrainError::Data { path: config.data.path[0].clone(), line: None, problem });
        }
        let method = Method::new(config);
        let parameters = model.decoder.base_parameters();
        model.decoder.set_base_parameters(&parameters, method.precision);
        let trained = match &config.adapter {
            None => Trained::Base(parameters),
            Some(section) => {
                let mut rng = Generator::new(config.train.seed, "adapter");
                Trained::Adapter(Box::new(Adapter::new(&model.decoder, settings::adapter(section), &mut rng)?))
            }
        };
        let state = State::new(config, &model, trained, &train);
        let trainer = Trainer { model, train, validation, method, state };
        Ok(Self { trainer, files, validation: corpus.validation })
    }
}

fn read_model(path: &Path) -> Result<(ModelFiles, Model)> {
    let info = ModelInfo::read(path)?;
    Ok((ModelFiles::read(path)?, info.load(&Device::cpu(), Precision::F32)?))
}

fn new_model(config: &LikelihoodConfig, tokenizer: &TokenizerSection, corpus: &Corpus) -> Result<(ModelFiles, Model)> {
    let architecture = match (&config.architecture, &config.model.path) {
        (None, Some(path)) => read_config(path)?,
        (section, _) => architecture(section.as_ref().expect("a new model has one of the two")).to_json(),
    };
    let files = match &tokenizer.path {
        Some(path) => ModelFiles::with_tokenizer_of(architecture, path)?,
        None => {
            let options = TokenizerOptions {
                vocabulary: tokenizer.vocabulary,
                single_digits: tokenizer.single_digits,
                end_of_text: tokenizer.end_of_text.clone(),
            };
            let texts = corpus.train.iter().flat_map(|text| text.prompt.iter().chain([&text.text]));
            ModelFiles::with_trained_tokenizer(architecture, &train_tokenizer(&options, texts)?)
        }
    };
    let model = files.initial(PathBuf::from("the new model"), config.train.seed, &Device::cpu())?;
    Ok((files, model))
}

fn architecture(section: &ArchitectureSection) -> Architecture {
    Architecture {
        family: match section.family {
            FamilyName::Llama => Family::Llama,
            FamilyName::Gpt2 => Family::Gpt2,
        },
        layers: section.layers,
        width: section.width,
        heads: section.heads,
        kv_heads: section.kv_heads,
        feed_forward: section.feed_forward,
        context: section.context,
        tie_embeddings: section.tie_embeddings,
        initializer_range: section.initializer_range,
    }
}

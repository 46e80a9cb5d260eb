//! The config of `amortize pretrain` and `amortize sft`: plain data, every value checked and in its place.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::reader::{Reader, Rule};
use crate::config::resolve::{OPTIMIZER, adapter, optimizer};
use crate::config::rules::{BOOL, COUNT, PATH, POSITIVE, SEED, SHARE, WHOLE, any};
use crate::config::{self, AdapterSection, ConfigError, Decay, OptimizerSection, Precision};
use crate::template::Template;

/// Which of the two commands a config is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// A new model from random weights.
    Pretrain,
    /// A model that there is already.
    Sft,
}

impl Command {
    /// As it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pretrain => "pretrain",
            Self::Sft => "sft",
        }
    }
}

/// What a run does, and how.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LikelihoodConfig {
    /// The model to start from, or whose architecture a new one has.
    pub model: ModelSection,
    /// The new model's architecture, where it is no other model's.
    pub architecture: Option<ArchitectureSection>,
    /// The new model's tokenizer; absent where the model is not new.
    pub tokenizer: Option<TokenizerSection>,
    /// The texts.
    pub data: DataSection,
    /// LoRA, where it is an adapter that is trained.
    pub adapter: Option<AdapterSection>,
    /// AdamW and its learning rate.
    pub optimizer: OptimizerSection,
    /// The loop.
    pub train: TrainSection,
    /// Evaluation on held-out texts while training.
    pub evaluate: EvaluateSection,
}

/// The model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelSection {
    /// A directory with a Hugging Face model. Pre-training takes only its architecture.
    pub path: Option<PathBuf>,
    /// How weights are multiplied; those that are trained are f32 beside that.
    pub precision: Precision,
    /// How weights are saved.
    pub save_precision: SavePrecision,
}

/// How weights are saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SavePrecision {
    /// 32 bits.
    F32,
    /// 16 bits, with f32's exponent.
    Bf16,
}

/// A new model's architecture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArchitectureSection {
    /// Which architecture.
    pub family: FamilyName,
    /// Transformer blocks.
    pub layers: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Inner width of the MLP.
    pub feed_forward: usize,
    /// The longest sequence, in tokens.
    pub context: usize,
    /// Whether the output head is the embedding matrix.
    pub tie_embeddings: bool,
    /// Standard deviation of the first weights.
    pub initializer_range: f64,
}

/// The families of architectures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FamilyName {
    /// Rotary positions, RMSNorm, a gated MLP, grouped key-value heads.
    Llama,
    /// Learned positions, LayerNorm with bias, a two-matrix MLP.
    Gpt2,
}

/// A new model's tokenizer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TokenizerSection {
    /// A directory with a tokenizer; one is learnt from the training texts if there is none.
    pub path: Option<PathBuf>,
    /// Tokens of one that is learnt.
    pub vocabulary: usize,
    /// Whether no token of one that is learnt has more than one digit.
    pub single_digits: bool,
    /// The token of one that is learnt with which every text begins and ends.
    pub end_of_text: String,
}

/// The texts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DataSection {
    /// Files of texts.
    pub path: Vec<PathBuf>,
    /// What a text is of a JSON object, with fields for `{field}`; or the completion, where there is a prompt template.
    pub template: Option<String>,
    /// What a prompt is of a JSON object.
    pub prompt_template: Option<String>,
    /// Whether prompts are learnt too.
    pub loss_on_prompt: bool,
    /// Only the first so many texts are used, the held-out ones among them.
    pub limit: Option<usize>,
    /// Files of validation texts.
    pub validation_path: Option<Vec<PathBuf>>,
    /// The share of texts that is held out for validation when there is no `validation_path`.
    pub validation: f64,
}

/// One file or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Paths {
    One(PathBuf),
    Many(Vec<PathBuf>),
}

impl Paths {
    fn list(self) -> Vec<PathBuf> {
        match self {
            Self::One(path) => vec![path],
            Self::Many(paths) => paths,
        }
    }

    fn all_named(&self) -> bool {
        let named = |path: &PathBuf| !path.as_os_str().is_empty();
        match self {
            Self::One(path) => named(path),
            Self::Many(paths) => !paths.is_empty() && paths.iter().all(named),
        }
    }
}

const PATHS: Rule<Paths> = Rule { expected: "a path, or a list of paths", allows: Paths::all_named };
const TEMPLATE: Rule<String> =
    Rule { expected: "a text with a {field} in it", allows: |text| Template::with_z(text).fields().next().is_some() };
const VOCABULARY: Rule<usize> =
    Rule { expected: "a whole number from 257 to 1000000", allows: |n| (257..=1_000_000).contains(n) };
const END: Rule<String> = Rule { expected: "a text that is not empty", allows: |text| !text.trim().is_empty() };

/// The loop.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainSection {
    /// Optimizer steps.
    pub steps: usize,
    /// The seed of every random draw of the training.
    pub seed: u64,
    /// Tokens that a step's batch is filled to.
    pub tokens_per_step: usize,
    /// Tokens a forward and backward pass, 0 for all at once; the gradients are those of the whole batch.
    pub tokens_per_pass: usize,
    /// Whether the backward pass computes activations again instead of keeping them; the gradients are the same.
    pub recompute: bool,
    /// Steps between checkpoints.
    pub checkpoint_every: usize,
    /// Threads, 0 for one per core.
    pub threads: usize,
}

/// Evaluation on held-out texts while training.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EvaluateSection {
    /// Steps between evaluations, 0 for none.
    pub every: usize,
    /// The most validation tokens that are predicted.
    pub tokens: usize,
    /// Texts that are drawn at an evaluation.
    pub samples: usize,
    /// The longest of them, in tokens.
    pub sample_length: usize,
    /// The seed of the draws, the same at every evaluation.
    pub seed: u64,
}

impl LikelihoodConfig {
    /// Reads the config of a command at `path`, with each of `sets` (`"key.path=value"`) in place of what it says.
    ///
    /// # Errors
    /// If the file can't be read, or a key is unknown, missing, or has a value that makes no sense.
    pub fn load(command: Command, path: &Path, sets: &[String]) -> Result<Self, ConfigError> {
        config::load(path, sets, |reader| resolve(command, reader))
    }

    /// Reads a config; `name` is what messages call it.
    ///
    /// # Errors
    /// As [`LikelihoodConfig::load`].
    pub fn from_toml(command: Command, text: &str, name: &str, sets: &[String]) -> Result<Self, ConfigError> {
        config::from_toml(text, name, sets, |reader| resolve(command, reader))
    }

    /// The resolved config as TOML. It loads back equal.
    ///
    /// # Errors
    /// If a path is no Unicode, as no config from TOML has it.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        config::to_toml(self)
    }

    /// All paths that the config names.
    pub fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let tokenizer = self.tokenizer.as_mut().and_then(|tokenizer| tokenizer.path.as_mut());
        let validation = self.data.validation_path.iter_mut().flatten();
        self.model.path.iter_mut().chain(tokenizer).chain(&mut self.data.path).chain(validation)
    }
}

fn resolve(command: Command, reader: &mut Reader) -> LikelihoodConfig {
    let model = model(command, reader);
    let (architecture, tokenizer, adapter) = match command {
        Command::Pretrain => (architecture(&model, reader), Some(tokenizer(reader)), None),
        Command::Sft => {
            let (wanted, adapter) = (reader.has_section("adapter"), adapter(reader));
            (None, None, wanted.then_some(adapter))
        }
    };
    LikelihoodConfig {
        model,
        architecture,
        tokenizer,
        data: data(reader),
        adapter,
        optimizer: optimizer(reader, optimizer_defaults(command)),
        train: train(reader),
        evaluate: evaluate(reader),
    }
}

fn optimizer_defaults(command: Command) -> OptimizerSection {
    let common = OptimizerSection { decay: Decay::Cosine, ..OPTIMIZER };
    match command {
        Command::Pretrain => {
            OptimizerSection { learning_rate: 1e-3, warmup_steps: 100, beta2: 0.95, weight_decay: 0.1, ..common }
        }
        Command::Sft => common,
    }
}

fn model(command: Command, reader: &mut Reader) -> ModelSection {
    ModelSection {
        path: match command {
            Command::Pretrain => reader.optional("model.path", PATH),
            Command::Sft => Some(reader.required("model.path", PathBuf::new(), PATH)),
        },
        precision: reader.or("model.precision", Precision::F32, TRAINED),
        save_precision: reader.or("model.save_precision", SavePrecision::F32, any("\"f32\" or \"bf16\"")),
    }
}

const TRAINED: Rule<Precision> =
    Rule { expected: "\"f32\" or \"bf16\"", allows: |precision| *precision != Precision::Int8 };

/// The section, unless another model's architecture is taken.
fn architecture(model: &ModelSection, reader: &mut Reader) -> Option<ArchitectureSection> {
    let given = reader.has_section("architecture");
    let both = given && model.path.is_some();
    let family = reader.or("architecture.family", FamilyName::Llama, any("\"llama\" or \"gpt2\""));
    let width = reader.or("architecture.width", 192, COUNT);
    let heads = reader.or("architecture.heads", 6, COUNT);
    let feed_forward = match family {
        FamilyName::Llama => (8 * width / 3).next_multiple_of(32),
        FamilyName::Gpt2 => 4 * width,
    };
    let section = ArchitectureSection {
        family,
        layers: reader.or("architecture.layers", 6, COUNT),
        width,
        heads,
        kv_heads: reader.or("architecture.kv_heads", heads, COUNT),
        feed_forward: reader.or("architecture.feed_forward", feed_forward, COUNT),
        context: reader.or("architecture.context", 512, COUNT),
        tie_embeddings: reader.or("architecture.tie_embeddings", true, BOOL),
        initializer_range: reader.or("architecture.initializer_range", 0.02, POSITIVE),
    };
    reader.check(!both, &["model.path"], || {
        "model.path and [architecture] both say what the new model is like; leave one of them out".into()
    });
    check_heads(&section, reader);
    model.path.is_none().then_some(section)
}

fn check_heads(section: &ArchitectureSection, reader: &mut Reader) {
    let ArchitectureSection { width, heads, kv_heads, .. } = *section;
    let keys = ["architecture.heads", "architecture.kv_heads", "architecture.width"];
    reader.check(width.is_multiple_of(heads), &keys, || {
        format!("architecture.width = {width} is no multiple of architecture.heads = {heads}")
    });
    let grouped = section.family == FamilyName::Llama && heads.is_multiple_of(kv_heads);
    reader.check(grouped || kv_heads == heads, &["architecture.kv_heads", "architecture.heads"], || {
        format!(
            "architecture.kv_heads = {kv_heads} does not divide architecture.heads = {heads}, or the family has as \
             many of both, as gpt2 does"
        )
    });
}

fn tokenizer(reader: &mut Reader) -> TokenizerSection {
    TokenizerSection {
        path: reader.optional("tokenizer.path", PATH),
        vocabulary: reader.or("tokenizer.vocabulary", 2048, VOCABULARY),
        single_digits: reader.or("tokenizer.single_digits", true, BOOL),
        end_of_text: reader.or("tokenizer.end_of_text", "<|endoftext|>".into(), END),
    }
}

fn data(reader: &mut Reader) -> DataSection {
    let section = DataSection {
        path: reader.required("data.path", Paths::Many(vec![]), PATHS).list(),
        template: reader.optional("data.template", TEMPLATE),
        prompt_template: reader.optional("data.prompt_template", TEMPLATE),
        loss_on_prompt: reader.or("data.loss_on_prompt", false, BOOL),
        limit: reader.optional("data.limit", COUNT),
        validation_path: reader.optional("data.validation_path", PATHS).map(Paths::list),
        validation: reader.or("data.validation", 0.01, SHARE),
    };
    let alone = section.prompt_template.is_some() && section.template.is_none();
    reader.check(!alone, &["data.prompt_template"], || {
        "data.prompt_template needs data.template, which says what the completion is".into()
    });
    section
}

fn train(reader: &mut Reader) -> TrainSection {
    TrainSection {
        steps: reader.required("train.steps", 1, COUNT),
        seed: reader.required("train.seed", 0, SEED),
        tokens_per_step: reader.or("train.tokens_per_step", 8192, COUNT),
        tokens_per_pass: reader.or("train.tokens_per_pass", 1024, WHOLE),
        recompute: reader.or("train.recompute", false, BOOL),
        checkpoint_every: reader.or("train.checkpoint_every", 200, COUNT),
        threads: reader.or("train.threads", 0, WHOLE),
    }
}

fn evaluate(reader: &mut Reader) -> EvaluateSection {
    EvaluateSection {
        every: reader.or("evaluate.every", 200, WHOLE),
        tokens: reader.or("evaluate.tokens", 50_000, COUNT),
        samples: reader.or("evaluate.samples", 4, WHOLE),
        sample_length: reader.or("evaluate.sample_length", 100, COUNT),
        seed: reader.or("evaluate.seed", 1, SEED),
    }
}

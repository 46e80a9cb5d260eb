//! LoRA adapters (Hu et al. 2022; rank-stabilised scaling: Kalajdzievski 2023) in PEFT's terms and format.

use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;

use amortize_engine::ops::lora::LowRank;
use amortize_engine::{Device, Precision, Tensor};
use rand::{Rng, RngExt};
use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::decoder::Decoder;
use crate::error::{LmError, Result};
use crate::weights::{Weights, write_tensors};

const CONFIG_FILE: &str = "adapter_config.json";
const WEIGHTS_FILE: &str = "adapter_model.safetensors";
const KEY_PREFIX: &str = "base_model.model.";

/// Which projections get an adapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TargetModules {
    /// The last parts of module paths, such as `q_proj`.
    Names(Vec<String>),
    /// A regular expression that must match the whole module path, or `all-linear`.
    Pattern(String),
}

impl std::fmt::Display for TargetModules {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Names(names) => f.write_str(&names.join(", ")),
            Self::Pattern(pattern) => write!(f, "{pattern:?}"),
        }
    }
}

impl TargetModules {
    /// The modules among `paths` that are meant, with PEFT's meaning: a name is the whole path or ends it after a dot.
    pub(crate) fn select<'a>(&self, paths: impl Iterator<Item = &'a str>) -> Result<Vec<&'a str>> {
        match self {
            Self::Names(names) => {
                let ends = |path: &str, name: &str| path == name || path.ends_with(&format!(".{name}"));
                Ok(paths.filter(|path| names.iter().any(|name| ends(path, name))).collect())
            }
            Self::Pattern(all) if all == "all-linear" => Ok(paths.collect()),
            Self::Pattern(pattern) => {
                let regex = Regex::new(&format!("^(?:{pattern})$")).map_err(|error| {
                    LmError::Adapter(format!("target_modules {pattern:?} is not a regular expression: {error}"))
                })?;
                Ok(paths.filter(|path| regex.is_match(path)).collect())
            }
        }
    }
}

/// Hyperparameters of an adapter.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterConfig {
    /// Rank r of the update.
    pub rank: usize,
    /// The update is scaled by alpha / r, or alpha / sqrt(r) if rank-stabilised.
    pub alpha: f32,
    /// Dropout on the adapter's input while training, in `0..1`.
    pub dropout: f32,
    /// Projections that get an update.
    pub target_modules: TargetModules,
    /// Whether the scale is alpha / sqrt(r).
    pub rank_stabilised: bool,
}

impl AdapterConfig {
    /// Reads the settings of an adapter directory in PEFT's format.
    ///
    /// # Errors
    /// If the file is missing or damaged, or it is not plain LoRA that it describes.
    pub fn read(dir: &Path) -> Result<Self> {
        read_config(&dir.join(CONFIG_FILE))
    }

    /// What the low-rank product is multiplied by.
    pub fn scale(&self) -> f32 {
        let rank = self.rank as f32;
        self.alpha / if self.rank_stabilised { rank.sqrt() } else { rank }
    }
}

/// The low-rank update of one projection: `scale B A`.
#[derive(Clone, Debug)]
pub struct LoraSite {
    /// Path of the module in the model, as PEFT names it.
    pub module: String,
    /// Columns of the (stacked) projection's output that it updates.
    pub columns: Range<usize>,
    /// `[rank, in]`
    pub a: Tensor,
    /// `[out, rank]`
    pub b: Tensor,
    /// Both as products read them, made when first needed and again after every change.
    packed: OnceLock<LowRank>,
}

/// A LoRA adapter for a particular base model.
#[derive(Clone, Debug)]
pub struct Adapter {
    config: AdapterConfig,
    sites: Vec<LoraSite>,
    /// Sites of every projection, by the projection's number.
    by_projection: Vec<Vec<usize>>,
}

impl Adapter {
    /// A new adapter whose update is zero: A uniform in ±1/sqrt(in) as PEFT draws it, B zero.
    ///
    /// # Errors
    /// If no projection matches `target_modules`, or the rank is 0.
    pub fn new(decoder: &Decoder, config: AdapterConfig, rng: &mut impl Rng) -> Result<Self> {
        let rank = config.rank;
        let device = decoder.device().clone();
        Self::build(decoder, config, |_, input, output| {
            let bound = 1.0 / (input as f32).sqrt();
            let a: Vec<f32> = (0..rank * input).map(|_| rng.random_range(-bound..bound)).collect();
            Ok((device.from_host(rank, input, &a), device.zeros(output, rank)))
        })
    }

    fn build(
        decoder: &Decoder,
        config: AdapterConfig,
        mut tensors: impl FnMut(&str, usize, usize) -> Result<(Tensor, Tensor)>,
    ) -> Result<Self> {
        if config.rank == 0 {
            return Err(LmError::Adapter("the rank must be at least 1".into()));
        }
        let modules = decoder.projections().flat_map(|projection| &projection.parts).map(|part| part.module.as_str());
        let chosen = config.target_modules.select(modules)?;
        let mut adapter = Self { config, sites: Vec::new(), by_projection: Vec::new() };
        for projection in decoder.projections() {
            let mut here = Vec::new();
            for part in projection.parts.iter().filter(|part| chosen.contains(&part.module.as_str())) {
                let (a, b) = tensors(&part.module, projection.inputs(), part.columns.len())?;
                here.push(adapter.sites.len());
                let (module, columns) = (part.module.clone(), part.columns.clone());
                adapter.sites.push(LoraSite { module, columns, a, b, packed: OnceLock::new() });
            }
            adapter.by_projection.push(here);
        }
        if adapter.sites.is_empty() {
            return Err(LmError::Adapter(format!(
                "target_modules {} match no projection of this model; it has {}",
                adapter.config.target_modules,
                decoder.projection_names().join(", ")
            )));
        }
        Ok(adapter)
    }

    /// Reads an adapter directory in PEFT's format.
    ///
    /// # Errors
    /// If a file is missing or damaged, the adapter does not fit the model, or it uses a kind of adapter that is
    /// not plain LoRA.
    pub fn load(dir: &Path, decoder: &Decoder) -> Result<Self> {
        let config = AdapterConfig::read(dir)?;
        let weights = Weights::open_file(&dir.join(WEIGHTS_FILE))?;
        let rank = config.rank;
        let device = decoder.device().clone();
        let adapter = Self::build(decoder, config, |module, input, output| {
            let a = weights.take(&key(module, "A"), &[rank, input])?;
            let b = weights.take(&key(module, "B"), &[output, rank])?;
            Ok((device.from_host(rank, input, &a), device.from_host(output, rank, &b)))
        })?;
        let known: Vec<String> = adapter.named().map(|(name, _)| name).collect();
        if let Some(extra) = weights.names().find(|name| !known.iter().any(|known| known == name)) {
            return Err(LmError::Adapter(format!(
                "{}: tensor \"{extra}\" belongs to no projection that this adapter's target_modules name",
                dir.display()
            )));
        }
        Ok(adapter)
    }

    /// Writes `adapter_model.safetensors` and `adapter_config.json` for PEFT; `base` is what PEFT should load as the
    /// base model.
    pub fn save(&self, dir: &Path, base: &str, decoder: &Decoder) -> Result<()> {
        std::fs::create_dir_all(dir).map_err(LmError::writing(dir))?;
        write_tensors(&dir.join(WEIGHTS_FILE), self.named())?;
        let text = serde_json::to_string_pretty(&self.peft_config(base, decoder)).map_err(LmError::json(dir))?;
        let file = dir.join(CONFIG_FILE);
        std::fs::write(&file, text + "\n").map_err(LmError::writing(&file))
    }

    fn peft_config(&self, base: &str, decoder: &Decoder) -> Value {
        json!({
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": base,
            "inference_mode": true,
            "r": self.config.rank,
            "lora_alpha": self.config.alpha,
            "lora_dropout": self.config.dropout,
            "target_modules": self.config.target_modules,
            "use_rslora": self.config.rank_stabilised,
            "fan_in_fan_out": decoder.stores_transposed(),
            "bias": "none",
            "init_lora_weights": true,
        })
    }

    /// Hyperparameters.
    pub fn config(&self) -> &AdapterConfig {
        &self.config
    }

    /// All updates, in the order of the model's projections.
    pub fn sites(&self) -> &[LoraSite] {
        &self.sites
    }

    /// Numbers of the sites on a projection.
    pub(crate) fn sites_of(&self, projection: usize) -> &[usize] {
        &self.by_projection[projection]
    }

    /// A site's update for products with a weight of some precision. Beside weights of less than f32 it is multiplied as bf16; it
    /// is never kept in 8 bits, which would lose small changes.
    pub(crate) fn packed(&self, site: usize, beside: Precision) -> &LowRank {
        let site = &self.sites[site];
        let precision = if beside == Precision::F32 { Precision::F32 } else { Precision::Bf16 };
        site.packed.get_or_init(|| LowRank::new(&site.a, &site.b, precision))
    }

    /// The lowest projection that has an update.
    pub(crate) fn lowest_projection(&self) -> usize {
        self.by_projection.iter().position(|sites| !sites.is_empty()).unwrap_or(0)
    }

    /// Trained tensors with PEFT's names, in a fixed order: A and B of each site in turn.
    pub fn named(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.sites.iter().flat_map(|site| [(key(&site.module, "A"), &site.a), (key(&site.module, "B"), &site.b)])
    }

    /// Trained tensors in the order of [`Adapter::named`], to be updated.
    pub fn tensors_mut(&mut self) -> impl Iterator<Item = &mut Tensor> {
        self.sites.iter_mut().flat_map(|site| {
            site.packed = OnceLock::new();
            [&mut site.a, &mut site.b]
        })
    }

    /// Number of trained values.
    pub fn parameter_count(&self) -> usize {
        self.named().map(|(_, tensor)| tensor.rows() * tensor.cols()).sum()
    }
}

fn key(module: &str, which: &str) -> String {
    format!("{KEY_PREFIX}{module}.lora_{which}.weight")
}

/// Gradients of an adapter's tensors, in the order of [`Adapter::named`].
#[derive(Debug)]
pub struct AdapterGradients {
    tensors: Vec<Tensor>,
}

impl AdapterGradients {
    /// Zeros for every tensor.
    pub fn zeros(device: &Device, adapter: &Adapter) -> Self {
        Self { tensors: adapter.named().map(|(_, tensor)| device.zeros(tensor.rows(), tensor.cols())).collect() }
    }

    /// The gradients, in the order of [`Adapter::named`].
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The gradients, to scale or clip.
    pub fn tensors_mut(&mut self) -> &mut [Tensor] {
        &mut self.tensors
    }

    /// Gradients of A and B of a site.
    pub(crate) fn site(&mut self, site: usize) -> (&mut Tensor, &mut Tensor) {
        let (a, b) = self.tensors[2 * site..2 * site + 2].split_at_mut(1);
        (&mut a[0], &mut b[0])
    }
}

/// What is read of PEFT's `adapter_config.json`; everything else that changes the mathematics is refused.
#[derive(Deserialize)]
struct PeftConfig {
    peft_type: String,
    r: usize,
    lora_alpha: f32,
    #[serde(default)]
    lora_dropout: f32,
    target_modules: TargetModules,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    bias: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// Settings of PEFT under which an adapter is more than `x Aᵀ Bᵀ` on whole projections.
const REFUSED: [&str; 10] = [
    "use_dora",
    "alora_invocation_tokens",
    "layers_to_transform",
    "layer_replication",
    "rank_pattern",
    "alpha_pattern",
    "modules_to_save",
    "trainable_token_indices",
    "exclude_modules",
    "target_parameters",
];

fn read_config(file: &Path) -> Result<AdapterConfig> {
    let text = std::fs::read_to_string(file).map_err(LmError::reading(file))?;
    let peft: PeftConfig = serde_json::from_str(&text).map_err(LmError::json(file))?;
    let refuse = |problem: String| Err(LmError::Adapter(format!("{}: {problem}", file.display())));
    if peft.peft_type != "LORA" {
        return refuse(format!("peft_type \"{}\" is not supported; LORA is", peft.peft_type));
    }
    if peft.bias.as_deref().is_some_and(|bias| bias != "none") {
        return refuse("trained biases are not supported; train with bias \"none\"".into());
    }
    for name in REFUSED {
        if peft.rest.get(name).is_some_and(is_set) {
            return refuse(format!("\"{name}\" is set, which is not supported"));
        }
    }
    Ok(AdapterConfig {
        rank: peft.r,
        alpha: peft.lora_alpha,
        dropout: peft.lora_dropout,
        target_modules: peft.target_modules,
        rank_stabilised: peft.use_rslora,
    })
}

fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(items) => !items.is_empty(),
        _ => true,
    }
}

//! The command line.

use std::path::PathBuf;

use amortize_bench::floor::Machine;
use amortize_bench::{Shape, Sizes, Sweep, Workload};
use amortize_lm::Precision;
use amortize_raters::{Endpoint, Rater};
use amortize_reproduce::{Name, Scale};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::decode::DecodeArgs;

/// Fine-tune language models into samplers of intractable posteriors.
///
/// Given a causal language model and an unnormalised density R(Z) over text, amortize trains a LoRA adapter with a
/// GFlowNet objective so that one left-to-right pass samples Z in proportion to R(Z).
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a sampler
    #[command(after_help = "Examples:
  amortize train configs/continuation-small.toml --set model.path=stories260K --set data.path=prompts.txt --out run
  amortize train --resume run
  amortize train --resume run --set train.steps=2000")]
    Train(TrainArgs),
    /// Train a new model, and its tokenizer, from texts
    #[command(after_help = "Examples:
  amortize pretrain configs/pretrain.toml --set data.path=stories.jsonl --out base
  amortize pretrain --resume base
  amortize sample --model base/model --prompt \"Once upon a time\"")]
    Pretrain(TrainArgs),
    /// Fine-tune a model, or an adapter of it, on texts or on prompts with completions
    #[command(after_help = "Examples:
  amortize sft configs/sft.toml --set model.path=gpt2 --set data.path=answers.jsonl --out tuned
  amortize sft configs/sft.toml --set model.path=gpt2 --set data.path=answers.jsonl --set adapter.rank=16 --out tuned
  amortize sft --resume tuned")]
    Sft(TrainArgs),
    /// Fold an adapter into its base model, or write a model in another precision
    Merge(MergeArgs),
    /// Draw samples with their log-probabilities, rewards and importance weights
    Sample(SampleArgs),
    /// Log-probabilities of a completion, token by token
    Score(ScoreArgs),
    /// How well a policy samples its target: variance of log w, log Z, ESS, ELBO, diversity
    Evaluate(EvaluateArgs),
    /// BLEU, GLEU, BERTScore and diversity of any system's texts
    Metrics(MetricsArgs),
    /// Make a run's report.html, and print its path
    Report(ReportArgs),
    /// Run one of the paper's experiments, all methods and seeds, and write its table and figure
    Reproduce(ReproduceArgs),
    /// Write the corpus that base models are trained on, or judge infilled stories of it
    Corpus(CorpusArgs),
    /// How fast this machine is, on random models of known shapes, and how far from its limits
    Bench(BenchArgs),
}

#[derive(Debug, Args)]
pub struct TrainArgs {
    /// The config; with --resume the run's own is the default
    #[arg(value_name = "CONFIG.toml", required_unless_present = "resume")]
    pub config: Option<PathBuf>,
    /// Override a key of the config, such as train.steps=500
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    /// Directory of the new run
    #[arg(long, value_name = "RUN", conflicts_with = "resume")]
    pub out: Option<PathBuf>,
    /// Continue an interrupted run from its checkpoint
    #[arg(long, value_name = "RUN")]
    pub resume: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  amortize merge --model gpt2 --adapter run/adapter --out merged
  amortize merge --model base/model --out small --precision bf16")]
pub struct MergeArgs {
    /// A model directory in Hugging Face format
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// An adapter directory in PEFT format
    #[arg(long, value_name = "DIR")]
    pub adapter: Option<PathBuf>,
    /// Directory of the new model
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// How its weights are stored
    #[arg(long, value_enum, default_value_t = SavedAs::F32)]
    pub precision: SavedAs,
}

/// How a model's weights are stored in its file.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum SavedAs {
    F32,
    Bf16,
}

/// Which policy: that of a run, or a model with an optional adapter.
#[derive(Debug, Args)]
pub struct PolicyArgs {
    /// A run: its model, adapter, action space and target
    #[arg(long, value_name = "RUN", required_unless_present = "model")]
    pub run: Option<PathBuf>,
    /// Use the run's best adapter on validation rather than its last
    #[arg(long, requires = "run")]
    pub best: bool,
    /// A model directory in Hugging Face format; with --run, where the run's model is now
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// An adapter directory in PEFT format
    #[arg(long, value_name = "DIR", conflicts_with = "run")]
    pub adapter: Option<PathBuf>,
    /// How frozen weights are stored: f32, bf16 or int8 [default: the run's; f32 for a bare model]
    #[arg(long, value_name = "PRECISION")]
    pub precision: Option<Precision>,
    /// Threads, 0 for one per core
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
}

/// What may be drawn and what it is worth, where no run says so.
#[derive(Debug, Args)]
pub struct SpaceArgs {
    /// Text that ends a sequence, for a bare model [default: "."]
    #[arg(long, value_name = "TEXT", conflicts_with = "run")]
    pub stop: Vec<String>,
    /// Fewest tokens before the stop, for a bare model [default: 1]
    #[arg(long, value_name = "N", conflicts_with = "run")]
    pub min_length: Option<usize>,
    /// Most tokens before the stop, which is then forced, for a bare model [default: 20]
    #[arg(long, value_name = "N", conflicts_with = "run")]
    pub max_length: Option<usize>,
    /// Temperature T of the target p(Z|X)^(1/T) [default: the run's; 1 for a bare model]
    #[arg(long, value_name = "T", value_parser = positive)]
    pub reward_temperature: Option<f64>,
    /// Divides the policy's logits; log_q is of the distribution really sampled
    #[arg(long, value_name = "T", default_value_t = 1.0, value_parser = positive)]
    pub policy_temperature: f64,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  amortize sample --run run --prompt \"Lily went to the park.\" -n 5
  amortize sample --run run --data prompts.txt -n 10 --json > samples.jsonl
  amortize sample --run infilling-run --prompt \"Tom lost his ball.\" --suffix \"He was happy again.\" -n 5
  amortize sample --model stories260K --prompt \"Once upon a time\" --policy-temperature 0.8
  amortize sample --model stories260K --prompt \"Once upon a time\" --decode beam --beams 20 -n 4
  amortize sample --model stories260K --prompt \"Once upon a time\" --decode top-p --top-p 0.9 -n 4")]
pub struct SampleArgs {
    #[command(flatten)]
    pub policy: PolicyArgs,
    #[command(flatten)]
    pub space: SpaceArgs,
    #[command(flatten)]
    pub decode: DecodeArgs,
    /// The prompt X [default: the run's where its data have but one, else no text]
    #[arg(long, value_name = "TEXT", conflicts_with = "data")]
    pub prompt: Option<String>,
    /// The text Y that is to follow Z, for infilling
    #[arg(long, value_name = "TEXT", conflicts_with = "data")]
    pub suffix: Option<String>,
    /// A UTF-8 file with one prompt a line; for infilling, JSON lines with texts "x" and "y" (for a bare model: *.jsonl)
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Samples per prompt
    #[arg(short, value_name = "N", default_value_t = 1, value_parser = at_least_one)]
    pub n: usize,
    /// Decides the draws
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Print JSON lines
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  amortize score --model stories260K --prompt \"Once upon\" --completion \" a time\"
  amortize score --model gpt2 --adapter run/adapter --prompt-ids 1,5,6 --completion-ids 7,8 --json")]
pub struct ScoreArgs {
    #[command(flatten)]
    pub policy: PolicyArgs,
    /// The prompt; encoded as the tokenizer begins a text
    #[arg(long, value_name = "TEXT", required_unless_present = "prompt_ids", conflicts_with = "prompt_ids")]
    pub prompt: Option<String>,
    /// The completion; nothing is added before it
    #[arg(long, value_name = "TEXT", required_unless_present = "completion_ids", conflicts_with = "completion_ids")]
    pub completion: Option<String>,
    /// The prompt as exact token ids
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    pub prompt_ids: Option<Vec<u32>>,
    /// The completion as exact token ids
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    pub completion_ids: Option<Vec<u32>>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  amortize evaluate --run run
  amortize evaluate --run run --data unseen.txt -n 64 --proposals --json
  amortize evaluate --model stories260K --data unseen.txt --reward-temperature 0.8 --policy-temperature 0.9")]
pub struct EvaluateArgs {
    #[command(flatten)]
    pub policy: PolicyArgs,
    #[command(flatten)]
    pub space: SpaceArgs,
    /// A UTF-8 file with one prompt a line; for infilling, JSON lines with texts "x" and "y" (for a bare model: *.jsonl)
    /// [default: the run's validation prompts]
    #[arg(long, value_name = "FILE", required_unless_present = "run")]
    pub data: Option<PathBuf>,
    /// Draws per prompt
    #[arg(short, value_name = "N", default_value_t = 32, value_parser = at_least_one)]
    pub n: usize,
    /// Decides the draws
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Also estimate log Z from draws of the base model and of an even mixture of both
    #[arg(long)]
    pub proposals: bool,
    /// A sentence-transformers directory: also the mean cosine distance between a prompt's samples
    #[arg(long, value_name = "DIR")]
    pub encoder: Option<PathBuf>,
    /// Print one JSON object with every query
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  amortize metrics outputs.jsonl
  amortize metrics outputs.jsonl --encoder all-MiniLM-L6-v2 --idf --json
  amortize metrics stories.jsonl --rater http://localhost:8000/v1 --rater-model llama-3.1-70b")]
pub struct MetricsArgs {
    /// JSON lines with "text" or "texts", and "reference" or "references" (without: diversity alone); "x" before a text and
    /// "y" after it make the story that --rater reads
    #[arg(value_name = "FILE.jsonl")]
    pub file: PathBuf,
    /// A BERT or DeBERTa-v2 directory: also BERTScore, and the diversity of lines with several texts
    #[arg(long, value_name = "DIR")]
    pub encoder: Option<PathBuf>,
    /// The encoder's layer that BERTScore matches [default: its last]
    #[arg(long, value_name = "N", requires = "encoder", value_parser = at_least_one)]
    pub layer: Option<usize>,
    /// BERTScore counts tokens that are rare among references for more
    #[arg(long, requires = "encoder")]
    pub idf: bool,
    #[command(flatten)]
    pub rater: RaterArgs,
    /// Threads, 0 for one per core
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// A chat model that rates the coherence of stories.
#[derive(Debug, Args)]
pub struct RaterArgs {
    /// An endpoint that speaks OpenAI's chat completions, such as http://localhost:8000/v1, rates the coherence of
    /// stories, 1 to 5; OPENAI_API_KEY is its key
    #[arg(id = "rater", long = "rater", value_name = "URL", requires = "rater_model")]
    url: Option<String>,
    /// The model there
    #[arg(id = "rater_model", long = "rater-model", value_name = "NAME", requires = "rater")]
    model: Option<String>,
}

impl RaterArgs {
    /// The rater, if one is named.
    pub fn rater(&self) -> Option<Rater> {
        let endpoint = Endpoint { url: self.url.clone()?, model: self.model.clone()? };
        Some(Rater::new(endpoint, std::env::var("OPENAI_API_KEY").ok().filter(|key| !key.is_empty())))
    }
}

pub fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err("a whole number of 1 or more is needed".into()),
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  amortize report run
  amortize report run --tensorboard && tensorboard --logdir run/tensorboard")]
pub struct ReportArgs {
    /// A run, finished or not
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// Also write figures and samples for TensorBoard, to RUN/tensorboard
    #[arg(long)]
    pub tensorboard: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  amortize reproduce rng
  amortize reproduce infill --seeds 1 --set train.steps=50 --out quick
  amortize reproduce continuation --encoder all-MiniLM-L6-v2
  amortize reproduce infill --scale paper --model gpt2-large-stories --data stories.jsonl --encoder deberta-xlarge-mnli

A reproduction that was stopped goes on with the same command, and makes nothing twice.")]
pub struct ReproduceArgs {
    /// The experiment: rng (section 2), continuation (section 4.1) or infill (section 4.2)
    #[arg(value_name = "NAME")]
    pub name: Name,
    /// tiny: the model that the program carries, on data that it writes; paper: the paper's settings on --model and --data
    #[arg(long, value_name = "SCALE", default_value_t)]
    pub scale: Scale,
    /// Seeds of every method
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = at_least_one)]
    pub seeds: usize,
    /// The first of them: settings are best tuned on others than those that are reported
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub first_seed: u64,
    /// Directory of runs, table, figure and page [default: runs/reproduce-NAME-SCALE]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Override a key of every run's config, such as train.steps=50
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    /// A model directory in Hugging Face format
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// The paper scale's data: a prompt a line, or for infill JSON lines with "x", "y" and "z"
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// A BERT or DeBERTa-v2 directory: for diversity by embeddings, and for BERTScore
    #[arg(long, value_name = "DIR")]
    pub encoder: Option<PathBuf>,
    #[command(flatten)]
    pub rater: RaterArgs,
    /// Print the table's rows as one JSON list
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  amortize bench
  amortize bench --shape llama-1b --workload step-continuation --precision int8 --repeats 3
  amortize bench --workload train --sweep tokens=24,64,128,256,512,992 --json")]
pub struct BenchArgs {
    /// The model's shape: gpt2, gpt2-xl, llama-1b or tiny
    #[arg(long, value_name = "NAME", default_value_t = Shape::Gpt2)]
    pub shape: Shape,
    /// What to run, repeatable: train, score, sample, step-continuation, step-infill [default: all]
    #[arg(long = "workload", value_name = "NAME")]
    pub workloads: Vec<Workload>,
    /// How frozen weights are stored, repeatable: f32, bf16, int8 [default: f32 and bf16]
    #[arg(long = "precision", value_name = "NAME")]
    pub precisions: Vec<Precision>,
    /// Timed runs, of which the median counts; one more before them does not
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = at_least_one)]
    pub repeats: usize,
    /// Sequences of a batch
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub samples: usize,
    /// Tokens of a sequence
    #[arg(long, value_name = "N", default_value_t = 24)]
    pub tokens: usize,
    /// Tokens of the prompt X
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub prompt: usize,
    /// Tokens of the text Y that step-infill has after every prefix
    #[arg(long, value_name = "N", default_value_t = 12)]
    pub suffix: usize,
    /// Measure at several values of one size, such as samples=4,8,16 or tokens=24,128,992
    #[arg(long, value_name = "SIZE=N,N,...")]
    pub sweep: Option<Sweep>,
    /// Threads, 0 for one per core
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
    /// What this machine can do, in flop/s and bytes/s, where it was measured before
    #[arg(long, value_name = "FLOPS,BYTES", hide = true)]
    pub machine: Option<Machine>,
    /// Print one JSON list
    #[arg(long)]
    pub json: bool,
}

impl BenchArgs {
    /// The sizes, but for what the sweep changes.
    pub fn sizes(&self) -> Sizes {
        Sizes { samples: self.samples, tokens: self.tokens, prompt: self.prompt, suffix: self.suffix }
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value.is_finite() => Ok(value),
        _ => Err("a number above 0 is needed".into()),
    }
}

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:
  amortize corpus --out corpus
  amortize corpus --out small --seed 2 --documents 2000 --stories 500
  amortize corpus judge infills.jsonl --json"
)]
pub struct CorpusArgs {
    #[command(subcommand)]
    pub command: Option<CorpusCommand>,
    /// Directory to write; a corpus that is there already is replaced
    #[arg(long, value_name = "DIR", required = true)]
    pub out: Option<PathBuf>,
    /// Decides every text
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Documents in train.jsonl; validation.jsonl has a hundredth as many
    #[arg(long, value_name = "N", default_value_t = 400_000, value_parser = at_least_one)]
    pub documents: usize,
    /// Stories in stories/train.jsonl; the other task files grow with it
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = at_least_one)]
    pub stories: usize,
}

#[derive(Debug, Subcommand)]
pub enum CorpusCommand {
    /// Say how many fourth sentences fit their story's beginning, its end, and both
    Judge(JudgeArgs),
}

#[derive(Debug, Args)]
pub struct JudgeArgs {
    /// JSON lines with the texts "x" (sentences 1 to 3), "z" (sentence 4) and "y" (sentence 5)
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print one JSON object with the counts and shares
    #[arg(long, conflicts_with = "each")]
    pub json: bool,
    /// Print the verdict on each line as a JSON line
    #[arg(long)]
    pub each: bool,
}

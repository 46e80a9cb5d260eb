//! What a run will take in memory, told before its model is loaded, and what the system says there is.

use std::fmt;

use amortize_lm::decoder::Activations;
use amortize_lm::footprint::{Footprint, Need};
use amortize_lm::generate::LIVE;
use amortize_lm::{AdapterConfig, ModelInfo, Precision, rows_at_once};

use crate::config::Config;
use crate::error::Result;
use crate::evaluate::QUERIES_AT_ONCE;
use crate::settings;
use crate::task::{Prompt, Task};

/// The program itself, its threads and small things.
const PROGRAM: usize = 30_000_000;

/// What a run takes at most, in bytes: every continuation as long as it may be, every prompt as long as the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// The packed weights.
    pub weights: usize,
    /// What loading them takes meanwhile.
    pub loading: usize,
    /// The adapter, its gradients and the optimizer's moments.
    pub trained: usize,
    /// Drawing trajectories: cached keys and values, and logits.
    pub sampling: Need,
    /// Scoring them without gradient: rewards.
    pub scoring: Need,
    /// Scoring a micro-batch with gradient: activations, and the backward pass.
    pub gradients: Need,
    precision: Precision,
    activations: Activations,
    /// Trajectories of a micro-batch.
    micro_batch: usize,
}

impl Forecast {
    /// Of a run that is described by `config`.
    ///
    /// # Errors
    /// If the config's adapter cannot be read, or names its modules by what is no regular expression.
    pub fn new(config: &Config, model: &ModelInfo, task: &Task) -> Result<Self> {
        let adapter = match &config.model.adapter {
            Some(dir) => AdapterConfig::read(dir)?,
            None => settings::adapter(&config.adapter),
        };
        let footprint = Footprint::new(&model.config, &adapter)?;
        let (precision, method) = (settings::precision(config.model.precision), settings::method(config));
        let step = Batch { queries: method.queries_per_step, per_query: method.samples_per_query };
        let micro_batch = if method.micro_batch == 0 { step.len() } else { method.micro_batch.min(step.len()) };
        Ok(Self {
            weights: footprint.weights(precision),
            loading: footprint.largest_matrix(),
            trained: footprint.trained() + footprint.packed_adapter(precision),
            sampling: sampling(&footprint, config, task, step),
            scoring: scoring(&footprint, config, rows_at_once(&model.config), task, step),
            gradients: gradients(&footprint, task, step.part(micro_batch), method.activations),
            precision,
            activations: method.activations,
            micro_batch,
        })
    }

    /// The most that is taken at one time. Loading, sampling, scoring and gradients take turns.
    pub fn total(&self) -> usize {
        // Buffers are a tenth larger than their tensors on average, so that similar lengths find them again.
        PROGRAM + self.weights + self.loading.max(self.trained + self.turn() * 11 / 10)
    }

    /// The most that a part of a step takes.
    fn turn(&self) -> usize {
        [self.sampling, self.scoring, self.gradients].iter().map(Need::total).max().unwrap_or(0)
    }

    /// Warns where this machine has too little memory, as far as that is known.
    pub fn warn_if_short(&self) {
        if let Some(warning) = available().and_then(|available| self.warning(available)) {
            tracing::warn!("{warning}");
        }
    }

    /// What to change where no more than `available` bytes are there; `None` where they are enough.
    pub fn warning(&self, available: usize) -> Option<String> {
        if self.total() <= available {
            return None;
        }
        let mut remedies = Vec::new();
        if self.gradients.total() == self.turn() {
            if self.micro_batch > 1 {
                remedies.push("a smaller train.micro_batch".to_string());
            }
            if self.activations == Activations::Kept {
                remedies.push("train.recompute = true".to_string());
            }
        }
        if let Some(less) =
            Precision::ALL.iter().find(|other| other.bytes_per_value() < self.precision.bytes_per_value())
        {
            remedies.push(format!("model.precision = \"{less}\""));
        }
        let remedies = match remedies.split_last() {
            None => "a smaller model, or fewer samples at once".into(),
            Some((last, [])) => last.clone(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
        };
        Some(format!("only {} of memory are available; {remedies} would take less", Bytes(available)))
    }
}

impl fmt::Display for Forecast {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let turn = |need: Need| Bytes(need.total());
        write!(
            f,
            "memory: up to {} in all (weights {}, adapter with gradients and moments {}; in turn sampling {}, scoring {}, \
             gradients {})",
            Bytes(self.total()),
            Bytes(self.weights),
            Bytes(self.trained),
            turn(self.sampling),
            turn(self.scoring),
            turn(self.gradients),
        )
    }
}

/// A number of bytes for people.
struct Bytes(usize);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.0 as f64 {
            small if small < 1e8 => write!(f, "{:.0} MB", small / 1e6),
            large => write!(f, "{:.2} GB", large / 1e9),
        }
    }
}

/// Trajectories that are worked on together: those of some queries.
#[derive(Clone, Copy)]
struct Batch {
    queries: usize,
    per_query: usize,
}

impl Batch {
    fn len(&self) -> usize {
        self.queries * self.per_query
    }

    /// Any `len` neighbours of it: how many, and of how many queries.
    fn part(&self, len: usize) -> (usize, usize) {
        let aligned = len.is_multiple_of(self.per_query) || self.per_query.is_multiple_of(len.max(1));
        let queries = len.div_ceil(self.per_query) + usize::from(!aligned);
        (len, queries.min(self.queries))
    }
}

/// Drawing a step's trajectories, or those of an evaluation if they are more.
fn sampling(footprint: &Footprint, config: &Config, task: &Task, step: Batch) -> Need {
    let of = |prompts: &[Prompt], batch: Batch| {
        let (live, queries) = batch.part(LIVE.min(batch.len()));
        footprint.sampling(longest(prompts, queries), live, task.actions.max_length)
    };
    let evaluation =
        Batch { queries: QUERIES_AT_ONCE.min(task.validation.len()), per_query: config.evaluate.samples_per_query };
    let train = of(&task.train, step);
    if config.evaluate.every == 0 || evaluation.len() == 0 {
        return train;
    }
    let evaluation = of(&task.validation, evaluation);
    if evaluation.total() > train.total() { evaluation } else { train }
}

/// Rewards of a step's trajectories, so many rows at once where segments allow it.
fn scoring(footprint: &Footprint, config: &Config, at_once: usize, task: &Task, step: Batch) -> Need {
    let length = task.actions.max_length;
    let has_y = task.train.iter().any(|prompt| !prompt.query.y.is_empty());
    let tree = longest(&task.train, 1) + step.per_query * length;
    // Where Y or a term's text follows every prefix, there are always as many rows as are scored at once.
    let (all, is_cut) = match has_y || !config.reward.terms.is_empty() {
        true => (usize::MAX, true),
        false => (longest(&task.train, step.queries) + step.len() * length, tree > at_once),
    };
    // No segment is cut, and none is longer than a prompt with a trajectory.
    let rows = all.min(at_once.max(longest(&task.train, 1) + length));
    footprint.scoring(rows, rows, if is_cut { tree + rows } else { 0 })
}

fn gradients(footprint: &Footprint, task: &Task, (len, queries): (usize, usize), activations: Activations) -> Need {
    let tokens = len * task.actions.max_length;
    footprint.gradients(longest(&task.train, queries) + tokens, queries + tokens, activations)
}

/// Tokens of the `count` longest prompts.
fn longest(prompts: &[Prompt], count: usize) -> usize {
    let mut lengths: Vec<usize> = prompts.iter().map(|prompt| prompt.query.prompt.len()).collect();
    lengths.sort_unstable_by(|a, b| b.cmp(a));
    lengths.iter().take(count).sum()
}

/// Bytes that programs can still have without swapping, where the system tells it, as Linux does.
fn available() -> Option<usize> {
    kib(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")
}

/// The most memory that this process has taken so far, in MiB, where the system tells it, as Linux does.
pub fn peak_rss_mib() -> Option<f64> {
    let bytes = kib(&std::fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")?;
    Some(bytes as f64 / (1 << 20) as f64)
}

/// What a line of a file under `/proc` says, which is in KiB, in bytes.
fn kib(text: &str, key: &str) -> Option<usize> {
    let value = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: usize = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forecast() -> Forecast {
        let need = |tensors| Need { tensors, operands: 0 };
        Forecast {
            weights: 500_000_000,
            loading: 100_000_000,
            trained: 60_000_000,
            sampling: need(200_000_000),
            scoring: need(300_000_000),
            gradients: need(1_500_000_000),
            precision: Precision::F32,
            activations: Activations::Kept,
            micro_batch: 8,
        }
    }

    #[test]
    fn parts_that_take_turns_are_not_added_up() {
        assert_eq!(forecast().total(), 2_240_000_000);
        assert_eq!(Forecast { loading: 1_800_000_000, ..forecast() }.total(), 2_330_000_000);
        assert_eq!(
            forecast().to_string(),
            "memory: up to 2.24 GB in all (weights 0.50 GB, adapter with gradients and moments 60 MB; in turn sampling \
             0.20 GB, scoring 0.30 GB, gradients 1.50 GB)"
        );
    }

    #[test]
    fn a_warning_names_what_would_help() {
        let warning = |forecast: Forecast| forecast.warning(2_000_000_000);
        assert_eq!(forecast().warning(2_240_000_000), None);
        assert_eq!(
            warning(forecast()).as_deref(),
            Some(
                "only 2.00 GB of memory are available; a smaller train.micro_batch, train.recompute = true or \
                 model.precision = \"bf16\" would take less"
            )
        );
        let lean = Forecast { activations: Activations::Recomputed, micro_batch: 1, ..forecast() };
        let lean = warning(Forecast { precision: Precision::Bf16, ..lean }).expect("a warning");
        assert!(lean.ends_with("available; model.precision = \"int8\" would take less"), "{lean}");
        let scoring = Forecast { scoring: Need { tensors: 3_000_000_000, operands: 0 }, ..forecast() };
        let scoring = warning(Forecast { precision: Precision::Int8, ..scoring }).expect("a warning");
        assert!(scoring.ends_with("available; a smaller model, or fewer samples at once would take less"), "{scoring}");
    }

    #[test]
    fn parts_of_a_batch_have_neighbouring_queries() {
        let batch = Batch { queries: 4, per_query: 6 };
        assert_eq!([6, 12, 24, 3, 1].map(|len| batch.part(len).1), [1, 2, 4, 1, 1]);
        // The worst case begins in the middle of a query.
        assert_eq!([5, 7, 23].map(|len| batch.part(len).1), [2, 3, 4]);
    }

    #[test]
    fn the_systems_figures_are_in_kib() {
        let status = "Name:\tamortize\nVmPeak:\t  999999 kB\nVmHWM:\t    2560 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(kib(status, "VmHWM:"), Some(2560 * 1024));
        assert_eq!(kib("Name:\tamortize\n", "VmHWM:"), None);
    }
}

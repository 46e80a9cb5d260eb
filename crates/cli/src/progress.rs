//! What a run shows while it goes: a bar on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use amortize_gfn::Source;
use amortize_train::likelihood;
use amortize_train::metrics::{EvaluateRecord, StepRecord, TimingRecord};
use amortize_train::session::Observer;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::table::number;

/// All bars of this process: what else is written to the terminal must go around them.
pub static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Least time between plain lines.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// Shows progress on standard error.
pub struct Progress {
    bar: Option<ProgressBar>,
    last_line: Option<Instant>,
    started: Instant,
    first_step: u64,
}

impl Progress {
    /// For a run that has finished `step` of `total` steps.
    pub fn new(step: u64, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| bar(step, total));
        Self { bar, last_line: None, started: Instant::now(), first_step: step }
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => eprintln!("{line}"),
        }
    }

    /// A step's figures: on the bar or, now and then and at the end, as a line.
    fn show(&mut self, step: u64, total: u64, figures: String) {
        if let Some(bar) = &self.bar {
            bar.set_position(step);
            bar.set_message(figures);
            return;
        }
        let due = self.last_line.is_none_or(|last| last.elapsed() >= PLAIN_EVERY);
        if due || step == total {
            self.last_line = Some(Instant::now());
            let left = self.seconds_left(step, total);
            eprintln!("step {step}/{total}  {figures}  {left:.0} s left");
        }
    }

    fn seconds_left(&self, step: u64, total: u64) -> f64 {
        let done = (step - self.first_step) as f64;
        self.started.elapsed().as_secs_f64() / done * (total - step) as f64
    }
}

fn bar(step: u64, total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}  {eta} left")
        .expect("the template is constant and valid");
    let bar = BARS.add(ProgressBar::new(total)).with_style(style).with_position(step);
    bar.reset_eta();
    bar
}

impl Observer for Progress {
    fn step(&mut self, record: &StepRecord, timing: &TimingRecord, total: u64) {
        let on_policy = record.sources.get(&Source::OnPolicy).and_then(|source| source.mean_log_reward);
        let figures =
            format!("loss {:.4}  log R {}  {:.0} tokens/s", record.loss, number(on_policy), timing.tokens_per_second);
        self.show(record.step, total, figures);
    }

    fn evaluated(&mut self, record: &EvaluateRecord) {
        let summary = &record.summary;
        self.say(&format!(
            "validation after step {}: var log w {}  ESS {}  log Z {}  ELBO {}  log p {}  length {}{}",
            record.step,
            number(summary.log_w_variance),
            number(summary.ess),
            number(summary.log_z_is),
            number(summary.elbo),
            number(summary.mean_log_p),
            number(summary.mean_length),
            if record.best { "  (best)" } else { "" },
        ));
    }
}

impl likelihood::session::Observer for Progress {
    fn step(&mut self, record: &likelihood::metrics::StepRecord, timing: &TimingRecord, total: u64) {
        self.show(record.step, total, format!("loss {:.4}  {:.0} tokens/s", record.loss, timing.tokens_per_second));
    }

    fn evaluated(&mut self, record: &likelihood::metrics::EvaluateRecord) {
        self.say(&format!(
            "validation after step {}: loss {:.4} nats a token, {:.4} a byte{}",
            record.step,
            record.loss,
            record.loss_per_byte,
            if record.best { "  (best)" } else { "" },
        ));
    }
}

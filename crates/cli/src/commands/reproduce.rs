//! `amortize reproduce`.

use std::io::Write;
use std::path::{Path, PathBuf};

use amortize_reproduce::{Observer, Options, Plan, Stage};
use amortize_train::session;
use anyhow::Result;

use crate::args::ReproduceArgs;
use crate::commands::running::stop_on_interrupt;
use crate::progress::Progress;
use crate::source::use_threads;

pub fn run(args: &ReproduceArgs) -> Result<()> {
    let plan = Plan::new(options(args))?;
    use_threads(plan.threads())?;
    let stop = stop_on_interrupt()?;
    let outcome = plan.carry_out(&mut Shown { progress: Progress::new(0, 0) }, &stop)?;
    let mut out = std::io::stdout().lock();
    match args.json {
        true => writeln!(out, "{}", serde_json::to_string(&outcome.table.rows)?)?,
        false => write!(out, "{}", outcome.markdown)?,
    }
    eprintln!("table, figure and page: {}", outcome.page.display());
    Ok(())
}

fn options(args: &ReproduceArgs) -> Options {
    Options {
        name: args.name,
        scale: args.scale,
        seeds: args.seeds as u64,
        first_seed: args.first_seed,
        out: args.out.clone().unwrap_or_else(|| default_out(args)),
        sets: args.sets.clone(),
        model: args.model.clone(),
        data: args.data.clone(),
        encoder: args.encoder.clone(),
        rater: args.rater.rater(),
    }
}

fn default_out(args: &ReproduceArgs) -> PathBuf {
    Path::new("runs").join(format!("reproduce-{}-{}", args.name, args.scale))
}

/// Progress of the run at work, on standard error.
struct Shown {
    progress: Progress,
}

impl Observer for Shown {
    fn run(&mut self, name: &str, (number, of): (usize, usize), stage: Stage, steps: u64) {
        eprintln!("[{number}/{of}] {name} {stage}");
        let step = match stage {
            Stage::GoesOn(step) => step,
            Stage::Starts | Stage::Measured | Stage::Done => 0,
        };
        self.progress = Progress::new(step, steps);
    }

    fn steps(&mut self) -> &mut dyn session::Observer {
        &mut self.progress
    }
}

//! `amortize bench`.

use std::collections::HashMap;
use std::io::Write;
use std::process::{Command, Stdio};

use amortize_bench::floor::Machine;
use amortize_bench::{Case, Outcome, Workload};
use amortize_lm::Precision;
use anyhow::{Context, Result, bail};

use crate::args::BenchArgs;
use crate::source::use_threads;
use crate::table::Table;

/// What is measured where nothing is named; f32 is the reference, and bf16 what large models are run in.
const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::Bf16];

pub fn run(args: &BenchArgs) -> Result<()> {
    let cases = cases(args);
    // All of them first: an impossible one should not end an hour of measurements.
    cases.iter().try_for_each(Case::check)?;
    use_threads(args.threads)?;
    let outcomes = match cases.as_slice() {
        [case] => vec![case.run(args.machine)?],
        cases => run_each(cases, args)?,
    };
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&outcomes)?)?;
        return Ok(());
    }
    write_table(&outcomes, &mut out)
}

/// Every workload at every size in every precision.
fn cases(args: &BenchArgs) -> Vec<Case> {
    let workloads: &[Workload] = if args.workloads.is_empty() { &Workload::ALL } else { &args.workloads };
    let precisions: &[Precision] = if args.precisions.is_empty() { &PRECISIONS } else { &args.precisions };
    let sizes = args.sweep.as_ref().map_or(vec![args.sizes()], |sweep| sweep.over(args.sizes()));
    let mut cases = Vec::new();
    for workload in workloads {
        for precision in precisions {
            cases.extend(sizes.iter().map(|sizes| Case {
                shape: args.shape,
                workload: *workload,
                precision: *precision,
                sizes: *sizes,
                repeats: args.repeats,
            }));
        }
    }
    cases
}

/// Runs every case in a process of its own, so that the peak of its memory is its own. All are held against one
/// measurement of the machine.
fn run_each(cases: &[Case], args: &BenchArgs) -> Result<Vec<Outcome>> {
    let mut machines: HashMap<Precision, Machine> = HashMap::new();
    let mut outcomes = Vec::with_capacity(cases.len());
    for case in cases {
        let measure = || args.machine.unwrap_or_else(|| Machine::measure(case.precision));
        let machine = *machines.entry(case.precision).or_insert_with(measure);
        let outcome = run_alone(case, machine, args.threads)?;
        let (sizes, seconds) = (case.sizes, outcome.seconds);
        eprintln!(
            "{} in {}, {} samples of {} tokens: {seconds:.3} s",
            case.workload, case.precision, sizes.samples, sizes.tokens
        );
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

/// Runs a case by starting this program again.
fn run_alone(case: &Case, machine: Machine, threads: usize) -> Result<Outcome> {
    let sizes = case.sizes;
    let options = [
        ("--shape", case.shape.to_string()),
        ("--workload", case.workload.to_string()),
        ("--precision", case.precision.to_string()),
        ("--repeats", case.repeats.to_string()),
        ("--samples", sizes.samples.to_string()),
        ("--tokens", sizes.tokens.to_string()),
        ("--prompt", sizes.prompt.to_string()),
        ("--suffix", sizes.suffix.to_string()),
        ("--threads", threads.to_string()),
        ("--machine", machine.to_string()),
    ];
    let mut command = Command::new(std::env::current_exe().context("cannot find this program to start it again")?);
    command.args(["bench", "--json"]).stdin(Stdio::null());
    for (name, value) in &options {
        command.args([name, value.as_str()]);
    }
    let output = command.output().context("cannot start this program again")?;
    let name = format!("{} in {}", case.workload, case.precision);
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        bail!("{name} ({}): {}", output.status, message.trim().trim_start_matches("error: "));
    }
    let outcomes: Vec<Outcome> =
        serde_json::from_slice(&output.stdout).with_context(|| format!("{name} gave no result"))?;
    outcomes.into_iter().next().with_context(|| format!("{name} gave no result"))
}

fn write_table(outcomes: &[Outcome], out: &mut impl Write) -> Result<()> {
    let mut table = Table::new(&[
        "workload",
        "precision",
        "samples",
        "tokens",
        "seconds",
        "fastest",
        "tokens/s",
        "peak MiB",
        "floor s",
        "of floor",
    ]);
    for outcome in outcomes {
        table.push(vec![
            outcome.workload.clone(),
            outcome.precision.clone(),
            outcome.sizes.samples.to_string(),
            outcome.sizes.tokens.to_string(),
            format!("{:.4}", outcome.seconds),
            format!("{:.4}", outcome.seconds_min),
            format!("{:.1}", outcome.tokens_per_s),
            outcome.peak_rss_mb.map_or("-".into(), |mib| format!("{mib:.0}")),
            format!("{:.4}", outcome.floor_seconds),
            format!("{:.0} %", 100.0 * outcome.floor_share),
        ]);
    }
    let Some(first) = outcomes.first() else { return Ok(()) };
    let (sizes, threads) = (first.sizes, first.threads);
    writeln!(
        out,
        "{} with random weights, prompt {}, suffix {}, {threads} threads; medians of {} runs",
        first.shape, sizes.prompt, sizes.suffix, first.repeats
    )?;
    table.write(out)?;
    writeln!(out, "this machine: {}", machine(outcomes))?;
    Ok(())
}

/// What the machine can do in each precision.
fn machine(outcomes: &[Outcome]) -> String {
    let mut parts: Vec<String> = Vec::new();
    for Outcome { precision, product_rate, .. } in outcomes {
        let part = format!("matrix products in {precision} {:.0} Gflop/s", product_rate / 1e9);
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    let bandwidth = outcomes.iter().map(|outcome| outcome.memory_bandwidth).fold(0.0, f64::max);
    parts.push(format!("memory {:.1} GB/s", bandwidth / 1e9));
    parts.join(", ")
}

//! `amortize corpus judge`.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};

use amortize_world::{Tally, judge};
use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::json;

use crate::args::JudgeArgs;

#[derive(Deserialize)]
struct Infill {
    x: String,
    z: String,
    y: String,
}

pub fn run(args: &JudgeArgs) -> Result<()> {
    let path = args.file.display();
    let file = File::open(&args.file).with_context(|| format!("cannot read {path}"))?;
    let mut out = std::io::stdout().lock();
    let mut tally = Tally::default();
    for (index, line) in BufReader::new(file).lines().enumerate() {
        let line = line.with_context(|| format!("cannot read {path}"))?;
        if line.trim().is_empty() {
            continue;
        }
        let infill: Infill = serde_json::from_str(&line).with_context(|| format!("{path}:{}", index + 1))?;
        let verdict = judge(&infill.x, &infill.z, &infill.y);
        tally.add(verdict);
        if args.each {
            writeln!(out, "{}", serde_json::to_string(&verdict)?)?;
        }
    }
    if args.json {
        let summary = json!({ "judged": tally.judged, "counts": tally.counts, "shares": tally.shares() });
        writeln!(out, "{summary}")?;
    } else if !args.each {
        writeln!(out, "judged     {}", tally.judged)?;
        for (name, share) in tally.shares() {
            writeln!(out, "{name:<10} {:.1} %", 100.0 * share)?;
        }
    }
    Ok(())
}

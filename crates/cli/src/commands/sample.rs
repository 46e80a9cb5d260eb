//! `amortize sample`.

use std::io::Write;

use amortize_lm::Policy;
use amortize_train::reward::Target;
use amortize_train::sampling::{Sample, SampleOptions, sample};
use anyhow::{Result, bail};
use serde::Serialize;

use crate::args::SampleArgs;
use crate::source::Source;
use crate::table::{Table, number};

/// Prompts that are sampled at once.
const PROMPTS_AT_ONCE: usize = 16;

/// A sample of a whole file's job names its prompt.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<&'a str>,
    #[serde(flatten)]
    sample: &'a Sample,
}

pub fn run(args: &SampleArgs) -> Result<()> {
    if args.suffix.is_some() {
        bail!("--suffix: the continuation task has no text after Z; leave it out");
    }
    let source = Source::load(&args.policy)?;
    let space = source.space(&args.space)?;
    let prompts = match &args.data {
        Some(path) => source.prompts(Some(path), &space.actions)?,
        None => vec![source.prompt(args.prompt.as_deref().unwrap_or(""), &space.actions)?],
    };
    let mut target = Target::continuation(Policy::base(&source.model), &space.actions, space.reward_mask);
    let mut out = std::io::stdout().lock();
    for (chunk, prompts) in prompts.chunks(PROMPTS_AT_ONCE).enumerate() {
        let options = SampleOptions {
            n: args.n,
            seed: args.seed,
            first: chunk * PROMPTS_AT_ONCE,
            policy_temperature: args.space.policy_temperature,
            reward_temperature: space.reward_temperature,
        };
        let samples = sample(source.policy(), &mut target, prompts, &space.actions, &options)?;
        for (prompt, samples) in prompts.iter().zip(&samples) {
            let named = args.data.as_ref().map(|_| prompt.text.as_str());
            if args.json {
                write_json(&mut out, named, samples)?;
            } else {
                write_table(&mut out, named, samples)?;
            }
        }
    }
    Ok(())
}

fn write_json(out: &mut impl Write, prompt: Option<&str>, samples: &[Sample]) -> Result<()> {
    for sample in samples {
        writeln!(out, "{}", serde_json::to_string(&Line { prompt, sample })?)?;
    }
    Ok(())
}

fn write_table(out: &mut impl Write, prompt: Option<&str>, samples: &[Sample]) -> Result<()> {
    if let Some(prompt) = prompt {
        writeln!(out, "\n{prompt}")?;
    }
    let mut table = Table::new(&["log q", "log R", "log w", "text"]);
    for sample in samples {
        let text = format!("{:?}", sample.text);
        let numbers = [Some(sample.log_q), sample.log_reward, sample.log_weight].map(number);
        table.push(numbers.into_iter().chain([text]).collect());
    }
    table.write(out)?;
    Ok(())
}

//! `amortize sample`.

use std::io::Write;

use amortize_train::evaluate::QUERIES_AT_ONCE;
use amortize_train::sampling::{Sample, SampleOptions, sample};
use amortize_train::task::Prompt;
use anyhow::Result;
use serde::Serialize;

use crate::args::SampleArgs;
use crate::source::Source;
use crate::table::{Table, number};

/// A sample of a whole file's job names its prompt.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suffix: Option<&'a str>,
    #[serde(flatten)]
    sample: &'a Sample,
}

pub fn run(args: &SampleArgs) -> Result<()> {
    let decoding = args.decode.decoding(args.n, args.space.policy_temperature)?;
    let source = Source::load(&args.policy)?;
    let suffix = args.suffix.as_deref();
    let space = source.space(&args.space, args.data.as_deref(), suffix)?;
    let prompts = match &args.data {
        Some(path) => source.prompts(Some(path), &space)?,
        None => vec![source.prompt_or_own(args.prompt.as_deref(), suffix, &space)?],
    };
    let mut target = source.target(&space)?;
    let mut out = std::io::stdout().lock();
    for (chunk, prompts) in prompts.chunks(QUERIES_AT_ONCE).enumerate() {
        let options = SampleOptions {
            n: args.n,
            seed: args.seed,
            first: chunk * QUERIES_AT_ONCE,
            policy_temperature: args.space.policy_temperature,
            reward_temperature: space.reward_temperature,
        };
        let samples = sample(source.policy(), &mut target, prompts, &space.actions, &options, &decoding)?;
        for (prompt, samples) in prompts.iter().zip(&samples) {
            let named = args.data.as_ref().map(|_| prompt);
            if args.json {
                write_json(&mut out, named, samples)?;
            } else {
                write_table(&mut out, named, samples)?;
            }
        }
    }
    Ok(())
}

fn write_json(out: &mut impl Write, prompt: Option<&Prompt>, samples: &[Sample]) -> Result<()> {
    let (text, suffix) =
        (prompt.map(|prompt| prompt.text.as_str()), prompt.and_then(|prompt| prompt.suffix.as_deref()));
    for sample in samples {
        writeln!(out, "{}", serde_json::to_string(&Line { prompt: text, suffix, sample })?)?;
    }
    Ok(())
}

fn write_table(out: &mut impl Write, prompt: Option<&Prompt>, samples: &[Sample]) -> Result<()> {
    if let Some(prompt) = prompt {
        writeln!(out, "\n{}", prompt.shown())?;
    }
    let mut table = Table::new(&["log q", "log R", "log w", "text"]);
    for sample in samples {
        let text = format!("{:?}", sample.text);
        let numbers = [sample.log_q, sample.log_reward, sample.log_weight].map(number);
        table.push(numbers.into_iter().chain([text]).collect());
    }
    table.write(out)?;
    Ok(())
}

//! `amortize score`.

use std::io::Write;

use anyhow::Result;
use serde::Serialize;

use crate::args::ScoreArgs;
use crate::source::Source;
use crate::table::Table;

/// The completion's tokens alone; nats.
#[derive(Serialize)]
struct Scored {
    tokens: Vec<u32>,
    log_probs: Vec<f64>,
    log_prob: f64,
}

pub fn run(args: &ScoreArgs) -> Result<()> {
    let source = Source::load(&args.policy)?;
    let tokenizer = &source.model.tokenizer;
    let prompt = match (&args.prompt_ids, &args.prompt) {
        (Some(ids), _) => ids.clone(),
        (None, text) => tokenizer.encode_prompt(text.as_deref().unwrap_or(""))?,
    };
    let tokens = match (&args.completion_ids, &args.completion) {
        (Some(ids), _) => ids.clone(),
        (None, text) => tokenizer.encode_completion(text.as_deref().unwrap_or(""))?,
    };
    let log_probs = source.policy().score_completion(&prompt, &tokens)?;
    // Not sum(): that of nothing is -0.0.
    let log_prob = log_probs.iter().fold(0.0, |sum, log_prob| sum + log_prob);
    let scored = Scored { tokens, log_probs, log_prob };
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&scored)?)?;
        return Ok(());
    }
    let mut table = Table::new(&["id", "log p", "token"]);
    for (token, log_prob) in scored.tokens.iter().zip(&scored.log_probs) {
        let text = source.model.tokenizer.token_text(*token);
        table.push(vec![token.to_string(), format!("{log_prob:.4}"), format!("{text:?}")]);
    }
    table.push(vec!["".into(), format!("{log_prob:.4}"), "(all)".into()]);
    table.write(&mut out)?;
    Ok(())
}

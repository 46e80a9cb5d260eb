//! `amortize evaluate`.

use std::io::Write;

use amortize_train::evaluate::{Evaluation, evaluate};
use amortize_train::exact::Distances;
use amortize_train::sampling::SampleOptions;
use anyhow::{Result, bail};

use crate::args::EvaluateArgs;
use crate::source::Source;
use crate::table::{Table, number};

pub fn run(args: &EvaluateArgs) -> Result<()> {
    if args.proposals && args.space.policy_temperature != 1.0 {
        bail!("--proposals compares the policy itself with the base model; leave out --policy-temperature");
    }
    let source = Source::load(&args.policy)?;
    let data = args.data.as_deref();
    let space = source.space(&args.space, data, None)?;
    let prompts = source.prompts(data, &space)?;
    let mut target = source.target(&space)?;
    let options = SampleOptions {
        n: args.n,
        seed: args.seed,
        first: 0,
        policy_temperature: args.space.policy_temperature,
        reward_temperature: space.reward_temperature,
    };
    let found = evaluate(source.policy(), &mut target, &prompts, &space.actions, &options, args.proposals)?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&found)?)?;
        return Ok(());
    }
    write_queries(&mut out, &found)?;
    write_summary(&mut out, &found, space.reward_temperature)
}

fn write_queries(out: &mut impl Write, found: &Evaluation) -> Result<()> {
    let mut table = Table::new(&["var log w", "log Z", "ESS", "ELBO", "log p", "KL", "length", "forced", "prompt"]);
    for query in &found.queries {
        let d = &query.diagnostics;
        let numbers = [
            d.log_w_variance,
            Some(d.log_z_is),
            Some(d.ess),
            Some(d.elbo),
            d.mean_log_p,
            d.kl_from_base,
            Some(d.mean_length),
            Some(d.forced_stop_share),
        ];
        let prompt: String = query.prompt.chars().take(40).collect();
        table.push(numbers.into_iter().map(number).chain([prompt]).collect());
    }
    Ok(table.write(out)?)
}

fn write_summary(out: &mut impl Write, found: &Evaluation, reward_temperature: f64) -> Result<()> {
    let s = &found.summary;
    writeln!(
        out,
        "\n{} prompts, {} draws; means over prompts, in nats; reward temperature {reward_temperature}",
        s.n_queries, s.n
    )?;
    let mut table = Table::new(&["value", ""]);
    let rows = [
        ("variance of log w within a prompt", s.log_w_variance),
        ("log Z, importance estimate from the policy", s.log_z_is),
        ("log Z, from the base model's draws", mean(found, |p| p.log_z_base)),
        ("log Z, from both against their mixture", mean(found, |p| p.log_z_mixture)),
        ("ELBO: mean log w", s.elbo),
        ("ESS, share of the draws", s.ess),
        ("log p of samples under the base model", s.mean_log_p),
        ("KL from the base model", s.kl_from_base),
        ("length in tokens", s.mean_length),
        ("share of forced stops", s.forced_stop_share),
        ("share of zero rewards", s.zero_reward_share),
        ("distinct words", s.distinct_1),
        ("distinct pairs of words", s.distinct_2),
        ("distinct triples of words", s.distinct_3),
        ("edit distance between samples", s.pairwise_edit_distance),
    ];
    for (name, value) in rows.into_iter().filter(|(_, value)| value.is_some()) {
        table.push(vec![number(value), name.into()]);
    }
    table.write(out)?;
    if let Some(exact) = &found.exact {
        write_exact(out, &exact.distances)?;
    }
    if !found.queries.iter().all(|query| query.proposals.is_none()) {
        writeln!(
            out,
            "\nEstimates of log Z are lower bounds on average: a higher one from other proposals shows mass that \
                       the policy misses, as far as these proposals reach."
        )?;
    }
    Ok(())
}

fn write_exact(out: &mut impl Write, distances: &Distances) -> Result<()> {
    writeln!(out, "\nThe target is a table, and so this is known without draws:")?;
    let mut table = Table::new(&["value", ""]);
    let rows = [
        ("KL(policy among valid texts || target)", distances.kl),
        ("KL(target || policy)", distances.reverse_kl),
        ("total variation", distances.total_variation),
        ("mass of invalid texts", distances.invalid_mass),
    ];
    rows.into_iter().for_each(|(name, value)| table.push(vec![format!("{value:.3e}"), name.into()]));
    table.write(out)?;
    if !distances.all_spellings {
        writeln!(out, "Some texts have too many spellings to score: the mass of invalid texts is an upper bound.")?;
    }
    Ok(())
}

fn mean(found: &Evaluation, field: impl Fn(&amortize_train::evaluate::Proposals) -> f64) -> Option<f64> {
    let values: Vec<f64> = found.queries.iter().filter_map(|query| query.proposals.as_ref().map(&field)).collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

//! `amortize evaluate`.

use std::io::Write;

use amortize_encoders::Encoder;
use amortize_gfn::Summary;
use amortize_metrics::{mean, mean_pairwise_cosine_distance};
use amortize_train::evaluate::{Evaluation, Proposals, QueryEvaluation, evaluate};
use amortize_train::exact::{Distances, Exact};
use amortize_train::sampling::SampleOptions;
use anyhow::{Result, bail};
use serde::Serialize;

use crate::args::EvaluateArgs;
use crate::source::Source;
use crate::table::{Table, number};

/// An evaluation with what an encoder adds to it.
#[derive(Serialize)]
struct Shown<'a> {
    summary: WithDiversity<&'a Summary>,
    queries: Vec<WithDiversity<&'a QueryEvaluation>>,
    #[serde(flatten)]
    exact: Option<&'a Exact>,
}

#[derive(Serialize)]
struct WithDiversity<T> {
    #[serde(flatten)]
    found: T,
    /// Mean cosine distance between the embeddings of two samples of a prompt; absent without an encoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    diversity: Option<f64>,
}

impl<'a> Shown<'a> {
    fn new(found: &'a Evaluation, encoder: Option<&Encoder>) -> Result<Self> {
        let mut queries = Vec::with_capacity(found.queries.len());
        for query in &found.queries {
            let embeddings = encoder.map(|encoder| encoder.embed(&query.texts)).transpose()?;
            let diversity = embeddings.and_then(|embeddings| mean_pairwise_cosine_distance(&embeddings));
            queries.push(WithDiversity { found: query, diversity });
        }
        let diversities: Vec<f64> = queries.iter().filter_map(|query| query.diversity).collect();
        let summary = WithDiversity { found: &found.summary, diversity: mean(&diversities) };
        Ok(Self { summary, queries, exact: found.exact.as_ref() })
    }
}

pub fn run(args: &EvaluateArgs) -> Result<()> {
    if args.proposals && args.space.policy_temperature != 1.0 {
        bail!("--proposals compares the policy itself with the base model; leave out --policy-temperature");
    }
    let encoder = args.encoder.as_ref().map(|dir| Encoder::load(dir, None)).transpose()?;
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
    let shown = Shown::new(&found, encoder.as_ref())?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&shown)?)?;
        return Ok(());
    }
    write_queries(&mut out, &shown)?;
    write_summary(&mut out, &found, shown.summary.diversity, space.reward_temperature)
}

fn write_queries(out: &mut impl Write, shown: &Shown) -> Result<()> {
    let with_diversity = shown.summary.diversity.is_some();
    let mut header = vec!["var log w", "log Z", "ESS", "ELBO", "log p", "KL", "length", "forced"];
    header.extend(with_diversity.then_some("diversity"));
    header.push("prompt");
    let mut table = Table::new(&header);
    for WithDiversity { found: query, diversity } in &shown.queries {
        let d = &query.diagnostics;
        let mut numbers = vec![
            d.log_w_variance,
            Some(d.log_z_is),
            Some(d.ess),
            Some(d.elbo),
            d.mean_log_p,
            d.kl_from_base,
            Some(d.mean_length),
            Some(d.forced_stop_share),
        ];
        numbers.extend(with_diversity.then_some(*diversity));
        let prompt: String = query.prompt.chars().take(40).collect();
        table.push(numbers.into_iter().map(number).chain([prompt]).collect());
    }
    Ok(table.write(out)?)
}

fn write_summary(
    out: &mut impl Write,
    found: &Evaluation,
    diversity: Option<f64>,
    reward_temperature: f64,
) -> Result<()> {
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
        ("log Z, from the base model's draws", mean_proposal(found, |p| p.log_z_base)),
        ("log Z, from both against their mixture", mean_proposal(found, |p| p.log_z_mixture)),
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
        ("diversity: cosine distance between samples' embeddings", diversity),
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

fn mean_proposal(found: &Evaluation, field: impl Fn(&Proposals) -> f64) -> Option<f64> {
    let values: Vec<f64> = found.queries.iter().filter_map(|query| query.proposals.as_ref().map(&field)).collect();
    mean(&values)
}

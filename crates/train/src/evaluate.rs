//! How good a sampler a policy is: draws of the policy itself, weighed against the target.

use amortize_gfn::diagnostics::{elbo, log_mean_exp, log_mixture};
use amortize_gfn::{Draws, Query, QueryDiagnostics, Source, Summary, Trajectory};
use amortize_lm::actions::ActionSpace;
use amortize_lm::{Model, Policy};
use serde::Serialize;

use crate::config::RewardMask;
use crate::error::Result;
use crate::exact::{self, Exact};
use crate::explore::Explored;
use crate::reward::Target;
use crate::sampling::{Drawn, SampleOptions, draw, text_of};
use crate::tables::{PackedTrajectories, PolicyQuestions};
use crate::task::Prompt;

/// Shares of the policy and of the base model in the mixture that [`Proposals`] speaks of.
const EVEN: [f64; 2] = [0.5, 0.5];

/// Queries that go through the model at once.
pub const QUERIES_AT_ONCE: usize = 16;

/// What an evaluation found.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// Averages over queries.
    pub summary: Summary,
    /// Every query.
    pub queries: Vec<QueryEvaluation>,
    /// What is known without draws, averaged over queries, where all texts with a reward can be listed.
    #[serde(flatten)]
    pub exact: Option<Exact>,
}

/// What was found for one query.
#[derive(Clone, Debug, Serialize)]
pub struct QueryEvaluation {
    /// X.
    pub prompt: String,
    /// Y; absent where the task has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suffix: Option<String>,
    /// The policy's own draws, each with its stop.
    #[serde(skip)]
    pub texts: Vec<String>,
    /// Diagnostics of the policy's own draws.
    #[serde(flatten)]
    pub diagnostics: QueryDiagnostics,
    /// Estimates of log Z from other proposals, where they were asked for.
    #[serde(flatten)]
    pub proposals: Option<Proposals>,
    /// What is known of it without draws, where all texts with a reward can be listed.
    #[serde(flatten)]
    pub exact: Option<Exact>,
}

/// Estimates of log Z from other proposals than the policy, in nats. All are stochastic lower bounds: one that is higher
/// shows mass that the policy misses, as far as these proposals reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Proposals {
    /// From draws of the base model within the same action space.
    pub log_z_base: f64,
    /// From both kinds of draws, weighed against the even mixture of the two.
    pub log_z_mixture: f64,
    /// Mean log w of the base model's draws: what the policy started from.
    pub elbo_base: f64,
}

/// Draws `options.n` sequences per prompt from the policy and diagnoses them. With `proposals`, the base model draws as
/// many for its own estimate of log Z.
///
/// # Errors
/// If the model cannot read a prompt, or the reward fails.
pub fn evaluate(
    policy: Policy,
    target: &mut Target,
    prompts: &[Prompt],
    actions: &ActionSpace,
    options: &SampleOptions,
    proposals: bool,
) -> Result<Evaluation> {
    let mut queries = Vec::with_capacity(prompts.len());
    for (chunk, prompts) in prompts.chunks(QUERIES_AT_ONCE).enumerate() {
        let options = SampleOptions { first: options.first + chunk * QUERIES_AT_ONCE, ..*options };
        let drawn = draw(policy, target, prompts, actions, &options)?;
        let log_p = base_log_prob(policy, target, &drawn, actions, options.reward_temperature)?;
        let others = if proposals {
            compare_proposals(policy, target, prompts, actions, &options, &drawn)?.into_iter().map(Some).collect()
        } else {
            vec![None; prompts.len()]
        };
        let mut exact = exact_of(policy, target, &drawn, actions, &options)?.into_iter();
        for (number, (prompt, proposals)) in prompts.iter().zip(others).enumerate() {
            let rows: Vec<usize> = drawn.rows_of(number).collect();
            let diagnostics = diagnose_rows(policy.model, &drawn, &log_p, &rows);
            let (prompt, suffix) = (prompt.text.clone(), prompt.suffix.clone());
            let text = |row: &usize| text_of(policy.model, &drawn.trajectories[*row], actions).0;
            let texts = rows.iter().map(text).collect();
            queries.push(QueryEvaluation { prompt, suffix, texts, diagnostics, proposals, exact: exact.next() });
        }
    }
    let diagnostics: Vec<QueryDiagnostics> = queries.iter().map(|query| query.diagnostics.clone()).collect();
    let exact: Vec<Exact> = queries.iter().filter_map(|query| query.exact.clone()).collect();
    Ok(Evaluation { summary: Summary::over(&diagnostics), queries, exact: exact::mean(&exact) })
}

/// For every query, where texts can be listed and it is the policy itself that is evaluated.
fn exact_of(
    policy: Policy,
    target: &Target,
    drawn: &Drawn,
    actions: &ActionSpace,
    options: &SampleOptions,
) -> Result<Vec<Exact>> {
    match &target.support {
        Some(support) if options.policy_temperature == 1.0 => {
            exact::exact(policy, &drawn.queries, support, actions, options.reward_temperature)
        }
        _ => Ok(Vec::new()),
    }
}

fn diagnose_rows(model: &Model, drawn: &Drawn, log_p: &[f64], rows: &[usize]) -> QueryDiagnostics {
    let pick = |values: &[f64]| -> Vec<f64> { rows.iter().map(|row| values[*row]).collect() };
    let trajectories: Vec<&Trajectory> = rows.iter().map(|row| &drawn.trajectories[*row]).collect();
    diagnose_query(model, &trajectories, &pick(&drawn.log_q), &pick(&drawn.log_reward), &pick(log_p))
}

fn diagnose_query(
    model: &Model,
    trajectories: &[&Trajectory],
    log_q: &[f64],
    log_reward: &[f64],
    log_p: &[f64],
) -> QueryDiagnostics {
    let lengths: Vec<usize> = trajectories.iter().map(|trajectory| trajectory.len()).collect();
    let forced: Vec<bool> = trajectories.iter().map(|trajectory| trajectory.forced_stop()).collect();
    let tokens: Vec<&[u32]> = trajectories.iter().map(|trajectory| trajectory.z.as_slice()).collect();
    let words: Vec<Vec<String>> = trajectories
        .iter()
        .map(|trajectory| model.tokenizer.decode(&trajectory.z).split_whitespace().map(String::from).collect())
        .collect();
    QueryDiagnostics::of(&Draws {
        log_q,
        log_reward,
        log_p,
        lengths: &lengths,
        forced: &forced,
        tokens: &tokens,
        words: &words,
    })
}

/// log p(Z stop | X) of every drawn sequence under the base model, in nats.
pub(crate) fn base_log_prob(
    policy: Policy,
    target: &Target,
    drawn: &Drawn,
    actions: &ActionSpace,
    reward_temperature: f64,
) -> Result<Vec<f64>> {
    if target.is_base_log_prob {
        return Ok(drawn.log_reward.iter().map(|log_reward| log_reward * reward_temperature).collect());
    }
    let mut base = Target::continuation(Policy::base(policy.model), actions, RewardMask::Zero);
    base.final_log_reward(&drawn.queries, &drawn.query_of, &drawn.trajectories)
}

/// Estimates of log Z per query from the base model's draws and from the mixture.
fn compare_proposals(
    policy: Policy,
    target: &mut Target,
    prompts: &[Prompt],
    actions: &ActionSpace,
    options: &SampleOptions,
    drawn: &Drawn,
) -> Result<Vec<Proposals>> {
    let base = Policy::base(policy.model);
    let from_base = draw(base, target, prompts, actions, &SampleOptions { policy_temperature: 1.0, ..*options })?;
    let density =
        |policy: Policy, drawn: &Drawn| log_q(policy, &drawn.queries, &drawn.query_of, &drawn.trajectories, actions);
    // Each kind of draw has its own density already; the other's is asked for.
    let (drawn_p, base_q) = (density(base, drawn)?, density(policy, &from_base)?);
    let estimate = |number: usize| {
        let base_rows: Vec<usize> = from_base.rows_of(number).collect();
        let log_w: Vec<f64> = base_rows.iter().map(|row| from_base.log_reward[*row] - from_base.log_q[*row]).collect();
        let mixed =
            drawn
                .rows_of(number)
                .map(|row| drawn.log_reward[row] - log_mixture(&EVEN, &[drawn.log_q[row], drawn_p[row]]))
                .chain(base_rows.iter().map(|row| {
                    from_base.log_reward[*row] - log_mixture(&EVEN, &[base_q[*row], from_base.log_q[*row]])
                }));
        let mixed: Vec<f64> = mixed.collect();
        let rewards: Vec<f64> = base_rows.iter().map(|row| from_base.log_reward[*row]).collect();
        let densities: Vec<f64> = base_rows.iter().map(|row| from_base.log_q[*row]).collect();
        Proposals {
            log_z_base: log_mean_exp(&log_w),
            log_z_mixture: log_mean_exp(&mixed),
            elbo_base: elbo(&densities, &rewards),
        }
    };
    Ok((0..prompts.len()).map(estimate).collect())
}

/// log q of whole sequences under a policy within an action space, in nats: by scoring, without sampling.
///
/// # Errors
/// If the model cannot read a sequence.
pub fn log_q(
    policy: Policy,
    queries: &[Query],
    query_of: &[usize],
    trajectories: &[Trajectory],
    actions: &ActionSpace,
) -> Result<Vec<f64>> {
    let packed = PackedTrajectories::new(queries, query_of, trajectories);
    let asked = PolicyQuestions::new(&packed, trajectories, actions);
    let answers = policy.score(&packed.forest, &asked.questions)?;
    let (log_pf, log_pterm, _) = asked.tables(&answers);
    Ok(amortize_gfn::table::log_q(&log_pf, &log_pterm))
}

/// Diagnostics of a training step's on-policy draws in the step's own target, averaged over queries; `None` if there
/// were none.
pub fn diagnose(
    model: &Model,
    explored: &Explored,
    reward_temperature: f64,
    reward_is_base_log_prob: bool,
) -> Option<Summary> {
    let mut queries = Vec::new();
    for number in 0..explored.queries.len() {
        let own = |row: &usize| explored.query_of[*row] == number && explored.sources[*row] == Source::OnPolicy;
        let rows: Vec<usize> = (0..explored.trajectories.len()).filter(own).collect();
        if rows.is_empty() {
            continue;
        }
        let last = |row: &usize| explored.log_reward.row(*row).last().copied().unwrap_or(f64::NEG_INFINITY);
        let untempered: Vec<f64> = rows.iter().map(last).collect();
        let log_reward: Vec<f64> = untempered.iter().map(|value| value / reward_temperature).collect();
        let log_q: Vec<f64> = rows.iter().filter_map(|row| explored.log_q[*row]).collect();
        let trajectories: Vec<&Trajectory> = rows.iter().map(|row| &explored.trajectories[*row]).collect();
        let log_p = if reward_is_base_log_prob { untempered.as_slice() } else { &[] };
        queries.push(diagnose_query(model, &trajectories, &log_q, &log_reward, log_p));
    }
    (!queries.is_empty()).then(|| Summary::over(&queries))
}

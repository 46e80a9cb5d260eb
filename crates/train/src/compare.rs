//! The same prompts before and after training: draws of the base model and of the policy, each with its
//! log-probabilities under both.

use amortize_lm::Policy;
use amortize_lm::actions::ActionSpace;

use crate::error::Result;
use crate::evaluate::base_log_prob;
use crate::metrics::{SampleKind, SampleRecord};
use crate::reward::Target;
use crate::sampling::{SampleOptions, draw, text_of};
use crate::task::Prompt;

/// Prompts that are compared: the first of the validation prompts.
pub const PROMPTS: usize = 4;

/// Draws of a prompt.
pub const DRAWS: usize = 4;

/// Records of draws from a policy for the first few prompts: the first draws of an evaluation with the same options.
///
/// # Errors
/// If the model cannot read a prompt, or the reward fails.
pub fn compare<'a>(
    policy: Policy,
    target: &mut Target,
    prompts: &'a [Prompt],
    actions: &ActionSpace,
    options: &SampleOptions,
    (step, kind): (u64, SampleKind),
) -> Result<Vec<SampleRecord<'a>>> {
    let prompts = &prompts[..prompts.len().min(PROMPTS)];
    let options = SampleOptions { n: options.n.min(DRAWS), ..*options };
    let drawn = draw(policy, target, prompts, actions, &options)?;
    let log_p = base_log_prob(policy, target, &drawn, actions, options.reward_temperature)?;
    let record = |row: usize| {
        let (prompt, log_q, log_reward) = (&prompts[drawn.query_of[row]], drawn.log_q[row], drawn.log_reward[row]);
        SampleRecord {
            step,
            kind,
            prompt: &prompt.text,
            suffix: prompt.suffix.as_deref(),
            text: text_of(policy.model, &drawn.trajectories[row], actions).0,
            log_p: Some(log_p[row]),
            log_q,
            log_reward: log_reward * options.reward_temperature,
            log_weight: Some(log_reward - log_q),
        }
    };
    Ok((0..drawn.trajectories.len()).map(record).collect())
}

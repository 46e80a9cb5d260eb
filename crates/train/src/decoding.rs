//! The ways to get sequences from a policy: draws, draws from its likeliest tokens, and searches for its likeliest
//! sequences.

use amortize_gfn::{Query, Trajectory};
use amortize_lm::actions::ActionSpace;
use amortize_lm::{BeamOptions, Generated, Policy, Truncation, beam_search, generate_truncated};

use crate::error::Result;
use crate::explore::trajectory;
use crate::sampling::{SampleOptions, draws};

/// How sequences are got.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decoding {
    /// Drawn token by token. Without truncation these are the policy's own samples.
    Draw(Truncation),
    /// Searched for.
    Beam(BeamOptions),
}

impl Decoding {
    /// The policy's own samples.
    pub const OWN: Self = Self::Draw(Truncation::None);
}

/// Sequences of some prompts, those of a prompt next to each other.
pub(crate) struct Decoded {
    /// Which prompt each row belongs to.  `[rows]`
    pub query_of: Vec<usize>,
    /// `[rows]`
    pub trajectories: Vec<Trajectory>,
    /// log q under the distribution really sampled, in nats, where something was drawn.  `[rows]`
    pub log_q: Vec<Option<f64>>,
}

/// Gets `options.n` sequences a prompt, or as many as a search finds.
pub(crate) fn decode(
    policy: Policy,
    queries: &[Query],
    actions: &ActionSpace,
    options: &SampleOptions,
    decoding: &Decoding,
) -> Result<Decoded> {
    let tokens: Vec<Vec<u32>> = queries.iter().map(|query| query.prompt.clone()).collect();
    let mut decoded = Decoded { query_of: Vec::new(), trajectories: Vec::new(), log_q: Vec::new() };
    match decoding {
        Decoding::Draw(truncation) => {
            let draws = draws(queries.len(), options);
            let generated = generate_truncated(policy, &tokens, &draws, actions, *truncation)?;
            for (draw, generated) in draws.iter().zip(generated) {
                let log_q = generated.log_q;
                decoded.push(draw.prompt, generated, Some(log_q));
            }
        }
        Decoding::Beam(beams) => {
            let found = beam_search(policy, &tokens, actions, beams)?;
            let best = found.into_iter().map(|found| found.into_iter().take(options.n)).enumerate();
            for (prompt, found) in best.flat_map(|(prompt, found)| found.map(move |found| (prompt, found))) {
                let (tokens, stop_token, log_q) = (found.tokens, found.stop_token, found.log_prob);
                decoded.push(prompt, Generated { tokens, stop_token, log_q }, None);
            }
        }
    }
    Ok(decoded)
}

impl Decoded {
    fn push(&mut self, prompt: usize, generated: Generated, log_q: Option<f64>) {
        self.query_of.push(prompt);
        self.trajectories.push(trajectory(generated));
        self.log_q.push(log_q);
    }
}

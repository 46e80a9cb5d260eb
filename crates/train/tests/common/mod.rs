//! What the integration tests share: a tiny model, a small action space and rewards that can be listed.
#![allow(dead_code)]

use std::path::PathBuf;

use amortize_gfn::{Query, Reward, StopReason, Table, Trajectory};
use amortize_lm::actions::{ActionSpace, StopRule, TokenMask};
use amortize_lm::{Device, Model, Policy, Precision};
use amortize_train::TrainError;
use amortize_train::config::Config;
use amortize_train::evaluate::log_q;
use amortize_train::task::{Prompt, Task};

/// Tokens that sequences are made of.
pub const TOKENS: [u32; 3] = [20, 21, 22];
/// Any of these ends a sequence.
pub const STOPS: [u32; 2] = [30, 31];

/// A fixture model of the lm crate.
pub fn model(name: &str) -> Model {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../lm/tests/fixtures").join(name);
    Model::load(&path, &Device::cpu(), Precision::F32).expect("a fixture loads")
}

/// A config with `sets` on top of small defaults.
pub fn config(sets: &[&str]) -> Config {
    let text = "task = \"continuation\"\nmodel.path = \"unused\"\ndata.path = \"unused\"\n\
                train.steps = 1\ntrain.seed = 1\n";
    let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
    Config::from_toml(text, "test.toml", &sets).expect("a valid config")
}

/// Two prompts over a few tokens.
pub fn task(model: &Model, min_length: usize, max_length: usize) -> Task {
    let vocab_size = model.config.vocab_size;
    let allowed = TokenMask::all(vocab_size).only(&TOKENS);
    let actions =
        ActionSpace::new(vocab_size, allowed, StopRule::tokens(&STOPS), min_length, max_length).expect("a space");
    let prompt = |tokens: &[u32]| {
        let query = Query::new(tokens.to_vec(), vec![]);
        Prompt { text: format!("{tokens:?}"), suffix: None, query }
    };
    let train = vec![prompt(&[3, 4, 5]), prompt(&[9, 10])];
    Task { validation: train.clone(), train, actions }
}

/// Every sequence of the action space.
pub fn every_sequence(min_length: usize, max_length: usize) -> Vec<Vec<u32>> {
    let mut all = vec![vec![]];
    let mut last = all.clone();
    for _ in 0..max_length {
        last = last.iter().flat_map(|z| TOKENS.map(|token| [z.as_slice(), &[token]].concat())).collect();
        all.extend(last.clone());
    }
    all.into_iter().filter(|z| z.len() >= min_length).collect()
}

/// A rugged reward without pattern, zero for some sequences.
pub struct Rugged {
    /// Share of sequences with zero reward.
    pub zeros: f64,
}

impl Rugged {
    /// log R of a sequence after a prompt, in nats.
    pub fn log_reward(&self, query: &Query, z: &[u32]) -> f64 {
        let hash = z.iter().fold(query.id, |hash, token| amortize_engine::ops::dropout::mix(hash ^ u64::from(*token)));
        let unit = |bits: u64| (bits & 0xffff) as f64 / 65536.0;
        if unit(hash >> 16) < self.zeros { f64::NEG_INFINITY } else { 3.0 * unit(hash) - 2.0 }
    }
}

impl Reward for Rugged {
    type Error = TrainError;

    fn log_reward(
        &mut self,
        queries: &[Query],
        query_of: &[usize],
        trajectories: &[Trajectory],
    ) -> Result<Table, TrainError> {
        let row = |(trajectory, query): (&Trajectory, &usize)| {
            (0..=trajectory.len()).map(|k| Rugged::log_reward(self, &queries[*query], &trajectory.z[..k])).collect()
        };
        Ok(Table::from_rows(trajectories.iter().zip(query_of).map(row).collect()))
    }
}

/// A policy's probability of every one of `sequences`, stop included.
pub fn probabilities(
    policy: Policy,
    task: &Task,
    sequences: &[Vec<u32>],
    prompt: &Prompt,
    max_length: usize,
) -> Vec<f64> {
    let stop = |z: &[u32]| match z.len() == max_length {
        true => StopReason::MaxLength,
        false => StopReason::Stop { token: STOPS[0] },
    };
    let trajectories: Vec<Trajectory> = sequences.iter().map(|z| Trajectory { z: z.clone(), stop: stop(z) }).collect();
    let queries = [prompt.query.clone()];
    let log_q = log_q(policy, &queries, &vec![0; trajectories.len()], &trajectories, &task.actions).expect("it scores");
    log_q.iter().map(|log_q| log_q.exp()).collect()
}

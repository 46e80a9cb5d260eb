//! A world small enough to enumerate: a tabular softmax policy, random rewards and random masks.
#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::collections::BTreeMap;

use amortize_gfn::{Batch, Generator, Gradients, Objective, Table, target};
use rand::RngExt;

/// The training target of a zero reward, in nats.
pub const FLOOR: f64 = -30.0;

/// What the policy may do after a prefix.
#[derive(Clone, Debug)]
struct State {
    tokens: Vec<u32>,
    may_stop: bool,
    log_reward: f64,
}

/// The prefixes that can be reached, their masks and rewards. At the maximum length the stop is
/// forced: no token is allowed there.
#[derive(Clone, Debug)]
pub struct World {
    states: BTreeMap<Vec<u32>, State>,
    /// Every complete trajectory.
    pub endings: Vec<Vec<u32>>,
}

/// Logits of the allowed actions of each prefix: its tokens, then the stop where it may stop.
pub type Logits = BTreeMap<Vec<u32>, Vec<f64>>;

/// How a world is made.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub n_tokens: u32,
    pub min_len: usize,
    pub max_len: usize,
    /// The probability of each token to be disallowed after a prefix.
    pub masked_token: f64,
    /// The probability of the stop to be disallowed after a prefix, as within a tool's output.
    pub masked_stop: f64,
    /// The probability of a zero reward where the policy may stop.
    pub zero_reward: f64,
}

impl World {
    pub fn new(rules: &Rules, seed: u64) -> Self {
        let mut world = Self { states: BTreeMap::new(), endings: Vec::new() };
        world.grow(rules, Vec::new(), &mut Generator::new(seed, "world"));
        assert!(!world.endings.is_empty());
        world
    }

    fn grow(&mut self, rules: &Rules, prefix: Vec<u32>, rng: &mut Generator) {
        let full = prefix.len() == rules.max_len;
        let mut tokens: Vec<u32> =
            (0..rules.n_tokens).filter(|_| !full && !rng.random_bool(rules.masked_token)).collect();
        let early = prefix.len() < rules.min_len;
        let may_stop = full || !(early || rng.random_bool(rules.masked_stop));
        if tokens.is_empty() && !may_stop {
            tokens.push(rng.random_range(0..rules.n_tokens));
        }
        let zero = rng.random_bool(rules.zero_reward) && !prefix.is_empty();
        let log_reward = if zero { f64::NEG_INFINITY } else { rng.random_range(-3.0..1.0) };
        for &token in &tokens {
            let child = prefix.iter().copied().chain([token]).collect();
            self.grow(rules, child, rng);
        }
        if may_stop {
            self.endings.push(prefix.clone());
        }
        self.states.insert(prefix, State { tokens, may_stop, log_reward });
    }

    pub fn uniform(&self) -> Logits {
        let logits = |state: &State| vec![0.0; state.tokens.len() + usize::from(state.may_stop)];
        self.states.iter().map(|(prefix, state)| (prefix.clone(), logits(state))).collect()
    }

    pub fn random(&self, scale: f64, seed: u64) -> Logits {
        let rng = &mut Generator::new(seed, "policy");
        let mut logits = self.uniform();
        logits.values_mut().flatten().for_each(|l| *l = scale * rng.random_range(-1.0..1.0));
        logits
    }

    /// The policy that samples in proportion to the floored target: an action's logit is the log of
    /// the flow through it.
    pub fn exact_policy(&self) -> Logits {
        let mut logits = Logits::new();
        self.log_flow(&[], &mut logits);
        logits
    }

    fn log_flow(&self, prefix: &[u32], logits: &mut Logits) -> f64 {
        let state = &self.states[prefix];
        let mut flows: Vec<f64> =
            state.tokens.iter().map(|&token| self.log_flow(&child(prefix, token), logits)).collect();
        if state.may_stop {
            flows.push(state.log_reward.max(FLOOR));
        }
        let total = amortize_gfn::diagnostics::log_sum_exp(&flows);
        logits.insert(prefix.to_vec(), flows);
        total
    }

    /// The true target, zero rewards being zero.
    pub fn posterior(&self) -> Vec<f64> {
        let rewards: Vec<f64> = self.endings.iter().map(|z| self.states[z].log_reward.exp()).collect();
        let total: f64 = rewards.iter().sum();
        rewards.into_iter().map(|reward| reward / total).collect()
    }

    /// Whether all rewards are zero.
    pub fn has_no_posterior(&self) -> bool {
        self.endings.iter().all(|z| self.states[z].log_reward == f64::NEG_INFINITY)
    }

    /// The log of the target's normaliser, floored as in training.
    pub fn log_z(&self) -> f64 {
        let floored = |z: &Vec<u32>| self.states[z].log_reward.max(FLOOR);
        let rewards: Vec<f64> = self.endings.iter().map(floored).collect();
        amortize_gfn::diagnostics::log_sum_exp(&rewards)
    }

    /// The probability of each ending under a policy.
    pub fn probabilities(&self, logits: &Logits) -> Vec<f64> {
        let scored = self.score(logits, &self.endings);
        let of_row = |(row, log_pf): (usize, &[f64])| {
            let last = log_pf.len() - 1;
            (log_pf.iter().sum::<f64>() + scored.log_pterm.row(row)[last]).exp()
        };
        scored.log_pf.iter().enumerate().map(of_row).collect()
    }

    pub fn total_variation(&self, logits: &Logits) -> f64 {
        let probabilities = self.probabilities(logits);
        let gaps = self.posterior().into_iter().zip(probabilities).map(|(p, q)| (p - q).abs());
        0.5 * gaps.sum::<f64>()
    }

    pub fn score(&self, logits: &Logits, trajectories: &[Vec<u32>]) -> Scored {
        let mut rows = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for z in trajectories {
            let prefixes = || (0..=z.len()).map(|k| &z[..k]);
            let states = || prefixes().map(|prefix| &self.states[prefix]);
            let pf = |k: usize| match k {
                0 => 0.0,
                k => log_softmax(&logits[&z[..k - 1]])[self.action(&z[..k - 1], z[k - 1])],
            };
            let stop = |prefix: &[u32]| match self.states[prefix].may_stop {
                true => *log_softmax(&logits[prefix]).last().unwrap(),
                false => f64::NEG_INFINITY,
            };
            rows.0.push((0..=z.len()).map(pf).collect());
            rows.1.push(prefixes().map(stop).collect());
            rows.2.push(states().map(|state| state.log_reward).collect());
            rows.3.push(states().map(|state| state.may_stop).collect());
        }
        Scored {
            log_pf: Table::from_rows(rows.0),
            log_pterm: Table::from_rows(rows.1),
            log_reward: target(&Table::from_rows(rows.2), 1.0, FLOOR),
            endpoint: Table::from_rows(rows.3),
        }
    }

    /// Carries the gradient of the scores to the logits: d log softmax_a / d logit_b = [a=b] - p_b.
    pub fn backward(&self, logits: &Logits, trajectories: &[Vec<u32>], gradients: &Gradients) -> Logits {
        let mut d_logits = self.uniform();
        let mut add = |prefix: &[u32], action: usize, coefficient: f64| {
            let d = d_logits.get_mut(prefix).unwrap();
            for (d, log_p) in d.iter_mut().zip(log_softmax(&logits[prefix])) {
                *d -= coefficient * log_p.exp();
            }
            d[action] += coefficient;
        };
        for (row, z) in trajectories.iter().enumerate() {
            for k in 0..=z.len() {
                let state = &self.states[&z[..k]];
                if state.may_stop {
                    add(&z[..k], state.tokens.len(), gradients.d_log_pterm.row(row)[k]);
                }
                if k < z.len() {
                    let action = self.action(&z[..k], z[k]);
                    add(&z[..k], action, gradients.d_log_pf.row(row)[k + 1]);
                }
            }
        }
        d_logits
    }

    /// Draws a trajectory from the policy at a temperature.
    pub fn sample(&self, logits: &Logits, temperature: f64, rng: &mut Generator) -> Vec<u32> {
        let mut z = Vec::new();
        loop {
            let tempered: Vec<f64> = logits[&z].iter().map(|l| l / temperature).collect();
            let mut point: f64 = rng.random();
            let log_p = log_softmax(&tempered);
            let action = log_p.iter().position(|p| {
                point -= p.exp();
                point < 0.0
            });
            match self.states[&z].tokens.get(action.unwrap_or(log_p.len() - 1)) {
                Some(&token) => z.push(token),
                None => return z,
            }
        }
    }

    fn action(&self, prefix: &[u32], token: u32) -> usize {
        self.states[prefix].tokens.iter().position(|&t| t == token).expect("the token is allowed")
    }

    /// Whether the policy may stop at once.
    pub fn may_stop_at_root(&self) -> bool {
        self.states[&Vec::new()].may_stop
    }
}

/// A world's trajectories under a policy.
pub struct Scored {
    pub log_pf: Table,
    pub log_pterm: Table,
    pub log_reward: Table,
    pub endpoint: Table<bool>,
}

impl Scored {
    pub fn evaluate(&self, objective: &Objective, log_z: f64) -> Gradients {
        let query_of = vec![0; self.log_pf.rows()];
        let batch = Batch {
            log_pf: &self.log_pf,
            log_pterm: &self.log_pterm,
            log_reward: &self.log_reward,
            endpoint: &self.endpoint,
            query_of: &query_of,
            n_queries: 1,
        };
        objective.evaluate(&batch, Some(&[log_z]))
    }
}

/// Adam over the logits and log Z.
#[derive(Default)]
pub struct Adam {
    step: i32,
    moments: Vec<(f64, f64)>,
}

impl Adam {
    pub fn update(&mut self, rate: f64, parameters: Vec<&mut f64>, gradients: Vec<f64>) {
        self.step += 1;
        self.moments.resize(parameters.len(), (0.0, 0.0));
        let (first, second) = (1.0 - 0.9_f64.powi(self.step), 1.0 - 0.99_f64.powi(self.step));
        for ((parameter, gradient), (mean, square)) in parameters.into_iter().zip(gradients).zip(&mut self.moments) {
            *mean = 0.9 * *mean + 0.1 * gradient;
            *square = 0.99 * *square + 0.01 * gradient * gradient;
            *parameter -= rate * (*mean / first) / ((*square / second).sqrt() + 1e-12);
        }
    }
}

pub fn log_softmax(logits: &[f64]) -> Vec<f64> {
    let total = amortize_gfn::diagnostics::log_sum_exp(logits);
    logits.iter().map(|logit| logit - total).collect()
}

fn child(prefix: &[u32], token: u32) -> Vec<u32> {
    prefix.iter().copied().chain([token]).collect()
}

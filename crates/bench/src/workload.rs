//! What is measured: parts of the method and whole training steps, on random tokens.

mod scoring;
mod step;

use std::fmt;
use std::str::FromStr;

use amortize_gfn::Generator;
use amortize_lm::actions::{ActionSpace, StopRule, TokenMask};
use amortize_lm::{Adapter, AdapterConfig, Draw, Model, Policy, TargetModules, generate};
use rand::RngExt;

use crate::timing::seconds;
use crate::{Result, Sizes, names};

/// The token that ends a sequence.
const STOP: u32 = 13;

/// Decides all random tokens, adapters and draws.
const SEED: u64 = 1;

/// A piece of work that can be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Forward and backward: gradient of a weighted sum of the log-probabilities of all tokens, and of the end of the
    /// text after every prefix, under a small adapter.
    Train,
    /// The same log-probabilities under the base model, without gradient.
    Score,
    /// Sampling with cached keys and values under the same adapter, all sequences to their full length.
    Sample,
    /// A training step of sentence continuation: sampling, reward, SubTB, backward, AdamW, with a large adapter.
    StepContinuation,
    /// The same for infilling: the reward is the probability of Y, which follows every prefix.
    StepInfill,
}

impl Workload {
    /// All workloads.
    pub const ALL: [Workload; 5] = [Self::Train, Self::Score, Self::Sample, Self::StepContinuation, Self::StepInfill];

    /// The adapter of its policy.
    pub fn lora(self) -> Lora {
        match self {
            Self::Train | Self::Score | Self::Sample => {
                Lora { rank: 8, alpha: 16.0, dropout: 0.0, sites: Sites::QueriesKeysValues }
            }
            Self::StepContinuation | Self::StepInfill => {
                Lora { rank: 64, alpha: 16.0, dropout: 0.1, sites: Sites::All }
            }
        }
    }

    /// Seconds of each of `repeats` runs on this model, after one that does not count.
    ///
    /// # Errors
    /// If the model cannot hold sequences of these sizes.
    pub fn seconds(self, model: &Model, sizes: &Sizes, repeats: usize) -> Result<Vec<f64>> {
        match self {
            Self::Train => scoring::train(model, sizes, repeats),
            Self::Score => scoring::score(model, sizes, repeats),
            Self::Sample => sample(model, sizes, repeats),
            Self::StepContinuation => step::continuation(model, sizes, repeats),
            Self::StepInfill => step::infill(model, sizes, repeats),
        }
    }

    /// A fresh adapter.
    fn adapter(self, model: &Model) -> Result<Adapter> {
        Ok(Adapter::new(&model.decoder, self.lora().config(), &mut random("adapter"))?)
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Score => "score",
            Self::Sample => "sample",
            Self::StepContinuation => "step-continuation",
            Self::StepInfill => "step-infill",
        })
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        names::parse("workload", name, &Self::ALL)
    }
}

/// A LoRA adapter's hyperparameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lora {
    /// Rank of the update.
    pub rank: usize,
    /// The update is scaled by alpha / rank.
    pub alpha: f32,
    /// Dropout on its input while training.
    pub dropout: f32,
    /// Where it sits.
    pub sites: Sites,
}

/// Modules that an adapter sits on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sites {
    /// GPT-2's `c_attn`; Llama's `q_proj`, `k_proj` and `v_proj`.
    QueriesKeysValues,
    /// Every linear map of every block.
    All,
}

impl Lora {
    /// The same in the terms of an adapter.
    pub fn config(&self) -> AdapterConfig {
        let target_modules = match self.sites {
            Sites::QueriesKeysValues => {
                TargetModules::Names(["c_attn", "q_proj", "k_proj", "v_proj"].map(String::from).into())
            }
            Sites::All => TargetModules::Pattern("all-linear".into()),
        };
        AdapterConfig {
            rank: self.rank,
            alpha: self.alpha,
            dropout: self.dropout,
            target_modules,
            rank_stabilised: false,
        }
    }
}

fn sample(model: &Model, sizes: &Sizes, repeats: usize) -> Result<Vec<f64>> {
    let adapter = Workload::Sample.adapter(model)?;
    let policy = Policy::adapted(model, &adapter);
    let prompts = [tokens(&mut random("prompt"), model, sizes.prompt)];
    // Neither sooner nor later.
    let (vocabulary, len) = (model.config.vocab_size, sizes.tokens);
    let actions = ActionSpace::new(vocabulary, TokenMask::all(vocabulary), StopRule::tokens(&[STOP]), len, len)?;
    let draw = |seed| Draw { prompt: 0, policy_temperature: 1.0, seed };
    let draws: Vec<Draw> = (0..sizes.samples as u64).map(draw).collect();
    seconds(repeats, || {
        generate(policy, &prompts, &draws, &actions)?;
        Ok(())
    })
}

fn random(purpose: &str) -> Generator {
    Generator::new(SEED, purpose)
}

/// Random token ids of the model.
fn tokens(rng: &mut Generator, model: &Model, len: usize) -> Vec<u32> {
    (0..len).map(|_| rng.random_range(0..model.config.vocab_size as u32)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_refused_with_those_known() {
        for workload in Workload::ALL {
            assert_eq!(workload.to_string().parse(), Ok(workload));
        }
        let message = "trane".parse::<Workload>().unwrap_err();
        assert!(message.ends_with("there are train, score, sample, step-continuation, step-infill"), "{message}");
    }
}

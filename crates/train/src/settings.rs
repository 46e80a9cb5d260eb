//! The config's sections in the terms of the crates below.

use amortize_engine::optim::AdamW;
use amortize_gfn::ppo::AdaptiveKl;
use amortize_gfn::{LearningRate, Linear, Mix, Objective};
use amortize_lm::decoder::Activations;
use amortize_lm::{AdapterConfig, Precision};

use crate::config::{
    self, AdapterSection, Config, ExploreSection, MethodName, ObjectiveName, ObjectiveSection, OptimizerSection,
    PpoSection, TargetModules,
};
use crate::trainer::{Learning, Method, Ppo};

/// The method of a run.
pub fn method(config: &Config) -> Method {
    let (explore, reward, train, optimizer) = (&config.explore, &config.reward, &config.train, &config.optimizer);
    Method {
        learning: learning(config),
        mix: match train.method {
            // PPO learns from the policy's own draws alone.
            MethodName::Ppo => Mix { on_policy: 1.0, tempered: 0.0, replay: 0.0, ..mix(explore) },
            MethodName::Gflownet | MethodName::Sft | MethodName::Prompt => mix(explore),
        },
        replay_sampling: config.buffer.sampling,
        reward_temperature: Linear {
            start: reward.temperature_start,
            end: reward.temperature_end,
            horizon: reward.temperature_horizon as u64,
        },
        floor: reward.floor,
        learning_rate: learning_rate(optimizer, train.steps),
        log_z_learning_rate: config.objective.log_z_learning_rate,
        clip_norm: optimizer.clip_norm,
        queries_per_step: train.queries_per_step,
        samples_per_query: train.samples_per_query,
        micro_batch: train.micro_batch,
        activations: activations(train.recompute),
        seed: train.seed,
    }
}

fn learning(config: &Config) -> Learning {
    match config.train.method {
        // Of a prompt nothing is learnt: its runs have no steps.
        MethodName::Gflownet | MethodName::Prompt => Learning::Balance(objective(&config.objective)),
        MethodName::Ppo => Learning::Ppo(ppo(&config.ppo)),
        MethodName::Sft => Learning::Imitate,
    }
}

fn ppo(section: &PpoSection) -> Ppo {
    Ppo {
        clip: section.clip,
        epochs: section.epochs,
        minibatches: section.minibatches,
        kl_coefficient: section.kl_coefficient,
        kl: AdaptiveKl { target: section.kl_target, horizon: section.kl_horizon },
    }
}

fn mix(explore: &ExploreSection) -> Mix {
    Mix {
        on_policy: explore.on_policy,
        tempered: explore.tempered,
        replay: explore.replay,
        temperature_min: explore.temperature_min,
        temperature_max: explore.temperature_max,
    }
}

/// The learning rate by step.
pub fn learning_rate(section: &OptimizerSection, steps: usize) -> LearningRate {
    LearningRate {
        peak: section.learning_rate,
        warmup: section.warmup_steps as u64,
        decay: section.decay,
        total: steps as u64,
    }
}

/// What a pass keeps for the backward pass.
pub fn activations(recompute: bool) -> Activations {
    if recompute { Activations::Recomputed } else { Activations::Kept }
}

fn objective(section: &ObjectiveSection) -> Objective {
    let ObjectiveSection { name, lambda, normaliser, root_flow, .. } = *section;
    match name {
        ObjectiveName::Subtb => Objective::Subtb { lambda, normaliser, root_flow },
        ObjectiveName::Db => Objective::DetailedBalance { normaliser, root_flow },
        ObjectiveName::Tb => Objective::TrajectoryBalance { root_flow },
        ObjectiveName::Vargrad => Objective::Vargrad,
    }
}

/// How weights are stored.
pub fn precision(precision: config::Precision) -> Precision {
    match precision {
        config::Precision::F32 => Precision::F32,
        config::Precision::Bf16 => Precision::Bf16,
        config::Precision::Int8 => Precision::Int8,
    }
}

/// The adapter's hyperparameters.
pub fn adapter(section: &AdapterSection) -> AdapterConfig {
    AdapterConfig {
        rank: section.rank,
        alpha: section.alpha as f32,
        dropout: section.dropout as f32,
        target_modules: match &section.target_modules {
            TargetModules::Names(names) => amortize_lm::TargetModules::Names(names.clone()),
            TargetModules::Pattern(pattern) => amortize_lm::TargetModules::Pattern(pattern.clone()),
        },
        rank_stabilised: section.rank_stabilised,
    }
}

/// The optimizer's hyperparameters.
pub fn adamw(section: &OptimizerSection) -> AdamW {
    AdamW {
        beta1: section.beta1 as f32,
        beta2: section.beta2 as f32,
        epsilon: section.epsilon as f32,
        weight_decay: section.weight_decay as f32,
    }
}

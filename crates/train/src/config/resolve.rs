//! Every key: its default, the values it takes, and what must hold between keys.

use std::path::PathBuf;

use super::reader::Reader;
use super::rules::*;
use super::*;

/// Reads the whole config; what is wrong with it, the reader tells at its end.
pub(super) fn config(reader: &mut Reader) -> Config {
    let config = Config {
        task: task(reader),
        model: model(reader),
        data: data(reader),
        adapter: adapter(reader),
        policy: policy(reader),
        reward: reward(reader),
        objective: objective(reader),
        ppo: ppo(reader),
        explore: explore(reader),
        buffer: buffer(reader),
        optimizer: optimizer(reader, OPTIMIZER),
        train: train(reader),
        evaluate: evaluate(reader),
    };
    check_lengths_and_stops(&config.policy, reader);
    check_explore(&config.explore, reader);
    check_root_flow(&config, reader);
    check_validation(&config.data, reader);
    config
}

fn task(reader: &mut Reader) -> TaskSection {
    let kinds = any("\"continuation\", \"infilling\" or \"custom\"");
    let default = if reader.has("task.template") { TaskKind::Custom } else { TaskKind::Continuation };
    let kind = reader.or("task.kind", default, kinds);
    let defaults = TaskSection::new(kind);
    TaskSection {
        kind,
        template: reader.or("task.template", defaults.template, TEMPLATE),
        separator: reader.or("task.separator", defaults.separator, any("a text")),
    }
}

fn model(reader: &mut Reader) -> ModelSection {
    ModelSection {
        path: reader.required("model.path", PathBuf::new(), PATH),
        adapter: reader.optional("model.adapter", PATH),
        precision: reader.or("model.precision", Precision::F32, any("\"f32\", \"bf16\" or \"int8\"")),
    }
}

fn data(reader: &mut Reader) -> DataSection {
    DataSection {
        path: reader.required("data.path", PathBuf::new(), PATH),
        limit: reader.optional("data.limit", COUNT),
        validation_path: reader.optional("data.validation_path", PATH),
        validation: reader.or("data.validation", 50, WHOLE),
    }
}

pub(crate) fn adapter(reader: &mut Reader) -> AdapterSection {
    let all_linear = TargetModules::Pattern("all-linear".into());
    AdapterSection {
        rank: reader.or("adapter.rank", 64, COUNT),
        alpha: reader.or("adapter.alpha", 16.0, POSITIVE),
        dropout: reader.or("adapter.dropout", 0.0, BELOW_ONE),
        target_modules: reader.or("adapter.target_modules", all_linear, TARGET_MODULES),
        rank_stabilised: reader.or("adapter.rank_stabilised", false, BOOL),
    }
}

fn policy(reader: &mut Reader) -> PolicySection {
    let stop_tokens: Vec<u32> = reader.or("policy.stop_tokens", vec![], TOKENS);
    let full_stop = if stop_tokens.is_empty() { vec![".".into()] } else { vec![] };
    PolicySection {
        min_length: reader.or("policy.min_length", 1, WHOLE),
        max_length: reader.or("policy.max_length", 20, COUNT),
        stop_strings: reader.or("policy.stop_strings", full_stop, TEXTS),
        stop_tokens,
        allow: reader.optional("policy.allow", REGEX),
        forbid: reader.optional("policy.forbid", REGEX),
        special_tokens: reader.or("policy.special_tokens", false, BOOL),
    }
}

fn reward(reader: &mut Reader) -> RewardSection {
    let default = RewardSection::default();
    RewardSection {
        temperature_start: reader.or("reward.temperature_start", default.temperature_start, POSITIVE),
        temperature_end: reader.or("reward.temperature_end", default.temperature_end, POSITIVE),
        temperature_horizon: reader.or("reward.temperature_horizon", default.temperature_horizon, WHOLE),
        floor: reader.or("reward.floor", default.floor, NEGATIVE),
        mask: reader.or("reward.mask", default.mask, any("\"zero\" or \"renormalise\"")),
        terms: reader.terms("reward.terms"),
    }
}

fn objective(reader: &mut Reader) -> ObjectiveSection {
    let names = any("\"subtb\", \"db\", \"tb\" or \"vargrad\"");
    ObjectiveSection {
        name: reader.or("objective.name", ObjectiveName::Subtb, names),
        lambda: reader.or("objective.lambda", 1.0, TO_ONE),
        normaliser: reader.or("objective.normaliser", Normaliser::Pooled, any("\"pooled\" or \"trajectory\"")),
        root_flow: reader.or("objective.root_flow", RootFlow::Vargrad, any("\"vargrad\" or \"learned\"")),
        log_z_learning_rate: reader.or("objective.log_z_learning_rate", 0.01, POSITIVE),
    }
}

fn ppo(reader: &mut Reader) -> PpoSection {
    PpoSection {
        clip: reader.or("ppo.clip", 0.2, BELOW_ONE),
        epochs: reader.or("ppo.epochs", 4, COUNT),
        minibatches: reader.or("ppo.minibatches", 4, COUNT),
        kl_coefficient: reader.or("ppo.kl_coefficient", 0.05, NOT_NEGATIVE),
        kl_target: reader.optional("ppo.kl_target", POSITIVE),
        kl_horizon: reader.or("ppo.kl_horizon", 10_000.0, POSITIVE),
    }
}

fn explore(reader: &mut Reader) -> ExploreSection {
    ExploreSection {
        on_policy: reader.or("explore.on_policy", 0.25, SHARE),
        tempered: reader.or("explore.tempered", 0.5, SHARE),
        replay: reader.or("explore.replay", 0.25, SHARE),
        temperature_min: reader.or("explore.temperature_min", 0.5, POSITIVE),
        temperature_max: reader.or("explore.temperature_max", 2.0, POSITIVE),
    }
}

fn buffer(reader: &mut Reader) -> BufferSection {
    BufferSection {
        capacity: reader.or("buffer.capacity", 50, COUNT),
        similarity_tolerance: reader.or("buffer.similarity_tolerance", 0.25, SHARE),
        sampling: reader.or("buffer.sampling", ReplaySampling::Uniform, any("\"uniform\" or \"reward\"")),
        seed_from_data: reader.or("buffer.seed_from_data", false, BOOL),
    }
}

/// The optimizer's defaults.
pub(crate) const OPTIMIZER: OptimizerSection = OptimizerSection {
    learning_rate: 1e-4,
    warmup_steps: 20,
    decay: Decay::None,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    weight_decay: 0.01,
    clip_norm: None,
};

pub(crate) fn optimizer(reader: &mut Reader, default: OptimizerSection) -> OptimizerSection {
    let decays = any("\"none\", \"linear\" or \"cosine\"");
    OptimizerSection {
        learning_rate: reader.or("optimizer.learning_rate", default.learning_rate, POSITIVE),
        warmup_steps: reader.or("optimizer.warmup_steps", default.warmup_steps, WHOLE),
        decay: reader.or("optimizer.decay", default.decay, decays),
        beta1: reader.or("optimizer.beta1", default.beta1, BELOW_ONE),
        beta2: reader.or("optimizer.beta2", default.beta2, BELOW_ONE),
        epsilon: reader.or("optimizer.epsilon", default.epsilon, POSITIVE),
        weight_decay: reader.or("optimizer.weight_decay", default.weight_decay, NOT_NEGATIVE),
        clip_norm: reader.optional("optimizer.clip_norm", POSITIVE),
    }
}

fn train(reader: &mut Reader) -> TrainSection {
    let methods = any("\"gflownet\", \"ppo\", \"sft\" or \"prompt\"");
    let method = reader.or("train.method", MethodName::Gflownet, methods);
    let steps = reader.required("train.steps", 1, if method == MethodName::Prompt { WHOLE } else { COUNT });
    TrainSection {
        method,
        steps: if method == MethodName::Prompt { 0 } else { steps },
        seed: reader.required("train.seed", 0, SEED),
        queries_per_step: reader.or("train.queries_per_step", 32, COUNT),
        samples_per_query: reader.or("train.samples_per_query", 8, COUNT),
        micro_batch: reader.or("train.micro_batch", 0, WHOLE),
        recompute: reader.or("train.recompute", false, BOOL),
        checkpoint_every: reader.or("train.checkpoint_every", 100, COUNT),
        samples_every: reader.or("train.samples_every", 10, COUNT),
        threads: reader.or("train.threads", 0, WHOLE),
    }
}

fn evaluate(reader: &mut Reader) -> EvaluateSection {
    EvaluateSection {
        every: reader.or("evaluate.every", 50, WHOLE),
        samples_per_query: reader.or("evaluate.samples_per_query", 16, COUNT),
        seed: reader.or("evaluate.seed", 1, SEED),
    }
}

fn check_lengths_and_stops(policy: &PolicySection, reader: &mut Reader) {
    let (min, max) = (policy.min_length, policy.max_length);
    reader.check(min <= max, &["policy.min_length", "policy.max_length"], || {
        format!("policy.min_length = {min} is above policy.max_length = {max}")
    });
    let one = policy.stop_strings.is_empty() != policy.stop_tokens.is_empty();
    reader.check(one, &["policy.stop_strings", "policy.stop_tokens"], || {
        "give policy.stop_strings or policy.stop_tokens, and leave the other empty".into()
    });
}

fn check_explore(explore: &ExploreSection, reader: &mut Reader) {
    let sum = explore.on_policy + explore.tempered + explore.replay;
    let keys = ["explore.on_policy", "explore.tempered", "explore.replay"];
    reader.check((sum - 1.0).abs() <= 1e-6, &keys, || format!("{} = {sum}: expected a sum of 1", keys.join(" + ")));
    let (min, max) = (explore.temperature_min, explore.temperature_max);
    reader.check(min <= max, &["explore.temperature_min", "explore.temperature_max"], || {
        format!("explore.temperature_min = {min} is above explore.temperature_max = {max}")
    });
}

/// The mean over a query's only trajectory is that trajectory's own value: what is compared with it has
/// no gradient, and the first tokens would not be trained.
fn check_root_flow(config: &Config, reader: &mut Reader) {
    let objective = &config.objective;
    let stops_at_root = config.policy.min_length == 0;
    let compares = match objective.name {
        ObjectiveName::Vargrad => true,
        ObjectiveName::Tb => objective.root_flow == RootFlow::Vargrad,
        ObjectiveName::Subtb | ObjectiveName::Db => objective.root_flow == RootFlow::Vargrad && !stops_at_root,
    };
    let compares = match config.train.method {
        MethodName::Gflownet => compares,
        MethodName::Ppo => true,
        MethodName::Sft | MethodName::Prompt => false,
    };
    let keys = ["train.samples_per_query", "objective.root_flow", "objective.name"];
    reader.check(!compares || config.train.samples_per_query >= 2, &keys, || {
        "train.samples_per_query = 1: expected 2 or more, because VarGrad and PPO compare the trajectories of a query".into()
    });
}

fn check_validation(data: &DataSection, reader: &mut Reader) {
    let (held_out, limit) = (data.validation, data.limit.unwrap_or(usize::MAX));
    let fits = data.validation_path.is_some() || held_out < limit;
    reader.check(fits, &["data.limit", "data.validation"], || {
        format!("data.limit = {limit} leaves no prompt to train on, with data.validation = {held_out} held out of them")
    });
}

//! Whole training steps, as a run takes them.

use amortize_gfn::Query;
use amortize_lm::{Model, Policy};
use amortize_train::config::{Config, RewardMask};
use amortize_train::reward::Target;
use amortize_train::task::{Prompt, Task, action_space};
use amortize_train::trainer::Trainer;

use super::{Lora, STOP, Sites, Workload, random, tokens};
use crate::timing::seconds;
use crate::{Result, Sizes};

/// All on-policy, SubTB with lambda 1, every token allowed and a stop after every prefix. The rest is by default.
const CONFIG: &str = r#"
task = "continuation"
model.path = "random weights"
data.path = "random tokens"

[policy]
min_length = 0
special_tokens = true

[objective]
name = "subtb"
lambda = 1.0
normaliser = "pooled"

[explore]
on_policy = 1.0
tempered = 0.0
replay = 0.0

[buffer]
capacity = 1

[train]
steps = 1000
seed = 1
queries_per_step = 1
"#;

pub(super) fn continuation(model: &Model, sizes: &Sizes, repeats: usize) -> Result<Vec<f64>> {
    let config = config(Workload::StepContinuation.lora(), sizes);
    let task = task(&config, model, sizes, 0)?;
    let target = Target::continuation(Policy::base(model), &task.actions, RewardMask::Zero);
    steps(&config, model, &task, target, repeats)
}

pub(super) fn infill(model: &Model, sizes: &Sizes, repeats: usize) -> Result<Vec<f64>> {
    let config = config(Workload::StepInfill.lora(), sizes);
    let task = task(&config, model, sizes, sizes.suffix)?;
    let target = Target::infilling(Policy::base(model), &task.actions, RewardMask::Zero);
    steps(&config, model, &task, target, repeats)
}

fn config(lora: Lora, sizes: &Sizes) -> Config {
    let Lora { rank, alpha, dropout, sites } = lora;
    let modules = match sites {
        Sites::QueriesKeysValues => r#"["c_attn", "q_proj", "k_proj", "v_proj"]"#,
        Sites::All => r#""all-linear""#,
    };
    let sets = [
        format!("adapter.rank={rank}"),
        format!("adapter.alpha={alpha:?}"),
        format!("adapter.dropout={dropout:?}"),
        format!("adapter.target_modules={modules}"),
        format!("policy.stop_tokens=[{STOP}]"),
        format!("policy.max_length={}", sizes.tokens),
        format!("train.samples_per_query={}", sizes.samples),
    ];
    Config::from_toml(CONFIG, "the workload's config", &sets).expect("the workload's config is valid")
}

/// One query of random tokens. The policy reads X alone, whether or not there is a Y.
fn task(config: &Config, model: &Model, sizes: &Sizes, suffix: usize) -> Result<Task> {
    let mut rng = random("query");
    let x = tokens(&mut rng, model, sizes.prompt);
    let query = Query::new(x, tokens(&mut rng, model, suffix));
    let prompt = Prompt { text: "random tokens".into(), suffix: None, query };
    Ok(Task { train: vec![prompt], validation: Vec::new(), actions: action_space(&config.policy, model)? })
}

fn steps(config: &Config, model: &Model, task: &Task, target: Target, repeats: usize) -> Result<Vec<f64>> {
    let mut trainer = Trainer::new(config, model, task, target)?;
    seconds(repeats, || {
        trainer.step()?;
        Ok(())
    })
}

//! The model card that goes with an adapter.

use amortize_lm::Model;

use crate::checkpoint::base_name;
use crate::config::{Config, MethodName, TaskKind};
use crate::trainer::State;

/// A README for the adapter, with the metadata that model hubs read.
pub fn model_card(config: &Config, state: &State, model: &Model) -> String {
    let base = base_name(model);
    let adapter = state.adapter.config();
    let best = state.best.map_or("not evaluated".into(), |best| format!("{best:.4} nats²"));
    format!(
        "---\nbase_model: {base}\nlibrary_name: peft\ntags:\n- lora\n- gflownet\n- amortize\n---\n\n\
         {purpose} T = {temperature}, where p is the base model itself. {method} It was made \
         by amortize {version}.\n\n\
         | | |\n|---|---|\n\
         | base model | `{base}` |\n\
         | prompts | `{data}` |\n\
         | optimizer steps | {step} of {steps} |\n\
         | seed | {seed} |\n\
         | LoRA rank, alpha | {rank}, {alpha} |\n\
         | trained values | {count} |\n\
         | lowest validation variance of log w within a prompt | {best} |\n\n\
         ```python\nfrom peft import PeftModel\nfrom transformers import AutoModelForCausalLM\n\n\
         base = AutoModelForCausalLM.from_pretrained({base:?})\n\
         model = PeftModel.from_pretrained(base, \"path/to/this/directory\")\n```\n\n\
         Sample at temperature 1, without top-k or top-p, until a stop token{minimum}: the adapter was trained for that \
         distribution.\n\n\
         ## Citation\n\n\
         Edward J. Hu, Moksh Jain, Eric Elmoznino, Younesse Kaddar, Guillaume Lajoie, Yoshua Bengio, Nikolay Malkin. \
         *Amortizing intractable inference in large language models.* ICLR 2024.\n",
        purpose = purpose(config),
        temperature = config.reward.temperature_end,
        method = method(config),
        version = env!("CARGO_PKG_VERSION"),
        data = config.data.path.display(),
        step = state.step,
        steps = config.train.steps,
        seed = config.train.seed,
        rank = adapter.rank,
        alpha = adapter.alpha,
        count = state.adapter.parameter_count(),
        minimum = match config.policy.min_length {
            0 => String::new(),
            n => format!(" (not before {n} tokens, and no later than {})", config.policy.max_length),
        },
    )
}

/// How it was trained.
fn method(config: &Config) -> String {
    let baseline = "That is the target which this adapter is compared by; as a baseline, it was trained";
    match config.train.method {
        MethodName::Gflownet => format!("It was trained with {:?}.", config.objective.name),
        MethodName::Ppo => format!("{baseline} to maximise the reward, by proximal policy optimisation."),
        MethodName::Sft => format!("{baseline} on texts of the data, by maximum likelihood."),
        MethodName::Prompt => format!("{baseline} on nothing: it leaves the base model as it is."),
    }
}

/// Title and beginning of the text.
fn purpose(config: &Config) -> String {
    if config.task.kind == TaskKind::Custom || !config.reward.terms.is_empty() {
        return own_purpose(config);
    }
    match config.task.kind {
        TaskKind::Continuation => {
            "# A sampler of tempered continuations\n\n\
             This LoRA adapter makes the base model sample a sentence Z after a prompt X with probability proportional to \
             p(Z|X)^(1/T),"
                .into()
        }
        TaskKind::Infilling | TaskKind::Custom => format!(
            "# A sampler of tempered infills\n\n\
             This LoRA adapter makes the base model sample a sentence Z between texts X and Y, after this prompt with both\n\n\
             ```\n{}\n```\n\nwith probability proportional to p(ZY|X)^(1/T),",
            config.task.template
        ),
    }
}

/// The same for a reward or a prompt of the user's own.
fn own_purpose(config: &Config) -> String {
    let template = match config.task.kind {
        TaskKind::Continuation => "{x}",
        TaskKind::Infilling | TaskKind::Custom => &config.task.template,
    };
    let reward = match config.reward.terms.as_slice() {
        [] => "R(Z) = p(ZY|X)".to_string(),
        terms => {
            let terms = terms.iter().filter_map(|term| toml::to_string(term).ok());
            let terms: String = terms.map(|term| format!("[[reward.terms]]\n{term}")).collect::<Vec<_>>().join("\n");
            format!("R is the product of these terms\n\n```toml\n{terms}```\n\n")
        }
    };
    format!(
        "# A sampler of a distribution over texts\n\n\
         This LoRA adapter makes the base model sample a text Z after this prompt\n\n```\n{template}\n```\n\n\
         with probability proportional to R(Z)^(1/T). Here {reward} and"
    )
}

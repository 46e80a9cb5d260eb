//! Trains a sampler with a reward of your own, without the command line.
//!
//!     cargo run --release -p amortize-train --example own_reward -- MODEL
//!
//! The reward here is R(Z) = p_LM(Z | X) * 2^-(number of tokens with an "a"): likely sentences, but sparing
//! with the letter. Any function of text will do, so long as it can be given for every prefix.

use amortize_gfn::{Query, Reward, Table, Trajectory};
use amortize_lm::{Device, Model, Policy, Precision};
use amortize_train::TrainError;
use amortize_train::config::{Config, RewardMask};
use amortize_train::decoding::Decoding;
use amortize_train::evaluate::evaluate;
use amortize_train::reward::{LikelihoodReward, Target};
use amortize_train::sampling::{SampleOptions, sample};
use amortize_train::task::{Task, action_space, encode};
use amortize_train::trainer::Trainer;

const CONFIG: &str = r#"
task = "continuation"
model.path = "given on the command line"
data.path = "given below"
policy.max_length = 40
reward.temperature_start = 1.0
reward.temperature_end = 1.0
adapter.rank = 16
optimizer.learning_rate = 1e-3
optimizer.decay = "linear"
explore.on_policy = 0.75
explore.tempered = 0.25
explore.replay = 0.0
explore.temperature_min = 0.8
explore.temperature_max = 1.2
objective.normaliser = "trajectory"
train.steps = 300
train.seed = 1
train.queries_per_step = 4
train.samples_per_query = 16
"#;

/// p_LM(Z | X) times a half for every token with the letter.
struct AvoidsTheLetterA<'a> {
    likelihood: LikelihoodReward<'a>,
    model: &'a Model,
}

impl Reward for AvoidsTheLetterA<'_> {
    type Error = TrainError;

    fn log_reward(&mut self, queries: &[Query], query_of: &[usize], z: &[Trajectory]) -> Result<Table, TrainError> {
        let mut table = self.likelihood.log_reward(queries, query_of, z)?;
        for (i, trajectory) in z.iter().enumerate() {
            let mut letters = 0.0;
            for (k, log_reward) in table.row_mut(i).iter_mut().enumerate() {
                *log_reward += letters * 0.5f64.ln();
                let token = trajectory.z.get(k).map_or("", |token| self.model.tokenizer.token_text(*token));
                letters += f64::from(u8::from(token.contains('a')));
            }
        }
        Ok(table)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: own_reward MODEL")?;
    let config = Config::from_toml(CONFIG, "own_reward.rs", &[])?;
    let model = Model::load(path.as_ref(), &Device::cpu(), Precision::F32)?;

    let actions = action_space(&config.policy, &model)?;
    let openings =
        ["Once upon a time there was a cat.", "Tom went to the park.", "Lily had a red ball.", "It was a hot day."];
    let openings = openings.map(|text| text.to_string().into()).to_vec();
    let prompts = encode(&model, &config.task, &[], "openings".as_ref(), openings, &actions)?;
    let task = Task { train: prompts.clone(), validation: prompts.clone(), actions };

    let likelihood = LikelihoodReward::continuation(Policy::base(&model), &task.actions, RewardMask::Zero);
    let target = Target::new(AvoidsTheLetterA { likelihood, model: &model });
    let mut trainer = Trainer::new(&config, &model, &task, target)?;

    let options = SampleOptions { n: 64, seed: 0, first: 0, policy_temperature: 1.0, reward_temperature: 1.0 };
    for step in 0..=config.train.steps {
        if step % 100 == 0 {
            let policy = Policy::adapted(&model, &trainer.state.adapter);
            let found = evaluate(policy, &mut trainer.target, &task.validation, &task.actions, &options, false)?;
            println!("step {step}: variance of log w {:.2}", found.summary.log_w_variance.unwrap_or(f64::NAN));
        }
        trainer.step()?;
    }
    let policy = Policy::adapted(&model, &trainer.state.adapter);
    let few = SampleOptions { n: 3, ..options };
    let drawn = sample(policy, &mut trainer.target, &prompts, &task.actions, &few, &Decoding::OWN)?;
    for (prompt, samples) in prompts.iter().zip(drawn) {
        println!("\n{}", prompt.text);
        samples.iter().for_each(|sample| println!("   {}", sample.text));
    }
    Ok(())
}

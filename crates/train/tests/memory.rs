//! What a run is said to take in memory against what its tensors really take.

mod common;

use std::path::Path;

use amortize_gfn::Query;
use amortize_lm::config::ModelConfig;
use amortize_lm::footprint::Footprint;
use amortize_lm::{Device, Model, Policy, Precision};
use amortize_train::config::{Config, RewardMask};
use amortize_train::memory::Forecast;
use amortize_train::reward::Target;
use amortize_train::sampling::{SampleOptions, draw};
use amortize_train::settings;
use amortize_train::task::{Prompt, Task, action_space};
use amortize_train::trainer::{State, Trainer};

const GPT2: &str = r#"{"model_type": "gpt2", "n_layer": 6, "n_embd": 96, "n_head": 4, "vocab_size": 3000,
    "n_positions": 256, "bos_token_id": 0, "eos_token_id": 0}"#;
const LLAMA: &str = r#"{"model_type": "llama", "num_hidden_layers": 5, "hidden_size": 96, "num_attention_heads": 6,
    "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 320, "vocab_size": 2500,
    "max_position_embeddings": 256, "bos_token_id": 0, "eos_token_id": 0}"#;

/// Trajectories that are all of the longest length, so that the most is taken that may be.
const SETS: [&str; 9] = [
    "policy.min_length=24",
    "policy.max_length=24",
    "policy.stop_tokens=[7]",
    "explore.on_policy=1",
    "explore.tempered=0",
    "explore.replay=0",
    "train.queries_per_step=3",
    "train.samples_per_query=8",
    "evaluate.every=0",
];

fn model(shape: &str) -> Model {
    let config = ModelConfig::from_json(shape, Path::new("config.json")).expect("a valid shape");
    Model::random(config, 1, &Device::cpu(), Precision::F32).expect("a random model")
}

/// Three queries of a few lengths.
fn task(config: &Config, model: &Model) -> Task {
    let prompt = |len: u32| {
        let query = Query::new((0..len).map(|i| 11 + i * len).collect(), Vec::new());
        Prompt { text: format!("{len} tokens"), suffix: None, query }
    };
    let actions = action_space(&config.policy, model).expect("an action space");
    Task { train: [30, 21, 33].map(prompt).to_vec(), validation: Vec::new(), actions }
}

/// What was said and what was taken, in bytes of tensors.
#[derive(Debug)]
struct Figures {
    said: usize,
    taken: usize,
}

impl Figures {
    fn assert_close(&self, what: &str) {
        let ratio = self.said as f64 / self.taken as f64;
        assert!((0.8..1.25).contains(&ratio), "{what}: {self:?}");
    }
}

/// Tensors of a training step: those that stay between steps, and at its peak.
fn step(shape: &str, sets: &[&str]) -> [Figures; 2] {
    let config = common::config(&[&SETS, sets].concat());
    let model = model(shape);
    let vectors = model.decoder.device().memory().in_use;
    let task = task(&config, &model);
    let forecast = Forecast::new(&config, &model, &task).expect("a forecast");
    let footprint = Footprint::new(&model.config, &settings::adapter(&config.adapter)).expect("a footprint");
    let target = Target::continuation(Policy::base(&model), &task.actions, RewardMask::Zero);
    let mut trainer = Trainer::new(&config, &model, &task, target).expect("a trainer");
    let kept = model.decoder.device().memory().in_use - vectors;
    trainer.step().expect("a step");
    let peak = model.decoder.device().memory().peak - vectors;
    let turns = [forecast.sampling, forecast.scoring, forecast.gradients];
    let turn = turns.iter().map(|need| need.tensors).max().expect("three turns");
    [
        // All but the gradients.
        Figures { said: footprint.trained() * 3 / 4, taken: kept },
        Figures { said: footprint.trained() + turn, taken: peak },
    ]
}

#[test]
fn a_forecast_of_a_step_comes_true() {
    let wide = ["adapter.rank=64", "adapter.dropout=0.1"];
    let some = ["adapter.rank=4", "adapter.target_modules=.*\\.(c_proj|down_proj)", "train.micro_batch=8"];
    for (name, shape, sets) in [
        ("gpt2", GPT2, &["adapter.rank=8", "train.micro_batch=5", "train.recompute=true"][..]),
        ("gpt2", GPT2, &some),
        ("llama", LLAMA, &["adapter.rank=8", "train.recompute=true"]),
        ("llama", LLAMA, &wide),
    ] {
        let [kept, peak] = step(shape, sets);
        kept.assert_close(&format!("{name} {sets:?}, kept"));
        peak.assert_close(&format!("{name} {sets:?}, peak"));
    }
}

#[test]
fn what_is_to_save_memory_does_and_the_forecast_knows_it() {
    let peak = |sets: &[&str]| {
        let figures = step(GPT2, &[&["adapter.rank=8"], sets].concat());
        figures[1].assert_close(&format!("{sets:?}"));
        figures[1].taken
    };
    let all = peak(&[]);
    assert!(peak(&["train.recompute=true"]) < all * 6 / 10);
    assert!(peak(&["train.micro_batch=8"]) < all * 6 / 10);
}

/// In a step the gradients take the most; the other turns are looked at one by one.
#[test]
fn forecasts_of_sampling_and_scoring_come_true() {
    for (name, shape) in [("gpt2", GPT2), ("llama", LLAMA)] {
        let config = common::config(&SETS);
        let sampler = model(shape);
        let task = task(&config, &sampler);
        let forecast = Forecast::new(&config, &sampler, &task).expect("a forecast");
        let taken = |model: &Model, run: &mut dyn FnMut()| {
            let before = model.decoder.device().memory().in_use;
            run();
            model.decoder.device().memory().peak - before
        };
        let options = SampleOptions { n: 8, seed: 1, first: 0, policy_temperature: 1.0, reward_temperature: 1.0 };
        let mut none = Target::new(common::Rugged { zeros: 0.0 });
        let mut drawn = None;
        let sampled = taken(&sampler, &mut || {
            drawn = draw(Policy::base(&sampler), &mut none, &task.train, &task.actions, &options).ok();
        });
        Figures { said: forecast.sampling.tensors, taken: sampled }.assert_close(&format!("{name}, sampling"));
        let (scorer, drawn) = (model(shape), drawn.expect("draws"));
        let mut target = Target::continuation(Policy::base(&scorer), &task.actions, RewardMask::Zero);
        let scored = taken(&scorer, &mut || {
            target.log_reward(&drawn.queries, &drawn.query_of, &drawn.trajectories).expect("rewards");
        });
        Figures { said: forecast.scoring.tensors, taken: scored }.assert_close(&format!("{name}, scoring"));
    }
}

#[test]
fn weights_take_what_their_footprint_says() {
    for shape in [GPT2, LLAMA] {
        let model = model(shape);
        let config = common::config(&[]);
        let footprint = Footprint::new(&model.config, &settings::adapter(&config.adapter)).expect("a footprint");
        let values = model.decoder.parameter_count() * size_of::<f32>();
        let rotations = if shape == LLAMA { 256 * 16 * size_of::<f32>() } else { 0 };
        assert_eq!(footprint.weights(Precision::F32), values + rotations);
        let adapter = State::new(&config, &model, &task(&common::config(&SETS), &model)).expect("a state").adapter;
        assert_eq!(footprint.trained(), 4 * adapter.parameter_count() * size_of::<f32>());
    }
}

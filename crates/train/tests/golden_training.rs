//! Ten AdamW steps on all weights, held to PyTorch's and transformers': the numbers are of
//! `scripts/make_training_golden.py`, which says what they are of.

mod common;

use amortize_engine::optim::AdamW;
use amortize_gfn::{Decay, Generator, LearningRate};
use amortize_lm::Precision;
use amortize_lm::decoder::Activations;
use amortize_train::likelihood::documents::Documents;
use amortize_train::likelihood::trained::Trained;
use amortize_train::likelihood::trainer::{Method, State, Trainer};
use amortize_train::order::QueryOrder;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    documents: Vec<(Vec<u32>, usize)>,
    batches: Vec<Vec<usize>>,
    losses: Vec<f64>,
    norms: Vec<f64>,
    last: f64,
}

fn golden(name: &str) -> Golden {
    let path = format!("{}/tests/fixtures/adamw-{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).expect("golden numbers")).expect("they parse")
}

fn trainer(name: &str, golden: &Golden, tokens_per_pass: usize) -> Trainer {
    let mut model = common::model(name);
    let train = Documents::of_tokens(&golden.documents, model.config.max_positions);
    assert_eq!(train.len(), golden.documents.len(), "a window each");
    let trained = Trained::Base(model.decoder.base_parameters());
    let adamw = AdamW { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weight_decay: 0.1 };
    let optimizer = trained.optimizer(&model, adamw);
    let order = QueryOrder::new(train.len(), Generator::new(1, "unused"));
    let method = Method {
        learning_rate: LearningRate { peak: 3e-3, warmup: 3, decay: Decay::Cosine, total: 10 },
        clip_norm: Some(1.0),
        tokens_per_step: 1,
        tokens_per_pass,
        activations: Activations::Kept,
        precision: Precision::F32,
        seed: 1,
    };
    let state = State { step: 0, trained, optimizer, order, best: None };
    Trainer { model, train, validation: Documents::default(), method, state }
}

#[test]
fn ten_steps_follow_pytorch() {
    for name in ["gpt2-tiny", "llama-tiny"] {
        let golden = golden(name);
        for tokens_per_pass in [0, 12] {
            let mut trainer = trainer(name, &golden, tokens_per_pass);
            for ((batch, loss), norm) in golden.batches.iter().zip(&golden.losses).zip(&golden.norms) {
                let record = trainer.step_on(batch).expect("a step");
                assert!((record.loss - loss).abs() < 1e-4, "{name}: {record:?} instead of {loss}");
                assert!((record.gradient_norm / norm - 1.0).abs() < 1e-3, "{name}: {record:?} instead of {norm}");
            }
            let last = trainer.gradients(&golden.batches[0]).expect("gradients").0;
            assert!((last - golden.last).abs() < 1e-4, "{name}: {last} instead of {}", golden.last);
            assert!(golden.last < golden.losses[0] - 0.1, "something was learnt");
        }
    }
}

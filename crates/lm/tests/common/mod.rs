//! What the integration tests share: fixture models and random adapters on them.
#![allow(dead_code)]

use std::path::PathBuf;

use amortize_lm::{Adapter, AdapterConfig, Device, Model, Precision, TargetModules};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The directory of a fixture.
pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A fixture model.
pub fn model(name: &str) -> Model {
    Model::load(&fixture(name), &Device::cpu(), Precision::F32).expect("a fixture loads")
}

/// An adapter on all projections whose B is not zero, so that it changes the distribution.
pub fn random_adapter(model: &Model, seed: u64, dropout: f32) -> Adapter {
    let config = AdapterConfig {
        rank: 3,
        alpha: 4.0,
        dropout,
        target_modules: TargetModules::Pattern("all-linear".into()),
        rank_stabilised: false,
    };
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut adapter = Adapter::new(&model.decoder, config, &mut rng).expect("an adapter fits");
    for tensor in adapter.tensors_mut() {
        let values: Vec<f32> = (0..tensor.rows() * tensor.cols()).map(|_| rng.random_range(-0.3..0.3)).collect();
        tensor.copy_from_host(&values);
    }
    adapter
}

/// Random token ids of the model.
pub fn tokens(rng: &mut impl Rng, model: &Model, len: usize) -> Vec<u32> {
    (0..len).map(|_| rng.random_range(0..model.config.vocab_size as u32)).collect()
}

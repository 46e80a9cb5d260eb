//! A model's matrices, and the arithmetic and the bytes of a pass through them.

use amortize_lm::config::{Family, ModelConfig};

use super::passes::{Kind, Pass};
use crate::workload::{Lora, Sites};

/// Bytes of an adapter's value, which is never stored in less than single precision.
const F32: f64 = 4.0;

/// The matrices of a model and of the adapter on it, by their sizes.
#[derive(Clone, Debug)]
pub struct Architecture {
    layers: u64,
    hidden: u64,
    vocabulary: u64,
    /// Query heads times their channels.
    attention: u64,
    /// Of one block; the first has queries, keys and values.
    projections: [Projection; 4],
    rank: u64,
}

/// A linear map of a block: modules that read the same input.
#[derive(Clone, Debug)]
struct Projection {
    input: u64,
    /// Outputs of each module.
    modules: Vec<u64>,
    /// Whether every module has an adapter.
    adapted: bool,
}

impl Projection {
    fn weights(&self) -> u64 {
        self.input * self.modules.iter().sum::<u64>()
    }

    /// Columns of all matrices A `[rank, in]` together: zero without adapters.
    fn adapter_inputs(&self) -> u64 {
        if self.adapted { self.modules.len() as u64 * self.input } else { 0 }
    }

    /// Rows of all matrices B `[out, rank]` together: zero without adapters.
    fn adapter_outputs(&self) -> u64 {
        if self.adapted { self.modules.iter().sum() } else { 0 }
    }
}

impl Architecture {
    /// The matrices of a model of this shape under such an adapter.
    pub fn of(config: &ModelConfig, lora: &Lora) -> Self {
        let [hidden, heads, kv_heads, head_dim, mlp] =
            [config.hidden_size, config.heads, config.kv_heads, config.head_dim, config.mlp_size].map(|n| n as u64);
        let (q, kv) = (heads * head_dim, kv_heads * head_dim);
        let (qkv, up) = match config.family {
            Family::Gpt2 => (vec![q + 2 * kv], vec![mlp]),
            Family::Llama => (vec![q, kv, kv], vec![mlp, mlp]),
        };
        let everywhere = lora.sites == Sites::All;
        let projection = |input, modules, adapted| Projection { input, modules, adapted };
        Self {
            layers: config.layers as u64,
            hidden,
            vocabulary: config.vocab_size as u64,
            attention: q,
            projections: [
                projection(hidden, qkv, true),
                projection(q, vec![hidden], everywhere),
                projection(hidden, up, everywhere),
                projection(mlp, vec![hidden], everywhere),
            ],
            rank: lora.rank as u64,
        }
    }

    /// Values of the matrices of all blocks and of the head.
    pub fn weights(&self) -> u64 {
        self.layers * self.sum(Projection::weights) + self.hidden * self.vocabulary
    }

    /// Values of the adapter.
    pub fn adapter_values(&self) -> u64 {
        self.layers * self.rank * self.sum(|one| one.adapter_inputs() + one.adapter_outputs())
    }

    /// Bytes that a pass reads at least: every weight once.
    pub fn bytes(&self, pass: &Pass, per_weight: f64) -> f64 {
        let adapter = if pass.kind == Kind::Base { 0.0 } else { F32 * self.adapter_values() as f64 };
        self.weights() as f64 * per_weight + adapter
    }

    /// Arithmetic of a pass's matrix products.
    pub fn flops(&self, pass: &Pass) -> u64 {
        let forward = self.forward(pass);
        if pass.kind == Kind::Training { forward + self.backward(pass) } else { forward }
    }

    fn forward(&self, pass: &Pass) -> u64 {
        let adapter = if pass.kind == Kind::Base { 0 } else { self.adapter_values() };
        let linear = 2 * pass.rows * (self.layers * self.sum(Projection::weights) + adapter);
        // Scores and weighted sums of values, in every head.
        let attention = 2 * 2 * pass.pairs * self.attention * self.layers;
        linear + attention + 2 * pass.head_rows * self.hidden * self.vocabulary
    }

    /// What training adds. Frozen weights have no gradient, and the head's part is `E_p[w]`, one more product.
    fn backward(&self, pass: &Pass) -> u64 {
        // Of the input of every projection, but for the lowest one: below it nothing is trained.
        let lowest = &self.projections[0];
        let inputs = self.layers * self.sum(Projection::weights) - lowest.weights();
        // Of both factors of every adapter, and of their inputs.
        let adapters = 2 * self.adapter_values() - self.rank * lowest.adapter_inputs();
        // Of queries, keys, values and probabilities.
        let attention = 2 * 4 * pass.pairs * self.attention * self.layers;
        2 * pass.rows * (inputs + adapters) + attention + 2 * pass.head_rows * self.hidden * self.vocabulary
    }

    fn sum(&self, of: impl Fn(&Projection) -> u64) -> u64 {
        self.projections.iter().map(of).sum()
    }
}

#[cfg(test)]
mod tests {
    use amortize_gfn::Generator;
    use amortize_lm::{Adapter, Device, Precision};

    use super::*;
    use crate::{Shape, Workload};

    fn pass(kind: Kind) -> Pass {
        Pass { kind, rows: 10, pairs: 30, head_rows: 3 }
    }

    /// tiny: 2 layers of width 16, MLP 64, 211 tokens; rank 8 on c_attn.
    #[test]
    fn a_small_pass_counts_as_by_hand() {
        let model = Architecture::of(&Shape::Tiny.config(), &Workload::Train.lora());
        let block = 16 * 48 + 16 * 16 + 16 * 64 + 64 * 16;
        let head = 16 * 211;
        assert_eq!(model.weights(), 2 * block + head);
        let attention = 2 * (30 * 16 + 30 * 16);
        let base = 2 * (2 * 10 * block + attention) + 2 * 3 * head;
        assert_eq!(model.flops(&pass(Kind::Base)), base);
        let lora = 2 * 10 * (16 * 8 + 8 * 48);
        assert_eq!(model.flops(&pass(Kind::Adapted)), base + 2 * lora);
        let inputs = 2 * (2 * 10 * block) - 2 * 10 * (16 * 48);
        // dA, dB, du and dx; no dx in the lowest block.
        let adapters = 2 * 2 * lora - 2 * 10 * (16 * 8);
        let backward = inputs + adapters + 2 * 2 * attention + 2 * 3 * head;
        assert_eq!(model.flops(&pass(Kind::Training)), base + 2 * lora + backward);
    }

    #[test]
    fn every_weight_is_read_once_and_adapters_in_single_precision() {
        let model = Architecture::of(&Shape::Gpt2.config(), &Workload::Train.lora());
        let weights = f64::from(12 * (768 * 2304 + 768 * 768 + 2 * 768 * 3072) + 768 * 50257);
        assert_eq!(model.bytes(&pass(Kind::Base), 2.0), 2.0 * weights);
        let adapter = f64::from(4 * 12 * 8 * (768 + 2304));
        assert_eq!(model.bytes(&pass(Kind::Adapted), 1.0625), 1.0625 * weights + adapter);
    }

    /// The counted matrices are those that the decoder and its adapters have.
    #[test]
    fn counts_agree_with_real_models() {
        let llama = r#"{"model_type": "llama", "num_hidden_layers": 3, "hidden_size": 24, "num_attention_heads": 6,
            "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 40, "vocab_size": 70,
            "tie_word_embeddings": true}"#;
        let llama = ModelConfig::from_json(llama, "config.json".as_ref()).unwrap();
        for config in [Shape::Tiny.config(), llama] {
            let decoder = amortize_lm::decoder::Decoder::random(&config, 1, &Device::cpu(), Precision::Int8).unwrap();
            let is_positions = |name: &str| name.ends_with("wpe.weight");
            let matrices =
                decoder.parameters().iter().filter(|info| info.shape.0 > 1 && !is_positions(&info.parts[0].0));
            let weights: usize = matrices.map(|info| info.shape.0 * info.shape.1).sum();
            for workload in [Workload::Train, Workload::StepInfill] {
                let model = Architecture::of(&config, &workload.lora());
                let mut rng = Generator::new(1, "adapter");
                let adapter = Adapter::new(&decoder, workload.lora().config(), &mut rng).unwrap();
                assert_eq!(model.weights(), weights as u64);
                assert_eq!(model.adapter_values(), adapter.parameter_count() as u64);
            }
        }
    }
}

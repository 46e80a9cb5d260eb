//! Shapes of models that are yet to be trained.

use serde_json::{Value, json};

use crate::config::Family;

/// What a user chooses of a new model.
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    /// The family.
    pub family: Family,
    /// Transformer blocks.
    pub layers: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; GPT-2 has as many as query heads.
    pub kv_heads: usize,
    /// Inner width of the MLP.
    pub feed_forward: usize,
    /// The longest sequence, in tokens.
    pub context: usize,
    /// Whether the output head is the embedding matrix.
    pub tie_embeddings: bool,
    /// Standard deviation of the first weights. Narrow models learn faster from wider ones than the families' usual 0.02.
    pub initializer_range: f64,
}

impl Architecture {
    /// What `config.json` says of such a model, but for its vocabulary.
    pub fn to_json(&self) -> Value {
        match self.family {
            Family::Gpt2 => json!({
                "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_layer": self.layers,
                "n_embd": self.width, "n_head": self.heads, "n_inner": self.feed_forward,
                "n_positions": self.context, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5,
                "initializer_range": self.initializer_range, "attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0,
                "tie_word_embeddings": self.tie_embeddings,
            }),
            Family::Llama => json!({
                "model_type": "llama", "architectures": ["LlamaForCausalLM"], "num_hidden_layers": self.layers,
                "hidden_size": self.width, "num_attention_heads": self.heads, "num_key_value_heads": self.kv_heads,
                "intermediate_size": self.feed_forward, "max_position_embeddings": self.context,
                "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "initializer_range": self.initializer_range,
                "tie_word_embeddings": self.tie_embeddings,
            }),
        }
    }
}

//! The shapes of models that are measured. Their weights are random: time does not depend on them.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use amortize_lm::config::ModelConfig;

use crate::names;

/// A model's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// GPT-2, 124 million parameters.
    Gpt2,
    /// GPT-2 XL, 1.5 billion parameters.
    Gpt2Xl,
    /// As Llama 3.2 1B, with a context of 2048.
    Llama1b,
    /// For tests.
    Tiny,
}

impl Shape {
    /// All shapes.
    pub const ALL: [Shape; 4] = [Shape::Gpt2, Shape::Gpt2Xl, Shape::Llama1b, Shape::Tiny];

    /// The configuration of a model of this shape.
    pub fn config(self) -> ModelConfig {
        ModelConfig::from_json(self.json(), Path::new("config.json")).expect("the shapes are models that are supported")
    }

    /// What a `config.json` of such a model says.
    fn json(self) -> &'static str {
        match self {
            Self::Gpt2 => {
                r#"{"model_type": "gpt2", "n_layer": 12, "n_embd": 768, "n_head": 12, "vocab_size": 50257,
                    "n_positions": 1024}"#
            }
            Self::Gpt2Xl => {
                r#"{"model_type": "gpt2", "n_layer": 48, "n_embd": 1600, "n_head": 25, "vocab_size": 50257,
                    "n_positions": 1024}"#
            }
            Self::Llama1b => {
                r#"{"model_type": "llama", "num_hidden_layers": 16, "hidden_size": 2048, "num_attention_heads": 32,
                    "num_key_value_heads": 8, "head_dim": 64, "intermediate_size": 8192, "vocab_size": 128256,
                    "max_position_embeddings": 2048, "tie_word_embeddings": true, "rope_theta": 500000.0,
                    "rms_norm_eps": 1e-5, "bos_token_id": 128000, "eos_token_id": 128001}"#
            }
            Self::Tiny => {
                r#"{"model_type": "gpt2", "n_layer": 2, "n_embd": 16, "n_head": 2, "vocab_size": 211,
                    "n_positions": 128, "bos_token_id": 210, "eos_token_id": 210}"#
            }
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Gpt2 => "gpt2",
            Self::Gpt2Xl => "gpt2-xl",
            Self::Llama1b => "llama-1b",
            Self::Tiny => "tiny",
        })
    }
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        names::parse("shape", name, &Self::ALL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_refused_with_those_known() {
        for shape in Shape::ALL {
            assert_eq!(shape.to_string().parse(), Ok(shape));
        }
        let message = "gpt3".parse::<Shape>().unwrap_err();
        assert_eq!(message, "unknown shape \"gpt3\"; there are gpt2, gpt2-xl, llama-1b, tiny");
    }

    #[test]
    fn shapes_are_those_of_the_models_they_are_named_after() {
        let xl = Shape::Gpt2Xl.config();
        assert_eq!((xl.layers, xl.hidden_size, xl.head_dim, xl.mlp_size, xl.tied_head), (48, 1600, 64, 6400, true));
        let llama = Shape::Llama1b.config();
        assert_eq!((llama.heads, llama.kv_heads, llama.head_dim, llama.max_positions), (32, 8, 64, 2048));
        assert!(llama.tied_head && !llama.mlp_bias);
    }
}

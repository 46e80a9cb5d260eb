use super::*;
use serde_json::json;

fn gpt2_json() -> Value {
    json!({"model_type": "gpt2", "vocab_size": 100, "n_embd": 12, "n_layer": 2, "n_head": 3,
           "n_positions": 32})
}

fn llama_json() -> Value {
    json!({"model_type": "llama", "vocab_size": 100, "hidden_size": 16, "num_hidden_layers": 2,
           "num_attention_heads": 4, "intermediate_size": 40})
}

fn with(mut base: Value, changes: Value) -> Value {
    for (key, value) in changes.as_object().unwrap() {
        base[key] = value.clone();
    }
    base
}

fn read(json: Value) -> Result<ModelConfig> {
    ModelConfig::from_json(&json.to_string(), Path::new("some/config.json"))
}

fn refusal(json: Value) -> String {
    let message = read(json).unwrap_err().to_string();
    assert!(message.starts_with("some/config.json"), "{message}");
    message
}

fn rope_of(changes: Value) -> Rope {
    match read(with(llama_json(), changes)).unwrap().positions {
        Positions::Rope(rope) => rope,
        Positions::Learned => panic!("llama has rope"),
    }
}

#[test]
fn gpt2_defaults_are_those_of_transformers() {
    let config = read(gpt2_json()).unwrap();
    assert_eq!((config.head_dim, config.kv_heads, config.mlp_size), (4, 3, 48));
    assert_eq!(config.activation, Activation::GeluTanh);
    assert_eq!(config.norm_eps, 1e-5);
    assert_eq!(config.positions, Positions::Learned);
    assert!(config.tied_head);
    assert_eq!(config.attention_scale(1), 0.5);
    assert_eq!(read(with(gpt2_json(), json!({"n_inner": null}))).unwrap(), config);
    assert_eq!(read(with(gpt2_json(), json!({"n_inner": 7}))).unwrap().mlp_size, 7);
}

#[test]
fn llama_defaults_are_those_of_transformers() {
    let config = read(llama_json()).unwrap();
    assert_eq!((config.head_dim, config.kv_heads, config.max_positions), (4, 4, 2048));
    assert_eq!((config.norm_eps, config.activation), (1e-6, Activation::Silu));
    assert!(!config.tied_head && !config.attention_bias && !config.mlp_bias);
    assert_eq!((config.bos_token_id, config.eos_token_ids), (Some(1), vec![2]));
    assert_eq!(rope_of(json!({})).theta, 10_000.0);
}

#[test]
fn attention_scale_follows_gpt2s_switches() {
    let scale = |switches| read(with(gpt2_json(), switches)).unwrap().attention_scale(3);
    assert_eq!(scale(json!({"scale_attn_weights": false})), 1.0);
    assert_eq!(scale(json!({"scale_attn_by_inverse_layer_idx": true})), 0.125);
}

#[test]
fn head_dim_may_differ_from_hidden_over_heads() {
    let config = read(with(llama_json(), json!({"head_dim": 6, "num_key_value_heads": 2})));
    let config = config.unwrap();
    assert_eq!((config.head_dim, config.kv_heads), (6, 2));
    assert_eq!(config.attention_scale(0), 1.0 / 6f32.sqrt());
}

#[test]
fn token_ids_may_be_one_several_null_or_out_of_reach() {
    let eos = |value| read(with(llama_json(), json!({"eos_token_id": value}))).unwrap();
    assert_eq!(eos(json!(5)).eos_token_ids, [5]);
    assert_eq!(eos(json!([5, 6])).eos_token_ids, [5, 6]);
    assert!(eos(Value::Null).eos_token_ids.is_empty());
    assert!(eos(json!([-1, 100])).eos_token_ids.is_empty());
    // The default 50256 does not exist in a vocabulary of 100.
    assert_eq!(read(gpt2_json()).unwrap().bos_token_id, None);
    let message = refusal(with(llama_json(), json!({"eos_token_id": "</s>"})));
    assert!(message.contains("eos_token_id"), "{message}");
}

#[test]
fn both_forms_of_rope_settings_mean_the_same() {
    let older = json!({"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 4.0}});
    let newer = json!({"rope_parameters":
        {"rope_theta": 5e5, "rope_type": "linear", "factor": 4.0}});
    assert_eq!(rope_of(older), rope_of(newer));
    let beside = json!({"rope_theta": 5e5, "rope_parameters":
        {"rope_type": "linear", "factor": 4.0}});
    assert_eq!(rope_of(beside).theta, 5e5);
    assert_eq!(rope_of(json!({"rope_scaling": null})).scaling, RopeScaling::Default);
}

#[test]
fn settings_that_change_the_mathematics_are_refused() {
    let rope = |kind| json!({"rope_scaling": {"rope_type": kind, "factor": 2.0}});
    for (changes, words) in [
        (rope("yarn"), ["rope_scaling.rope_type", "yarn"]),
        (rope("dynamic"), ["llama3", "dynamic"]),
        (rope("llama3"), ["rope_scaling.low_freq_factor", "missing"]),
        (json!({"rope_parameters": {"full_attention": {}}}), ["full_attention", "layer type"]),
        (json!({"partial_rotary_factor": 0.5}), ["partial_rotary_factor", "part of each head"]),
        (json!({"quantization_config": {"bits": 4}}), ["quantization_config", "quantised"]),
        (json!({"hidden_act": "mish"}), ["hidden_act", "mish"]),
        (json!({"num_key_value_heads": 3}), ["num_key_value_heads", "divide"]),
        (json!({"head_dim": 5}), ["head_dim", "even"]),
        (json!({"hidden_size": 18}), ["hidden_size", "multiple"]),
        (json!({"num_hidden_layers": 0}), ["num_hidden_layers", "from 1"]),
        (json!({"vocab_size": "many"}), ["vocab_size", "many"]),
        (json!({"intermediate_size": null}), ["intermediate_size", "missing"]),
        (json!({"rms_norm_eps": -1.0}), ["rms_norm_eps", "positive"]),
        (json!({"rope_theta": 0}), ["rope_theta", "positive"]),
        (json!({"model_type": "mamba"}), ["mamba", SUPPORTED]),
    ] {
        let message = refusal(with(llama_json(), changes));
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
    let message = refusal(with(gpt2_json(), json!({"add_cross_attention": true})));
    assert!(message.contains("cross-attention"), "{message}");
    refusal(json!([1, 2]));
    // A switch that only changes how the same numbers are computed.
    read(with(llama_json(), json!({"pretraining_tp": 2}))).unwrap();
}

fn assert_close(actual: &[f32], expected: &[f32]) {
    assert_eq!(actual.len(), expected.len());
    for (a, e) in actual.iter().zip(expected) {
        assert!((a - e).abs() <= 1e-6 * e.abs(), "{actual:?} is not {expected:?}");
    }
}

/// transformers 5.23.0: `LlamaRotaryEmbedding(LlamaConfig(head_dim=16, rope_parameters=dict(
/// rope_theta=10000.0, ...))).inv_freq`; llama3 with factor 8, low 1, high 4, original 64.
#[test]
fn frequencies_are_those_of_transformers() {
    let mut rope = Rope { head_dim: 16, theta: 10_000.0, scaling: RopeScaling::Default };
    #[rustfmt::skip]
    assert_close(&rope.inverse_frequencies(), &[
        1.0, 0.316_227_76, 0.1, 0.031_622_78, 0.01, 0.003_162_278, 0.001, 0.000_316_227_8,
    ]);
    rope.scaling = RopeScaling::Linear { factor: 4.0 };
    #[rustfmt::skip]
    assert_close(&rope.inverse_frequencies(), &[
        0.25, 0.079_056_94, 0.025, 0.007_905_695, 0.002_5, 0.000_790_569_47, 0.000_25,
        0.000_079_056_95,
    ]);
    rope.scaling =
        RopeScaling::Llama3 { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_positions: 64.0 };
    #[rustfmt::skip]
    assert_close(&rope.inverse_frequencies(), &[
        1.0, 0.244_384_59, 0.013_042_256, 0.003_952_847_4, 0.001_25, 0.000_395_284_73,
        0.000_125, 0.000_039_528_473,
    ]);
}

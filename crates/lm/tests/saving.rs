//! Models that were made or changed here, written and read again.

mod common;

use amortize_lm::decoder::Gradients;
use amortize_lm::parameters::BaseGradients;
use amortize_lm::tokenizer::{TokenizerOptions, TrainedTokenizer, train_tokenizer};
use amortize_lm::weights::Stored;
use amortize_lm::{Device, Forest, Model, ModelFiles, Policy, Precision, Questions};
use common::fixture;
use serde_json::json;

const MODELS: [&str; 5] = ["gpt2-tiny", "gpt2-bare", "llama-tiny", "llama3-rope", "llama-linear-rope"];

const TEXTS: [&str; 4] = [
    "Lily saw 12 cats, and 345 dogs. The dogs saw Lily.",
    "The cats sat. The dogs sat, too. They all sat.",
    "In 1987 there were 12 dogs. Nobody saw the cats.",
    "Lily sat with the cats and the dogs; she's happy.",
];

fn scores(policy: Policy) -> Vec<f64> {
    policy.score_completion(&[3, 1, 4], &[1, 5, 9, 2, 6, 5, 3, 5]).expect("a sequence scores")
}

fn trained(vocabulary: usize, single_digits: bool) -> TrainedTokenizer {
    let options = TokenizerOptions { vocabulary, single_digits, end_of_text: "<end>".into() };
    train_tokenizer(&options, TEXTS.iter()).expect("a tokenizer is learnt")
}

fn new_model(config: serde_json::Value, seed: u64) -> (ModelFiles, Model) {
    let files = ModelFiles::with_trained_tokenizer(config, &trained(300, true));
    let model = files.initial("new".into(), seed, &Device::cpu()).expect("a new model");
    (files, model)
}

fn llama() -> serde_json::Value {
    json!({"model_type": "llama", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4,
           "num_key_value_heads": 2, "intermediate_size": 40, "max_position_embeddings": 64,
           "tie_word_embeddings": true})
}

#[test]
fn a_saved_model_scores_as_before_bit_for_bit() {
    for name in MODELS {
        let mut model = common::model(name);
        let parameters = model.decoder.base_parameters();
        let dir = tempfile::tempdir().expect("a temporary directory");
        let files = ModelFiles::read(&fixture(name)).expect("a fixture's files");
        files.write(dir.path(), &model.decoder, &parameters, Stored::F32).expect("it saves");
        let loaded = Model::load(dir.path(), &Device::cpu(), Precision::F32).expect("it loads");
        assert_eq!(scores(Policy::base(&model)), scores(Policy::base(&loaded)), "{name}");
        assert_eq!(loaded.tokenizer.encode_prompt("a cat").ok(), model.tokenizer.encode_prompt("a cat").ok());
    }
}

#[test]
fn bf16_files_hold_the_nearest_numbers() {
    let mut model = common::model("llama-tiny");
    let parameters = model.decoder.base_parameters();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let files = ModelFiles::read(&fixture("llama-tiny")).expect("a fixture's files");
    files.write(dir.path(), &model.decoder, &parameters, Stored::Bf16).expect("it saves");
    let mut loaded = Model::load(dir.path(), &Device::cpu(), Precision::F32).expect("it loads");
    let rounded = loaded.decoder.base_parameters();
    let pairs = parameters.tensors().iter().zip(rounded.tensors());
    for (before, after) in pairs.flat_map(|(a, b)| a.to_host().into_iter().zip(b.to_host())) {
        assert!((before - after).abs() <= before.abs() / 256.0, "{before} became {after}");
    }
    assert_eq!(ModelFiles::read(dir.path()).expect("its files").config["torch_dtype"], "bfloat16");
}

#[test]
fn parameters_that_are_put_back_change_the_scores_as_they_should() {
    for name in MODELS {
        let mut model = common::model(name);
        let before = scores(Policy::base(&model));
        let mut parameters = model.decoder.base_parameters();
        model.decoder.set_base_parameters(&parameters, Precision::F32);
        assert_eq!(scores(Policy::base(&model)), before, "{name}: the same parameters");
        // A small step along the gradient changes the objective by the gradient's square.
        let (mut forest, mut questions) = (Forest::new(), Questions::new());
        let root = forest.root(0, &[3, 1, 4]);
        questions.ask(forest.row_at(root, 2), 1, None);
        let base = BaseGradients::zeros(model.decoder.device(), model.decoder.parameters());
        let mut gradients = Gradients { adapter: None, base: Some(base) };
        let policy = Policy::base(&model);
        let scored = policy.score_with_tape(&forest, &questions).expect("it scores");
        policy.backward(&forest, &questions, &scored, &[1.0], &mut gradients);
        let (mut square, step) = (0.0, 1e-5);
        for (tensor, gradient) in parameters.tensors_mut().iter_mut().zip(gradients.base.expect("asked for").tensors())
        {
            let (mut values, gradient) = (tensor.to_host(), gradient.to_host());
            values.iter_mut().zip(&gradient).for_each(|(value, g)| *value += step * g);
            square += gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>();
            tensor.copy_from_host(&values);
        }
        model.decoder.set_base_parameters(&parameters, Precision::F32);
        let gain = Policy::base(&model).score(&forest, &questions).expect("it scores")[0] - scored.log_probs[0];
        let expected = f64::from(step) * square;
        assert!((gain - expected).abs() < 0.2 * expected + 2e-6, "{name}: {gain} instead of {expected}");
    }
}

#[test]
fn a_folded_adapter_gives_the_adapted_scores() {
    for name in MODELS {
        let mut model = common::model(name);
        let adapter = common::random_adapter(&model, 5, 0.0);
        let adapted = scores(Policy::adapted(&model, &adapter));
        let base = scores(Policy::base(&model));
        let mut parameters = model.decoder.base_parameters();
        model.decoder.fold(&adapter, &mut parameters);
        model.decoder.set_base_parameters(&parameters, Precision::F32);
        let folded = scores(Policy::base(&model));
        assert!(base.iter().zip(&adapted).any(|(a, b)| (a - b).abs() > 1e-2), "the adapter does something");
        for (found, expected) in folded.iter().zip(&adapted) {
            assert!((found - expected).abs() < 1e-4, "{name}: {found} instead of {expected}");
        }
    }
}

#[test]
fn norms_and_biases_are_vectors_and_nothing_else_is() {
    for name in MODELS {
        for info in common::model(name).decoder.parameters() {
            let named = info.parts[0].0.as_str();
            let expected = named.ends_with("bias") || named.contains("norm") || named.contains("ln_");
            assert_eq!(info.is_vector, expected, "{name}: {named}");
        }
    }
}

#[test]
fn a_new_model_is_determined_by_its_seed_and_nearly_uniform() {
    let (_, model) = new_model(llama(), 1);
    let found = scores(Policy::base(&model));
    assert_eq!(found, scores(Policy::base(&new_model(llama(), 1).1)));
    assert_ne!(found, scores(Policy::base(&new_model(llama(), 2).1)));
    let uniform = -(model.config.vocab_size as f64).ln();
    assert!(found.iter().all(|log_prob| (log_prob - uniform).abs() < 0.5), "{found:?} near {uniform}");
}

#[test]
fn a_learnt_tokenizer_keeps_spaces_with_words_and_digits_alone() {
    let (_, model) = new_model(llama(), 1);
    let tokenizer = &model.tokenizer;
    let pieces = |text: &str| -> Vec<String> {
        let ids = tokenizer.encode_completion(text).expect("a text");
        ids.iter().map(|id| tokenizer.token_text(*id).to_string()).collect()
    };
    assert_eq!(pieces(" the dogs sat."), [" the", " dogs", " sat", "."]);
    assert_eq!(pieces(" saw 12 dogs"), [" saw", " 1", "2", " dogs"]);
    let odd = tokenizer.encode_completion(" . . é\n").expect("a text");
    assert_eq!(tokenizer.decode(&odd), " . . é\n");
    let end = tokenizer.eos_id().expect("an end");
    assert_eq!((tokenizer.bos_id(), tokenizer.special_ids()), (Some(end), &[end][..]));
    let document = tokenizer.encode_document("the dogs").expect("a text");
    assert_eq!(document, [&tokenizer.encode_prompt("the dogs").expect("a prompt")[..], &[end]].concat());
    assert_eq!(document[0], end);
    assert_eq!(tokenizer.encode_prompt("").expect("a prompt"), [end]);
    assert_eq!(tokenizer.decode(&document[1..document.len() - 1]), "the dogs");
}

#[test]
fn learning_a_tokenizer_is_deterministic_and_its_options_count() {
    assert_eq!(trained(300, true), trained(300, true));
    assert_eq!(trained(270, true).vocab_size, 270);
    let whole = ModelFiles::with_trained_tokenizer(llama(), &trained(300, false)).info("x".into()).expect("a model");
    let ids = whole.tokenizer.encode_completion(" 12").expect("a text");
    assert_eq!(ids.len(), 1, "numbers are one token where they may be");
    let few = TokenizerOptions { vocabulary: 256, single_digits: true, end_of_text: "<end>".into() };
    let message = train_tokenizer(&few, TEXTS.iter()).expect_err("refused").to_string();
    assert!(message.contains("a vocabulary of 256"), "{message}");
}

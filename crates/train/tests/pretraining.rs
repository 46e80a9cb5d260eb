//! Training by likelihood, without its files: what a step does, and what does not change it.

mod common;

use amortize_lm::decoder::Gradients;
use amortize_train::likelihood::Command;
use amortize_train::likelihood::config::LikelihoodConfig;
use amortize_train::likelihood::start::Start;
use amortize_train::likelihood::trainer::Trainer;
use tempfile::TempDir;

const TEXTS: [&str; 6] = [
    "Tom had 12 red balls. He lost one.",
    "Lily saw a cat. The cat sat on the mat. The mat was red.",
    "A dog ran.",
    "The dog saw the cat. The cat saw the dog, and ran away. The dog ran too.",
    "Tom and Lily sat on the mat. They saw 3 balls.",
    "One day Lily lost her cat. Tom saw it on the mat.",
];

/// Enough to know the texts by heart, whose entropy is about 0.1 nats a token.
const STEPS: &str = "train.steps=150";

/// A directory with texts and a config of a small new model.
fn place() -> (TempDir, String) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("texts.txt");
    let texts: Vec<&str> = TEXTS.iter().cycle().take(60).copied().collect();
    std::fs::write(&path, texts.join("\n")).expect("a written file");
    let text = format!(
        "data.path = {path:?}\ndata.validation = 0.1\ntrain = {{ steps = 60, seed = 3, tokens_per_step = 150 }}\n\
         architecture = {{ layers = 2, width = 32, heads = 4, kv_heads = 2, context = 24 }}\n\
         tokenizer.vocabulary = 320\noptimizer = {{ learning_rate = 1e-2, warmup_steps = 5 }}\n"
    );
    (dir, text)
}

fn trainer(text: &str, sets: &[&str]) -> Trainer {
    let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
    let config = LikelihoodConfig::from_toml(Command::Pretrain, text, "test.toml", &sets);
    Start::new(&config.unwrap_or_else(|error| panic!("{error}"))).expect("a trainer").trainer
}

fn values(gradients: &Gradients) -> Vec<f32> {
    gradients.base.as_ref().expect("asked for").tensors().iter().flat_map(|tensor| tensor.to_host()).collect()
}

#[test]
fn a_new_model_learns_its_texts() {
    let (_dir, text) = place();
    for family in ["llama", "gpt2"] {
        let sets = [format!("architecture.family={family}"), "architecture.kv_heads=4".into(), STEPS.into()];
        let mut trainer = trainer(&text, &sets.each_ref().map(String::as_str));
        let first = trainer.step().expect("a step");
        let uniform = (trainer.model.config.vocab_size as f64).ln();
        assert!((first.loss - uniform).abs() < 0.3, "{family}: {} near {uniform}", first.loss);
        assert!(first.tokens <= 150 && first.tokens > 100 && first.learnt_tokens == first.tokens, "{first:?}");
        let last = (1..150).map(|_| trainer.step().expect("a step").loss).last().expect("steps");
        assert!(last < 0.2, "{family}: {last}");
    }
}

#[test]
fn the_size_of_passes_does_not_change_the_gradient() {
    let (_dir, text) = place();
    let batch: Vec<usize> = (0..9).collect();
    let whole = trainer(&text, &["train.tokens_per_pass=0"]);
    let (loss, gradients) = whole.gradients(&batch).expect("gradients");
    let expected = values(&gradients);
    let size = expected.iter().map(|x| x * x).sum::<f32>().sqrt();
    for pass in [1, 40] {
        let parts = trainer(&text, &[&format!("train.tokens_per_pass={pass}")]);
        let (found_loss, found) = parts.gradients(&batch).expect("gradients");
        let error = values(&found).iter().zip(&expected).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt();
        assert!((found_loss - loss).abs() < 1e-6 && error < 1e-5 * size, "{pass}: {error} of {size}");
    }
}

#[test]
fn recomputed_activations_give_the_same_gradient_to_the_bit() {
    let (_dir, text) = place();
    let batch: Vec<usize> = (0..9).collect();
    let [kept, recomputed] = ["false", "true"].map(|value| {
        let trainer = trainer(&text, &[&format!("train.recompute={value}")]);
        values(&trainer.gradients(&batch).expect("gradients").1)
    });
    assert!(kept == recomputed);
}

#[test]
fn weight_decay_takes_from_matrices_alone() {
    let (_dir, text) = place();
    let after = |decay: &str| {
        let sets = ["optimizer.warmup_steps=0", &format!("optimizer.weight_decay={decay}")];
        let mut trainer = trainer(&text, &sets);
        trainer.step().expect("a step");
        trainer.model.decoder.base_parameters().tensors().iter().map(|tensor| tensor.to_host()).collect::<Vec<_>>()
    };
    let (without, with) = (after("0.0"), after("0.5"));
    let infos = trainer(&text, &[]).model.decoder.parameters().to_vec();
    for ((info, without), with) in infos.iter().zip(&without).zip(&with) {
        assert_eq!(without == with, info.is_vector, "{:?}", info.parts);
    }
}

#[test]
fn bf16_products_train_f32_weights() {
    let (_dir, text) = place();
    let mut trainer = trainer(&text, &["model.precision=bf16", STEPS]);
    let last = (0..150).map(|_| trainer.step().expect("a step").loss).last().expect("steps");
    assert!(last < 0.2, "{last}");
}

#[test]
fn configs_that_contradict_themselves_are_refused() {
    let refusal = |command, text: &str| {
        LikelihoodConfig::from_toml(command, text, "c.toml", &[]).expect_err("refused").to_string()
    };
    let common = "data.path = \"d\"\ntrain = { steps = 1, seed = 1 }\n";
    let cases = [
        (Command::Pretrain, "architecture.width = 100", "is no multiple of architecture.heads = 6"),
        (Command::Pretrain, "architecture.kv_heads = 4", "does not divide architecture.heads"),
        (Command::Pretrain, "model.path = \"m\"\narchitecture.width = 60", "both say what the new model is like"),
        (Command::Pretrain, "tokenizer.vocabulary = 256", "expected a whole number from 257"),
        (Command::Pretrain, "adapter.rank = 3", "unknown section [adapter]"),
        (Command::Pretrain, "model.precision = \"int8\"", "expected \"f32\" or \"bf16\""),
        (Command::Pretrain, "data.prompt_template = \"{x}\"", "needs data.template"),
        (Command::Pretrain, "train2.step = 3", "unknown key"),
        (Command::Sft, "", "model.path is missing"),
        (Command::Sft, "model.path = \"m\"\ntokenizer.vocabulary = 300", "unknown section [tokenizer]"),
    ];
    for (command, text, expected) in cases {
        let message = refusal(command, &format!("{common}{text}"));
        assert!(message.contains(expected), "{message}");
    }
}

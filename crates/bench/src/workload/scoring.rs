//! Log-probabilities of given sequences, with and without gradient.

use amortize_lm::adapter::AdapterGradients;
use amortize_lm::decoder::Gradients;
use amortize_lm::{Forest, Model, Policy, Questions};
use rand::RngExt;

use super::{STOP, Workload, random, tokens};
use crate::timing::seconds;
use crate::{Result, Sizes};

/// Samples below their prompt, and questions about log p(z_k | X z_<k) and log p(end | X z_1:k) for every k.
fn asked(model: &Model, sizes: &Sizes) -> (Forest, Questions) {
    let mut rng = random("sequences");
    let end = model.config.eos_token_ids.first().copied().unwrap_or(STOP);
    let (mut forest, mut questions) = (Forest::new(), Questions::new());
    let root = forest.root(0, &tokens(&mut rng, model, sizes.prompt));
    for _ in 0..sizes.samples {
        let z = tokens(&mut rng, model, sizes.tokens);
        let leaf = forest.child(root, sizes.prompt, &z);
        for k in 0..=sizes.tokens {
            let row = forest.row_at(leaf, sizes.prompt + k - 1);
            questions.ask(row, end, None);
            z.get(k).map(|token| questions.ask(row, *token, None));
        }
    }
    (forest, questions)
}

pub(super) fn train(model: &Model, sizes: &Sizes, repeats: usize) -> Result<Vec<f64>> {
    let adapter = Workload::Train.adapter(model)?;
    let policy = Policy::adapted(model, &adapter);
    let (forest, questions) = asked(model, sizes);
    let mut rng = random("coefficients");
    let coefficients: Vec<f64> = (0..questions.len()).map(|_| rng.random_range(-1.0..1.0)).collect();
    seconds(repeats, || {
        let scored = policy.score_with_tape(&forest, &questions)?;
        let room = AdapterGradients::zeros(model.decoder.device(), &adapter);
        let mut gradients = Gradients { adapter: Some(room), base: None };
        policy.backward(&forest, &questions, &scored, &coefficients, &mut gradients);
        Ok(())
    })
}

pub(super) fn score(model: &Model, sizes: &Sizes, repeats: usize) -> Result<Vec<f64>> {
    let (forest, questions) = asked(model, sizes);
    seconds(repeats, || {
        Policy::base(model).score(&forest, &questions)?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use amortize_engine::layout::AttentionSegment;
    use amortize_lm::{Device, Precision};

    use super::*;
    use crate::Shape;
    use crate::floor::passes;

    /// The floor is of the work that is really asked for.
    #[test]
    fn the_packed_rows_are_those_that_the_floor_counts() {
        let model = Model::random(Shape::Tiny.config(), 1, &Device::cpu(), Precision::F32).unwrap();
        let sizes = Sizes { samples: 3, tokens: 5, prompt: 7, suffix: 1 };
        let (forest, questions) = asked(&model, &sizes);
        let pairs = |segment: &AttentionSegment| {
            let context: usize = segment.context.iter().map(|range| range.len()).sum();
            (1..=segment.queries.len()).map(|own| context + own).sum::<usize>()
        };
        let pairs: usize = forest.attention_plan().segments().iter().map(pairs).sum();
        let counted = passes(Workload::Train, &sizes)[0];
        assert_eq!((counted.rows, counted.pairs), (forest.tokens().len() as u64, pairs as u64));
        // Tokens, and the end after every prefix.
        assert_eq!(questions.len(), 3 * 5 + 3 * 6);
        assert_eq!(counted.head_rows, 1 + 3 * 5);
    }
}

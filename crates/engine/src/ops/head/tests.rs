use super::*;
use crate::check::{gradient, tensor};

const VOCABULARY: usize = CHUNK + 70;
const D: usize = 5;

fn all_but(hidden: &[usize]) -> Vec<u64> {
    let mut mask = vec![u64::MAX; VOCABULARY.div_ceil(64)];
    hidden.iter().for_each(|id| mask[id / 64] &= !(1 << (id % 64)));
    mask
}

/// Three rows: several targets with a mask, none, and repeated ones in different chunks.
fn with_wanted<R>(body: impl FnOnce(&Wanted) -> R) -> R {
    let mask = all_but(&[0, 3, 700, CHUNK + 1]);
    let wanted = Wanted {
        offsets: &[0, 3, 3, 5],
        targets: &[5, 1, CHUNK as u32 + 9, 2, 2],
        masks: &[&mask],
        row_mask: &[Some(0), None, None],
        inverse_temperature: 0.8,
    };
    body(&wanted)
}

const COEFFICIENTS: [f32; 5] = [1.5, -0.7, 0.4, 0.9, -2.0];

fn weight(w: &Tensor) -> Weight {
    Weight::new(w.device(), VOCABULARY, D, w.host(), crate::Precision::F32)
}

fn loss(hidden: &Tensor, w: &Tensor, wanted: &Wanted) -> f64 {
    let scored = forward(hidden, &weight(w), wanted, Keep::Scores);
    scored.log_probs.iter().zip(COEFFICIENTS).map(|(l, c)| *l as f64 * c as f64).sum()
}

#[test]
fn agrees_with_a_plain_softmax() {
    let (hidden, w) = (tensor(1, 3, D), tensor(2, VOCABULARY, D));
    with_wanted(|wanted| {
        let scored = forward(&hidden, &weight(&w), wanted, Keep::ForBackward);
        for row in 0..3 {
            let allowed = |v: &usize| wanted.mask_of(row).is_none_or(|mask| allows(mask, *v));
            let logit =
                |v: usize| 0.8 * hidden.row(row).iter().zip(w.row(v)).map(|(a, b)| *a as f64 * *b as f64).sum::<f64>();
            let total: f64 = (0..VOCABULARY).filter(allowed).map(|v| logit(v).exp()).sum();
            for i in wanted.offsets[row]..wanted.offsets[row + 1] {
                let expected = logit(wanted.targets[i] as usize) - total.ln();
                assert!((scored.log_probs[i] as f64 - expected).abs() < 1e-5);
            }
            for c in 0..D {
                let mean: f64 = (0..VOCABULARY).filter(allowed).map(|v| logit(v).exp() * w.row(v)[c] as f64).sum();
                let expected = scored.expected.as_ref().expect("kept").row(row)[c];
                assert!((expected as f64 - mean / total).abs() < 1e-5);
            }
        }
    });
}

#[test]
fn a_masked_target_has_probability_zero() {
    let (hidden, w) = (tensor(1, 1, D), tensor(2, VOCABULARY, D));
    let mask = all_but(&[7]);
    let wanted =
        Wanted { offsets: &[0, 1], targets: &[7], masks: &[&mask], row_mask: &[Some(0)], inverse_temperature: 1.0 };
    let scored = forward(&hidden, &weight(&w), &wanted, Keep::Scores);
    assert_eq!(scored.log_probs, [f32::NEG_INFINITY]);
}

#[test]
fn a_whole_chunk_may_be_masked() {
    let (hidden, w) = (tensor(1, 1, D), tensor(2, VOCABULARY, D));
    let mut mask = vec![0u64; VOCABULARY.div_ceil(64)];
    mask[CHUNK / 64] = 0b110;
    let target = CHUNK as u32 + 1;
    let wanted = Wanted {
        offsets: &[0, 2],
        targets: &[target, target + 1],
        masks: &[&mask],
        row_mask: &[Some(0)],
        inverse_temperature: 1.0,
    };
    let scored = forward(&hidden, &weight(&w), &wanted, Keep::ForBackward);
    let total: f32 = scored.log_probs.iter().map(|l| l.exp()).sum();
    assert!((total - 1.0).abs() < 1e-6);
}

#[test]
fn passes_finite_differences() {
    let (hidden, w) = (tensor(1, 3, D), tensor(2, VOCABULARY, D));
    with_wanted(|wanted| {
        let scored = forward(&hidden, &weight(&w), wanted, Keep::ForBackward);
        let mut dh = hidden.device().zeros(3, D);
        backward_hidden(wanted, &weight(&w), &scored, &COEFFICIENTS, &mut dh);
        gradient(&hidden, &dh, |hidden| loss(hidden, &w, wanted));
    });
}

#[test]
fn weight_gradient_passes_finite_differences_with_and_without_kept_probabilities() {
    let (hidden, w) = (tensor(1, 3, D), tensor(2, VOCABULARY, D));
    with_wanted(|wanted| {
        let gradient = |keep| {
            let scored = forward(&hidden, &weight(&w), wanted, keep);
            assert_eq!(scored.kept.is_empty(), keep != Keep::ForTrainedHead);
            let mut dw = w.device().zeros(VOCABULARY, D);
            backward_weight(&hidden, &weight(&w), wanted, &scored, &COEFFICIENTS, &mut dw);
            dw
        };
        let dw = gradient(Keep::ForBackward);
        for (again, kept) in dw.host().iter().zip(gradient(Keep::ForTrainedHead).host()) {
            assert!((again - kept).abs() < 1e-5, "{again} {kept}");
        }
        // All 5,470 differences would take a minute; these rows are targets, masked ones and neighbours.
        let largest = dw.host().iter().fold(0.0f32, |a, b| a.max(b.abs())) as f64;
        for v in [0, 1, 2, 3, 5, 6, 700, CHUNK - 1, CHUNK, CHUNK + 1, CHUNK + 9, VOCABULARY - 1] {
            for c in 0..D {
                let at = |step: f32| {
                    let mut moved = w.clone();
                    moved.row_mut(v)[c] += step;
                    loss(&hidden, &moved, wanted)
                };
                let numeric = (at(0.05) - at(-0.05)) / 0.1;
                assert!((dw.row(v)[c] as f64 - numeric).abs() < 5e-4 * largest.max(1.0), "row {v}");
            }
        }
    });
}

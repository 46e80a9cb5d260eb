//! AdamW over the tensors that are trained and over learned values of log Z.

use std::collections::BTreeMap;

use amortize_engine::Tensor;
use amortize_engine::ops::elementwise;
use amortize_engine::optim::{AdamW, Moments};
use serde::{Deserialize, Serialize};

use crate::error::{Result, TrainError};

/// AdamW with its state in the open. What is trained is a list of tensors, always in the same order: an adapter's, or all
/// base parameters.
#[derive(Debug)]
pub struct Optimizer {
    /// The user's settings.
    pub adamw: AdamW,
    /// Updates made so far.
    pub updates: u64,
    /// First and second moments of every tensor.
    pub moments: Vec<Moments>,
    /// Whether weight decay takes from each tensor.
    decays: Vec<bool>,
}

impl Optimizer {
    /// Zero moments for some tensors, all of which decay.
    pub fn new<'t>(adamw: AdamW, tensors: impl Iterator<Item = &'t Tensor>) -> Self {
        let moments: Vec<Moments> = tensors.map(Moments::zeros_like).collect();
        Self { adamw, updates: 0, decays: vec![true; moments.len()], moments }
    }

    /// The same where weight decay takes from some of the tensors only.
    pub fn with_decays(self, decays: Vec<bool>) -> Self {
        assert_eq!(decays.len(), self.moments.len(), "one for every tensor");
        Self { decays, ..self }
    }

    /// One update of all tensors.
    pub fn update<'t>(
        &mut self,
        tensors: impl IntoIterator<Item = &'t mut Tensor>,
        gradients: &[Tensor],
        learning_rate: f64,
    ) {
        self.updates += 1;
        let undecayed = AdamW { weight_decay: 0.0, ..self.adamw };
        let tensors = tensors.into_iter().zip(gradients).zip(&mut self.moments).zip(&self.decays);
        for (((tensor, gradient), moments), decays) in tensors {
            let adamw = if *decays { &self.adamw } else { &undecayed };
            adamw.update(tensor, gradient, moments, learning_rate as f32, self.updates);
        }
    }
}

/// The Euclidean norm of all gradients together.
pub fn global_norm(gradients: &[Tensor]) -> f64 {
    gradients.iter().map(elementwise::sum_of_squares).sum::<f64>().sqrt()
}

/// Scales all gradients down to `limit` if their norm, `norm`, is above it.
pub fn clip(gradients: &mut [Tensor], norm: f64, limit: f64) {
    if norm > limit {
        gradients.iter_mut().for_each(|tensor| elementwise::scale(tensor, (limit / norm) as f32));
    }
}

/// The norm of the gradients, if loss and norm are numbers; `step` is that of the message.
///
/// # Errors
/// If one of them is not finite.
pub fn finite_norm(step: u64, loss: f64, gradients: &[Tensor]) -> Result<f64> {
    let norm = global_norm(gradients);
    match (loss.is_finite(), norm.is_finite()) {
        (false, _) => Err(TrainError::Diverged { step, what: "loss" }),
        (_, false) => Err(TrainError::Diverged { step, what: "gradient" }),
        _ => Ok(norm),
    }
}

/// A learned log Z(x) per query, each with Adam's moments of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LogZ {
    values: BTreeMap<u64, ScalarAdam>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct ScalarAdam {
    value: f64,
    first: f64,
    second: f64,
    updates: i32,
}

impl LogZ {
    /// The value of a query; `start` where it was never seen.
    pub fn get(&mut self, query: u64, start: f64) -> f64 {
        let fresh = ScalarAdam { value: start, first: 0.0, second: 0.0, updates: 0 };
        self.values.entry(query).or_insert(fresh).value
    }

    /// One Adam update of a query's value.
    pub fn update(&mut self, query: u64, gradient: f64, learning_rate: f64, adamw: &AdamW) {
        let Some(state) = self.values.get_mut(&query) else { return };
        let (beta1, beta2) = (f64::from(adamw.beta1), f64::from(adamw.beta2));
        state.updates += 1;
        state.first = beta1 * state.first + (1.0 - beta1) * gradient;
        state.second = beta2 * state.second + (1.0 - beta2) * gradient * gradient;
        let first = state.first / (1.0 - beta1.powi(state.updates));
        let second = state.second / (1.0 - beta2.powi(state.updates));
        state.value -= learning_rate * first / (second.sqrt() + f64::from(adamw.epsilon));
    }
}

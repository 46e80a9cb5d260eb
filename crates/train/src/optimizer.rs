//! AdamW over an adapter's tensors and over learned values of log Z.

use std::collections::BTreeMap;

use amortize_engine::ops::elementwise;
use amortize_engine::optim::{AdamW, Moments};
use amortize_lm::Adapter;
use amortize_lm::adapter::AdapterGradients;
use serde::{Deserialize, Serialize};

/// AdamW with its state in the open: moments in the order of [`Adapter::named`].
#[derive(Debug)]
pub struct Optimizer {
    /// The user's settings.
    pub adamw: AdamW,
    /// Updates made so far.
    pub updates: u64,
    /// First and second moments of every tensor.
    pub moments: Vec<Moments>,
}

impl Optimizer {
    /// Zero moments for an adapter.
    pub fn new(adamw: AdamW, adapter: &Adapter) -> Self {
        let moments = adapter.named().map(|(_, tensor)| Moments::zeros_like(tensor)).collect();
        Self { adamw, updates: 0, moments }
    }

    /// One update.
    pub fn update(&mut self, adapter: &mut Adapter, gradients: &AdapterGradients, learning_rate: f64) {
        self.updates += 1;
        let tensors = adapter.tensors_mut().zip(gradients.tensors()).zip(&mut self.moments);
        for ((tensor, gradient), moments) in tensors {
            self.adamw.update(tensor, gradient, moments, learning_rate as f32, self.updates);
        }
    }
}

/// The Euclidean norm of all gradients together.
pub fn global_norm(gradients: &AdapterGradients) -> f64 {
    gradients.tensors().iter().map(elementwise::sum_of_squares).sum::<f64>().sqrt()
}

/// Scales all gradients down to `limit` if their norm, `norm`, is above it.
pub fn clip(gradients: &mut AdapterGradients, norm: f64, limit: f64) {
    if norm > limit {
        gradients.tensors_mut().iter_mut().for_each(|tensor| elementwise::scale(tensor, (limit / norm) as f32));
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

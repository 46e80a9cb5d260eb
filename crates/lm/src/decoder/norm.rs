//! The two kinds of normalisation.

use amortize_engine::Tensor;
use amortize_engine::ops::{layer_norm, rms_norm};

use super::trained::{Placed, vector};
use crate::parameters::{BaseGradients, Vector};

#[derive(Debug)]
pub(super) enum Norm {
    Layer { weight: Vector, bias: Vector, eps: f32 },
    Rms { weight: Vector, eps: f32 },
}

impl Norm {
    pub(super) fn push_places<'a>(&'a mut self, places: &mut Vec<Placed<'a>>) {
        match self {
            Self::Layer { weight, bias, .. } => places.extend([vector(weight), vector(bias)]),
            Self::Rms { weight, .. } => places.push(vector(weight)),
        }
    }

    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        match self {
            Self::Layer { weight, bias, eps } => layer_norm::forward(x, &weight.value, &bias.value, *eps),
            Self::Rms { weight, eps } => rms_norm::forward(x, &weight.value, *eps),
        }
    }

    /// Adds to `dx`, and to the norm's own gradients where they are wanted.
    pub(super) fn backward(&self, dy: &Tensor, x: &Tensor, dx: &mut Tensor, base: Option<&mut BaseGradients>) {
        match self {
            Self::Layer { weight, bias, eps } => {
                layer_norm::backward_input(dy, x, &weight.value, *eps, dx);
                if let Some(base) = base {
                    let mut db = x.device().zeros(1, x.cols());
                    layer_norm::backward_weight(dy, x, *eps, base.get_mut(weight.id), &mut db);
                    amortize_engine::ops::elementwise::add(base.get_mut(bias.id), &db);
                }
            }
            Self::Rms { weight, eps } => {
                rms_norm::backward_input(dy, x, &weight.value, *eps, dx);
                if let Some(base) = base {
                    rms_norm::backward_weight(dy, x, *eps, base.get_mut(weight.id));
                }
            }
        }
    }
}

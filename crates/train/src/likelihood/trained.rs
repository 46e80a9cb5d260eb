//! What is trained: all base parameters, or an adapter.

use amortize_engine::optim::AdamW;
use amortize_engine::{Precision, Tensor};
use amortize_lm::adapter::AdapterGradients;
use amortize_lm::decoder::Gradients;
use amortize_lm::parameters::{BaseGradients, BaseParameters};
use amortize_lm::{Adapter, Model, Policy};

use crate::optimizer::Optimizer;

/// The tensors that an optimizer changes.
#[derive(Debug)]
pub enum Trained {
    /// All parameters of the model, in f32 beside those that the model computes with.
    Base(BaseParameters),
    /// An adapter on a frozen model.
    Adapter(Box<Adapter>),
}

impl Trained {
    /// The distribution that is trained.
    pub fn policy<'a>(&'a self, model: &'a Model) -> Policy<'a> {
        match self {
            Self::Base(_) => Policy::base(model),
            Self::Adapter(adapter) => Policy::adapted(model, adapter),
        }
    }

    /// Names and values of what is trained, in a fixed order.
    pub fn named<'a>(&'a self, model: &'a Model) -> Vec<(String, &'a Tensor)> {
        match self {
            Self::Base(parameters) => {
                let infos = model.decoder.parameters().iter();
                // Stacked parts are one tensor here; the first names it.
                let names = infos.map(|info| info.parts[0].0.clone());
                names.zip(parameters.tensors()).collect()
            }
            Self::Adapter(adapter) => adapter.named().collect(),
        }
    }

    /// Number of trained values.
    pub fn count(&self, model: &Model) -> usize {
        match self {
            Self::Base(_) => model.decoder.parameter_count(),
            Self::Adapter(adapter) => adapter.parameter_count(),
        }
    }

    /// AdamW for it. Norms and biases do not decay.
    pub fn optimizer(&self, model: &Model, adamw: AdamW) -> Optimizer {
        let optimizer = Optimizer::new(adamw, self.named(model).into_iter().map(|(_, tensor)| tensor));
        match self {
            Self::Base(_) => {
                optimizer.with_decays(model.decoder.parameters().iter().map(|info| !info.is_vector).collect())
            }
            Self::Adapter(_) => optimizer,
        }
    }

    /// Room for its gradients.
    pub fn zero_gradients(&self, model: &Model) -> Gradients {
        let device = model.decoder.device();
        match self {
            Self::Base(_) => {
                Gradients { adapter: None, base: Some(BaseGradients::zeros(device, model.decoder.parameters())) }
            }
            Self::Adapter(adapter) => Gradients { adapter: Some(AdapterGradients::zeros(device, adapter)), base: None },
        }
    }

    /// One update by the optimizer, which the model then computes with.
    pub fn update(
        &mut self,
        model: &mut Model,
        optimizer: &mut Optimizer,
        gradients: &[Tensor],
        learning_rate: f64,
        precision: Precision,
    ) {
        match self {
            Self::Base(parameters) => {
                optimizer.update(parameters.tensors_mut(), gradients, learning_rate);
                model.decoder.set_base_parameters(parameters, precision);
            }
            Self::Adapter(adapter) => optimizer.update(adapter.tensors_mut(), gradients, learning_rate),
        }
    }
}

/// The gradients of what is trained.
pub(super) fn tensors_mut(gradients: &mut Gradients) -> &mut [Tensor] {
    match (&mut gradients.base, &mut gradients.adapter) {
        (Some(base), _) => base.tensors_mut(),
        (None, Some(adapter)) => adapter.tensors_mut(),
        (None, None) => &mut [],
    }
}

//! A linear map of the model together with the adapters that sit on it.

use std::borrow::Borrow;
use std::ops::Range;

use amortize_engine::Tensor;
use amortize_engine::ops::{dropout, linear, lora};

use super::backward::Backward;
use super::forward::Pass;
use super::trained::{Placed, matrix, vector};
use crate::adapter::Adapter;
use crate::parameters::{Matrix, Vector};

/// One named module within a projection.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its path in the model, as PEFT and `transformers` name it.
    pub module: String,
    /// Its columns of the projection's output.
    pub columns: Range<usize>,
}

/// A linear map `y = x Wᵀ + b`. Modules that read the same input (queries, keys and values; gate and up) are
/// stacked into one.
#[derive(Debug)]
pub struct Projection {
    /// Its number among all projections, lowest block first.
    pub index: usize,
    /// The stacked modules.
    pub parts: Vec<Part>,
    pub(super) weight: Matrix,
    pub(super) bias: Option<Vector>,
}

/// What the backward pass needs: `x Aᵀ` of every adapter on the projection, in their order.
#[derive(Debug)]
pub(super) struct ProjectionTape(Vec<Tensor>);

/// Gradients of `x Aᵀ` of every adapter on a projection, in their order.
#[derive(Debug)]
pub(super) struct InnerGradients(Vec<Tensor>);

impl Projection {
    /// Number of inputs.
    pub fn inputs(&self) -> usize {
        self.weight.weight.inputs()
    }

    pub(super) fn push_places<'a>(&'a mut self, places: &mut Vec<Placed<'a>>) {
        places.push(matrix(&mut self.weight));
        places.extend(self.bias.as_mut().map(vector));
    }

    pub(super) fn forward(&self, x: &Tensor, pass: &Pass) -> (Tensor, ProjectionTape) {
        let (tape, bias) = (self.tape(x, pass), self.bias.as_ref().map(|bias| &bias.value));
        (lora::forward(x, &self.weight.weight, bias, &self.updates(&tape, pass)), tape)
    }

    /// The tape alone.
    pub(super) fn tape(&self, x: &Tensor, pass: &Pass) -> ProjectionTape {
        let site = |(adapter, number): (&Adapter, usize)| {
            let dropped = pass.dropout_at(number).map(|mask| dropout::forward(x, &mask));
            lora::inner(dropped.as_ref().unwrap_or(x), adapter.packed(number, self.weight.weight.precision()))
        };
        ProjectionTape(self.sites(pass).map(site).collect())
    }

    /// What the adapters on the projection add to its output.
    fn updates<'a>(&self, tape: &'a ProjectionTape, pass: &Pass<'a>) -> Vec<lora::Inner<'a>> {
        let update = |((adapter, number), u): ((&'a Adapter, usize), &'a Tensor)| lora::Inner {
            u,
            update: adapter.packed(number, self.weight.weight.precision()),
            scale: adapter.config().scale(),
            columns: adapter.sites()[number].columns.clone(),
        };
        self.sites(pass).zip(&tape.0).map(update).collect()
    }

    /// The adapter of a pass, once for every number of a site of it that is on the projection.
    fn sites<'a>(&self, pass: &Pass<'a>) -> impl Iterator<Item = (&'a Adapter, usize)> + use<'a> {
        let index = self.index;
        pass.adapter
            .into_iter()
            .flat_map(move |adapter| adapter.sites_of(index).iter().map(move |site| (adapter, *site)))
    }

    /// What the gradients of the input and of the adapters are made of.
    pub(super) fn backward_inner(&self, dy: &Tensor, pass: &Backward) -> InnerGradients {
        let Some(adapter) = pass.forward.adapter else { return InnerGradients(Vec::new()) };
        let site = |number: &usize| {
            let update = adapter.packed(*number, self.weight.weight.precision());
            let columns = adapter.sites()[*number].columns.clone();
            lora::backward_inner(dy, update, adapter.config().scale(), columns)
        };
        InnerGradients(adapter.sites_of(self.index).iter().map(site).collect())
    }

    /// The gradient of the input.
    pub(super) fn backward_input(&self, dy: &Tensor, inner: &InnerGradients, pass: &Backward) -> Tensor {
        let mut dx = linear::backward_input(dy, &self.weight.weight);
        let Some(adapter) = pass.forward.adapter else { return dx };
        for (number, du) in adapter.sites_of(self.index).iter().zip(&inner.0) {
            let update = adapter.packed(*number, self.weight.weight.precision());
            match pass.forward.dropout_at(*number) {
                Some(mask) => dropout::backward(&lora::backward_input(du, update), &mask, &mut dx),
                None => lora::add_backward_input(du, update, &mut dx),
            }
        }
        dx
    }

    /// Adds to the gradients of weights and adapters. `x` gives the input, and is only called where something is trained.
    pub(super) fn backward_weights<X: Borrow<Tensor>>(
        &self,
        dy: &Tensor,
        inner: &InnerGradients,
        x: impl FnOnce() -> X,
        tape: &ProjectionTape,
        pass: &mut Backward,
    ) {
        if pass.gradients.base.is_none() && inner.0.is_empty() {
            return;
        }
        let x = x();
        let (x, precision) = (x.borrow(), self.weight.weight.precision());
        if let Some(base) = pass.gradients.base.as_mut() {
            linear::backward_weight(dy, x, precision, base.get_mut(self.weight.id));
            if let Some(bias) = &self.bias {
                linear::backward_bias(dy, base.get_mut(bias.id));
            }
        }
        let Some(adapter) = pass.forward.adapter else { return };
        let gradients = pass.gradients.adapter.as_mut().expect("an adapted pass has room for the adapter's gradients");
        let sites = adapter.sites_of(self.index).iter().zip(self.updates(tape, &pass.forward));
        for ((number, applied), du) in sites.zip(&inner.0) {
            let dropped = pass.forward.dropout_at(*number).map(|mask| dropout::forward(x, &mask));
            let (a, b) = gradients.site(*number);
            lora::backward_weights(dy, du, dropped.as_ref().unwrap_or(x), &applied, lora::Gradients { a, b });
        }
    }
}

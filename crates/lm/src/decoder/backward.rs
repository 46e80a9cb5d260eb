//! The backward pass: the forward pass's steps in reverse, down to the lowest thing that is trained.

use amortize_engine::Tensor;
use amortize_engine::ops::gather;
use amortize_engine::ops::head::{self, Wanted};

use super::forward::Kept;
use super::{Decoder, Pass, Tape};
use crate::adapter::{Adapter, AdapterGradients};
use crate::parameters::BaseGradients;

/// Where gradients add up. What is absent is frozen and costs nothing.
#[derive(Debug, Default)]
pub struct Gradients {
    /// Of the adapter.
    pub adapter: Option<AdapterGradients>,
    /// Of every base parameter.
    pub base: Option<BaseGradients>,
}

/// What all parts of a backward pass share.
pub(super) struct Backward<'a> {
    pub forward: Pass<'a>,
    pub gradients: &'a mut Gradients,
}

impl Decoder {
    /// Adds the gradients of `Σ c_i log p_i` over the wanted targets, where c is `coefficients`.
    ///
    /// `pass` and `wanted` are those of the forward pass that made `tape`.
    pub fn backward(&self, tape: &Tape, pass: &Pass, wanted: &Wanted, coefficients: &[f32], gradients: &mut Gradients) {
        let batch = pass.batch;
        let d_top = self.top_backward(tape, wanted, coefficients, gradients);
        let mut dx = self.device.zeros(batch.tokens.len(), d_top.cols());
        gather::backward(&d_top, &tape.rows, &mut dx);
        drop(d_top);

        let lowest = self.lowest_trained_block(pass.adapter, gradients);
        let (rope, forward) = (self.rope.as_ref(), *pass);
        let mut pass = Backward { forward, gradients };
        for (i, block) in self.blocks.iter().enumerate().skip(lowest).rev() {
            let below = i > lowest || pass.gradients.base.is_some();
            match &tape.blocks[i] {
                Kept::Whole(tape) => block.backward(tape, &mut dx, &mut pass, rope, below),
                Kept::Input(input) => {
                    let tape = block.tape(input.clone(), &forward, rope);
                    block.backward(&tape, &mut dx, &mut pass, rope, below);
                }
            }
        }
        if let Some(base) = &mut pass.gradients.base {
            gather::backward(&dx, batch.tokens, base.get_mut(self.embedding.id));
            if let Some(positions) = &self.positions {
                gather::backward(&dx, batch.depths, base.get_mut(positions.id));
            }
        }
    }

    /// Back through the head and the final norm, to the rows that the head was asked about.  `[rows, d]`
    fn top_backward(&self, tape: &Tape, wanted: &Wanted, coefficients: &[f32], gradients: &mut Gradients) -> Tensor {
        let (head, top) = (self.head(), &tape.top);
        let mut d_normed = self.device.zeros(top.rows(), top.cols());
        head::backward_hidden(wanted, &head.weight, &tape.scored, coefficients, &mut d_normed);
        if let Some(base) = &mut gradients.base {
            let (normed, d_head) = (self.final_norm.forward(top), base.get_mut(head.id));
            head::backward_weight(&normed, &head.weight, wanted, &tape.scored, coefficients, d_head);
        }
        let mut d_top = self.device.zeros(top.rows(), top.cols());
        self.final_norm.backward(&d_normed, top, &mut d_top, gradients.base.as_mut());
        d_top
    }

    fn lowest_trained_block(&self, adapter: Option<&Adapter>, gradients: &Gradients) -> usize {
        match (adapter, &gradients.base) {
            (Some(adapter), None) => {
                let lowest = adapter.lowest_projection();
                let holds = |block: &super::Block| block.projections().any(|projection| projection.index == lowest);
                self.blocks.iter().position(holds).unwrap_or(0)
            }
            (None, None) => self.blocks.len(),
            (_, Some(_)) => 0,
        }
    }
}

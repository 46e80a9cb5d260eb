//! One block: attention and feed-forward, each after a norm and around a residual connection.

use amortize_engine::Tensor;
use amortize_engine::ops::activation::{self, Activation};
use amortize_engine::ops::attention::{self, Attended, Heads};
use amortize_engine::ops::rope::{self, RopeTable};
use amortize_engine::ops::{elementwise, gather};

use super::backward::Backward;
use super::forward::{CacheSlot, Pass};
use super::norm::Norm;
use super::projection::{Projection, ProjectionTape};

#[derive(Debug)]
pub(super) struct Block {
    pub attention_norm: Norm,
    pub qkv: Projection,
    pub heads: Heads,
    pub attention_out: Projection,
    pub mlp_norm: Norm,
    /// Gate and up side by side where gated, else up alone.
    pub up: Projection,
    pub activation: Activation,
    pub gated: bool,
    pub down: Projection,
}

/// What the backward pass of a block needs.
#[derive(Debug)]
pub(super) struct BlockTape {
    input: Tensor,
    attention_in: Tensor,
    /// Queries and keys after rotation, and values.
    qkv: Tensor,
    qkv_tape: ProjectionTape,
    attended: Attended,
    out_tape: ProjectionTape,
    /// The residual stream between the two halves.
    middle: Tensor,
    mlp_in: Tensor,
    up: Tensor,
    up_tape: ProjectionTape,
    activated: Tensor,
    down_tape: ProjectionTape,
}

impl Block {
    pub(super) fn projections(&self) -> impl Iterator<Item = &Projection> {
        [&self.qkv, &self.attention_out, &self.up, &self.down].into_iter()
    }

    /// Returns the residual stream after the block, and the tape.
    pub(super) fn forward(
        &self,
        input: Tensor,
        pass: &Pass,
        rope: Option<&RopeTable>,
        cache: Option<CacheSlot>,
    ) -> (Tensor, BlockTape) {
        let attention_in = self.attention_norm.forward(&input);
        let (mut qkv, qkv_tape) = self.qkv.forward(&attention_in, pass);
        if let Some(table) = rope {
            rope::forward(&mut qkv, self.rotated_columns(), pass.batch.depths, table);
        }
        let attended = self.attend(&qkv, pass, cache);
        let (mut middle, out_tape) = self.attention_out.forward(&attended.out, pass);
        elementwise::add(&mut middle, &input);

        let mlp_in = self.mlp_norm.forward(&middle);
        let (up, up_tape) = self.up.forward(&mlp_in, pass);
        let activated = match self.gated {
            true => activation::gated_forward(self.activation, &up),
            false => activation::forward(self.activation, &up),
        };
        let (mut output, down_tape) = self.down.forward(&activated, pass);
        elementwise::add(&mut output, &middle);
        let tape = BlockTape {
            input,
            attention_in,
            qkv,
            qkv_tape,
            attended,
            out_tape,
            middle,
            mlp_in,
            up,
            up_tape,
            activated,
            down_tape,
        };
        (output, tape)
    }

    /// Queries and keys lie side by side and rotate alike.
    fn rotated_columns(&self) -> std::ops::Range<usize> {
        self.heads.q_columns().start..self.heads.k_columns().end
    }

    fn attend(&self, qkv: &Tensor, pass: &Pass, cache: Option<CacheSlot>) -> Attended {
        let heads = self.heads;
        let (q, k, v) =
            (qkv.columns(heads.q_columns()), qkv.columns(heads.k_columns()), qkv.columns(heads.v_columns()));
        match cache {
            None => attention::forward(pass.batch.plan, heads, q, k, v),
            Some(CacheSlot { keys, values, rows }) => {
                gather::store(keys, rows, k);
                gather::store(values, rows, v);
                attention::forward(pass.batch.plan, heads, q, keys.view(), values.view())
            }
        }
    }

    /// Turns the gradient of the block's output into that of its input, in place. Where nothing below is trained,
    /// `below` is false and the input's gradient is left unfinished.
    pub(super) fn backward(
        &self,
        tape: &BlockTape,
        dx: &mut Tensor,
        pass: &mut Backward,
        rope: Option<&RopeTable>,
        below: bool,
    ) {
        let device = dx.device().clone();
        let zeros_like = |x: &Tensor| device.zeros(x.rows(), x.cols());

        let mut d_activated = zeros_like(&tape.activated);
        self.down.backward(dx, &tape.activated, &tape.down_tape, pass, Some(&mut d_activated));
        let d_up = self.activation_backward(&tape.up, d_activated);
        let mut d_mlp_in = zeros_like(&tape.mlp_in);
        self.up.backward(&d_up, &tape.mlp_in, &tape.up_tape, pass, Some(&mut d_mlp_in));
        self.mlp_norm.backward(&d_mlp_in, &tape.middle, dx, pass.gradients.base.as_mut());

        let mut d_attended = zeros_like(&tape.attended.out);
        self.attention_out.backward(dx, &tape.attended.out, &tape.out_tape, pass, Some(&mut d_attended));
        let mut d_qkv = zeros_like(&tape.qkv);
        let plan = pass.forward.batch.plan;
        attention::backward(plan, self.heads, &tape.qkv, &tape.attended, &d_attended, &mut d_qkv);
        if let Some(table) = rope {
            rope::backward(&mut d_qkv, self.rotated_columns(), pass.forward.batch.depths, table);
        }
        if below {
            let mut d_attention_in = zeros_like(&tape.attention_in);
            self.qkv.backward(&d_qkv, &tape.attention_in, &tape.qkv_tape, pass, Some(&mut d_attention_in));
            self.attention_norm.backward(&d_attention_in, &tape.input, dx, pass.gradients.base.as_mut());
        } else {
            self.qkv.backward(&d_qkv, &tape.attention_in, &tape.qkv_tape, pass, None);
        }
    }

    fn activation_backward(&self, up: &Tensor, mut d_activated: Tensor) -> Tensor {
        if self.gated {
            return activation::gated_backward(self.activation, up, &d_activated);
        }
        activation::backward(self.activation, up, &mut d_activated);
        d_activated
    }
}

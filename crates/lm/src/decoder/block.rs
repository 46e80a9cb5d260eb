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
use super::trained::Placed;

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

/// What the backward pass of a block needs. What is made again from these in one cheap pass over rows is not kept: the
/// normalised inputs of both halves, and the activations.
#[derive(Debug)]
pub(super) struct BlockTape {
    attention: AttentionTape,
    feed_forward: FeedForwardTape,
}

#[derive(Debug)]
struct AttentionTape {
    /// The residual stream before the block.
    input: Tensor,
    /// Queries and keys after rotation, and values.
    qkv: Tensor,
    qkv_tape: ProjectionTape,
    attended: Attended,
    out_tape: ProjectionTape,
}

#[derive(Debug)]
struct FeedForwardTape {
    /// The residual stream between the two halves.
    input: Tensor,
    up: Tensor,
    up_tape: ProjectionTape,
    down_tape: ProjectionTape,
}

impl BlockTape {
    /// The residual stream before the block, without the rest.
    pub(super) fn into_input(self) -> Tensor {
        self.attention.input
    }
}

impl Block {
    pub(super) fn projections(&self) -> impl Iterator<Item = &Projection> {
        [&self.qkv, &self.attention_out, &self.up, &self.down].into_iter()
    }

    pub(super) fn push_places<'a>(&'a mut self, places: &mut Vec<Placed<'a>>) {
        let Self { attention_norm, qkv, attention_out, mlp_norm, up, down, .. } = self;
        [attention_norm, mlp_norm].into_iter().for_each(|norm| norm.push_places(places));
        [qkv, attention_out, up, down].into_iter().for_each(|projection| projection.push_places(places));
    }

    /// The residual stream after the block. Keys and values go to the cache, where there is one.
    pub(super) fn forward(
        &self,
        input: Tensor,
        pass: &Pass,
        rope: Option<&RopeTable>,
        cache: Option<CacheSlot>,
    ) -> Tensor {
        // What the first half leaves is freed before the second begins.
        let middle = self.attention(input, pass, rope, cache).0;
        self.feed_forward(middle, pass).0
    }

    /// The same with what [`Block::backward`] needs.
    pub(super) fn forward_with_tape(
        &self,
        input: Tensor,
        pass: &Pass,
        rope: Option<&RopeTable>,
    ) -> (Tensor, BlockTape) {
        let (middle, attention) = self.attention(input, pass, rope, None);
        let (output, feed_forward) = self.feed_forward(middle, pass);
        (output, BlockTape { attention, feed_forward })
    }

    /// The tape alone: all of the forward pass but its last product, which only the next block needs.
    pub(super) fn tape(&self, input: Tensor, pass: &Pass, rope: Option<&RopeTable>) -> BlockTape {
        let (input, attention) = self.attention(input, pass, rope, None);
        let (up, up_tape) = self.up.forward(&self.mlp_norm.forward(&input), pass);
        let down_tape = self.down.tape(&self.activate(&up), pass);
        BlockTape { attention, feed_forward: FeedForwardTape { input, up, up_tape, down_tape } }
    }

    fn attention(
        &self,
        input: Tensor,
        pass: &Pass,
        rope: Option<&RopeTable>,
        cache: Option<CacheSlot>,
    ) -> (Tensor, AttentionTape) {
        let (mut qkv, qkv_tape) = self.qkv.forward(&self.attention_norm.forward(&input), pass);
        if let Some(table) = rope {
            rope::forward(&mut qkv, self.rotated_columns(), pass.batch.depths, table);
        }
        let attended = self.attend(&qkv, pass, cache);
        let (mut output, out_tape) = self.attention_out.forward(&attended.out, pass);
        elementwise::add(&mut output, &input);
        (output, AttentionTape { input, qkv, qkv_tape, attended, out_tape })
    }

    fn feed_forward(&self, input: Tensor, pass: &Pass) -> (Tensor, FeedForwardTape) {
        let (up, up_tape) = self.up.forward(&self.mlp_norm.forward(&input), pass);
        let (mut output, down_tape) = self.down.forward(&self.activate(&up), pass);
        elementwise::add(&mut output, &input);
        (output, FeedForwardTape { input, up, up_tape, down_tape })
    }

    fn activate(&self, up: &Tensor) -> Tensor {
        match self.gated {
            true => activation::gated_forward(self.activation, up),
            false => activation::forward(self.activation, up),
        }
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
        self.feed_forward_backward(&tape.feed_forward, dx, pass);
        self.attention_backward(&tape.attention, dx, pass, rope, below);
    }

    fn feed_forward_backward(&self, tape: &FeedForwardTape, dx: &mut Tensor, pass: &mut Backward) {
        let inner = self.down.backward_inner(dx, pass);
        let d_activated = self.down.backward_input(dx, &inner, pass);
        let (d_up, activated) = self.activation_backward(&tape.up, d_activated);
        self.down.backward_weights(dx, &inner, || activated, &tape.down_tape, pass);
        let inner = self.up.backward_inner(&d_up, pass);
        let d_normed = self.up.backward_input(&d_up, &inner, pass);
        self.up.backward_weights(&d_up, &inner, || self.mlp_norm.forward(&tape.input), &tape.up_tape, pass);
        drop(d_up);
        self.mlp_norm.backward(&d_normed, &tape.input, dx, pass.gradients.base.as_mut());
    }

    fn attention_backward(
        &self,
        tape: &AttentionTape,
        dx: &mut Tensor,
        pass: &mut Backward,
        rope: Option<&RopeTable>,
        below: bool,
    ) {
        let inner = self.attention_out.backward_inner(dx, pass);
        let d_attended = self.attention_out.backward_input(dx, &inner, pass);
        self.attention_out.backward_weights(dx, &inner, || &tape.attended.out, &tape.out_tape, pass);
        let plan = pass.forward.batch.plan;
        let mut d_qkv = attention::backward(plan, self.heads, &tape.qkv, &tape.attended, &d_attended);
        drop(d_attended);
        if let Some(table) = rope {
            rope::backward(&mut d_qkv, self.rotated_columns(), pass.forward.batch.depths, table);
        }
        let inner = self.qkv.backward_inner(&d_qkv, pass);
        self.qkv.backward_weights(&d_qkv, &inner, || self.attention_norm.forward(&tape.input), &tape.qkv_tape, pass);
        if below {
            let d_normed = self.qkv.backward_input(&d_qkv, &inner, pass);
            self.attention_norm.backward(&d_normed, &tape.input, dx, pass.gradients.base.as_mut());
        }
    }

    /// The gradient of what the activation read, and what it wrote.
    fn activation_backward(&self, up: &Tensor, mut d_activated: Tensor) -> (Tensor, Tensor) {
        if self.gated {
            let d_up = activation::gated_backward(self.activation, up, &mut d_activated);
            return (d_up, d_activated);
        }
        let activated = activation::backward(self.activation, up, &mut d_activated);
        (d_activated, activated)
    }
}

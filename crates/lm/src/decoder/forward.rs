//! The forward pass over a packed batch, with or without a tape, with or without a cache.

use amortize_engine::ops::head::{self, Keep, Scored, Wanted};
use amortize_engine::ops::{dropout, gather};
use amortize_engine::{AttentionPlan, Tensor};

use super::Decoder;
use super::block::BlockTape;
use crate::adapter::Adapter;

/// Packed tokens and who looks at whom.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// `[n]`
    pub tokens: &'a [u32],
    /// Position of every token in its sequence.  `[n]`
    pub depths: &'a [u32],
    /// What tells a token's path from others, for dropout.  `[n]`
    pub path_keys: &'a [u64],
    /// Which keys every token sees.
    pub plan: &'a AttentionPlan,
}

/// The dropout of one training step: with the same seed, the same token path gets the same masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropout {
    /// Seed of the step.
    pub seed: u64,
}

/// What all parts of a pass read.
#[derive(Clone, Copy, Debug)]
pub struct Pass<'a> {
    /// The tokens.
    pub batch: Batch<'a>,
    /// The adapter, if any.
    pub adapter: Option<&'a Adapter>,
    /// Dropout on the adapter's inputs, if any.
    pub dropout: Option<Dropout>,
}

impl<'a> Pass<'a> {
    /// The mask on the input of an adapter's site, if there is one.
    pub(super) fn dropout_at(&self, site: usize) -> Option<dropout::Dropout<'a>> {
        let rate = self.adapter?.config().dropout;
        let seed = dropout::mix(self.dropout?.seed ^ dropout::mix(site as u64));
        (rate > 0.0).then_some(dropout::Dropout { rate, seed, row_keys: self.batch.path_keys })
    }
}

/// Keys and values of tokens gone by, per block.
#[derive(Debug)]
pub struct KvCache {
    keys: Vec<Tensor>,
    values: Vec<Tensor>,
}

impl KvCache {
    /// Room for `rows` tokens.
    pub fn new(decoder: &Decoder, rows: usize) -> Self {
        let room = |decoder: &Decoder| {
            decoder.blocks.iter().map(|block| decoder.device.zeros(rows, block.heads.k_columns().len())).collect()
        };
        Self { keys: room(decoder), values: room(decoder) }
    }
}

/// One block's part of a cache, and the rows that this pass fills.
pub(super) struct CacheSlot<'a> {
    pub keys: &'a mut Tensor,
    pub values: &'a mut Tensor,
    pub rows: &'a [u32],
}

/// What a forward pass keeps of every block for the backward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activations {
    /// All that is needed.
    #[default]
    Kept,
    /// The residual stream before the block alone; the backward pass runs the block forward again. The gradients are
    /// the same.
    Recomputed,
}

/// One block's part of a tape.
#[derive(Debug)]
pub(super) enum Kept {
    Whole(Box<BlockTape>),
    Input(Tensor),
}

/// What the backward pass needs of a forward pass.
#[derive(Debug)]
pub struct Tape {
    pub(super) blocks: Vec<Kept>,
    /// The residual stream after the last block, at the rows that the head was asked about.
    pub(super) top: Tensor,
    pub(super) rows: Vec<u32>,
    /// The head's answers.
    pub scored: Scored,
}

impl Decoder {
    fn embed(&self, batch: &Batch) -> Tensor {
        let mut x = gather::embed(&self.embedding.weight, batch.tokens);
        if let Some(positions) = &self.positions {
            gather::embed_add(&mut x, &positions.weight, batch.depths);
        }
        x
    }

    /// The residual stream after the last block.  `[n, d]`
    fn residual(&self, pass: &Pass, mut cache: Option<(&mut KvCache, &[u32])>) -> Tensor {
        let mut x = self.embed(&pass.batch);
        for (i, block) in self.blocks.iter().enumerate() {
            let slot = cache.as_mut().map(|(cache, rows)| CacheSlot {
                keys: &mut cache.keys[i],
                values: &mut cache.values[i],
                rows,
            });
            x = block.forward(x, pass, self.rope.as_ref(), slot);
        }
        x
    }

    /// Log-probabilities of wanted targets at the packed rows `rows`, without gradient. `wanted` speaks of those
    /// rows in their order. With a cache, keys and values of all tokens go to the rows of it that are named, of which the batch's plan
    /// speaks.
    pub fn score(&self, pass: &Pass, cache: Option<(&mut KvCache, &[u32])>, rows: &[u32], wanted: &Wanted) -> Scored {
        let top = gather::forward(&self.residual(pass, cache), rows);
        head::forward(&self.final_norm.forward(&top), &self.head().weight, wanted, Keep::Scores)
    }

    /// The same with a tape for [`Decoder::backward`].
    pub fn score_with_tape(&self, pass: &Pass, rows: &[u32], wanted: &Wanted, activations: Activations) -> Tape {
        let mut x = self.embed(&pass.batch);
        let mut blocks = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            let (output, tape) = block.forward_with_tape(x, pass, self.rope.as_ref());
            blocks.push(match activations {
                Activations::Kept => Kept::Whole(Box::new(tape)),
                Activations::Recomputed => Kept::Input(tape.into_input()),
            });
            x = output;
        }
        let top = gather::forward(&x, rows);
        drop(x);
        // Without an adapter it is the base's own weights that are trained.
        let keep = if pass.adapter.is_none() { Keep::ForTrainedHead } else { Keep::ForBackward };
        let scored = head::forward(&self.final_norm.forward(&top), &self.head().weight, wanted, keep);
        Tape { blocks, top, rows: rows.to_vec(), scored }
    }

    /// Logits after the tokens at packed rows `rows`; keys and values of all tokens go to the cache's rows
    /// `cache_rows`, and the batch's plan speaks of cache rows.  `[rows, vocab]`
    pub fn logits(&self, pass: &Pass, cache: &mut KvCache, cache_rows: &[u32], rows: &[u32]) -> Tensor {
        let top = gather::forward(&self.residual(pass, Some((cache, cache_rows))), rows);
        head::logits(&self.final_norm.forward(&top), &self.head().weight)
    }
}

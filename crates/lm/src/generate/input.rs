//! What one forward pass of decoding takes.

use std::ops::Range;

use amortize_engine::layout::AttentionSegment;
use amortize_engine::{AttentionPlan, Tensor};

use crate::decoder::{self, Batch, KvCache};
use crate::policy::Policy;

/// The tokens of one forward pass into the cache.
#[derive(Default)]
pub(super) struct Input {
    tokens: Vec<u32>,
    depths: Vec<u32>,
    cache_rows: Vec<u32>,
    plan: AttentionPlan,
}

impl Input {
    /// The prompts, each into its own cache rows, but for those that have none. Also says which packed row is the last
    /// of each prompt.  `[prompts]`
    pub fn of_prompts(prompts: &[Vec<u32>], rows: &[Range<usize>]) -> (Self, Vec<u32>) {
        let mut input = Self::default();
        let mut last_row = vec![0; prompts.len()];
        for ((prompt, rows), last) in prompts.iter().zip(rows).zip(&mut last_row) {
            if !rows.is_empty() {
                input.push(prompt, 0, Vec::new(), rows.start);
                *last = input.tokens.len() as u32 - 1;
            }
        }
        (input, last_row)
    }

    /// A run of tokens from `depth` on that sees `context` and whose keys go to cache rows from `row` on.
    pub fn push(&mut self, tokens: &[u32], depth: usize, context: Vec<Range<usize>>, row: usize) {
        let first = self.tokens.len();
        self.tokens.extend(tokens);
        self.depths.extend((depth..depth + tokens.len()).map(|depth| depth as u32));
        self.cache_rows.extend((row..row + tokens.len()).map(|row| row as u32));
        let queries = first..self.tokens.len();
        self.plan.add_group([AttentionSegment { queries, context, own: row }]);
    }

    /// Logits after the packed rows `wanted`.  `[wanted, vocab]`
    pub fn run(&self, policy: Policy, cache: &mut KvCache, wanted: &[u32]) -> Tensor {
        let batch = Batch { tokens: &self.tokens, depths: &self.depths, path_keys: &[], plan: &self.plan };
        let pass = decoder::Pass { batch, adapter: policy.adapter, dropout: None };
        policy.model.decoder.logits(&pass, cache, &self.cache_rows, wanted)
    }

    /// Logits after every packed row.  `[rows, vocab]`
    pub fn run_all(&self, policy: Policy, cache: &mut KvCache) -> Tensor {
        let all: Vec<u32> = (0..self.tokens.len() as u32).collect();
        self.run(policy, cache, &all)
    }
}

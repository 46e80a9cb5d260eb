//! The passes through the model that a workload is made of.

use crate::{Sizes, Workload};

/// Which weights a pass uses, and whether it goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The base model, forward.
    Base,
    /// The policy: with an adapter, forward.
    Adapted,
    /// The policy, forward and backward, for the adapter's gradient.
    Training,
}

/// A pass of packed rows through the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// Whose weights.
    pub kind: Kind,
    /// Tokens that go through the blocks.
    pub rows: u64,
    /// Pairs of a token and one that it sees, itself included.
    pub pairs: u64,
    /// Tokens after which the next token's distribution is asked for.
    pub head_rows: u64,
}

/// The passes of one run of a workload, in their order.
pub fn passes(workload: Workload, sizes: &Sizes) -> Vec<Pass> {
    let packed = Packed::of(sizes);
    match workload {
        Workload::Train => vec![packed.scored(Kind::Training, packed.tokens)],
        Workload::Score => vec![packed.scored(Kind::Base, packed.tokens)],
        Workload::Sample => packed.sampling(),
        Workload::StepContinuation => [packed.policy_step(), vec![packed.scored(Kind::Base, packed.tokens)]].concat(),
        Workload::StepInfill => [packed.policy_step(), vec![packed.infilled()]].concat(),
    }
}

/// The sizes, for products that would not fit 32 bits.
struct Packed {
    samples: u64,
    tokens: u64,
    prompt: u64,
    suffix: u64,
}

impl Packed {
    fn of(sizes: &Sizes) -> Self {
        let [samples, tokens, prompt, suffix] =
            [sizes.samples, sizes.tokens, sizes.prompt, sizes.suffix].map(|n| n as u64);
        Self { samples, tokens, prompt, suffix }
    }

    /// All samples below their one prompt, with questions about the first `asked` tokens of each, and one about the
    /// prompt, which they share.
    fn scored(&self, kind: Kind, asked: u64) -> Pass {
        Pass {
            kind,
            rows: self.prompt + self.samples * self.tokens,
            pairs: run(0, self.prompt) + self.samples * run(self.prompt, self.tokens),
            head_rows: 1 + self.samples * asked,
        }
    }

    /// The prompt, then one token of every sample at a time; the last one drawn is not read.
    fn sampling(&self) -> Vec<Pass> {
        let kind = Kind::Adapted;
        let prompt = Pass { kind, rows: self.prompt, pairs: run(0, self.prompt), head_rows: 1 };
        let step = |token| Pass {
            kind,
            rows: self.samples,
            pairs: self.samples * (self.prompt + token),
            head_rows: self.samples,
        };
        [prompt].into_iter().chain((1..self.tokens).map(step)).collect()
    }

    /// Sampling and the objective's pass: of the stop at the longest length, which is forced, nothing is asked.
    fn policy_step(&self) -> Vec<Pass> {
        let mut passes = self.sampling();
        passes.push(self.scored(Kind::Training, self.tokens - 1));
        passes
    }

    /// The stop and Y after every prefix of every sample; the empty prefix is one to all of them.
    fn infilled(&self) -> Pass {
        // The last token of Y is predicted and not read, the stop before it is.
        let ending = self.suffix;
        let of_sample: u64 = (1..=self.tokens).map(|prefix| run(self.prompt + prefix, ending)).sum();
        let endings = 1 + self.samples * self.tokens;
        let prefixes = self.scored(Kind::Base, self.tokens);
        Pass {
            kind: Kind::Base,
            rows: prefixes.rows + endings * ending,
            pairs: prefixes.pairs + run(self.prompt, ending) + self.samples * of_sample,
            head_rows: prefixes.head_rows + endings * ending,
        }
    }
}

/// Pairs of a run of `len` tokens after `before` others that all of them see.
fn run(before: u64, len: u64) -> u64 {
    before * len + len * (len + 1) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes { samples: 2, tokens: 3, prompt: 4, suffix: 2 };

    fn of(workload: Workload) -> Vec<(Kind, u64, u64, u64)> {
        passes(workload, &SIZES).iter().map(|pass| (pass.kind, pass.rows, pass.pairs, pass.head_rows)).collect()
    }

    /// The prompt: 1 + 2 + 3 + 4 pairs. A sample: 5 + 6 + 7.
    const PROMPT: u64 = 10;
    const SAMPLE: u64 = 18;

    #[test]
    fn a_prompt_is_packed_and_asked_once() {
        assert_eq!(of(Workload::Train), [(Kind::Training, 4 + 6, PROMPT + 2 * SAMPLE, 1 + 6)]);
        assert_eq!(of(Workload::Score), [(Kind::Base, 4 + 6, PROMPT + 2 * SAMPLE, 1 + 6)]);
    }

    #[test]
    fn sampling_reads_one_token_of_each_sample_a_step() {
        let steps = [(Kind::Adapted, 4, PROMPT, 1), (Kind::Adapted, 2, 2 * 5, 2), (Kind::Adapted, 2, 2 * 6, 2)];
        assert_eq!(of(Workload::Sample), steps);
    }

    #[test]
    fn a_step_samples_goes_back_and_scores_the_reward() {
        let sampling = of(Workload::Sample);
        let policy = (Kind::Training, 10, PROMPT + 2 * SAMPLE, 1 + 4);
        let reward = (Kind::Base, 10, PROMPT + 2 * SAMPLE, 1 + 6);
        assert_eq!(of(Workload::StepContinuation), [&sampling[..], &[policy, reward]].concat());
        // Endings of two rows: one after the prompt with 5 + 6 pairs, and after each prefix of one, two, three.
        let pairs = PROMPT + 2 * SAMPLE + (5 + 6) + 2 * ((6 + 7) + (7 + 8) + (8 + 9));
        let reward = (Kind::Base, 10 + 7 * 2, pairs, 7 + 7 * 2);
        assert_eq!(of(Workload::StepInfill), [&sampling[..], &[policy, reward]].concat());
    }
}

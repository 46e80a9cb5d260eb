//! Token sequences packed into one batch, with shared prefixes stored once.

use amortize_engine::ops::dropout::mix;
use amortize_engine::{AttentionPlan, SegmentId, TreeLayout};

/// A forest of token segments: prompts are roots, what follows a prefix is a child. One forward pass over it
/// gives what a pass over every root-to-leaf sequence would.
#[derive(Clone, Debug, Default)]
pub struct Forest {
    layout: TreeLayout,
    tokens: Vec<u32>,
    path_keys: Vec<u64>,
}

impl Forest {
    /// A forest without tokens.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a sequence's beginning. `key` names the query that it belongs to, so that dropout treats equal texts of
    /// different queries apart.
    pub fn root(&mut self, key: u64, tokens: &[u32]) -> SegmentId {
        self.extend(mix(key), tokens);
        self.layout.root(tokens.len())
    }

    /// Adds `tokens` after the first `sees` tokens of the path that ends in `parent`.
    ///
    /// # Panics
    /// If that path is shorter, or `sees` is 0: a segment that follows nothing is a root.
    pub fn child(&mut self, parent: SegmentId, sees: usize, tokens: &[u32]) -> SegmentId {
        let above = sees.checked_sub(1).and_then(|depth| self.layout.row_at(parent, depth));
        let above = above.expect("a child sees at least one token, and no more than there are");
        self.extend(self.path_keys[above], tokens);
        self.layout.child(parent, sees, tokens.len())
    }

    fn extend(&mut self, mut key: u64, tokens: &[u32]) {
        for token in tokens {
            key = mix(key ^ mix(u64::from(*token)));
            self.path_keys.push(key);
            self.tokens.push(*token);
        }
    }

    /// The packed row at `depth` on the path to the end of `segment`; its hidden state predicts the token at
    /// `depth + 1`.
    ///
    /// # Panics
    /// Past the end of the path.
    pub fn row_at(&self, segment: SegmentId, depth: usize) -> u32 {
        self.layout.row_at(segment, depth).expect("a depth within the path") as u32
    }

    /// How many tokens the path to the end of `segment` has.
    pub fn path_len(&self, segment: SegmentId) -> usize {
        self.layout.path_len(segment)
    }

    /// The packed tokens.  `[rows]`
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The packed tokens' positions.  `[rows]`
    pub fn depths(&self) -> &[u32] {
        self.layout.depths()
    }

    /// A key per row that depends on the query and on all tokens up to the row, and on nothing else.  `[rows]`
    pub fn path_keys(&self) -> &[u64] {
        &self.path_keys
    }

    /// Who looks at whom.
    pub fn attention_plan(&self) -> AttentionPlan {
        self.layout.attention_plan()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_paths_have_equal_keys_wherever_they_are_stored() {
        let mut forest = Forest::new();
        let prompt = forest.root(7, &[1, 2]);
        let a = forest.child(prompt, 2, &[3, 4]);
        let b = forest.child(a, 3, &[9]);
        let c = forest.child(prompt, 2, &[3, 9]);
        let other = forest.root(8, &[1, 2]);
        let key = |segment, depth| forest.path_keys()[forest.row_at(segment, depth) as usize];
        assert_eq!(key(a, 2), key(c, 2));
        assert_eq!(key(b, 3), key(c, 3));
        assert_ne!(key(a, 3), key(c, 3));
        assert_ne!(key(prompt, 1), key(other, 1));
    }
}

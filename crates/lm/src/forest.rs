//! Token sequences packed into one batch, with shared prefixes stored once.

use std::collections::HashMap;

use amortize_engine::ops::dropout::mix;
use amortize_engine::{AttentionPlan, SegmentId, TreeLayout};

/// A forest of token segments: prompts are roots, what follows a prefix is a child. One forward pass over it
/// gives what a pass over every root-to-leaf sequence would.
#[derive(Clone, Debug, Default)]
pub struct Forest {
    layout: TreeLayout,
    tokens: Vec<u32>,
    path_keys: Vec<u64>,
    /// The segment in which a token follows a packed row: the forest read as a prefix tree.
    next: HashMap<(u32, u32), SegmentId>,
}

impl Forest {
    /// A forest without tokens.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a sequence's beginning. `key` names the query that it belongs to, so that dropout treats equal texts of
    /// different queries apart.
    pub fn root(&mut self, key: u64, tokens: &[u32]) -> SegmentId {
        self.push_rows(mix(key), tokens);
        let segment = self.layout.root(tokens.len());
        self.link(None, segment, tokens);
        segment
    }

    /// Adds `tokens` after the first `sees` tokens of the path that ends in `parent`, in rows of their own.
    ///
    /// # Panics
    /// If that path is shorter, or `sees` is 0: a segment that follows nothing is a root.
    pub fn child(&mut self, parent: SegmentId, sees: usize, tokens: &[u32]) -> SegmentId {
        let above = sees.checked_sub(1).and_then(|depth| self.layout.row_at(parent, depth));
        let above = above.expect("a child sees at least one token, and no more than there are");
        self.push_rows(self.path_keys[above], tokens);
        let segment = self.layout.child(parent, sees, tokens.len());
        self.link(Some(above), segment, tokens);
        segment
    }

    /// The same, but tokens that follow there already are shared: only what is left of `tokens` where they part from
    /// all others gets rows. Returns a segment whose path begins with those `sees` tokens and `tokens`; it may go on.
    ///
    /// # Panics
    /// As [`Forest::child`].
    pub fn extend_path(&mut self, parent: SegmentId, sees: usize, tokens: &[u32]) -> SegmentId {
        assert!((1..=self.path_len(parent)).contains(&sees), "a path of {} has no {sees}", self.path_len(parent));
        let mut segment = parent;
        for (shared, token) in tokens.iter().enumerate() {
            let depth = sees + shared;
            match self.next.get(&(self.row_at(segment, depth - 1), *token)) {
                Some(next) => segment = *next,
                None => return self.child(segment, depth, &tokens[shared..]),
            }
        }
        segment
    }

    fn push_rows(&mut self, mut key: u64, tokens: &[u32]) {
        for token in tokens {
            key = mix(key ^ mix(u64::from(*token)));
            self.path_keys.push(key);
            self.tokens.push(*token);
        }
    }

    /// Makes the rows of a new segment known to those above them. Of equal paths the first counts.
    fn link(&mut self, above: Option<usize>, segment: SegmentId, tokens: &[u32]) {
        let rows = self.layout.rows(segment);
        let befores = above.into_iter().chain(rows.clone());
        // A root's first row follows none.
        let tokens = if above.is_some() { tokens } else { tokens.get(1..).unwrap_or_default() };
        for (before, token) in befores.zip(tokens) {
            self.next.entry((before as u32, *token)).or_insert(segment);
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
    #[test]
    fn a_path_takes_rows_only_where_it_parts_from_all_others() {
        let mut forest = Forest::new();
        let prompt = forest.root(7, &[1, 2]);
        let first = forest.extend_path(prompt, 2, &[3, 4, 5]);
        let parting = forest.extend_path(prompt, 2, &[3, 4, 6, 7]);
        assert_eq!(forest.tokens(), [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(forest.depths(), [0, 1, 2, 3, 4, 4, 5]);
        let rows =
            |forest: &Forest, segment, len| (0..len).map(|depth| forest.row_at(segment, depth)).collect::<Vec<_>>();
        assert_eq!(rows(&forest, first, 5), [0, 1, 2, 3, 4]);
        assert_eq!(rows(&forest, parting, 6), [0, 1, 2, 3, 5, 6]);
        // What is there already, whole or in part, from the root or from another segment.
        for (from, sees, tokens) in
            [(prompt, 2, &[3, 4, 6, 7][..]), (prompt, 1, &[2, 3, 4]), (first, 4, &[6]), (first, 3, &[])]
        {
            let found = forest.extend_path(from, sees, tokens);
            let expected = if tokens.last() > Some(&5) { [0, 1, 2, 3, 5] } else { [0, 1, 2, 3, 4] };
            let len = 5.min(sees + tokens.len());
            assert_eq!(rows(&forest, found, len), expected[..len]);
        }
        assert_eq!(forest.tokens().len(), 7);
        forest.extend_path(prompt, 1, &[9, 3]);
        assert_eq!(forest.depths()[7..], [1, 2]);
    }

    #[test]
    #[should_panic(expected = "a path of 2 has no 3")]
    fn a_path_is_extended_where_it_is() {
        let mut forest = Forest::new();
        let prompt = forest.root(7, &[1, 2]);
        forest.extend_path(prompt, 3, &[4]);
    }
}

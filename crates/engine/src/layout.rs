//! The packed token tree: which rows belong together, how deep each is, and which rows it may look at.
//!
//! A batch is a forest. A node is a *segment*: a run of rows that follow one another. A child names its parent
//! and how many tokens of the chain that ends in the parent it sees. A prompt is a root, stored and computed
//! once; each sampled continuation is a child of it; a text that follows every prefix of a continuation is one
//! grandchild a prefix. A row looks at the visible rows of its ancestors, and at its own segment up to
//! itself, so one forward pass over the packed rows equals one pass per root-to-leaf path.

use std::ops::Range;

/// Names a segment of a [`TreeLayout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SegmentId(usize);

#[derive(Clone, Debug)]
struct Segment {
    /// Packed rows of the segment.
    rows: Range<usize>,
    /// Rows of the ancestors that it sees, root first.
    context: Vec<Range<usize>>,
    /// Depth of its first row, which is also how many rows `context` holds.
    depth: usize,
    tree: usize,
}

/// Where every segment of a forest lies in the packed batch.
#[derive(Clone, Debug, Default)]
pub struct TreeLayout {
    segments: Vec<Segment>,
    depths: Vec<u32>,
    trees: usize,
}

impl TreeLayout {
    /// A forest without rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tree that starts with `len` rows.
    pub fn root(&mut self, len: usize) -> SegmentId {
        self.trees += 1;
        self.push(Vec::new(), self.trees - 1, len)
    }

    /// Adds `len` rows that follow the first `sees` rows of the chain that ends in `parent` (its own rows
    /// included).
    ///
    /// # Panics
    /// If the chain is shorter than `sees`.
    pub fn child(&mut self, parent: SegmentId, sees: usize, len: usize) -> SegmentId {
        let above = &self.segments[parent.0];
        let chain = above.context.iter().cloned().chain([above.rows.clone()]);
        let (context, tree) = (first_rows(chain, sees), above.tree);
        self.push(context, tree, len)
    }

    fn push(&mut self, context: Vec<Range<usize>>, tree: usize, len: usize) -> SegmentId {
        let (first, depth) = (self.depths.len(), context.iter().map(Range::len).sum());
        self.depths.extend((depth..depth + len).map(|depth| depth as u32));
        self.segments.push(Segment { rows: first..first + len, context, depth, tree });
        SegmentId(self.segments.len() - 1)
    }

    /// Packed rows of a segment.
    pub fn rows(&self, segment: SegmentId) -> Range<usize> {
        self.segments[segment.0].rows.clone()
    }

    /// The row at `depth` on the path from the root to the end of `segment`, or `None` past its end.
    pub fn row_at(&self, segment: SegmentId, depth: usize) -> Option<usize> {
        let segment = &self.segments[segment.0];
        let mut left = depth;
        for range in segment.context.iter().chain([&segment.rows]) {
            if left < range.len() {
                return Some(range.start + left);
            }
            left -= range.len();
        }
        None
    }

    /// How many rows the path from the root to the end of `segment` has.
    pub fn path_len(&self, segment: SegmentId) -> usize {
        let segment = &self.segments[segment.0];
        segment.depth + segment.rows.len()
    }

    /// Depth of every row: its position in the sequence that it belongs to.  `[rows]`
    pub fn depths(&self) -> &[u32] {
        &self.depths
    }

    /// Number of packed rows.
    pub fn len(&self) -> usize {
        self.depths.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.depths.is_empty()
    }

    /// Who looks at whom when the packed rows are both the queries and the keys.
    pub fn attention_plan(&self) -> AttentionPlan {
        let mut plan = AttentionPlan::default();
        let mut order: Vec<&Segment> = self.segments.iter().collect();
        order.sort_by_key(|segment| segment.tree);
        for tree in order.chunk_by(|a, b| a.tree == b.tree) {
            plan.add_group(tree.iter().map(|segment| AttentionSegment {
                queries: segment.rows.clone(),
                context: segment.context.clone(),
                own: segment.rows.start,
            }));
        }
        plan
    }
}

/// The first `count` rows of a chain of ranges.
fn first_rows(chain: impl Iterator<Item = Range<usize>>, count: usize) -> Vec<Range<usize>> {
    let mut left = count;
    let mut seen = Vec::new();
    for range in chain {
        let take = left.min(range.len());
        if take > 0 {
            seen.push(range.start..range.start + take);
        }
        left -= take;
    }
    assert_eq!(left, 0, "a child sees {count} rows of a chain that has {}", count - left);
    seen
}

/// Which keys each query row looks at. Keys may be the packed rows themselves or rows of a cache.
#[derive(Clone, Debug, Default)]
pub struct AttentionPlan {
    /// Runs of queries with a common context.
    pub segments: Vec<AttentionSegment>,
    /// Runs of segments that may look at the same keys: they are worked on together, and their keys' gradients add up in one place.
    pub groups: Vec<Range<usize>>,
}

impl AttentionPlan {
    /// Adds segments that may look at the same keys, and share none with other groups if there is to be a backward pass.
    pub fn add_group(&mut self, segments: impl IntoIterator<Item = AttentionSegment>) {
        let first = self.segments.len();
        self.segments.extend(segments);
        self.groups.push(first..self.segments.len());
    }
}

/// A run of query rows: query i looks at all of `context` and at key rows `own ..= own + i`.
#[derive(Clone, Debug)]
pub struct AttentionSegment {
    /// Query rows.
    pub queries: Range<usize>,
    /// Key rows that every query of the run sees, in order of depth.
    pub context: Vec<Range<usize>>,
    /// Key row of the first query's own token.
    pub own: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_follow_what_they_see() {
        let mut layout = TreeLayout::new();
        let prompt = layout.root(3);
        let z = layout.child(prompt, 3, 4);
        let y = layout.child(z, 5, 2);
        let other = layout.root(1);
        assert_eq!(layout.rows(y), 7..9);
        assert_eq!(layout.depths(), [0, 1, 2, 3, 4, 5, 6, 5, 6, 0]);
        let path: Vec<_> = (0..8).map(|depth| layout.row_at(y, depth)).collect();
        assert_eq!(path, [Some(0), Some(1), Some(2), Some(3), Some(4), Some(7), Some(8), None]);
        assert_eq!((layout.path_len(y), layout.path_len(other)), (7, 1));
        assert_eq!(layout.attention_plan().groups, [0..3, 3..4]);
        assert_eq!(layout.attention_plan().segments[2].context, [0..3, 3..5]);
    }

    #[test]
    #[should_panic(expected = "a child sees")]
    fn a_child_cannot_see_past_its_parent() {
        let mut layout = TreeLayout::new();
        let prompt = layout.root(3);
        layout.child(prompt, 4, 1);
    }
}

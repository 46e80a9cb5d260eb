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
///
/// Segments that may look at the same keys are a group: they are worked on together, and their keys' gradients add up in one place.
#[derive(Clone, Debug, Default)]
pub struct AttentionPlan {
    segments: Vec<AttentionSegment>,
    groups: Vec<Range<usize>>,
    /// The group whose query a row is.
    group_of: Vec<Option<usize>>,
    /// Whether some group looks at rows that are no queries of its own.
    looks_outside: bool,
}

impl AttentionPlan {
    /// Adds segments that may look at the same keys. For a backward pass these must be queries of the group themselves, as in a packed batch.
    ///
    /// # Panics
    /// If a query row is another segment's already: groups are worked on at the same time.
    pub fn add_group(&mut self, segments: impl IntoIterator<Item = AttentionSegment>) {
        let (first, group) = (self.segments.len(), self.groups.len());
        self.segments.extend(segments);
        self.groups.push(first..self.segments.len());
        for segment in &self.segments[first..] {
            let rows = segment.queries.clone();
            self.group_of.resize(self.group_of.len().max(rows.end), None);
            for place in &mut self.group_of[rows] {
                assert!(place.replace(group).is_none(), "a query row in two segments");
            }
        }
        let mut seen = self.segments[first..].iter().flat_map(AttentionSegment::keys).flatten();
        self.looks_outside =
            self.looks_outside || seen.any(|row| self.group_of.get(row).copied().flatten() != Some(group));
    }

    /// Runs of queries with a common context.
    pub fn segments(&self) -> &[AttentionSegment] {
        &self.segments
    }

    /// The segments of every group.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = &[AttentionSegment]> {
        self.groups.iter().map(|group| &self.segments[group.clone()])
    }

    /// The segments of one group.
    pub(crate) fn group(&self, number: usize) -> &[AttentionSegment] {
        &self.segments[self.groups[number].clone()]
    }

    /// Whether every group looks at queries of its own alone.
    pub(crate) fn is_closed(&self) -> bool {
        !self.looks_outside
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

impl AttentionSegment {
    /// All key rows that some query of it sees.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Range<usize>> {
        self.context.iter().cloned().chain(std::iter::once(self.own..self.own + self.queries.len()))
    }
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
        let plan = layout.attention_plan();
        assert!(plan.groups().map(<[_]>::len).eq([3, 1]) && plan.is_closed());
        assert_eq!(plan.segments()[2].context, [0..3, 3..5]);
    }

    /// One query row that looks at itself and at `context`.
    fn query(row: usize, context: Range<usize>) -> AttentionSegment {
        AttentionSegment { queries: row..row + 1, context: vec![context], own: row }
    }

    #[test]
    fn a_plan_knows_whether_a_group_looks_at_rows_of_another() {
        let mut plan = AttentionPlan::default();
        plan.add_group([query(0, 0..0), query(1, 0..1)]);
        assert!(plan.is_closed());
        plan.add_group([query(2, 1..2)]);
        assert!(!plan.is_closed());
    }

    #[test]
    #[should_panic(expected = "a query row in two segments")]
    fn groups_share_no_queries() {
        let mut plan = AttentionPlan::default();
        plan.add_group([query(0, 0..0)]);
        plan.add_group([query(0, 0..0)]);
    }

    #[test]
    #[should_panic(expected = "a child sees")]
    fn a_child_cannot_see_past_its_parent() {
        let mut layout = TreeLayout::new();
        let prompt = layout.root(3);
        layout.child(prompt, 4, 1);
    }
}

//! A forest cut into parts that go through the model one after the other, so that scores of any number of sequences
//! take a bounded amount of memory. Trees stay whole: none sees another.

use std::ops::Range;

use amortize_engine::AttentionPlan;
use amortize_engine::layout::AttentionSegment;

/// Some trees of a forest as a batch of their own.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    /// The packed rows of the forest that it takes, in its own order.
    pub rows: Vec<u32>,
    /// Who looks at whom among them.
    pub plan: AttentionPlan,
}

/// Parts of at most `most` rows where trees allow it; `plan` is that of the whole forest.
pub(super) fn parts(plan: &AttentionPlan, most: usize) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    // Where each row went within its part. A tree's segments see no rows but those of the tree.
    let mut place = vec![0; plan.segments().iter().map(|segment| segment.queries.end).max().unwrap_or(0)];
    for segments in plan.groups() {
        let rows: usize = segments.iter().map(|segment| segment.queries.len()).sum();
        match parts.last() {
            Some(part) if part.rows.len() + rows <= most => {}
            _ => parts.push(Part::default()),
        }
        let part = parts.last_mut().expect("pushed above");
        for row in segments.iter().flat_map(|segment| segment.queries.clone()) {
            place[row] = part.rows.len();
            part.rows.push(row as u32);
        }
        part.plan.add_group(segments.iter().map(|segment| moved(segment, &place)));
    }
    parts
}

/// A segment with its rows elsewhere. Every range of it lies within one segment, and stays in one piece.
fn moved(segment: &AttentionSegment, place: &[usize]) -> AttentionSegment {
    let range = |range: &Range<usize>| place[range.start]..place[range.start] + range.len();
    AttentionSegment {
        queries: if segment.queries.is_empty() { 0..0 } else { range(&segment.queries) },
        context: segment.context.iter().map(range).collect(),
        own: place.get(segment.own).copied().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use amortize_engine::TreeLayout;

    /// Two trees whose segments take turns, then a small one.
    fn layout() -> TreeLayout {
        let mut layout = TreeLayout::new();
        let [a, b] = [layout.root(3), layout.root(2)];
        let child = layout.child(a, 2, 4);
        layout.child(b, 2, 1);
        layout.child(child, 5, 2);
        layout.child(b, 1, 0);
        layout.root(1);
        layout
    }

    #[test]
    fn trees_are_kept_whole_and_see_the_same_rows() {
        let plan = layout().attention_plan();
        let parts = parts(&plan, 4);
        let rows: Vec<&[u32]> = parts.iter().map(|part| part.rows.as_slice()).collect();
        assert_eq!(rows, [&[0, 1, 2, 5, 6, 7, 8, 10, 11][..], &[3, 4, 9, 12]]);
        let groups = parts.iter().flat_map(|part| part.plan.groups().map(<[_]>::len));
        assert!(groups.eq(plan.groups().map(<[_]>::len)));
        let moved = parts.iter().flat_map(|part| part.plan.segments().iter().map(move |segment| (part, segment)));
        for (before, (part, after)) in plan.segments().iter().zip(moved) {
            let back = |range: &Range<usize>| range.clone().map(|row| part.rows[row] as usize).collect::<Vec<_>>();
            assert_eq!(back(&after.queries), before.queries.clone().collect::<Vec<_>>());
            let context = |ranges: &[Range<usize>]| ranges.iter().flat_map(back).collect::<Vec<_>>();
            assert_eq!(context(&after.context), before.context.iter().flat_map(Range::clone).collect::<Vec<_>>());
            assert_eq!(after.own, after.queries.start);
        }
    }

    #[test]
    fn what_fits_stays_together() {
        let plan = layout().attention_plan();
        assert_eq!(parts(&plan, 13).len(), 1);
        assert!(parts(&AttentionPlan::default(), 13).is_empty());
    }
}

//! A forest cut into parts that go through the model one after the other: scores of any number of sequences take a bounded amount of
//! memory, and what one op of a part writes is still in a cache when the next reads it. Small trees stay whole, and none sees another;
//! parts of a large tree find what they see of it in a cache of keys and values.

use std::ops::Range;

use amortize_engine::AttentionPlan;
use amortize_engine::layout::AttentionSegment;

/// Rows that go through the model at once.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    /// The packed rows of the forest that it takes, in its own order.
    pub rows: Vec<u32>,
    /// The cache's row for the keys and values of each of them, where there is a cache.
    pub cached: Vec<u32>,
    /// Who looks at whom: among them, or in the cache.
    pub plan: AttentionPlan,
}

/// Parts that see rows of one another.
#[derive(Clone, Debug, Default)]
pub(super) struct Run {
    /// In the order in which they go through the model.
    pub parts: Vec<Part>,
    /// Rows of their cache of keys and values, or 0 where a single part needs none.
    pub cache: usize,
}

/// Runs whose parts have at most `most` rows where segments allow it; `plan` is that of the whole forest.
pub(super) fn runs(plan: &AttentionPlan, most: usize) -> Vec<Run> {
    // Where each row went: within its part, or within its tree's cache.
    let mut places = vec![0; plan.segments().iter().map(|segment| segment.queries.end).max().unwrap_or(0)];
    let mut runs = Vec::new();
    let mut whole = Part::default();
    for segments in plan.groups() {
        let rows = count(segments);
        if rows > most {
            runs.push(cut(segments, most, &mut places));
            continue;
        }
        if whole.rows.len() + rows > most {
            runs.push(Run { parts: vec![std::mem::take(&mut whole)], cache: 0 });
        }
        let mut next = whole.rows.len();
        segments.iter().for_each(|segment| put(segment, &mut next, &mut places));
        whole.add(segments.iter(), &places);
    }
    if !whole.rows.is_empty() {
        runs.push(Run { parts: vec![whole], cache: 0 });
    }
    runs
}

fn count<'a>(segments: impl IntoIterator<Item = &'a AttentionSegment>) -> usize {
    segments.into_iter().map(|segment| segment.queries.len()).sum()
}

/// Gives a segment's rows the next places.
fn put(segment: &AttentionSegment, next: &mut usize, places: &mut [usize]) {
    for row in segment.queries.clone() {
        places[row] = *next;
        *next += 1;
    }
}

impl Part {
    /// Adds segments of one tree, whose keys are at `places`. Those without rows ask for nothing.
    fn add<'a>(&mut self, segments: impl Iterator<Item = &'a AttentionSegment>, places: &[usize]) {
        let mut group = Vec::new();
        for segment in segments.filter(|segment| !segment.queries.is_empty()) {
            let first = self.rows.len();
            self.rows.extend(segment.queries.clone().map(|row| row as u32));
            group.push(moved(segment, first..self.rows.len(), places));
        }
        self.plan.add_group(group);
    }

    /// Some segments of a tree, whose keys are at `places` of its cache.
    fn of_tree(segments: &[&AttentionSegment], places: &[usize]) -> Self {
        let mut part = Self::default();
        part.add(segments.iter().copied(), places);
        part.cached = part.rows.iter().map(|row| places[*row as usize] as u32).collect();
        part
    }
}

/// A tree in parts. Rows that a later part sees have a place of their own in the cache; the others of a part, one behind those that the next
/// part's take over.
fn cut(segments: &[AttentionSegment], most: usize, places: &mut [usize]) -> Run {
    let parts = chunks(&branches(segments, most), most);
    let later = seen_later(&parts, places.len());
    let is_kept = |segment: &AttentionSegment| segment.queries.clone().any(|row| later[row]);
    let kept = count(segments.iter().filter(|segment| is_kept(segment)));
    let (mut next_kept, mut cache) = (0, kept);
    for part in &parts {
        let mut next_other = kept;
        for segment in part {
            put(segment, if is_kept(segment) { &mut next_kept } else { &mut next_other }, places);
        }
        cache = cache.max(next_other);
    }
    Run { parts: parts.iter().map(|part| Part::of_tree(part, places)).collect(), cache }
}

/// A tree's segments, each before those that see it. What is seen by others of more than `most` rows in all is alone; a branch that is
/// smaller stays together with its twigs.
fn branches(segments: &[AttentionSegment], most: usize) -> Vec<Vec<&AttentionSegment>> {
    let mut order: Vec<(Vec<usize>, &AttentionSegment)> =
        segments.iter().map(|segment| (path(segment), segment)).collect();
    order.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut branches: Vec<Vec<&AttentionSegment>> = Vec::new();
    let mut stem: Option<&[usize]> = None;
    for (i, (path, segment)) in order.iter().enumerate() {
        if let (Some(stem), Some(branch)) = (stem, branches.last_mut())
            && path.starts_with(stem)
        {
            branch.push(segment);
            continue;
        }
        let twigs = order[i..].iter().take_while(|(other, _)| other.starts_with(path)).map(|(_, twig)| *twig);
        stem = (count(twigs) <= most).then_some(path);
        branches.push(vec![segment]);
    }
    branches
}

/// The first rows of the segments that lead to a segment, and of its own.
fn path(segment: &AttentionSegment) -> Vec<usize> {
    segment.context.iter().map(|range| range.start).chain([segment.own]).collect()
}

/// Neighbouring branches of at most `most` rows together.
fn chunks<'a>(branches: &[Vec<&'a AttentionSegment>], most: usize) -> Vec<Vec<&'a AttentionSegment>> {
    let rows = |segments: &[&AttentionSegment]| count(segments.iter().copied());
    let mut chunks: Vec<Vec<&AttentionSegment>> = Vec::new();
    for branch in branches {
        match chunks.last_mut() {
            Some(chunk) if rows(chunk) + rows(branch) <= most => chunk.extend(branch),
            _ => chunks.push(branch.clone()),
        }
    }
    chunks
}

/// Of so many rows those that some part sees which is not the first one that has them.
fn seen_later(parts: &[Vec<&AttentionSegment>], rows: usize) -> Vec<bool> {
    let mut part_of = vec![usize::MAX; rows];
    let mut later = vec![false; rows];
    for (number, part) in parts.iter().enumerate() {
        part.iter().flat_map(|segment| segment.queries.clone()).for_each(|row| part_of[row] = number);
        for row in part.iter().flat_map(|segment| segment.context.iter().cloned().flatten()) {
            later[row] = later[row] || part_of[row] < number;
        }
    }
    later
}

/// A segment with its queries and keys elsewhere. Every range of it lies within one segment, and stays in one piece.
fn moved(segment: &AttentionSegment, queries: Range<usize>, places: &[usize]) -> AttentionSegment {
    let range = |range: &Range<usize>| places[range.start]..places[range.start] + range.len();
    AttentionSegment { queries, context: segment.context.iter().map(range).collect(), own: places[segment.own] }
}

#[cfg(test)]
mod tests {
    use amortize_engine::TreeLayout;

    use super::*;

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

    /// Follows every segment of a run to the packed rows that it sees: through the cache, as the model's passes fill it.
    fn assert_sees_the_same(plan: &AttentionPlan, runs: &[Run]) {
        let mut met = 0;
        for run in runs {
            let mut cache = vec![u32::MAX; run.cache];
            for Part { rows, cached, plan: moved } in &run.parts {
                cached.iter().zip(rows).for_each(|(place, row)| cache[*place as usize] = *row);
                let keys = if cached.is_empty() { rows } else { &cache };
                for after in moved.segments() {
                    let first = rows.get(after.queries.start).copied().unwrap_or(u32::MAX) as usize;
                    let before =
                        plan.segments().iter().find(|before| before.queries == (first..first + after.queries.len()));
                    let Some(before) = before else {
                        assert!(after.queries.is_empty());
                        continue;
                    };
                    met += 1;
                    let own = after.own..after.own + after.queries.len();
                    let seen = after.context.iter().cloned().chain([own]).flatten().map(|key| keys[key] as usize);
                    let own = before.own..before.own + before.queries.len();
                    assert!(seen.eq(before.context.iter().cloned().chain([own]).flatten()));
                }
            }
        }
        assert_eq!(met, plan.segments().iter().filter(|segment| !segment.queries.is_empty()).count());
    }

    fn rows(runs: &[Run]) -> Vec<Vec<&[u32]>> {
        runs.iter().map(|run| run.parts.iter().map(|part| part.rows.as_slice()).collect()).collect()
    }

    #[test]
    fn small_trees_stay_whole() {
        let plan = layout().attention_plan();
        let in_two = runs(&plan, 9);
        assert_eq!(rows(&in_two), [[&[0, 1, 2, 5, 6, 7, 8, 10, 11][..]], [&[3, 4, 9, 12]]]);
        assert_sees_the_same(&plan, &in_two);
        let at_once = runs(&plan, 13);
        assert_eq!((at_once.len(), at_once[0].parts.len(), at_once[0].cache), (1, 1, 0));
        assert_sees_the_same(&plan, &at_once);
        assert!(runs(&AttentionPlan::default(), 13).is_empty());
    }

    #[test]
    fn parts_of_a_large_tree_see_what_the_tree_does() {
        let mut layout = layout();
        // Branches with twigs, not one after the other.
        let root = layout.root(3);
        let branches = [4, 2, 5].map(|len| layout.child(root, 3, len));
        for sees in [3, 4, 5] {
            branches.iter().for_each(|branch| _ = layout.child(*branch, sees, 2));
        }
        let plan = layout.attention_plan();
        for most in 1..40 {
            let runs = runs(&plan, most);
            assert_sees_the_same(&plan, &runs);
            let longest = plan.segments().iter().map(|segment| segment.queries.len()).max().unwrap_or(0);
            for run in &runs {
                assert!(run.parts.iter().all(|part| part.rows.len() <= most.max(longest)), "{most}");
                assert_eq!(run.parts.len() > 1, run.cache > 0, "{most}");
            }
        }
    }

    #[test]
    fn branches_that_fit_stay_whole() {
        let mut layout = TreeLayout::new();
        let root = layout.root(32);
        let branches: Vec<_> = (0..16).map(|_| layout.child(root, 32, 24)).collect();
        for branch in branches {
            for k in 1..=24 {
                layout.child(branch, 32 + k, 12);
            }
        }
        let plan = layout.attention_plan();
        let runs = runs(&plan, 700);
        assert_sees_the_same(&plan, &runs);
        let rows: Vec<usize> = runs.iter().flat_map(|run| &run.parts).map(|part| part.rows.len()).collect();
        let branch = 24 + 24 * 12;
        assert_eq!(rows, [[32 + 2 * branch].as_slice(), &[2 * branch; 7]].concat());
        // Only the root is seen by all parts.
        assert_eq!(runs[0].cache, 32 + 2 * branch);
    }
}

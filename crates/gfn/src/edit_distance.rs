//! Levenshtein distance between token sequences.

/// The number of insertions, deletions and substitutions that turn `a` into `b`.
pub fn edit_distance<T: PartialEq>(a: &[T], b: &[T]) -> usize {
    let longest = a.len().max(b.len());
    edit_distance_within(a, b, longest).unwrap_or(longest)
}

/// The edit distance where it is at most `limit`, or `None`.
///
/// Only cells within `limit` of the diagonal can lie on such a path, so only these are visited, and
/// the search ends at the first row in which all of them exceed the limit (Ukkonen).
pub fn edit_distance_within<T: PartialEq>(a: &[T], b: &[T], limit: usize) -> Option<usize> {
    let limit = limit.min(a.len().max(b.len()));
    if a.len().abs_diff(b.len()) > limit {
        return None;
    }
    let beyond = limit + 1; // stands for every distance over the limit
    let mut row: Vec<usize> = (0..=b.len()).map(|j| j.min(beyond)).collect();
    for (i, token) in (1_usize..).zip(a) {
        let first = i.saturating_sub(limit).max(1);
        let last = (i + limit).min(b.len());
        let mut diagonal = row[first - 1];
        // Left of the band, or column 0, which is i deletions away from the empty prefix.
        let mut left = i.min(beyond);
        row[first - 1] = left;
        let mut best = left;
        for j in first..=last {
            let substituted = diagonal + usize::from(*token != b[j - 1]);
            diagonal = row[j];
            left = substituted.min(row[j] + 1).min(left + 1).min(beyond);
            row[j] = left;
            best = best.min(left);
        }
        if best > limit {
            return None;
        }
    }
    Some(row[b.len()]).filter(|&distance| distance <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, word for word.
    fn slow(a: &[u32], b: &[u32]) -> usize {
        match (a, b) {
            ([], rest) | (rest, []) => rest.len(),
            ([x, a_rest @ ..], [y, b_rest @ ..]) => {
                let substituted = slow(a_rest, b_rest) + usize::from(x != y);
                substituted.min(slow(a_rest, b) + 1).min(slow(a, b_rest) + 1)
            }
        }
    }

    fn tokens() -> impl Strategy<Value = Vec<u32>> {
        proptest::collection::vec(0..3_u32, 0..7)
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(a in tokens(), b in tokens(), limit in 0..8_usize) {
            let expected = slow(&a, &b);
            prop_assert_eq!(edit_distance(&a, &b), expected);
            let within = (expected <= limit).then_some(expected);
            prop_assert_eq!(edit_distance_within(&a, &b, limit), within);
        }
    }

    #[test]
    fn known_distance() {
        let (kitten, sitting) = (b"kitten", b"sitting");
        assert_eq!(edit_distance(kitten, sitting), 3);
        assert_eq!(edit_distance_within(kitten, sitting, 2), None);
        assert_eq!(edit_distance_within(kitten, sitting, usize::MAX), Some(3));
    }
}

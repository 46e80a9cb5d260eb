//! Which queries come next: all of them in a random order, then all again in another.

use amortize_gfn::Generator;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

/// A shuffled pass over n queries, again and again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueryOrder {
    order: Vec<usize>,
    next: usize,
    rng: Generator,
}

impl QueryOrder {
    /// The order of `n` queries.
    pub fn new(n: usize, mut rng: Generator) -> Self {
        let mut order: Vec<usize> = (0..n).collect();
        order.shuffle(&mut rng);
        Self { order, next: 0, rng }
    }

    /// The next `count` queries' numbers.
    pub fn next(&mut self, count: usize) -> Vec<usize> {
        let mut numbers = Vec::with_capacity(count);
        while numbers.len() < count {
            if self.next == self.order.len() {
                self.order.shuffle(&mut self.rng);
                self.next = 0;
            }
            numbers.push(self.order[self.next]);
            self.next += 1;
        }
        numbers
    }

    /// How many queries there are.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pass_has_every_query_once_and_differs_from_the_last() {
        let mut order = QueryOrder::new(20, Generator::new(3, "queries"));
        let (first, second) = (order.next(20), order.next(20));
        for pass in [&first, &second] {
            let mut sorted = pass.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..20).collect::<Vec<_>>());
        }
        assert_ne!(first, second);
    }
}

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
            numbers.push(self.peek());
            self.next += 1;
        }
        numbers
    }

    /// The number that comes next, which stays the next.
    pub fn peek(&mut self) -> usize {
        if self.next == self.order.len() {
            self.order.shuffle(&mut self.rng);
            self.next = 0;
        }
        self.order[self.next]
    }

    /// Whether this can go on over `n` queries, which messages call `what`.
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn check_pass_over(&self, n: usize, what: &str) -> Result<(), String> {
        if self.len() != n {
            return Err(format!("was made with {} {what}, but there are {n} now; the data has changed", self.len()));
        }
        if !self.is_pass_over(n) {
            return Err(format!("is damaged: its order of {what} does not have each of them once"));
        }
        Ok(())
    }

    /// Whether this is a pass over `n` queries, as one from a file may not be.
    pub fn is_pass_over(&self, n: usize) -> bool {
        let mut seen = self.order.clone();
        seen.sort_unstable();
        self.next <= n && seen.into_iter().eq(0..n)
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

    #[test]
    fn an_order_that_is_none_is_told() {
        let order = QueryOrder::new(3, Generator::new(3, "queries"));
        assert!(order.is_pass_over(3) && !order.is_pass_over(4));
        assert!(!QueryOrder { order: vec![0, 1, 1], ..order.clone() }.is_pass_over(3));
        assert!(!QueryOrder { next: 4, ..order }.is_pass_over(3));
    }
}

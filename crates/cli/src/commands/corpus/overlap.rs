//! How much of what tests ask was in the training text, in n-grams of words.

use std::collections::{BTreeMap, HashMap, HashSet};

use amortize_world::draw::text_hash;

/// The lengths that are reported.
const LENGTHS: [usize; 3] = [4, 8, 13];

/// The n-grams of some test sets, and which of them were seen.
pub struct Overlap {
    /// For each length: the tasks whose test has an n-gram, as bits, and whether it was seen.
    grams: [HashMap<u64, (u32, bool)>; LENGTHS.len()],
    tasks: Vec<String>,
}

impl Overlap {
    /// For the texts of each task's test.
    pub fn new(tests: &BTreeMap<String, Vec<String>>) -> Self {
        let mut grams = LENGTHS.map(|_| HashMap::new());
        for (task, texts) in tests.values().enumerate() {
            for text in texts {
                for (grams, length) in grams.iter_mut().zip(LENGTHS) {
                    ngrams(text, length, |gram| grams.entry(gram).or_insert((0, false)).0 |= 1 << task);
                }
            }
        }
        Self { grams, tasks: tests.keys().cloned().collect() }
    }

    /// Marks the n-grams of a training text.
    pub fn see(&mut self, text: &str) {
        for (grams, length) in self.grams.iter_mut().zip(LENGTHS) {
            ngrams(text, length, |gram| {
                if let Some((_, seen)) = grams.get_mut(&gram) {
                    *seen = true;
                }
            });
        }
    }

    /// By task and length, the share of distinct n-grams that were seen.
    pub fn shares(&self) -> BTreeMap<String, BTreeMap<usize, f64>> {
        let share = |task: usize, grams: &HashMap<u64, (u32, bool)>| {
            let own: Vec<_> = grams.values().filter(|(tasks, _)| tasks >> task & 1 == 1).collect();
            own.iter().filter(|(_, seen)| *seen).count() as f64 / own.len().max(1) as f64
        };
        let of_task =
            |task| LENGTHS.iter().zip(&self.grams).map(|(length, grams)| (*length, share(task, grams))).collect();
        self.tasks.iter().enumerate().map(|(task, name)| (name.clone(), of_task(task))).collect()
    }
}

fn ngrams(text: &str, length: usize, mut found: impl FnMut(u64)) {
    let words: Vec<_> = text.split_whitespace().map(text_hash).collect();
    let mix = |hash: u64, word: &u64| (hash.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    words.windows(length).for_each(|gram| found(gram.iter().fold(0, mix)));
}

/// Lines that were written already, so that none is written twice.
#[derive(Default)]
pub struct Distinct(HashSet<u64>);

impl Distinct {
    /// Whether `text` is new.
    pub fn insert(&mut self, text: &str) -> bool {
        self.0.insert(text_hash(text))
    }
}

//! The replay buffer: the best trajectories of each query, no two of them alike.

use std::collections::BTreeMap;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::Trajectory;
use crate::edit_distance::edit_distance_within;
use crate::log_float::{self, is_log};

/// The best trajectories seen for each query, by untempered reward.
///
/// Its order of iteration is fixed, and so are its draws given a generator. It survives a round trip through JSON bit
/// for bit; see [`Item::log_reward`] for how -inf is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplayBuffer {
    capacity: usize,
    similarity_tolerance: f64,
    /// The items of each query, by query id, in order of insertion; no query without items.
    items: BTreeMap<u64, Vec<Item>>,
}

/// A trajectory with its rewards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "SavedItem")]
pub struct Item {
    /// The trajectory.
    pub trajectory: Trajectory,
    /// Untempered log R of every prefix, were it stopped there: `[len+1]`, in nats, the last entry being the
    /// trajectory's own. In JSON -inf, a zero reward, is `null`.
    #[serde(with = "log_float")]
    pub log_reward: Vec<f64>,
}

/// An item as read from outside, before its checks.
#[derive(Deserialize)]
struct SavedItem {
    trajectory: Trajectory,
    #[serde(with = "log_float")]
    log_reward: Vec<f64>,
}

/// What became of an item offered to the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inserted {
    /// It is new; where the buffer was full, the lowest reward left.
    Added,
    /// It took the place of the items similar to it, which all had lower rewards.
    Replaced,
    /// A similar item with at least its reward is there already.
    Duplicate,
    /// The buffer is full of rewards at least as high, or has room for nothing.
    TooLow,
    /// Its reward is zero, which is never worth replaying.
    ZeroReward,
}

/// How items are drawn, always with replacement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplaySampling {
    /// Each with the same probability.
    #[default]
    Uniform,
    /// In proportion to the untempered reward.
    Reward,
}

/// A trajectory and rewards that do not make an item.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ItemError {
    /// The rewards do not fit the trajectory.
    #[error("{entries} log rewards for the {prefixes} prefixes of a trajectory")]
    Length {
        /// The number of log rewards.
        entries: usize,
        /// The number of prefixes, the empty one included.
        prefixes: usize,
    },
    /// A log reward is NaN or +inf.
    #[error("the log reward of prefix {prefix} is {value}")]
    LogReward {
        /// The prefix's length.
        prefix: usize,
        /// The log reward.
        value: f64,
    },
}

impl Item {
    /// A trajectory with the untempered log reward of each of its prefixes, `[len+1]`.
    ///
    /// # Errors
    /// If there is not one log reward per prefix, or one is NaN or +inf.
    pub fn new(trajectory: Trajectory, log_reward: Vec<f64>) -> Result<Self, ItemError> {
        let item = Self { trajectory, log_reward };
        item.check()?;
        Ok(item)
    }

    /// Untempered log R of the trajectory itself, in nats.
    pub fn final_log_reward(&self) -> f64 {
        self.log_reward.last().copied().unwrap_or(f64::NEG_INFINITY)
    }

    fn check(&self) -> Result<(), ItemError> {
        let (entries, prefixes) = (self.log_reward.len(), self.trajectory.len() + 1);
        if entries != prefixes {
            return Err(ItemError::Length { entries, prefixes });
        }
        match self.log_reward.iter().position(|&value| !is_log(value)) {
            Some(prefix) => Err(ItemError::LogReward { prefix, value: self.log_reward[prefix] }),
            None => Ok(()),
        }
    }
}

impl TryFrom<SavedItem> for Item {
    type Error = ItemError;

    fn try_from(saved: SavedItem) -> Result<Self, ItemError> {
        Item::new(saved.trajectory, saved.log_reward)
    }
}

impl ReplayBuffer {
    /// An empty buffer with room for `capacity` items per query.
    ///
    /// Two trajectories are similar if their edit distance over tokens is less than `similarity_tolerance` times the
    /// sum of their lengths, or if their tokens are the same. A tolerance that isn't positive leaves only the latter.
    pub fn new(capacity: usize, similarity_tolerance: f64) -> Self {
        Self { capacity, similarity_tolerance, items: BTreeMap::new() }
    }

    /// Offers an item. No two items of a query are ever similar: of those that are, the one with the higher untempered
    /// final reward stays, or the older of two equals. In a full buffer the lowest reward leaves, the older of two
    /// equals.
    ///
    /// # Panics
    /// If the item isn't one that [`Item::new`] would make.
    pub fn insert(&mut self, query_id: u64, item: Item) -> Inserted {
        if let Err(error) = item.check() {
            panic!("query {query_id}: {error}");
        }
        let log_reward = item.final_log_reward();
        if log_reward == f64::NEG_INFINITY {
            return Inserted::ZeroReward;
        }
        if self.capacity == 0 {
            return Inserted::TooLow;
        }
        let items = self.items.entry(query_id).or_default();
        let tolerance = self.similarity_tolerance;
        let is_twin = |other: &Item| similar(&other.trajectory.z, &item.trajectory.z, tolerance);
        let (twins, others): (Vec<&Item>, Vec<&Item>) = items.iter().partition(|other| is_twin(other));
        if twins.iter().any(|twin| twin.final_log_reward() >= log_reward) {
            return Inserted::Duplicate;
        }
        if !twins.is_empty() {
            *items = others.into_iter().cloned().collect();
            items.push(item);
            return Inserted::Replaced;
        }
        if items.len() >= self.capacity && !evict_below(items, log_reward) {
            return Inserted::TooLow;
        }
        items.push(item);
        Inserted::Added
    }

    /// `n` items of a query, drawn with replacement; none where it has none.
    pub fn sample(&self, query_id: u64, n: usize, how: ReplaySampling, rng: &mut impl Rng) -> Vec<&Item> {
        let items = self.items(query_id);
        if items.is_empty() {
            return Vec::new();
        }
        match how {
            ReplaySampling::Uniform => (0..n).map(|_| &items[rng.random_range(0..items.len())]).collect(),
            ReplaySampling::Reward => {
                let cumulative = cumulative_rewards(items);
                let total = cumulative[items.len() - 1];
                let draw = |_| {
                    let point = rng.random::<f64>() * total;
                    let index = cumulative.partition_point(|&sum| sum <= point);
                    &items[index.min(items.len() - 1)]
                };
                (0..n).map(draw).collect()
            }
        }
    }

    /// The items of a query, in order of insertion; none for an unknown query.
    pub fn items(&self, query_id: u64) -> &[Item] {
        self.items.get(&query_id).map_or(&[], Vec::as_slice)
    }

    /// The number of items of a query.
    pub fn len(&self, query_id: u64) -> usize {
        self.items(query_id).len()
    }

    /// All items with their query's id: ids ascending, then in order of insertion.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Item)> {
        self.items.iter().flat_map(|(&query_id, items)| items.iter().map(move |item| (query_id, item)))
    }

    /// Checks every trajectory, upon resuming or seeding: one that violates a mask, a length or the stop has
    /// probability zero under the policy and must not be replayed.
    ///
    /// # Errors
    /// What `check` said of the first item that does not pass, with the query's id and the item's position, from 0.
    pub fn validate(&self, check: impl Fn(u64, &Trajectory) -> Result<(), String>) -> Result<(), String> {
        for (&query_id, items) in &self.items {
            for (index, item) in items.iter().enumerate() {
                check(query_id, &item.trajectory)
                    .map_err(|reason| format!("replay item {index} of query {query_id}: {reason}"))?;
            }
        }
        Ok(())
    }
}

/// Removes the item with the lowest reward, the oldest of equals, if it is below `log_reward`.
fn evict_below(items: &mut Vec<Item>, log_reward: f64) -> bool {
    let reward_of = |&index: &usize| items[index].final_log_reward();
    let lowest = (0..items.len()).min_by(|a, b| reward_of(a).total_cmp(&reward_of(b)));
    match lowest {
        Some(index) if reward_of(&index) < log_reward => {
            items.remove(index);
            true
        }
        _ => false,
    }
}

/// Whether the edit distance of `a` and `b` is less than `tolerance` times the sum of their lengths.
fn similar(a: &[u32], b: &[u32], tolerance: f64) -> bool {
    let threshold = tolerance * (a.len() + b.len()) as f64;
    if threshold > 0.0 {
        let limit = threshold.ceil() as usize - 1; // the largest integer below the threshold
        edit_distance_within(a, b, limit).is_some()
    } else {
        a == b
    }
}

/// Cumulative sums of the rewards relative to the highest, which keeps them from underflowing.
fn cumulative_rewards(items: &[Item]) -> Vec<f64> {
    let highest = items.iter().map(Item::final_log_reward).fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    let mut add = |item: &Item| {
        sum += (item.final_log_reward() - highest).exp();
        sum
    };
    items.iter().map(&mut add).collect()
}

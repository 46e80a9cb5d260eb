//! The replay buffer: what it keeps, what it draws, and that it survives a checkpoint.

use std::collections::BTreeMap;

use amortize_gfn::replay::ItemError;
use amortize_gfn::{Generator, Inserted, Item, ReplayBuffer, ReplaySampling, StopReason, Trajectory};
use proptest::prelude::*;

fn item(z: &[u32], log_reward: f64) -> Item {
    let trajectory = Trajectory { z: z.to_vec(), stop: StopReason::Stop { token: 13 } };
    let mut rewards = vec![f64::NEG_INFINITY; z.len()];
    rewards.push(log_reward);
    Item::new(trajectory, rewards).unwrap()
}

fn rewards(buffer: &ReplayBuffer, query_id: u64) -> Vec<f64> {
    buffer.items(query_id).iter().map(Item::final_log_reward).collect()
}

fn buffer(capacity: usize, similarity_tolerance: f64) -> ReplayBuffer {
    ReplayBuffer::new(capacity, similarity_tolerance)
}

#[test]
fn of_similar_items_the_higher_reward_stays() {
    let mut buffer = buffer(10, 0.25);
    // Four tokens each: similar below an edit distance of 0.25 * 8 = 2.
    assert_eq!(buffer.insert(1, item(&[1, 2, 3, 4], -5.0)), Inserted::Added);
    assert_eq!(buffer.insert(1, item(&[1, 2, 3, 9], -6.0)), Inserted::Duplicate);
    assert_eq!(buffer.insert(1, item(&[1, 2, 3, 9], -5.0)), Inserted::Duplicate);
    assert_eq!(buffer.insert(1, item(&[1, 2, 3, 9], -4.0)), Inserted::Replaced);
    assert_eq!(buffer.insert(1, item(&[1, 2, 8, 7], -6.0)), Inserted::Added, "a distance of 2");
    assert_eq!(rewards(&buffer, 1), [-4.0, -6.0]);
    assert_eq!(buffer.insert(2, item(&[1, 2, 3, 9], -9.0)), Inserted::Added, "another query");
    assert_eq!([buffer.len(1), buffer.len(2), buffer.len(3)], [2, 1, 0]);
}

#[test]
fn an_item_replaces_all_that_are_similar_or_none() {
    let mut buffer = buffer(10, 0.25);
    buffer.insert(1, item(&[1, 2, 3, 4], -5.0));
    buffer.insert(1, item(&[1, 2, 9, 9], -3.0));
    // One edit away from both.
    assert_eq!(buffer.insert(1, item(&[1, 2, 3, 9], -4.0)), Inserted::Duplicate);
    assert_eq!(buffer.insert(1, item(&[1, 2, 3, 9], -2.0)), Inserted::Replaced);
    assert_eq!(rewards(&buffer, 1), [-2.0]);
}

#[test]
fn the_same_tokens_are_duplicates_at_any_tolerance() {
    for z in [&[][..], &[1, 2]] {
        let mut buffer = buffer(10, 0.0);
        assert_eq!(buffer.insert(1, item(z, -5.0)), Inserted::Added);
        assert_eq!(buffer.insert(1, item(z, -5.0)), Inserted::Duplicate);
        assert_eq!(buffer.insert(1, item(z, -4.0)), Inserted::Replaced);
        assert_eq!(buffer.insert(1, item(&[1, 3], -5.0)), Inserted::Added);
    }
}

#[test]
fn the_lowest_reward_leaves_first() {
    let mut buffer = buffer(2, 0.0);
    buffer.insert(1, item(&[1], -5.0));
    buffer.insert(1, item(&[2], -3.0));
    assert_eq!(buffer.insert(1, item(&[3], -6.0)), Inserted::TooLow);
    assert_eq!(buffer.insert(1, item(&[3], -5.0)), Inserted::TooLow, "a tie keeps the older");
    assert_eq!(buffer.insert(1, item(&[3], -4.0)), Inserted::Added);
    assert_eq!(rewards(&buffer, 1), [-3.0, -4.0]);
}

#[test]
fn zero_rewards_are_refused() {
    let mut buffer = buffer(2, 0.0);
    assert_eq!(buffer.insert(1, item(&[1], f64::NEG_INFINITY)), Inserted::ZeroReward);
    assert_eq!(buffer.iter().count(), 0);
}

#[test]
fn no_room_is_room_for_nothing() {
    let mut buffer = buffer(0, 0.0);
    assert_eq!(buffer.insert(1, item(&[1], 0.0)), Inserted::TooLow);
    assert_eq!(buffer.len(1), 0);
}

#[test]
fn bad_items_are_errors() {
    let trajectory = Trajectory { z: vec![1], stop: StopReason::MaxLength };
    let short = Item::new(trajectory.clone(), vec![0.0]);
    assert_eq!(short, Err(ItemError::Length { entries: 1, prefixes: 2 }));
    assert!(Item::new(trajectory.clone(), vec![0.0, f64::NAN]).is_err());
    assert!(Item::new(trajectory, vec![f64::INFINITY, 0.0]).is_err());
}

#[test]
#[should_panic(expected = "1 log rewards for the 2 prefixes")]
fn an_item_put_together_wrongly_is_refused() {
    let trajectory = Trajectory { z: vec![1], stop: StopReason::MaxLength };
    buffer(1, 0.0).insert(1, Item { trajectory, log_reward: vec![0.0] });
}

#[test]
fn tolerances_out_of_range_mean_what_they_say() {
    for nothing_but_itself in [-1.0, 0.0, f64::NAN] {
        let mut buffer = buffer(9, nothing_but_itself);
        buffer.insert(1, item(&[1, 2], -1.0));
        assert_eq!(buffer.insert(1, item(&[1, 3], -1.0)), Inserted::Added);
    }
    let mut buffer = buffer(9, f64::INFINITY);
    buffer.insert(1, item(&[1, 2], -1.0));
    assert_eq!(buffer.insert(1, item(&[7, 8, 9], -2.0)), Inserted::Duplicate);
}

#[test]
fn validate_names_the_item() {
    let mut buffer = buffer(10, 0.0);
    buffer.insert(7, item(&[1], -1.0));
    buffer.insert(7, item(&[1, 2, 3], -1.0));
    let at_most_two = |_, trajectory: &Trajectory| match trajectory.len() {
        0..=2 => Ok(()),
        n => Err(format!("{n} tokens, over the maximum length of 2")),
    };
    let message = buffer.validate(at_most_two).unwrap_err();
    assert_eq!(message, "replay item 1 of query 7: 3 tokens, over the maximum length of 2");
    assert_eq!(buffer.validate(|_, _| Ok(())), Ok(()));
}

/// Pearson's statistic of `n` draws against the expected shares.
fn chi_square(buffer: &ReplayBuffer, how: ReplaySampling, shares: &[f64], n: usize) -> f64 {
    let mut rng = Generator::new(0, "replay");
    let mut counts: BTreeMap<&[u32], f64> = BTreeMap::new();
    for item in buffer.sample(1, n, how, &mut rng) {
        *counts.entry(&item.trajectory.z).or_default() += 1.0;
    }
    let items = buffer.items(1).iter().zip(shares);
    items
        .map(|(item, share)| {
            let expected = share * n as f64;
            let count = counts.get(item.trajectory.z.as_slice()).copied().unwrap_or(0.0);
            (count - expected).powi(2) / expected
        })
        .sum()
}

#[test]
fn draws_follow_their_probabilities() {
    let mut buffer = buffer(10, 0.0);
    // As low as log rewards of long sequences are: their plain exponentials are all zero.
    for (token, weight) in [(1, 1.0_f64), (2, 2.0), (3, 3.0), (4, 4.0)] {
        buffer.insert(1, item(&[token], weight.ln() - 5000.0));
    }
    let critical = 16.3; // p = 0.001 at three degrees of freedom
    assert!(chi_square(&buffer, ReplaySampling::Uniform, &[0.25; 4], 20_000) < critical);
    let shares = [0.1, 0.2, 0.3, 0.4];
    assert!(chi_square(&buffer, ReplaySampling::Reward, &shares, 20_000) < critical);
    assert!(chi_square(&buffer, ReplaySampling::Uniform, &shares, 20_000) > critical);
}

#[test]
fn nothing_is_drawn_from_an_unknown_query() {
    let mut rng = Generator::new(0, "replay");
    assert!(buffer(1, 0.0).sample(1, 3, ReplaySampling::Reward, &mut rng).is_empty());
}

fn slow_distance(a: &[u32], b: &[u32]) -> usize {
    match (a, b) {
        ([], rest) | (rest, []) => rest.len(),
        ([x, a_rest @ ..], [y, b_rest @ ..]) => {
            let substituted = slow_distance(a_rest, b_rest) + usize::from(x != y);
            substituted.min(slow_distance(a_rest, b) + 1).min(slow_distance(a, b_rest) + 1)
        }
    }
}

fn offers() -> impl Strategy<Value = Vec<(u64, Vec<u32>, f64)>> {
    let z = proptest::collection::vec(0..3_u32, 0..6);
    let log_reward = prop_oneof![-300.0..0.0_f64, Just(f64::NEG_INFINITY), Just(-0.0), Just(-1e-320)];
    proptest::collection::vec((0..3_u64, z, log_reward), 0..40)
}

proptest! {
    #[test]
    fn the_buffer_keeps_its_laws(offers in offers(), capacity in 0..6_usize, tolerance in 0.0..0.5) {
        let mut buffer = buffer(capacity, tolerance);
        for (query_id, z, log_reward) in offers {
            let best_before = rewards(&buffer, query_id).into_iter().fold(f64::MIN, f64::max);
            buffer.insert(query_id, item(&z, log_reward));
            let best_after = rewards(&buffer, query_id).into_iter().fold(f64::MIN, f64::max);
            prop_assert!(best_after >= best_before);
        }
        for query_id in 0..3 {
            let items = buffer.items(query_id);
            prop_assert!(items.len() <= capacity);
            for (i, a) in items.iter().enumerate() {
                prop_assert!(a.final_log_reward().is_finite());
                for b in &items[i + 1..] {
                    let (a, b) = (&a.trajectory.z, &b.trajectory.z);
                    prop_assert_ne!(a, b);
                    let threshold = tolerance * (a.len() + b.len()) as f64;
                    prop_assert!(slow_distance(a, b) as f64 >= threshold);
                }
            }
        }
    }

    #[test]
    fn json_keeps_every_bit(offers in offers()) {
        let mut buffer = buffer(5, 0.1);
        for (query_id, z, log_reward) in offers {
            buffer.insert(query_id, item(&z, log_reward));
        }
        let json = serde_json::to_string(&buffer).unwrap();
        let restored: ReplayBuffer = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(&restored, &buffer);
        prop_assert_eq!(serde_json::to_string(&restored).unwrap(), json);
        for ((_, a), (_, b)) in restored.iter().zip(buffer.iter()) {
            let bits = |item: &Item| item.log_reward.iter().map(|r| r.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(a), bits(b));
        }
    }
}

#[test]
fn a_saved_item_is_checked_when_read() {
    let good = r#"{"trajectory": {"z": [1], "stop": "max_length"}, "log_reward": [null, -1.5]}"#;
    let read: Item = serde_json::from_str(good).unwrap();
    assert_eq!(read.log_reward, [f64::NEG_INFINITY, -1.5]);
    let bad = good.replace("[1]", "[1, 2]");
    assert!(serde_json::from_str::<Item>(&bad).is_err());
}

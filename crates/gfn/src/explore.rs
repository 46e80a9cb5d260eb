//! Exploration: where the training trajectories come from.

use rand::{Rng, RngExt};

use crate::Source;

/// The training policy: a mixture of the policy, the policy at other temperatures, and the replay
/// buffer (paper, section 3.3).
///
/// The paper composes each mini-batch of trajectories from the three sources, and so does
/// [`Mix::plan`], which draws every trajectory's source by itself. The public code instead draws one
/// source for a whole micro-batch of one prompt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mix {
    /// The share of trajectories from the policy itself. The three shares sum to 1.
    pub on_policy: f64,
    /// The share of trajectories from the policy at another temperature.
    pub tempered: f64,
    /// The share of trajectories from the replay buffer.
    pub replay: f64,
    /// The lowest policy temperature of tempered trajectories.
    pub temperature_min: f64,
    /// The highest; each trajectory's is uniform between the two.
    pub temperature_max: f64,
}

/// How to obtain one trajectory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Draw {
    /// Sample from the policy.
    OnPolicy {
        /// The seed of the trajectory's own generator.
        seed: u64,
    },
    /// Sample from the policy at another temperature.
    Tempered {
        /// What the policy's logits are divided by.
        policy_temperature: f64,
        /// The seed of the trajectory's own generator.
        seed: u64,
    },
    /// Take one from the replay buffer.
    Replay,
}

impl Default for Mix {
    /// A quarter on-policy, half tempered at temperatures from 0.5 to 2, a quarter replayed, as most
    /// of the paper's experiments have it.
    fn default() -> Self {
        Self { on_policy: 0.25, tempered: 0.5, replay: 0.25, temperature_min: 0.5, temperature_max: 2.0 }
    }
}

impl Mix {
    /// How to obtain each of `n` trajectories of one query, their sources drawn independently. Where
    /// `can_replay` is false, nothing being in the buffer yet, on-policy takes the place of replay.
    ///
    /// Every trajectory takes the same amount of random numbers whatever its source.
    pub fn plan(&self, n: usize, can_replay: bool, rng: &mut impl Rng) -> Vec<Draw> {
        (0..n).map(|_| self.draw(can_replay, rng)).collect()
    }

    fn draw(&self, can_replay: bool, rng: &mut impl Rng) -> Draw {
        let share: f64 = rng.random();
        let (min, max) = (self.temperature_min, self.temperature_max);
        let policy_temperature = min + (max - min) * rng.random::<f64>();
        let seed = rng.next_u64();
        if share < self.replay {
            if can_replay { Draw::Replay } else { Draw::OnPolicy { seed } }
        } else if share < self.replay + self.tempered {
            Draw::Tempered { policy_temperature, seed }
        } else {
            Draw::OnPolicy { seed }
        }
    }
}

impl Draw {
    /// The source to record with the trajectory.
    pub fn source(&self) -> Source {
        match self {
            Draw::OnPolicy { .. } => Source::OnPolicy,
            Draw::Tempered { .. } => Source::Tempered,
            Draw::Replay => Source::Replay,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Generator;

    fn counts(draws: &[Draw]) -> [usize; 3] {
        [Source::OnPolicy, Source::Tempered, Source::Replay]
            .map(|source| draws.iter().filter(|draw| draw.source() == source).count())
    }

    #[test]
    fn sources_follow_their_shares() {
        let mut rng = Generator::new(0, "explore");
        let draws = Mix::default().plan(40_000, true, &mut rng);
        let expected = [10_000.0, 20_000.0, 10_000.0];
        let chi_square: f64 = counts(&draws)
            .iter()
            .zip(expected)
            .map(|(&count, expected)| (count as f64 - expected).powi(2) / expected)
            .sum();
        assert!(chi_square < 13.8, "{chi_square}: p < 0.001 at two degrees of freedom");
    }

    #[test]
    fn nothing_to_replay_means_on_policy_and_shifts_no_other_draw() {
        let mix = Mix::default();
        let with = mix.plan(1000, true, &mut Generator::new(0, "explore"));
        let without = mix.plan(1000, false, &mut Generator::new(0, "explore"));
        for (with, without) in with.iter().zip(&without) {
            match with {
                Draw::Replay => assert_eq!(without.source(), Source::OnPolicy),
                other => assert_eq!(other, without),
            }
        }
    }

    #[test]
    fn temperatures_span_their_range_and_seeds_differ() {
        let mix = Mix { on_policy: 0.0, tempered: 1.0, replay: 0.0, ..Mix::default() };
        let draws = mix.plan(10_000, true, &mut Generator::new(1, "explore"));
        let mut temperatures = Vec::new();
        let mut seeds = Vec::new();
        for draw in draws {
            let Draw::Tempered { policy_temperature, seed } = draw else {
                panic!("{draw:?} from a mix that is all tempered");
            };
            temperatures.push(policy_temperature);
            seeds.push(seed);
        }
        let mean = temperatures.iter().sum::<f64>() / temperatures.len() as f64;
        assert!((mean - 1.25).abs() < 0.02, "{mean}");
        assert!(temperatures.iter().all(|t| (0.5..=2.0).contains(t)));
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), 10_000);
    }
}

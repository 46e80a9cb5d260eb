//! What is sampled: a latent Z, why it ended, and where it came from.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a trajectory ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The policy chose to stop by emitting this token, which is not part of `z`.
    Stop {
        /// The stop token.
        token: u32,
    },
    /// The maximum length was reached. The stop is forced, with probability one.
    MaxLength,
}

/// A sampled latent Z and why it ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Trajectory {
    /// The tokens z_1 ... z_len, without the stop token.
    pub z: Vec<u32>,
    /// Why it ended after the last of them.
    pub stop: StopReason,
}

impl Trajectory {
    /// The number of tokens, the stop excluded. Its rows in tables have one entry more: the empty
    /// prefix.
    pub fn len(&self) -> usize {
        self.z.len()
    }

    /// Whether the policy stopped at once.
    pub fn is_empty(&self) -> bool {
        self.z.is_empty()
    }

    /// Whether the stop was forced by the maximum length.
    pub fn forced_stop(&self) -> bool {
        self.stop == StopReason::MaxLength
    }
}

/// Where a training trajectory came from (paper, section 3.3, "Training policy").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The policy itself.
    OnPolicy,
    /// The policy at another temperature.
    Tempered,
    /// The replay buffer.
    Replay,
    /// The training data: supervised fine-tuning.
    Data,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Source::OnPolicy => "on_policy",
            Source::Tempered => "tempered",
            Source::Replay => "replay",
            Source::Data => "data",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_displayed_as_it_is_serialised() {
        for source in [Source::OnPolicy, Source::Tempered, Source::Replay, Source::Data] {
            let json = serde_json::to_string(&source).unwrap();
            assert_eq!(json, format!("\"{source}\""));
        }
    }

    #[test]
    fn trajectories_survive_json() {
        for stop in [StopReason::Stop { token: 13 }, StopReason::MaxLength] {
            let trajectory = Trajectory { z: vec![1, 2], stop };
            let json = serde_json::to_string(&trajectory).unwrap();
            assert_eq!(serde_json::from_str::<Trajectory>(&json).unwrap(), trajectory);
        }
    }
}

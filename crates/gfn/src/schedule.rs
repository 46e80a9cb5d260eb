//! Quantities that change over training: temperatures and the learning rate.

use serde::{Deserialize, Serialize};

/// A value that moves linearly from `start` to `end` over `horizon` steps and stays there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {
    /// The value at step 0.
    pub start: f64,
    /// The value from step `horizon` on.
    pub end: f64,
    /// The number of steps it takes; with 0 the value is `end` throughout.
    pub horizon: u64,
}

impl Linear {
    /// A value that never changes.
    pub fn constant(value: f64) -> Self {
        Self { start: value, end: value, horizon: 0 }
    }

    /// The value at `step`, counted from 0.
    pub fn at(&self, step: u64) -> f64 {
        if step >= self.horizon {
            return self.end;
        }
        self.start + (self.end - self.start) * (step as f64 / self.horizon as f64)
    }
}

/// A learning rate with linear warm-up from 0, then constant or decaying.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearningRate {
    /// The highest learning rate, reached at step `warmup`.
    pub peak: f64,
    /// The number of warm-up steps: step 0 has learning rate 0, unless this is 0.
    #[serde(default)]
    pub warmup: u64,
    /// What follows the warm-up.
    #[serde(default)]
    pub decay: Decay,
    /// The step at which a decay ends, warm-up included. [`Decay::None`] ignores it.
    #[serde(default)]
    pub total: u64,
}

/// What a learning rate does after its warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// It stays at its peak.
    #[default]
    None,
    /// It falls linearly to 0 at step `total`.
    Linear,
    /// It falls to 0 at step `total` along half a wave of the cosine.
    Cosine,
}

impl LearningRate {
    /// The learning rate of `step`, counted from 0.
    pub fn at(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.peak * (step as f64 / self.warmup as f64);
        }
        let horizon = self.total.saturating_sub(self.warmup);
        let left = Linear { start: 1.0, end: 0.0, horizon }.at(step - self.warmup);
        match self.decay {
            Decay::None => self.peak,
            Decay::Linear => self.peak * left,
            Decay::Cosine => self.peak * 0.5 * (1.0 - (std::f64::consts::PI * left).cos()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_ends_exactly_and_stays() {
        let schedule = Linear { start: 1.0, end: 0.8, horizon: 750 };
        assert_eq!(schedule.at(0), 1.0);
        assert!((schedule.at(375) - 0.9).abs() < 1e-15);
        assert_eq!(schedule.at(750), 0.8);
        assert_eq!(schedule.at(u64::MAX), 0.8);
        assert_eq!(Linear::constant(0.3).at(0), 0.3);
    }

    #[test]
    fn warmup_starts_at_zero() {
        let rate = LearningRate { peak: 2.0, warmup: 20, decay: Decay::None, total: 0 };
        assert_eq!(rate.at(0), 0.0);
        assert_eq!(rate.at(5), 0.5);
        assert_eq!(rate.at(20), 2.0);
        assert_eq!(rate.at(1000), 2.0);
        let no_warmup = LearningRate { warmup: 0, ..rate };
        assert_eq!(no_warmup.at(0), 2.0);
    }

    #[test]
    fn decay_reaches_zero_at_its_total() {
        let rate = LearningRate { peak: 2.0, warmup: 10, decay: Decay::Linear, total: 30 };
        assert_eq!(rate.at(10), 2.0);
        assert_eq!(rate.at(20), 1.0);
        assert_eq!(rate.at(30), 0.0);
        assert_eq!(rate.at(31), 0.0);
        let never = LearningRate { warmup: 40, ..rate };
        assert_eq!(never.at(41), 0.0, "a total within the warm-up leaves nothing after it");
    }

    #[test]
    fn a_cosine_is_steepest_in_the_middle() {
        let rate = LearningRate { peak: 2.0, warmup: 10, decay: Decay::Cosine, total: 30 };
        let near = |step: u64, expected: f64| assert!((rate.at(step) - expected).abs() < 1e-12, "{step}");
        near(5, 1.0);
        near(10, 2.0);
        near(15, 1.0 + 0.5f64.sqrt());
        near(20, 1.0);
        near(30, 0.0);
        near(31, 0.0);
    }

    #[test]
    fn configs_read_as_written() {
        let rate: LearningRate = serde_json::from_str(r#"{"peak": 1e-4, "decay": "linear", "total": 9}"#).unwrap();
        assert_eq!(rate, LearningRate { peak: 1e-4, warmup: 0, decay: Decay::Linear, total: 9 });
    }
}

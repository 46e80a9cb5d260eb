//! Stated distributions over whole texts.

use std::collections::BTreeMap;

use amortize_gfn::diagnostics::log_sum_exp;
use amortize_gfn::{Query, Reward, Table, Trajectory};
use amortize_lm::actions::ActionSpace;
use amortize_lm::tokenizer::Tokenizer;

use crate::config::{Binomial, Geometric, LARGEST_TABLE, Poisson, Uniform, Weights};
use crate::error::{Result, TrainError};

/// What an infinite distribution has beyond the table, at most.
const TAIL: f64 = 1e-9;

/// The texts that have a reward.
#[derive(Clone, Debug, PartialEq)]
pub struct Support {
    /// What Z has before each of them.
    pub before: String,
    /// Texts with the logarithms of their weights; numbers in order.
    pub entries: Vec<(String, f64)>,
}

impl Support {
    /// The texts of a table. Poisson's and the geometric distribution end where less than a billionth of their mass is left.
    pub fn new(table: &Weights) -> Self {
        let numbers = |values: Vec<(i64, f64)>| values.into_iter().map(|(n, log_p)| (n.to_string(), log_p)).collect();
        let entries = match *table {
            Weights { uniform: Some(Uniform { low, high }), .. } => numbers((low..=high).map(|n| (n, 0.0)).collect()),
            Weights { poisson: Some(Poisson { rate }), .. } => {
                // p(n) = p(n - 1) rate / n
                numbers(until_tail(-rate, |n| (rate / n as f64).ln()))
            }
            Weights { geometric: Some(Geometric { p }), .. } => numbers(until_tail(p.ln(), |_| (1.0 - p).ln())),
            Weights { binomial: Some(Binomial { n, p }), .. } => numbers(binomial(n, p)),
            Weights { ref weights, .. } => {
                weights.iter().flatten().map(|(text, weight)| (text.clone(), weight.ln())).collect()
            }
        };
        Self { before: table.before.clone(), entries }
    }

    /// The same with every weight raised to a power.
    pub fn raised(mut self, exponent: f64) -> Self {
        self.entries.iter_mut().for_each(|(_, log_weight)| *log_weight *= exponent);
        self
    }

    /// The distribution at a reward temperature: logarithms of probabilities, in the order of entries.
    pub fn log_probs(&self, reward_temperature: f64) -> Vec<f64> {
        let tempered: Vec<f64> = self.entries.iter().map(|(_, log_weight)| log_weight / reward_temperature).collect();
        let total = log_sum_exp(&tempered);
        tempered.iter().map(|log_weight| log_weight - total).collect()
    }
}

/// Numbers from 0 with log p, up to the tail; `log_ratio(n)` is log p(n) - log p(n - 1).
fn until_tail(log_p_zero: f64, log_ratio: impl Fn(i64) -> f64) -> Vec<(i64, f64)> {
    let (mut values, mut log_p, mut rest) = (vec![(0, log_p_zero)], log_p_zero, 1.0 - log_p_zero.exp());
    for n in 1..LARGEST_TABLE as i64 {
        // Rounding may leave a little of `rest` for ever, but then what is falling is below it.
        if rest <= TAIL || (log_ratio(n) < 0.0 && log_p < TAIL.ln() - 10.0) {
            break;
        }
        log_p += log_ratio(n);
        rest -= log_p.exp();
        values.push((n, log_p));
    }
    values
}

fn binomial(n: usize, p: f64) -> Vec<(i64, f64)> {
    let mut log_p = n as f64 * (1.0 - p).ln();
    let mut values = vec![(0, log_p)];
    for k in 1..=n {
        log_p += ((n - k + 1) as f64 / k as f64).ln() + (p / (1.0 - p)).ln();
        values.push((k as i64, log_p));
    }
    values
}

/// The weight of Z's text in a table, zero for other texts.
///
/// Most texts can be written in several ways with a vocabulary's tokens. The tokenizer's own is the one that counts: each
/// text then has its weight once, whatever the number of its spellings.
pub struct TableReward {
    log_weights: BTreeMap<Vec<u32>, f64>,
}

impl TableReward {
    /// The reward of a table.
    ///
    /// # Errors
    /// If the policy cannot draw one of its texts.
    pub fn new(table: &Weights, tokenizer: &Tokenizer, actions: &ActionSpace) -> std::result::Result<Self, String> {
        let support = Support::new(table);
        let own = |(text, log_weight): &(String, f64)| {
            let whole = format!("{}{text}", support.before);
            Ok((spelling(&whole, tokenizer, actions)?, *log_weight))
        };
        Ok(Self { log_weights: support.entries.iter().map(own).collect::<std::result::Result<_, String>>()? })
    }
}

/// The tokenizer's own tokens for a text.
///
/// # Errors
/// If they don't give the text back, or cannot be drawn.
fn spelling(text: &str, tokenizer: &Tokenizer, actions: &ActionSpace) -> std::result::Result<Vec<u32>, String> {
    let z = tokenizer.encode_completion(text).map_err(|error| error.to_string())?;
    if tokenizer.decode(&z) != text {
        return Err(format!("the tokenizer cannot write {text:?}: it makes {:?} of it", tokenizer.decode(&z)));
    }
    actions.check(&z, None).map_err(|problem| format!("{text:?} cannot be drawn: {problem}"))?;
    Ok(z)
}

impl Reward for TableReward {
    type Error = TrainError;

    fn log_reward(&mut self, _: &[Query], _: &[usize], trajectories: &[Trajectory]) -> Result<Table> {
        let log_reward = |z: &[u32]| self.log_weights.get(z).copied().unwrap_or(f64::NEG_INFINITY);
        let row = |Trajectory { z, .. }: &Trajectory| (0..=z.len()).map(|k| log_reward(&z[..k])).collect();
        Ok(Table::from_rows(trajectories.iter().map(row).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none() -> Weights {
        let before = " ".to_string();
        Weights { before, weights: None, uniform: None, poisson: None, binomial: None, geometric: None }
    }

    fn probabilities(table: &Weights) -> Vec<(String, f64)> {
        let support = Support::new(table);
        let texts = support.entries.iter().map(|(text, _)| text.clone());
        texts.zip(support.log_probs(1.0).iter().map(|log_p| log_p.exp())).collect()
    }

    /// Mean and variance of a table over numbers, whose probabilities must add up.
    fn moments(table: &Weights) -> [f64; 2] {
        let values: Vec<(f64, f64)> =
            probabilities(table).iter().map(|(text, p)| (text.parse().expect("a number"), *p)).collect();
        assert!((values.iter().map(|(_, p)| p).sum::<f64>() - 1.0).abs() < 1e-12);
        let mean: f64 = values.iter().map(|(n, p)| n * p).sum();
        [mean, values.iter().map(|(n, p)| (n - mean).powi(2) * p).sum()]
    }

    #[test]
    fn named_distributions_have_their_moments() {
        let poisson = |rate| Weights { poisson: Some(Poisson { rate }), ..none() };
        let cases = [
            (Weights { uniform: Some(Uniform { low: -3, high: 100 }), ..none() }, [48.5, (104.0 * 104.0 - 1.0) / 12.0]),
            (Weights { binomial: Some(Binomial { n: 60, p: 0.3 }), ..none() }, [18.0, 12.6]),
            (Weights { geometric: Some(Geometric { p: 0.2 }), ..none() }, [4.0, 20.0]),
            (poisson(0.5), [0.5, 0.5]),
            (poisson(900.0), [900.0, 900.0]),
        ];
        for (table, expected) in cases {
            let found = moments(&table);
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4 * b.abs()), "{table:?}: {found:?}");
        }
    }

    #[test]
    fn a_temperature_and_an_exponent_sharpen_alike() {
        let weights = Some(BTreeMap::from([("heads".to_string(), 3.0), ("tails".to_string(), 1.0)]));
        let support = Support::new(&Weights { weights, ..none() });
        assert_eq!(support.raised(2.0).log_probs(1.0)[0].exp(), 0.9);
    }
}

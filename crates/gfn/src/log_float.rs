//! Log rewards in JSON, bit for bit.
//!
//! JSON has no -inf, the log of a zero reward, so it is written as `null`. Every finite number is
//! written with enough digits to be read back exactly. NaN and +inf are no log rewards: refused.

use serde::{Deserialize, Deserializer, Serializer, ser::Error};

pub(crate) fn serialize<S: Serializer>(row: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
    if !row.iter().copied().all(is_log) {
        return Err(S::Error::custom("a log reward is NaN or +inf"));
    }
    serializer.collect_seq(row.iter().map(|value| value.is_finite().then_some(*value)))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
    let row = Vec::<Option<f64>>::deserialize(deserializer)?;
    Ok(row.into_iter().map(|value| value.unwrap_or(f64::NEG_INFINITY)).collect())
}

/// Whether `value` is the log of a finite reward, zero included. False for NaN.
pub(crate) fn is_log(value: f64) -> bool {
    value < f64::INFINITY
}

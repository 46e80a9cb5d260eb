//! Axes: from values to places between 0 and 1, and the ticks.

use crate::html::minus;

/// About as many gaps between ticks as an axis should have.
const GAPS: f64 = 4.0;

/// Ratio of the largest to the smallest value from which a logarithmic axis shows more.
const LOG_FROM: f64 = 20.0;

/// An axis.
#[derive(Debug)]
pub struct Scale {
    low: f64,
    high: f64,
    /// Whether it is logarithmic.
    pub log: bool,
    /// From low to high.
    pub ticks: Vec<Tick>,
}

/// A tick, with what is written beside it.
#[derive(Debug)]
pub struct Tick {
    /// Where it is.
    pub value: f64,
    /// What is written there, a text that needs no escaping.
    pub label: String,
}

impl Scale {
    /// An axis of steps, from 0 to the last.
    pub fn steps(last: u64) -> Self {
        let high = last.max(1) as f64;
        let gap = nice(high / GAPS).max(1.0);
        let ticks = multiples(gap, 0.0, (high / gap + 1e-9).floor());
        let ticks = ticks.map(|value| Tick { value, label: step_label(value) }).collect();
        Self { low: 0.0, high, log: false, ticks }
    }

    /// An axis between round numbers that holds `low` and `high`, and 0 on demand.
    pub fn linear(low: f64, high: f64, zero: bool) -> Self {
        let (mut low, mut high) = if zero { (low.min(0.0), high.max(0.0)) } else { (low, high) };
        if high - low <= 1e-9 * high.abs().max(low.abs()) {
            // A constant: a little room on both sides.
            let room = if high == 0.0 { 1.0 } else { 0.1 * high.abs() };
            (low, high) = (low - room, high + room);
        }
        let gap = nice((high - low) / GAPS);
        // A bound that is off a multiple by rounding alone is that multiple.
        let (first, last) = ((low / gap + 1e-9).floor(), (high / gap - 1e-9).ceil());
        let ticks: Vec<Tick> = multiples(gap, first, last)
            .map(|value| Tick { value, label: linear_label(value, gap, low.abs().max(high.abs())) })
            .collect();
        Self { low: first * gap, high: last * gap, log: false, ticks }
    }

    /// A logarithmic axis if all values are positive and differ enough, or else a linear one.
    pub fn log_if_useful(low: f64, high: f64) -> Self {
        if low <= 0.0 || high / low < LOG_FROM {
            return Self::linear(low, high, low >= 0.0);
        }
        let (low, high) = (low / 1.1, high * 1.1);
        let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
        let mantissas: &[f64] = if last - first <= 3 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let every = ((last - first) / 6).max(1);
        let decades = (first..=last).filter(|decade| (decade - first) % every == 0);
        let values = decades.flat_map(|decade| mantissas.iter().map(move |mantissa| mantissa * 10f64.powi(decade)));
        let ticks = values.filter(|value| (low..=high).contains(value));
        let ticks = ticks.map(|value| Tick { value, label: log_label(value) }).collect();
        Self { low, high, log: true, ticks }
    }

    /// The value at place 0.
    pub fn low(&self) -> f64 {
        self.low
    }

    /// The value at place 1.
    pub fn high(&self) -> f64 {
        self.high
    }

    /// The place of a value: 0 at the low end, 1 at the high end.
    pub fn place(&self, value: f64) -> f64 {
        let bend = |value: f64| if self.log { value.ln() } else { value };
        (bend(value) - bend(self.low)) / (bend(self.high) - bend(self.low))
    }
}

/// The whole multiples of `gap`; as products, so that they do not drift.
fn multiples(gap: f64, first: f64, last: f64) -> impl Iterator<Item = f64> {
    // `+ 0.0` turns -0 into 0. An axis of more ticks than this is no axis.
    (0..=(last - first).min(50.0) as u32).map(move |index| (first + f64::from(index)) * gap + 0.0)
}

/// The round number (1, 2 or 5 times a power of 10) nearby.
fn nice(gap: f64) -> f64 {
    let power = 10f64.powf(gap.log10().floor());
    let round = match gap / power {
        ..1.5 => 1.0,
        ..3.0 => 2.0,
        ..7.0 => 5.0,
        _ => 10.0,
    };
    round * power
}

fn step_label(step: f64) -> String {
    match step {
        1e6.. => format!("{}M", step / 1e6),
        1e4.. => format!("{}k", step / 1e3),
        _ => step.to_string(),
    }
}

fn linear_label(value: f64, gap: f64, largest: f64) -> String {
    let last_digit = gap.log10().floor() as i32;
    if value == 0.0 {
        return "0".into();
    }
    minus(if !(1e-3..1e7).contains(&largest) {
        let digits = (value.abs().log10().floor() as i32 - last_digit).max(0) as usize;
        format!("{value:.digits$e}")
    } else if gap >= 1e3 {
        format!("{}k", value / 1e3)
    } else {
        format!("{value:.digits$}", digits = (-last_digit).max(0) as usize)
    })
}

fn log_label(value: f64) -> String {
    minus(match value {
        1e4..1e6 => format!("{}k", value / 1e3),
        0.9e-3..1e4 => {
            let digits = (-value.log10().floor()).max(0.0) as usize;
            format!("{value:.digits$}")
        }
        _ => format!("{value:.0e}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: &Scale) -> Vec<&str> {
        scale.ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn linear_axes_end_at_round_numbers() {
        let scale = Scale::linear(-61.3, -14.0, false);
        assert_eq!(labels(&scale), ["−70", "−60", "−50", "−40", "−30", "−20", "−10"]);
        assert_eq!(scale.place(-40.0), 0.5);
        assert_eq!(labels(&Scale::linear(0.31, 0.78, true)), ["0", "0.2", "0.4", "0.6", "0.8"]);
        assert_eq!(labels(&Scale::linear(0.0, 11_400.0, true)), ["0", "2k", "4k", "6k", "8k", "10k", "12k"]);
        assert_eq!(labels(&Scale::linear(0.0, 2e-5, true)), ["0", "5e−6", "1.0e−5", "1.5e−5", "2.0e−5"]);
    }

    #[test]
    fn a_constant_has_an_axis() {
        for value in [0.0, 1e-3, 0.8, -40.0, 1e90] {
            let scale = Scale::linear(value, value, false);
            assert!(scale.ticks.len() >= 3, "{scale:?}");
            assert!((0.2..=0.8).contains(&scale.place(value)), "{scale:?}");
        }
    }

    #[test]
    fn logarithmic_axes_only_where_useful() {
        let scale = Scale::log_if_useful(0.8, 49.0);
        assert!(scale.log);
        assert_eq!(labels(&scale), ["1", "2", "5", "10", "20", "50"]);
        assert_eq!(
            labels(&Scale::log_if_useful(1e-4, 1e4)),
            ["1e−4", "0.001", "0.01", "0.1", "1", "10", "100", "1000", "10k"]
        );
        assert!(!Scale::log_if_useful(0.0, 49.0).log);
        assert!(!Scale::log_if_useful(3.0, 49.0).log);
    }

    #[test]
    fn steps_have_whole_ticks() {
        assert_eq!(labels(&Scale::steps(0)), ["0", "1"]);
        assert_eq!(labels(&Scale::steps(3)), ["0", "1", "2", "3"]);
        assert_eq!(labels(&Scale::steps(400)), ["0", "100", "200", "300", "400"]);
        assert_eq!(labels(&Scale::steps(30_000)), ["0", "10k", "20k", "30k"]);
    }
}

//! Repeated runs on a clock.

use std::time::Instant;

use crate::Result;

/// Seconds of each of `repeats` runs, after one more that fills caches, pools and branch predictors.
pub(crate) fn seconds(repeats: usize, mut run: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    run()?;
    let timed = |_| {
        let started = Instant::now();
        run()?;
        Ok(started.elapsed().as_secs_f64())
    };
    (0..repeats).map(timed).collect()
}

/// The middle value, or the mean of the two in the middle.
///
/// # Panics
/// If there are none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warm_up_is_run_and_not_counted() {
        let mut runs = 0;
        let taken = seconds(3, || {
            runs += 1;
            Ok(())
        });
        assert_eq!((taken.unwrap().len(), runs), (3, 4));
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[9.0, 1.0, 2.0, 4.0]), 3.0);
    }
}

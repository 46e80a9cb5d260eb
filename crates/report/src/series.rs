//! What a curve shows: a value at each step, smoothed, and thinned to what a screen can show.

/// Most points of a curve.
const MOST_POINTS: usize = 800;

/// Fewest points worth smoothing.
const SMOOTH_FROM: usize = 20;

/// Beyond this a figure is as good as infinite, and its axis would be of no use.
const LARGEST: f64 = 1e100;

/// A named curve.
#[derive(Debug)]
pub struct Series {
    pub name: String,
    pub points: Vec<Point>,
    /// Whether any record has a value, finite or not.
    pub recorded: bool,
}

/// A value, if there is one, at a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub step: u64,
    pub value: Option<f64>,
}

impl Series {
    /// A series that leaves out what is not finite.
    pub fn new(name: impl Into<String>, points: impl IntoIterator<Item = (u64, Option<f64>)>) -> Self {
        let finite = |value: &f64| value.abs() <= LARGEST;
        let mut recorded = false;
        let point = |(step, value): (u64, Option<f64>)| {
            recorded |= value.is_some();
            Point { step, value: value.filter(finite) }
        };
        let points = points.into_iter().map(point).collect();
        Self { name: name.into(), points, recorded }
    }

    /// The values there are.
    pub fn values(&self) -> impl Iterator<Item = f64> {
        self.points.iter().filter_map(|point| point.value)
    }

    /// The value at the last step, if it has one.
    pub fn last(&self) -> Option<f64> {
        self.points.last()?.value
    }

    /// A centred moving average at some of the points, if there are enough of them all; of logarithms for a
    /// logarithmic axis.
    pub fn smoothed(&self, at: &[usize], log: bool) -> Option<Vec<Point>> {
        if self.points.len() < SMOOTH_FROM {
            return None;
        }
        let bend = |value: f64| if log { value.ln() } else { value };
        let unbend = |value: f64| if log { value.exp() } else { value };
        let half = (self.points.len() / 50).clamp(2, 100);
        let average = |index: usize| {
            let window = &self.points[index.saturating_sub(half)..self.points.len().min(index + half + 1)];
            let values = || window.iter().filter_map(|point| point.value);
            unbend(values().map(bend).sum::<f64>() / values().count() as f64)
        };
        let smooth = |index: &usize| {
            let point = self.points[*index];
            // A gap stays a gap.
            Point { value: point.value.map(|_| average(*index)), ..point }
        };
        Some(at.iter().map(smooth).collect())
    }

    /// Indices of the points to draw: all, or the lowest and the highest of each stretch, and what lies at the ends.
    pub fn kept(&self) -> Vec<usize> {
        let n = self.points.len();
        if n <= MOST_POINTS {
            return (0..n).collect();
        }
        let stretch = n.div_ceil(MOST_POINTS / 2);
        let mut kept = vec![0];
        for start in (0..n).step_by(stretch) {
            let range = start..n.min(start + stretch);
            let value = |index: &usize| self.points[*index].value;
            let order = |a: &usize, b: &usize| value(a).partial_cmp(&value(b)).expect("values are finite");
            kept.extend(range.clone().min_by(order));
            kept.extend(range.max_by(order));
        }
        kept.push(n - 1);
        kept.sort_unstable();
        kept.dedup();
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: impl IntoIterator<Item = Option<f64>>) -> Series {
        Series::new("x", (1..).zip(values))
    }

    #[test]
    fn what_is_not_finite_is_left_out() {
        let series = series([Some(1.0), Some(f64::NAN), Some(f64::INFINITY), None, Some(2.0), None]);
        assert_eq!(series.values().collect::<Vec<_>>(), [1.0, 2.0]);
        assert_eq!(series.last(), None);
    }

    #[test]
    fn smoothing_keeps_levels_and_gaps() {
        let mut values = vec![Some(4.0); 40];
        values[7] = None;
        for log in [false, true] {
            let series = series(values.clone());
            let smoothed = series.smoothed(&series.kept(), log).unwrap();
            assert_eq!(smoothed[7].value, None);
            assert!(smoothed.iter().filter_map(|point| point.value).all(|value| (value - 4.0).abs() < 1e-12));
        }
        assert!(series(vec![Some(1.0); 5]).smoothed(&[0], false).is_none());
    }

    #[test]
    fn thinning_keeps_ends_and_spikes() {
        let mut values: Vec<_> = (0..10_000).map(|index| Some(f64::from(index % 7))).collect();
        values[5_003] = Some(99.0);
        let kept = series(values).kept();
        assert!(kept.len() <= MOST_POINTS + 2);
        assert!([0, 5_003, 9_999].iter().all(|index| kept.contains(index)));
        assert!(kept.is_sorted());
        assert_eq!(series(vec![None; 3]).kept(), [0, 1, 2]);
    }
}

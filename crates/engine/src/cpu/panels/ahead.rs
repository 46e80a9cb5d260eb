//! Memory that is asked for before it is read. A CPU sees by itself what a loop over one array reads next, but not that a tile's rows
//! or a panel's next strip will follow; and it drops requests that it has no room for, so that they are spread over the arithmetic.

use std::ops::Range;

use super::native;
use crate::cpu::shared::SharedRows;

/// Lines that a vector kernel multiplies between two requests.
pub(super) const STEPS: usize = 8;
/// Bytes of a cache line.
const CACHE_LINE: usize = 64;

/// Where some values lie: runs of bytes, each as far from the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Runs {
    first: usize,
    /// Cache lines of a run.
    lines: usize,
    /// Bytes from the beginning of a run to that of the next.
    stride: usize,
    count: usize,
}

impl Runs {
    /// Values side by side.
    pub(super) fn one<T>(values: &[T]) -> Self {
        let Range { start, end } = values.as_ptr_range();
        let lines = (end as usize - start as usize).div_ceil(CACHE_LINE);
        Self { first: start as usize, lines, stride: 0, count: 1 }
    }

    /// Some columns of a result's rows.
    pub(super) fn of_result(y: &SharedRows, rows: &Range<usize>, columns: &Range<usize>) -> Self {
        let (first, next) = (y.address(rows.start, columns.start), y.address(rows.start + 1, columns.start));
        let lines = (columns.len() * size_of::<f32>()).div_ceil(CACHE_LINE);
        Self { first, lines, stride: next - first, count: rows.len() }
    }

    /// `count` runs, of which this is the first and `second` the next.
    pub(super) fn repeated(self, second: Self, count: usize) -> Self {
        Self { stride: second.first.wrapping_sub(self.first), count, ..self }
    }

    /// The lines that belong to `part` of a whole.
    pub(super) fn share(self, part: Range<usize>, whole: usize) -> Lines {
        let at = |i: usize| i * self.lines * self.count / whole.max(1);
        Lines { runs: self, next: at(part.start), end: at(part.end) }
    }

    /// All lines.
    pub(super) fn all(self) -> Lines {
        self.share(0..1, 1)
    }
}

/// Some lines of some runs, counted over all of them.
#[derive(Clone, Copy, Default)]
pub(super) struct Lines {
    runs: Runs,
    next: usize,
    end: usize,
}

/// What is asked for while a tile is multiplied.
pub(super) struct Requests([Paced; 3]);

impl Requests {
    /// Asks for lines at three places in so many times.
    #[inline(always)]
    pub(super) fn within(lines: [Lines; 3], times: usize) -> Self {
        Self(lines.map(|lines| Paced::new(lines, times)))
    }

    /// Asks for the next few.
    #[inline(always)]
    pub(super) fn ask(&mut self) {
        for paced in &mut self.0 {
            paced.each(native::fetch);
        }
    }
}

/// Lines of a result that are asked for before they are written: where few steps make a result, a CPU that writes to one cache line
/// after the other waits for each.
pub(super) struct Results(Paced);

impl Results {
    /// Asks for all in so many times.
    #[inline(always)]
    pub(super) fn within(runs: Runs, times: usize) -> Self {
        Self(Paced::new(runs.all(), times))
    }

    /// Asks for the next few.
    #[inline(always)]
    pub(super) fn ask(&mut self) {
        self.0.each(native::fetch_to_write);
    }
}

/// Lines of which some at a time are asked for.
struct Paced {
    address: usize,
    left: usize,
    at_once: usize,
    left_of_run: usize,
    lines_of_run: usize,
    /// Bytes from the end of a run to the beginning of the next.
    gap: usize,
}

impl Paced {
    #[inline(always)]
    fn new(Lines { runs, next, end }: Lines, times: usize) -> Self {
        let (run, line) = (next / runs.lines.max(1), next % runs.lines.max(1));
        let left = end - next;
        Self {
            address: runs.first.wrapping_add(run.wrapping_mul(runs.stride)).wrapping_add(line * CACHE_LINE),
            left,
            at_once: left.div_ceil(times.max(1)),
            left_of_run: runs.lines - line,
            lines_of_run: runs.lines,
            gap: runs.stride.wrapping_sub(runs.lines * CACHE_LINE),
        }
    }

    /// Calls `ask` with the addresses of the next few.
    #[inline(always)]
    fn each(&mut self, ask: impl Fn(usize)) {
        let count = self.at_once.min(self.left);
        self.left -= count;
        for _ in 0..count {
            ask(self.address);
            self.address = self.address.wrapping_add(CACHE_LINE);
            self.left_of_run -= 1;
            if self.left_of_run == 0 {
                self.left_of_run = self.lines_of_run;
                self.address = self.address.wrapping_add(self.gap);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// All that a tile asks for, in order.
    fn asked(lines: Lines, times: usize) -> Vec<usize> {
        let mut paced = Paced::new(lines, times);
        let all = RefCell::new(Vec::new());
        for _ in 0..times {
            paced.each(|address| all.borrow_mut().push(address));
        }
        all.into_inner()
    }

    #[test]
    fn tiles_ask_for_every_line_of_all_runs_between_them() {
        let values = vec![0u8; 1000];
        let at = |first: usize, len: usize| Runs::one(&values[first..first + len]);
        let runs = at(0, 128).repeated(at(300, 128), 3);
        let expected: Vec<usize> =
            [0, 64, 300, 364, 600, 664].iter().map(|byte| values.as_ptr() as usize + byte).collect();
        assert_eq!(asked(runs.all(), 5), expected);
        let tiles = [0..12, 12..24, 24..25].map(|rows| asked(runs.share(rows, 25), 3));
        assert_eq!(tiles.concat(), expected);
        assert_eq!(asked(Runs::default().all(), 1), [0usize; 0]);
    }

    #[test]
    fn a_result_is_asked_for_row_by_row() {
        let mut values = vec![0.0; 5 * 40];
        let first = values.as_ptr().addr();
        let y = SharedRows::new(&mut values, 5, 40);
        let lines = Runs::of_result(&y, &(1..4), &(5..37)).all();
        let expected: Vec<usize> = (1..4).flat_map(|row| [0, 16].map(|col| first + 4 * (row * 40 + 5 + col))).collect();
        assert_eq!(asked(lines, 4), expected);
    }
}

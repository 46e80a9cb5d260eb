//! Memory that is asked for before it is read. A CPU sees by itself what a loop over one array reads next, but not that a tile's rows
//! or a panel's next strip will follow; and it drops requests that it has no room for, so that they are spread over the arithmetic.

use std::ops::Range;

use super::native;

/// Steps of a kernel between two requests.
pub(super) const STEPS: usize = 8;
/// Bytes of a cache line.
const CACHE_LINE: usize = 64;

/// Where some values lie.
pub(super) fn addresses<T>(values: &[T]) -> Range<usize> {
    let Range { start, end } = values.as_ptr_range();
    start as usize..end as usize
}

/// The part of some addresses that belongs to `part` of a whole.
pub(super) fn share(all: &Range<usize>, part: Range<usize>, whole: usize) -> Range<usize> {
    let at = |i: usize| all.start + i * all.len() / whole.max(1);
    at(part.start)..at(part.end)
}

/// What is asked for while a tile is multiplied.
pub(super) struct Requests([Paced; 2]);

impl Requests {
    /// Asks for all of some addresses, and of some others, within so many steps.
    #[inline(always)]
    pub(super) fn within(addresses: [Range<usize>; 2], steps: usize) -> Self {
        let times = steps.div_ceil(STEPS).max(1);
        Self(addresses.map(|left| Paced { bytes: left.len().div_ceil(times).next_multiple_of(CACHE_LINE), left }))
    }

    /// Asks for the next few.
    #[inline(always)]
    pub(super) fn ask(&mut self) {
        for paced in &mut self.0 {
            paced.ask();
        }
    }
}

/// Addresses of which some bytes at a time are asked for.
struct Paced {
    left: Range<usize>,
    bytes: usize,
}

impl Paced {
    #[inline(always)]
    fn ask(&mut self) {
        let end = self.left.end.min(self.left.start + self.bytes);
        for address in (self.left.start..end).step_by(CACHE_LINE) {
            native::fetch(address);
        }
        self.left.start = end;
    }
}

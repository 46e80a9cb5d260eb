//! Large pages as Linux gives them to whoever asks.

use memmap2::{Advice, MmapMut};

/// Asks for large pages under some bytes of a map.
pub(super) fn enlarge(map: &MmapMut, first: usize, bytes: usize) {
    // A kernel without them says so, and nothing is lost.
    let _ = map.advise_range(Advice::HugePage, first, bytes);
}

//! Memory for tensors, and for packed weights on large pages where the system has them.
//!
//! A pass reads hundreds of MiB of weights. Where a page has 4 KiB, the CPU has to look one up for every 64 cache lines, and what fetches
//! ahead stops at its end; with pages of 2 MiB sampling takes some 5 % less time. Tensors gain nothing by them.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut, Range};

use bytemuck::{Pod, Zeroable, cast_slice, cast_slice_mut};
use memmap2::MmapMut;

#[cfg(not(target_os = "linux"))]
#[path = "buffer/pages_other.rs"]
mod pages;
#[cfg(target_os = "linux")]
#[path = "buffer/pages_linux.rs"]
mod pages;

/// Bytes of a large page. Shorter memory has none.
const PAGE: usize = 2 << 20;

/// A fixed number of values, zeros at first.
#[derive(Debug)]
pub(crate) struct Buffer<T>(Memory<T>);

#[derive(Debug)]
enum Memory<T> {
    Short(Vec<T>),
    /// Some bytes of a map.
    Long(MmapMut, Range<usize>, PhantomData<T>),
}

impl<T: Pod> Buffer<T> {
    /// So many zeros. Memory is taken when it is first written.
    pub(crate) fn zeros(len: usize) -> Self {
        let long = long(len * size_of::<T>());
        Self(long.map_or_else(
            || Memory::Short(vec![T::zeroed(); len]),
            |(map, range)| Memory::Long(map, range, PhantomData),
        ))
    }
}

/// A map that has so many bytes from the beginning of a large page on; `None` if they are too few, or if the system refuses.
fn long(bytes: usize) -> Option<(MmapMut, Range<usize>)> {
    if bytes < PAGE {
        return None;
    }
    let map = MmapMut::map_anon(bytes + PAGE).ok()?;
    let first = map.as_ptr().align_offset(PAGE);
    // Whole pages alone: a part of one would take all of it.
    pages::enlarge(&map, first, bytes / PAGE * PAGE);
    Some((map, first..first + bytes))
}

impl<T: Pod> Deref for Buffer<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        match &self.0 {
            Memory::Short(values) => values,
            Memory::Long(map, range, _) => cast_slice(&map[range.clone()]),
        }
    }
}

impl<T: Pod> DerefMut for Buffer<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        match &mut self.0 {
            Memory::Short(values) => values,
            Memory::Long(map, range, _) => cast_slice_mut(&mut map[range.clone()]),
        }
    }
}

impl<T: Pod> Clone for Buffer<T> {
    fn clone(&self) -> Self {
        let mut copy = Self::zeros(self.len());
        copy.copy_from_slice(self);
        copy
    }
}

/// Numbers of a cache line.
const LINE: usize = 16;

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(64))]
struct CacheLine([f32; LINE]);

/// Numbers of which the first begins a cache line, some of them filled: vectors that lie across two lines cost two accesses.
#[derive(Debug, Default)]
pub(crate) struct Floats(Vec<CacheLine>);

impl Floats {
    /// Room for so many numbers, rounded up to whole cache lines.
    pub(crate) fn with_capacity(len: usize) -> Self {
        Self(Vec::with_capacity(len.div_ceil(LINE)))
    }

    /// Numbers that there is room for.
    pub(crate) fn capacity(&self) -> usize {
        self.0.capacity() * LINE
    }

    /// Fills with zeros what has never been filled, until there are at least so many numbers.
    pub(crate) fn extend_to(&mut self, len: usize) {
        let lines = len.div_ceil(LINE);
        if self.0.len() < lines {
            self.0.resize(lines, CacheLine::zeroed());
        }
    }
}

impl Deref for Floats {
    type Target = [f32];

    #[inline(always)]
    fn deref(&self) -> &[f32] {
        cast_slice(&self.0)
    }
}

impl DerefMut for Floats {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [f32] {
        cast_slice_mut(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_buffers_begin_as_zeros_and_hold_what_is_written() {
        for len in [0, 1, 1000, PAGE / 4, 3 * PAGE / 4 + 5] {
            let mut buffer = Buffer::<f32>::zeros(len);
            assert_eq!(buffer.len(), len);
            assert!(buffer.iter().all(|value| *value == 0.0));
            buffer.iter_mut().enumerate().for_each(|(i, value)| *value = i as f32);
            let copy = buffer.clone();
            buffer.fill(0.0);
            assert!(copy.iter().enumerate().all(|(i, value)| *value == i as f32));
        }
    }

    #[test]
    fn long_buffers_begin_with_a_large_page() {
        let buffer = Buffer::<u32>::zeros(PAGE);
        assert!(buffer.as_ptr().addr().is_multiple_of(PAGE));
    }
}

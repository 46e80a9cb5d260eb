//! Where tensors live, and the pool that their buffers come from and go back to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use crate::buffer::Floats;
use crate::tensor::Tensor;

/// A place where tensors live and ops run. Cheap to clone; clones share one pool of buffers.
///
/// Today the one kind is the CPU. Model code only ever holds [`Tensor`]s and calls ops, and touches values
/// through [`Tensor::from_host`](Device::from_host) and [`Tensor::to_host`], so that another kind of device is
/// another arm in the ops and nothing else.
#[derive(Clone, Debug, Default)]
pub struct Device {
    pool: Arc<Mutex<Pool>>,
    /// Of what ops make for themselves: products' packed operands.
    operands: Arc<Mutex<Pool>>,
}

impl Device {
    /// The CPU, with as many threads as rayon's current pool has.
    pub fn cpu() -> Self {
        Self::default()
    }

    /// A tensor of zeros.  `[rows, cols]`
    pub fn zeros(&self, rows: usize, cols: usize) -> Tensor {
        let mut tensor = self.scratch(rows, cols);
        tensor.host_mut().fill(0.0);
        tensor
    }

    /// A tensor with arbitrary values, for ops that overwrite all of it.  `[rows, cols]`
    pub(crate) fn scratch(&self, rows: usize, cols: usize) -> Tensor {
        let data = self.lock().take(rows * cols);
        Tensor::new(rows, cols, data, self.clone())
    }

    /// The same for an op's own use while it runs, from a pool that is no part of [`Device::memory`]: tensors are foretold by
    /// themselves, and so are operands.  `[rows, cols]`
    pub(crate) fn operand(&self, rows: usize, cols: usize) -> Tensor {
        Self { pool: self.operands.clone(), operands: self.operands.clone() }.scratch(rows, cols)
    }

    /// Copies host values to a tensor on this device.  `[rows, cols]`
    ///
    /// # Panics
    /// If `values` does not hold `rows * cols` numbers.
    pub fn from_host(&self, rows: usize, cols: usize, values: &[f32]) -> Tensor {
        let mut tensor = self.scratch(rows, cols);
        tensor.host_mut().copy_from_slice(values);
        tensor
    }

    /// What the tensors of this device take now, and took at most.
    pub fn memory(&self) -> MemoryUse {
        self.lock().memory()
    }

    pub(crate) fn give_back(&self, data: Floats) {
        self.lock().give_back(data);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Bytes of a device's tensors. Packed weights are not among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// Of tensors that exist.
    pub in_use: usize,
    /// Held for tensors to come.
    pub idle: usize,
    /// The most that was in use at one time.
    pub peak: usize,
}

/// Numbers in idle buffers that are always kept: 64 MiB.
const KEPT: usize = 16 << 20;

/// Buffers without a tensor, by capacity. Training repeats nearly the same shapes step after step; fresh pages
/// from the operating system would cost more than many of the ops.
///
/// Where lengths change, buffers that fit nothing any more would pile up. So the pool never holds more, in use and idle
/// together, than [`Pool::limit`]; the buffers idle for longest are freed for a new one. All sizes are numbers of f32.
#[derive(Debug, Default)]
struct Pool {
    /// Buffers of each capacity, those idle for longest first.
    idle: BTreeMap<usize, VecDeque<Idle>>,
    idle_floats: usize,
    in_use: usize,
    peak: usize,
    /// Counts buffers that came back.
    clock: u64,
}

#[derive(Debug)]
struct Idle {
    data: Floats,
    /// The clock when it came back.
    since: u64,
}

impl Pool {
    /// A buffer of at least so many numbers.
    fn take(&mut self, len: usize) -> Floats {
        // A buffer up to half as large again serves too: lengths vary a little from step to step. So does what would be allocated.
        let most = rounded(len).max(len + len / 2);
        let found = self.idle.range(len..=most).next().map(|(capacity, _)| *capacity);
        let mut data = match found {
            Some(capacity) => self.pop(capacity, VecDeque::pop_back),
            None => self.allocate(rounded(len)),
        };
        self.in_use += data.capacity();
        self.peak = self.peak.max(self.in_use);
        // Old values stay where there are some, also past the end: only memory never used before is zeroed.
        data.extend_to(len);
        data
    }

    fn allocate(&mut self, capacity: usize) -> Floats {
        while self.idle_floats > 0 && self.in_use + self.idle_floats + capacity > self.limit(capacity) {
            drop(self.pop(self.longest_idle(), VecDeque::pop_front));
        }
        Floats::with_capacity(capacity)
    }

    /// The most that may be held once `capacity` more are in use. A quarter above what was needed at one time, because
    /// sampling and training have shapes of their own and take turns; and never so little that the few shapes of a pass, of which only
    /// one or two are needed at a time, push each other out.
    fn limit(&self, capacity: usize) -> usize {
        let most = self.peak.max(self.in_use + capacity);
        most + (most / 4).max(KEPT)
    }

    /// The capacity with the buffer that came back first.
    fn longest_idle(&self) -> usize {
        let oldest = self.idle.iter().min_by_key(|(_, buffers)| buffers[0].since);
        *oldest.expect("some buffer is idle").0
    }

    fn pop(&mut self, capacity: usize, pick: impl FnOnce(&mut VecDeque<Idle>) -> Option<Idle>) -> Floats {
        let buffers = self.idle.get_mut(&capacity).expect("a capacity in the map has buffers");
        let data = pick(buffers).expect("an entry in the map is never empty").data;
        if buffers.is_empty() {
            self.idle.remove(&capacity);
        }
        self.idle_floats -= capacity;
        data
    }

    fn give_back(&mut self, data: Floats) {
        let capacity = data.capacity();
        if capacity > 0 {
            self.clock += 1;
            self.in_use -= capacity;
            self.idle_floats += capacity;
            self.idle.entry(capacity).or_default().push_back(Idle { data, since: self.clock });
        }
    }

    fn memory(&self) -> MemoryUse {
        let bytes = |floats: usize| floats * size_of::<f32>();
        MemoryUse { in_use: bytes(self.in_use), idle: bytes(self.idle_floats), peak: bytes(self.peak) }
    }
}

/// Capacity for `len` numbers, rounded up to three significant bits so that similar shapes meet again: whole cache lines.
fn rounded(len: usize) -> usize {
    let step = (len.next_power_of_two() / 8).max(64);
    len.div_ceil(step) * step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back() {
        let device = Device::cpu();
        let tensor = device.zeros(10, 100);
        let address = tensor.host().as_ptr();
        let in_use = device.memory().in_use;
        assert!((4000..4600).contains(&in_use), "{in_use}");
        drop(tensor);
        assert_eq!(device.memory(), MemoryUse { in_use: 0, idle: in_use, peak: in_use });
        let tensor = device.zeros(9, 100);
        assert_eq!(tensor.host().as_ptr(), address);
        assert_eq!(device.memory(), MemoryUse { in_use, idle: 0, peak: in_use });
        drop(device.zeros(0, 100));
    }

    #[test]
    fn a_small_tensor_does_not_occupy_a_large_buffer() {
        let device = Device::cpu();
        drop(device.zeros(10, 1000));
        let _small = device.zeros(1, 1000);
        assert!(device.memory().in_use < 5000);
    }

    /// Also where a buffer is larger than what is asked for by more than half: the least that is allocated.
    #[test]
    fn small_buffers_come_back() {
        let device = Device::cpu();
        let idle = |len: usize| {
            drop(device.zeros(1, len));
            device.memory().idle
        };
        let first = idle(64);
        assert!([1, 16, 40, 64].into_iter().all(|len| idle(len) == first));
    }

    /// What a step holds at once: some tensors of a length and some of another.
    fn step(device: &Device, rows: usize) {
        let tape: Vec<Tensor> = (0..10).map(|_| device.zeros(rows, 10_000)).collect();
        drop(device.zeros(rows, 35_000));
        drop(tape);
    }

    #[test]
    fn changing_lengths_do_not_pile_up() {
        let device = Device::cpu();
        for rows in (1..200).step_by(11).chain((1..200).rev().step_by(11)) {
            step(&device, rows);
            let MemoryUse { idle, peak, .. } = device.memory();
            assert!(idle <= peak + (64 << 20).max(peak / 4), "{idle} bytes are idle, {peak} were in use");
        }
        let needed = 200 * (10 * 10_000 + 35_000) * size_of::<f32>();
        // Capacities are rounded up, and a buffer may be half as large again as what it is used for.
        assert!(device.memory().peak < needed * 3 / 2, "{} for {needed}", device.memory().peak);
    }

    fn addresses(tensors: &[Tensor]) -> std::collections::BTreeSet<usize> {
        tensors.iter().map(|tensor| tensor.host().as_ptr() as usize).collect()
    }

    #[test]
    fn equal_steps_allocate_nothing() {
        let device = Device::cpu();
        let tape = || -> Vec<Tensor> { (0..10).map(|_| device.zeros(64, 10_000)).collect() };
        step(&device, 64);
        let (before, first) = (device.memory(), addresses(&tape()));
        step(&device, 64);
        assert_eq!((device.memory(), addresses(&tape())), (before, first));
    }

    /// Operands of products: one at a time is needed, and never more memory than the longest takes.
    #[test]
    fn lengths_that_take_turns_are_all_kept() {
        let (device, lengths) = (Device::cpu(), [1000, 3000, 500, 2000]);
        let turn = || {
            lengths.iter().for_each(|cols| drop(device.zeros(500, *cols)));
            device.memory().idle
        };
        let all = lengths.iter().sum::<usize>() * 500 * size_of::<f32>();
        assert!(turn() >= all);
        assert_eq!(turn(), turn());
    }

    #[test]
    fn zeros_are_zero_even_from_a_used_buffer() {
        let device = Device::cpu();
        drop(device.from_host(2, 40, &[7.0; 80]));
        assert!(device.zeros(2, 40).to_host().iter().all(|value| *value == 0.0));
    }
}

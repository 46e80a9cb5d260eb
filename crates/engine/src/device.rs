//! Where tensors live, and the pool that their buffers come from and go back to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::tensor::Tensor;

/// A place where tensors live and ops run. Cheap to clone; clones share one pool of buffers.
///
/// Today the one kind is the CPU. Model code only ever holds [`Tensor`]s and calls ops, and touches values
/// through [`Tensor::from_host`](Device::from_host) and [`Tensor::to_host`], so that another kind of device is
/// another arm in the ops and nothing else.
#[derive(Clone, Debug, Default)]
pub struct Device {
    pool: Arc<Mutex<Pool>>,
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

    /// Copies host values to a tensor on this device.  `[rows, cols]`
    ///
    /// # Panics
    /// If `values` does not hold `rows * cols` numbers.
    pub fn from_host(&self, rows: usize, cols: usize, values: &[f32]) -> Tensor {
        let mut tensor = self.scratch(rows, cols);
        tensor.host_mut().copy_from_slice(values);
        tensor
    }

    /// Bytes that the pool holds at this moment for tensors to come.
    pub fn idle_bytes(&self) -> usize {
        self.lock().idle_floats() * size_of::<f32>()
    }

    pub(crate) fn give_back(&self, data: Vec<f32>) {
        self.lock().give_back(data);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Buffers without a tensor, by capacity. Training repeats nearly the same shapes step after step; fresh pages
/// from the operating system would cost more than many of the ops.
#[derive(Debug, Default)]
struct Pool {
    idle: BTreeMap<usize, Vec<Vec<f32>>>,
}

impl Pool {
    fn take(&mut self, len: usize) -> Vec<f32> {
        // A buffer up to twice as large serves too: lengths vary a little from step to step.
        let found = self.idle.range(len..=2 * len).next().map(|(capacity, _)| *capacity);
        let mut data = match found {
            Some(capacity) => self.pop(capacity),
            None => Vec::with_capacity(rounded(len)),
        };
        // Old values stay where there are some; only memory never used before is zeroed.
        if data.len() < len {
            data.resize(len, 0.0);
        }
        data.truncate(len);
        data
    }

    fn pop(&mut self, capacity: usize) -> Vec<f32> {
        let buffers = self.idle.get_mut(&capacity).expect("a capacity in the map has buffers");
        let data = buffers.pop().expect("an entry in the map is never empty");
        if buffers.is_empty() {
            self.idle.remove(&capacity);
        }
        data
    }

    fn give_back(&mut self, data: Vec<f32>) {
        if data.capacity() > 0 {
            self.idle.entry(data.capacity()).or_default().push(data);
        }
    }

    fn idle_floats(&self) -> usize {
        self.idle.iter().map(|(capacity, buffers)| capacity * buffers.len()).sum()
    }
}

/// Capacity for `len` numbers, rounded up to three significant bits so that similar shapes meet again.
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
        drop(tensor);
        assert!(device.idle_bytes() >= 4000);
        assert_eq!(device.zeros(9, 100).host().as_ptr(), address);
    }

    #[test]
    fn zeros_are_zero_even_from_a_used_buffer() {
        let device = Device::cpu();
        drop(device.from_host(2, 40, &[7.0; 80]));
        assert!(device.zeros(2, 40).to_host().iter().all(|value| *value == 0.0));
    }
}

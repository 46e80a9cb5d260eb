//! Explicit tensor operations with hand-derived backward passes, on device buffers.
//!
//! There is no autograd graph. Each op is a file under [`ops`] that holds its forward pass, its derivative,
//! its documentation and its finite-difference test. A model calls ops forward, keeps what their
//! backward passes need, and calls them again in reverse.
//!
//! The engine knows rows and columns; it knows no tokens, no models and no files. A batch is a packed
//! [`layout::TreeLayout`]: every sequence of a step, with shared prefixes stored once.

mod buffer;
mod cpu;
pub mod device;
pub mod layout;
pub mod ops;
pub mod optim;
mod precision;
pub mod probe;
pub mod tensor;
mod threads;

#[cfg(test)]
mod check;

pub use cpu::arch::kernels;
pub use device::{Device, MemoryUse};
pub use layout::{AttentionPlan, SegmentId, TreeLayout};
pub use precision::{Precision, UnknownPrecision};
pub use tensor::{Columns, Tensor, Weight};
pub use threads::on_threads;

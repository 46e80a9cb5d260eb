//! How fast this machine runs the method: workloads on random models of known shapes, their times and peak memory, and
//! the floors to hold them against.
//!
//! A [`Case`] is one workload on one shape in one precision. Its [`Floor`](floor) is counted, not measured: the
//! arithmetic of all matrix products that the workload cannot do without, over the rate at which this machine multiplies
//! large matrices, or the bytes of the weights over its memory bandwidth where that takes longer.
//!
//! What this machine can do is measured once by [`floor::Machine::measure`] and may be shared between cases.
//! Peak memory is the process's own high-water mark, so each case should have a process to itself.

mod case;
mod error;
pub mod floor;
mod names;
mod shape;
mod sizes;
mod timing;
mod workload;

pub use case::{Case, Outcome};
pub use error::{BenchError, Result};
pub use shape::Shape;
pub use sizes::{Dimension, Sizes, Sweep};
pub use workload::{Lora, Sites, Workload};

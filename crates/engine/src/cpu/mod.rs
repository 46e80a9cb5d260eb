//! What CPU ops are made of: matrix products, vectorised loops, rows spread over threads.

pub(crate) mod arch;
pub(crate) mod gradient;
pub(crate) mod matmul;
pub(crate) mod panels;
pub(crate) mod rows;
pub(crate) mod shared;
pub(crate) mod simd;

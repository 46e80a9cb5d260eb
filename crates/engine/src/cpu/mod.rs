//! What CPU ops are made of: matrix products, vectorised loops, rows spread over threads.

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
#[path = "amx_other.rs"]
mod amx;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[path = "amx_linux.rs"]
mod amx;
pub(crate) mod arch;
pub(crate) mod gradient;
pub(crate) mod matmul;
pub(crate) mod panels;
pub(crate) mod rows;
pub(crate) mod shared;
pub(crate) mod simd;

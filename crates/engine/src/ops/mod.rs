//! The ops: forward pass, derivative, documentation and finite-difference test of each in one file.
//!
//! Conventions: `forward` returns new tensors; `backward*` *adds* into the gradients that it is given, because a
//! residual stream, a shared weight and a shared prompt all collect gradients from several places.

pub mod activation;
pub mod attention;
pub mod dropout;
pub mod elementwise;
pub mod gather;
pub mod head;
pub mod layer_norm;
pub mod linear;
pub mod lora;
pub mod rms_norm;
pub mod rope;
pub mod sample;
pub mod truncate;

//! The commands.

pub mod bench;
pub mod corpus;
pub mod evaluate;
pub mod likelihood;
pub mod merge;
pub mod metrics;
pub mod report;
pub mod reproduce;
mod running;
pub mod sample;
pub mod score;
pub mod train;

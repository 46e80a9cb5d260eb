//! The commands.

pub mod bench;
pub mod corpus;
pub mod evaluate;
pub mod metrics;
pub mod report;
pub mod sample;
pub mod score;
pub mod train;

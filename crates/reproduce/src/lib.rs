//! The paper's experiments: for each the methods and seeds, what is measured of every run, and the table and figure that
//! come of it, with the paper's own numbers beside ours.
//!
//! A [`Plan`] has every run's config before anything is computed. Carrying it out starts, continues or skips each run in
//! `OUT/runs`, and needs nothing but those runs for the table: stopped at any moment, it goes on where it was and comes to
//! the same table. Methods are values of a config's keys; an experiment has one config text for all of them.

mod carry_out;
mod data;
mod error;
mod experiment;
mod experiments;
mod figure;
mod measured;
mod name;
mod output;
mod plan;
mod table;
mod texts;

pub use carry_out::{Observer, Outcome, Stage};
pub use error::{ReproduceError, Result};
pub use name::{Name, Scale};
pub use plan::{Options, Plan};
pub use table::{Row, Table};

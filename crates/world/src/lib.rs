//! A small world with names, places, objects, events, causes and feelings: it tells stories and other short texts from
//! seeded draws, and, because it knows what happens in them, judges whether a sentence fits into a story.
//!
//! The tables of words and events are in [`tables`]; [`story`] tells, [`judge`] reads. Nothing here knows of models or
//! files.

pub mod arithmetic;
pub mod count;
pub mod documents;
pub mod draw;
pub mod grammar;
pub mod judge;
pub mod story;
pub mod tables;
pub mod texts;
pub mod world;

pub use judge::{Tally, Verdict, judge};
pub use story::{Split, Story, story};
pub use world::VERSION;

//! The binary as its users meet it: every test starts the real `amortize` on tiny random models.

mod bad_input;
mod bench;
mod corpus;
mod decoding;
mod evaluate;
mod infilling;
mod interrupts;
mod likelihood;
mod methods;
mod metrics;
mod raters;
mod reproduce;
mod runs;
mod sample;
mod score;
mod support;
mod tasks;

//! Planning, running and explaining, on stage kinds that only these tests know.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod failures;
mod keys;
mod lab;
mod plans;
mod property;
mod runs;
mod scheduling;
mod timings;
mod world;

//! Tests of the store from outside: damage, killed processes, several processes, a disk that refuses.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

mod blob_damage;
mod collection;
mod helper;
mod processes;
mod reading;
mod refusals;
mod segment_damage;
mod support;
mod verification;

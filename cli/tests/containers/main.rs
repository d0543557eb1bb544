//! `compress`, `decompress` and `inspect`, as people use them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

#[path = "../support/mod.rs"]
mod support;

mod common;
mod meanwhile;
mod recovery;
mod refusals;

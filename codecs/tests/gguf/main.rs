//! The GGUF reader on files that a writer of the tests makes, sound ones and others.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod reading;
mod refusals;
mod splits;
mod writer;

//! What holds for every method, tried on all of them.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod accounting;
mod common;
mod damage;
mod files;
mod golden;
mod mixture;
mod pairs;
mod recovery;
mod split;
mod stack;

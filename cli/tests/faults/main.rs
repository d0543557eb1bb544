//! The engine and the store under fire: the real binary is killed, interrupted, starved, lied to and edited under,
//! and nothing may be lost, stale or stuck. `docs/faults.md` says which test holds what, and how to run for hours.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, and says with which seed it ran"
)]

#[path = "../support/mod.rs"]
mod support;

mod company;
mod crash_points;
mod damage;
mod dice;
mod differential;
mod disk;
mod edits;
mod engine;
mod lab;
mod layer;
mod ledger;
mod long;
mod orphans;
mod power_cut;
mod refusals;
mod replay;
mod signals;
mod stages;
mod storm;

//! Containers: what goes in comes out, damage is always found, and what strangers write does no harm.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

mod access;
mod common;
mod damage;
mod golden;
mod handmade;
mod hostile;
mod pairs;
mod profiles;
mod recovery;
mod running;

//! The stage kinds: where the engine's contract meets the codecs.
//!
//! A kind is one file or folder under [`kinds`], its *leaf*, and one entry in [`kinds::KINDS`]. A leaf uses no
//! other leaf, so that a change in one kind re-runs that kind's tasks and no others; what several kinds need
//! lives beside `kinds`, and a change in it re-runs all.

pub mod kinds;
pub mod process;
pub mod program;

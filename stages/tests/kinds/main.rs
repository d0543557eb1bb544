//! Tests of the stage kinds as the engine sees them. One program for all kinds, so that it is linked once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod atlas;
mod bench;
mod cast;
mod command;
mod fetch_archive;
mod fetch_http;
mod fetch_model;
mod fetch_pip;
mod foreign;
mod gate;
mod golden;
mod install;
mod process;
mod select;
mod support;
mod table;
mod time;
mod verdict;
mod verify;

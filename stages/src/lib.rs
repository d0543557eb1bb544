//! The stage kinds: where the engine's contract meets the codecs.
//!
//! A kind is one file or folder under [`kinds`], its *leaf*, and one entry in [`kinds::KINDS`]. A leaf uses no
//! other leaf, so that a change in one kind re-runs that kind's tasks and no others; what several kinds need
//! lives beside `kinds`, and a change in it re-runs all.

pub mod columns;
pub mod encoded;
pub mod expressions;
pub mod failure;
pub mod fingerprints;
pub mod foreign;
pub mod kinds;
pub mod methods;
pub mod pip;
pub mod process;
pub mod profile;
pub mod program;
pub mod python;
pub mod watched;
pub mod weights;
pub mod workplace;

/// The contract, for programs that put an engine and the stage kinds together.
pub use llmcl_stages_api as api;

use std::io::{self, Read, Write};

use llmcl_stages_api::registry::Registry;

use kinds::verify;

/// The stage kinds and methods of this program, and the digests of the sources that it was built from.
#[must_use]
pub fn registry() -> Registry {
    Registry {
        kinds: kinds::KINDS.to_vec(),
        methods: &methods::CATALOG,
        fingerprints: fingerprints::of_build(),
    }
}

/// Runs a worker: all that a process does that a stage kind has started by this name; see
/// [`Host::worker`](llmcl_stages_api::task::Host::worker). It takes its work from `input`, which is the process's
/// standard input, and answers at `output`.
///
/// # Errors
/// If there is no such worker, or it fails.
pub fn work(name: &str, input: &mut dyn Read, output: &mut dyn Write) -> io::Result<()> {
    match name {
        verify::WORKER => verify::decode_worker(input, output),
        _ => Err(io::Error::other(format!("there is no worker `{name}`"))),
    }
}

//! What most commands begin with: the experiment and the store.

use std::path::Path;

use llmcl_cache::{Store, StoreError};
use llmcl_engine::check::{self, Loaded};
use llmcl_engine::project;
use llmcl_engine::runs::{RecordedRun, Runs};
use llmcl_stages::api::registry::Registry;

use crate::args::{ExperimentArgs, StoreArgs};
use crate::diagnostics;
use crate::exit::Exit;
use crate::text::tell;

/// Reads an experiment; its mistakes go to the terminal.
pub(crate) fn load(arguments: &ExperimentArgs, registry: &Registry) -> Result<Loaded, Exit> {
    check::load(&arguments.file, &arguments.settings, registry).map_err(|mistakes| {
        tell(diagnostics::render(&mistakes).trim_end());
        Exit::Mistakes
    })
}

/// Opens the store that the command line, the environment or the experiment's place names.
pub(crate) fn open(arguments: &StoreArgs, experiment: &Path) -> Result<Store, Exit> {
    try_open(arguments, experiment).map_err(|error| not_opened(&error))
}

/// As [`open`], and tells nothing if it fails.
pub(crate) fn try_open(arguments: &StoreArgs, experiment: &Path) -> Result<Store, StoreError> {
    let folder = experiment
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let root = project::root(&folder);
    // The variable has been read with the arguments.
    let path = project::store(&root, arguments.store.as_deref(), None);
    Store::open(&path)
}

/// Tells that the store could not be opened.
pub(crate) fn not_opened(error: &StoreError) -> Exit {
    tell(&format!("error: cannot open the store: {error}"));
    Exit::Store
}

/// Lists the recorded runs of a store.
pub(crate) fn runs(store: &Store) -> Result<Runs, Exit> {
    Runs::of(store).map_err(|error| unreadable(&error))
}

/// Finds a run among those of a store.
pub(crate) fn find_run<'a>(runs: &'a Runs, which: &str) -> Result<&'a RecordedRun, Exit> {
    runs.find(which).map_err(|error| {
        tell(&format!("error: {error}"));
        tell("hint: `llmcl log` lists the runs; one that had nothing to do is not recorded");
        Exit::Usage
    })
}

/// Tells that something of the store cannot be read, with the cause.
pub(crate) fn unreadable(error: &StoreError) -> Exit {
    match std::error::Error::source(error) {
        Some(source) => tell(&format!("error: {error}: {source}")),
        None => tell(&format!("error: {error}")),
    }
    Exit::Store
}

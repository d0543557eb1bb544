//! `llmcl cache`: looking after the store.

pub(crate) mod args;
mod gc;
mod repair;
mod size;
mod verify;

use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use llmcl_cache::{Amount, Fault, Finding, Progress, Record, Store, StoreError};
use llmcl_engine::roots::{self, RunRoots};
use serde_json::{Value, json};

use self::args::CacheCommand;
use crate::args::StoreArgs;
use crate::exit::Exit;
use crate::session;
use crate::text::{print, tell};

pub(crate) fn cache(command: &CacheCommand) -> Result<(), Exit> {
    match command {
        CacheCommand::Verify(arguments) => verify::verify(arguments),
        CacheCommand::Gc(arguments) => gc::gc(arguments),
        CacheCommand::Size(arguments) => size::size(arguments),
        CacheCommand::Repair(arguments) => repair::repair(arguments),
    }
}

/// Opens a store that must be there.
fn open(arguments: &StoreArgs) -> Result<Store, Exit> {
    let store = session::open(arguments, Path::new("."))?;
    if store.root().is_dir() {
        return Ok(store);
    }
    tell(&format!(
        "error: there is no store at {}",
        store.root().display()
    ));
    tell("hint: `--store` or LLMCL_STORE says where it is; the first run makes it");
    Err(Exit::Store)
}

/// Reads the logs of runs.
fn run_roots(store: &Store, keep: usize) -> Result<RunRoots, Exit> {
    let found = roots::roots(store, keep).map_err(|error| failed(&error))?;
    for (path, doubt) in &found.doubtful {
        tell(&format!(
            "warning: {} keeps only what can be read of it: {doubt}",
            path.display()
        ));
    }
    Ok(found)
}

/// Tells once that something is waited for.
fn on_wait() -> impl FnMut() {
    let mut told = false;
    move || {
        if !told {
            told = true;
            tell("waiting for another process that is reading or cleaning up the store");
        }
    }
}

/// Tells an error and its cause.
fn failed(error: &StoreError) -> Exit {
    tell(&format!("error: {}", with_cause(error)));
    Exit::Store
}

fn with_cause(error: &StoreError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Prints a JSON value over several lines.
fn print_json(value: &Value) -> Result<(), Exit> {
    // A value of JSON always has a text.
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    print(&(text + "\n"))
}

fn amount(amount: Amount) -> Value {
    json!({ "count": amount.count, "bytes": amount.bytes })
}

/// A finding as one line.
fn line(finding: &Finding) -> String {
    let task = match &finding.fault {
        Fault::RecordBlob { record, .. } | Fault::RecordInside { record, .. } => task(record),
        _ => None,
    };
    let task = task.map_or(String::new(), |task| format!(" ({task})"));
    format!("{}: {}{task}", finding.path.display(), finding.fault)
}

fn finding(finding: &Finding) -> Value {
    let task = match &finding.fault {
        Fault::RecordBlob { record, .. } | Fault::RecordInside { record, .. } => task(record),
        _ => None,
    };
    json!({
        "path": finding.path.display().to_string(),
        "what": finding.fault.to_string(),
        "task": task,
    })
}

/// The task that a record was made for, as `experiment: task`.
fn task(record: &Record) -> Option<String> {
    let (experiment, task) = roots::made_for(record)?;
    Some(format!("{experiment}: {task}"))
}

/// Shows how many bytes have been read.
fn progress() -> impl FnMut(Progress) {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
    // The template is a constant, and a test of the command reads it.
    let style = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes}  {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("=> "));
    bar.enable_steady_tick(Duration::from_millis(200));
    move |progress| {
        bar.set_length(progress.total);
        bar.set_position(progress.done);
        if progress.done >= progress.total {
            bar.finish_and_clear();
        }
    }
}

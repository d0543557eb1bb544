//! The source `path`: a file of this machine.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use llmcl_stages_api::task::TaskError;

use super::gauge::Gauge;
use super::intake::{Intake, pump};

/// Streams the file into the intake. It is read and not mapped: others may write to it or cut it meanwhile.
///
/// # Errors
/// If it cannot be read, or changes while it is read.
pub(super) fn pour(
    path: &Path,
    intake: &mut Intake<'_>,
    gauge: &mut Gauge<'_>,
) -> Result<(), TaskError> {
    let failed = |error: io::Error| TaskError::input(format!("{}: {error}", path.display()));
    // Asked before it is opened: opening a pipe waits for somebody to write to it.
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(failed(io::Error::other("not a file")));
    }
    let mut file = File::open(path).map_err(failed)?;
    let before = file.metadata().map_err(failed)?;
    if !before.is_file() {
        return Err(failed(io::Error::other("not a file")));
    }
    let poured = pump(&mut file, &failed, &mut |chunk| intake.push(chunk, gauge));
    let after = path.metadata().map_err(failed)?;
    if stamp(&before) != stamp(&after) {
        return Err(failed(io::Error::other("changed while it was read"))
            .with_hint("run again when nothing writes to it"));
    }
    poured
}

/// What changes when somebody writes to the file or puts another in its place.
fn stamp(meta: &Metadata) -> (u64, u64, u64, i64, i64) {
    (
        meta.dev(),
        meta.ino(),
        meta.size(),
        meta.mtime(),
        meta.mtime_nsec(),
    )
}

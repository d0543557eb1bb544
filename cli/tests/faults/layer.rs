//! The layer below the store: `layer.c`, compiled once and loaded into the engine, where it makes calls on the
//! lab's disk fail, fall short, or be written down.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::lab::Lab;

/// An error number of the system, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Errno {
    /// None: a write is reported as done and is not.
    Lie = 0,
    /// Input/output error.
    Eio = 5,
    /// Permission denied.
    Eacces = 13,
    /// No space left on device.
    Enospc = 28,
    /// Read-only file system.
    Erofs = 30,
}

/// Makes the n-th call of an operation fail, and with `on` all that follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) operation: &'static str,
    pub(crate) at: usize,
    pub(crate) on: bool,
    pub(crate) errno: Errno,
}

impl Refusal {
    /// Has it happen in an engine that is about to start.
    pub(crate) fn arm(&self, lab: &Lab, command: &mut Command) {
        load(lab, command);
        let on = if self.on { "+" } else { "" };
        let fail = format!("{}:{}{on}:{}", self.operation, self.at, self.errno as i32);
        command.env("LLMCL_LAYER_FAIL", fail);
    }
}

/// Loads the layer into an engine that is about to start. Nothing is changed by that alone.
pub(crate) fn load(lab: &Lab, command: &mut Command) {
    command
        .env("LD_PRELOAD", library())
        .env("LLMCL_LAYER_ROOT", lab.disk().canonicalize().unwrap());
}

/// Has every change on the lab's disk written to a file.
pub(crate) fn log_to(lab: &Lab, command: &mut Command, log: &Path) {
    load(lab, command);
    command.env("LLMCL_LAYER_LOG", log);
}

/// The compiled layer.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        // Other test processes may do the same at this moment.
        let new = folder.join(format!("layer-{}.so", std::process::id()));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/layer.c");
        let output = Command::new("cc")
            .args(["-Wall", "-Werror", "-O1", "-shared", "-fPIC", "-o"])
            .args([&new, &source])
            .args(["-ldl", "-lpthread"])
            .output()
            .unwrap();
        let messages = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{messages}");
        let path = folder.join("layer.so");
        std::fs::rename(new, &path).unwrap();
        path
    })
}

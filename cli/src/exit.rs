//! Exit codes: a documented, stable part of the interface.

use std::process::ExitCode;

/// How the program ends. The numbers are in `docs/cli.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All is well.
    Done,
    /// The command line is wrong.
    Usage,
    /// The experiment file has mistakes.
    Mistakes,
    /// Tasks failed.
    Failed,
    /// Something that the run needs from outside is not there: nothing was run.
    NotReady,
    /// The store or the output could not be read or written, or the store is damaged.
    Store,
    /// Ctrl-C or a request to end.
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Usage => 2,
            Exit::Mistakes => 3,
            Exit::Failed => 10,
            Exit::NotReady => 20,
            Exit::Store => 21,
            Exit::Interrupted => 130,
        })
    }
}

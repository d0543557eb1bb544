//! Runs a child program so that nothing of it stays behind.
//!
//! A child runs in a process group of its own, together with a *watchdog*: a shell that waits on a pipe whose
//! other end only this process holds. However this process ends, a `SIGKILL` included, the pipe closes and the
//! watchdog kills the whole group, itself included. The watchdog leads the group and is there before the child,
//! so there is no moment at which the child is unguarded, and the group's number cannot be taken by another
//! group while the watchdog has not been waited for. A group that a child has left clean serves the next child.
//! This needs no code between fork and exec, which a parent-death signal would (and that signal reaches the child
//! alone, not the child's children).
//!
//! As long as this process lives, it finds and ends what a child leaves behind, wherever that is: it adopts what its
//! children's children become. If it is killed, what has made a process group of its own (`setsid`, a shell with job
//! control) escapes the watchdog.

mod converse;
mod group;
mod orphans;
mod output;

use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use llmcl_stages_api::task::TaskError;
use nix::sys::signal::Signal;

pub use converse::{Conversation, converse};
use group::Group;
use orphans::Orphan;
use output::Output;
pub use output::Tail;

/// How long one wait for output lasts at most; so long can it take until a stop is noticed.
const POLL: Duration = Duration::from_millis(20);

/// How long children of a finished child may take to end on their own: the ends of a pipeline do not end at once.
const LINGER: Duration = Duration::from_secs(1);

/// What a child may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many of the last bytes of its standard output, and of its standard error, are kept.
    pub kept_output: usize,
    /// How long it may take to end after `SIGTERM`, before it is killed.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            kept_output: 64 * 1024,
            grace: Duration::from_secs(2),
        }
    }
}

/// A child that has ended, with nothing left of it.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub exit: Exit,
    /// The end of its standard output.
    pub stdout: Tail,
    /// The end of its standard error.
    pub stderr: Tail,
}

/// How a child ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// It returned this code.
    Code(i32),
    /// A signal ended it; its name, such as `SIGSEGV`.
    Signal(String),
}

impl Exit {
    /// Tells whether it returned 0.
    #[must_use]
    pub fn is_success(&self) -> bool {
        *self == Self::Code(0)
    }

    fn of(status: ExitStatus) -> Self {
        if let Some(code) = status.code() {
            return Self::Code(code);
        }
        let number = status.signal().unwrap_or_default();
        Self::Signal(match Signal::try_from(number) {
            Ok(signal) => signal.as_str().to_owned(),
            Err(_) => format!("signal {number}"),
        })
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal(name) => write!(f, "was ended by {name}"),
        }
    }
}

/// Why a child did not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started.
    #[error("`{program}` could not be started: {source}")]
    Start {
        /// The program as it was asked for.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// The task was stopped, and the child with it.
    #[error("`{program}` was stopped: {reason}")]
    Stopped {
        /// The program.
        program: String,
        /// What the engine said.
        reason: Box<TaskError>,
        /// The end of its standard error.
        stderr: Tail,
    },
    /// It ended and left processes running. They have been killed.
    #[error("`{program}` {exit} and left processes running: {}", .processes.join(", "))]
    LeftBehind {
        /// The program.
        program: String,
        /// How it ended itself.
        exit: Exit,
        /// Name and number of each process; a text that says so where one is only known by the output that it
        /// keeps open, and lives on.
        processes: Vec<String>,
    },
    /// The system refused what is needed to look after it.
    #[error("`{program}` could not be watched: {source}")]
    Watch {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
}

/// Runs `command` to its end, without standard input, and keeps the end of its output.
///
/// `ask` is called every few milliseconds; when it returns an error the child is stopped: `SIGTERM` to its process
/// group, a grace, then `SIGKILL`. In every case the whole group is dead when this returns.
///
/// # Errors
/// If it cannot be started, is stopped, or leaves processes behind. How it exits is not judged here.
pub fn run(
    command: &mut Command,
    limits: &Limits,
    ask: &mut dyn FnMut() -> Result<(), TaskError>,
) -> Result<Finished, ProcessError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let watch = |source| ProcessError::Watch {
        program: program.clone(),
        source,
    };
    let mut group = Group::start().map_err(watch)?;
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = group.spawn(command).map_err(|source| ProcessError::Start {
        program: program.clone(),
        source,
    })?;
    let mut output = Output::of(child, limits.kept_output);

    let status = loop {
        output.wait(POLL).map_err(watch)?;
        if let Some(status) = group.try_wait().map_err(watch)? {
            break status;
        }
        if let Err(reason) = ask() {
            group.signal(Signal::SIGTERM);
            let until = Instant::now() + limits.grace;
            while Instant::now() < until && group.try_wait().map_err(watch)?.is_none() {
                output.wait(POLL).map_err(watch)?;
            }
            group.end();
            output.drain(LINGER).map_err(watch)?;
            return Err(ProcessError::Stopped {
                program,
                reason: Box::new(reason),
                stderr: output.stderr,
            });
        }
    };

    let exit = Exit::of(status);
    let until = Instant::now() + LINGER;
    let mut survivors = group.survivors();
    while !(survivors.is_empty() && output.is_closed()) && Instant::now() < until {
        output.wait(POLL).map_err(watch)?;
        survivors = group.survivors();
    }
    let mut processes: Vec<String> = survivors.iter().map(Orphan::name).collect();
    if survivors.is_empty() {
        group.leave();
    } else {
        group.end();
    }
    output.drain(LINGER).map_err(watch)?;
    if processes.is_empty() && !output.is_closed() {
        processes.push("one that it has not started, which holds its output open".to_owned());
    }
    if processes.is_empty() {
        Ok(Finished {
            exit,
            stdout: output.stdout,
            stderr: output.stderr,
        })
    } else {
        Err(ProcessError::LeftBehind {
            program,
            exit,
            processes,
        })
    }
}

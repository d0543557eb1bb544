//! What programs leave running, in whichever process group or session it is.
//!
//! This process adopts what is left by those that it starts: a process whose parent ends becomes a child of this
//! one, not of init's. So whatever is left hangs, directly or further down, on a child that this process has not
//! started itself.

use std::fs;
use std::process;
use std::sync::OnceLock;

use nix::sys::prctl::set_child_subreaper;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpgid};

/// A process that was left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Orphan {
    pub(super) id: Pid,
    /// Its process group.
    pub(super) group: Pid,
}

/// Adopts from now on. A system that cannot do this shows no orphans.
pub(super) fn adopt() {
    static ADOPTS: OnceLock<bool> = OnceLock::new();
    ADOPTS.get_or_init(|| set_child_subreaper(true).is_ok());
}

/// The adopted processes that still run. `is_own` tells which ones this process has started itself.
pub(super) fn adopted(is_own: &dyn Fn(Pid) -> bool) -> Vec<Orphan> {
    // What is adopted goes to the first thread. Other threads' children, among them those that are just being
    // started, are in other lists.
    let first = process::id();
    let Ok(list) = fs::read_to_string(format!("/proc/self/task/{first}/children")) else {
        return Vec::new();
    };
    let ids = list.split_ascii_whitespace();
    ids.filter_map(|id| Some(Pid::from_raw(id.parse().ok()?)))
        .filter(|id| !is_own(*id))
        // One that has ended is taken leave of here.
        .filter(|id| waitpid(*id, Some(WaitPidFlag::WNOHANG)) == Ok(WaitStatus::StillAlive))
        .filter_map(|id| {
            let group = getpgid(Some(id)).ok()?;
            Some(Orphan { id, group })
        })
        .collect()
}

impl Orphan {
    /// Whether it was started with this environment variable, and has not given it away.
    pub(super) fn has_variable(&self, name: &str, value: &[u8]) -> bool {
        let environment = fs::read(format!("/proc/{}/environ", self.id)).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .filter_map(|variable| variable.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
            .any(|found| found == value)
    }

    /// Its name and its number.
    pub(super) fn name(&self) -> String {
        let name = fs::read_to_string(format!("/proc/{}/comm", self.id)).unwrap_or_default();
        format!("{} ({})", name.trim_end(), self.id)
    }
}

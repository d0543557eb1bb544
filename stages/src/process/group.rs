//! A process group with its watchdog.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, getpgid};

/// What the watchdog does: waits until its standard input ends, then kills its process group. What is meant for
/// the children in it, such as the `SIGTERM` of a stop, does not end it.
const WATCHDOG: &str = "trap '' HUP INT QUIT TERM; read -r _; kill -KILL 0";

/// How long killed processes may take to be gone.
const DYING: Duration = Duration::from_secs(5);

/// Watchdogs whose groups have nobody else in them. Starting one takes as long as starting a small program.
static IDLE: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// A process group that dies with this process, or when this is dropped.
pub(super) struct Group {
    /// The leader of the group. It is not waited for before the end, so that the group's number stays taken.
    /// There is none once the group was left to others.
    watchdog: Option<Child>,
    /// The number of the group: the watchdog's.
    id: Pid,
    child: Option<Child>,
}

impl Group {
    /// Takes a watchdog that has nothing to do, or starts one in a group of its own.
    pub(super) fn start() -> io::Result<Self> {
        let mut watchdog = None;
        while let Some(mut idle) = locked().pop() {
            if matches!(idle.try_wait(), Ok(None)) {
                watchdog = Some(idle);
                break;
            }
        }
        let watchdog = match watchdog {
            Some(idle) => idle,
            None => Command::new("/bin/sh")
                .args(["-c", WATCHDOG])
                .env_clear()
                .current_dir("/")
                .process_group(0)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?,
        };
        Ok(Self {
            // The kernel's numbers are below 2^22.
            id: Pid::from_raw(watchdog.id().cast_signed()),
            watchdog: Some(watchdog),
            child: None,
        })
    }

    /// Starts a child in the group.
    pub(super) fn spawn(&mut self, command: &mut Command) -> io::Result<&mut Child> {
        command.process_group(self.id.as_raw());
        // A program that this process has just written may still be open for writing in a child that another
        // thread is starting at this moment, until that child's exec.
        let mut tries = 0;
        let child = loop {
            match command.spawn() {
                Err(error) if error.kind() == ErrorKind::ExecutableFileBusy && tries < 50 => {
                    tries += 1;
                    thread::sleep(Duration::from_millis(10));
                }
                started => break started?,
            }
        };
        Ok(self.child.insert(child))
    }

    /// Tells how the child ended, if it has.
    pub(super) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.as_mut().map_or(Ok(None), Child::try_wait)
    }

    /// Sends a signal to every process of the group.
    pub(super) fn signal(&self, signal: Signal) {
        // It fails only if the group is empty, which is what a signal is to bring about.
        let _ = killpg(self.id, signal);
    }

    /// Names the processes of the group that still run, apart from the child and the watchdog.
    ///
    /// They are looked up in `/proc`; a system without it shows none.
    pub(super) fn survivors(&self) -> Vec<String> {
        let child = self.child.as_ref().map(Child::id);
        let Ok(entries) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
            // Asking the system is ten times cheaper than reading a file, and almost all are of other groups.
            .filter(|&id| getpgid(Some(Pid::from_raw(id))) == Ok(self.id))
            .filter(|&id| id != self.id.as_raw() && Some(id.cast_unsigned()) != child)
            .filter_map(|id| {
                let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
                let (name, group, state) = parse_stat(&stat)?;
                let alive = !matches!(state, "Z" | "X");
                (alive && group == self.id.as_raw()).then(|| format!("{name} ({id})"))
            })
            .collect()
    }

    /// Leaves the group, in which nobody but the watchdog is any more, to the next child.
    pub(super) fn leave(mut self) {
        locked().extend(self.watchdog.take());
    }

    /// Kills what is left of the group and waits for the child and the watchdog.
    pub(super) fn end(&mut self) {
        self.signal(Signal::SIGKILL);
        // Both are dead or dying, so that there is nothing to be told of a failed wait.
        if let Some(child) = &mut self.child {
            let _ = child.wait();
        }
        // The children's children are not ours to wait for, and a kill takes a moment on a busy machine. One that
        // the kernel cannot end, as it waits for a device, must not hold us for ever.
        let until = Instant::now() + DYING;
        while !self.survivors().is_empty() && Instant::now() < until {
            thread::sleep(Duration::from_millis(2));
        }
        if let Some(mut watchdog) = self.watchdog.take() {
            let _ = watchdog.wait();
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Without a watchdog the number may belong to others.
        if self.watchdog.is_some() {
            self.end();
        }
    }
}

fn locked() -> std::sync::MutexGuard<'static, Vec<Child>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads name, process group and state out of `/proc/N/stat`: `N (name) S parent group …`, where the name may
/// hold anything, parentheses and spaces included.
fn parse_stat(stat: &str) -> Option<(&str, i32, &str)> {
    let (head, tail) = stat.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    let mut fields = tail.split_ascii_whitespace();
    let state = fields.next()?;
    let group = fields.nth(1)?.parse().ok()?;
    Some((name, group, state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_have_any_name() {
        assert_eq!(
            parse_stat("12 (a) S 3 (b) R 1 77 77 0"),
            Some(("a) S 3 (b", 77, "R"))
        );
        assert_eq!(parse_stat("12"), None);
    }
}

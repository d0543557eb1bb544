//! A process group with its watchdog.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::orphans::{self, Orphan};

/// What the watchdog does: waits until its standard input ends, then kills its process group. What is meant for
/// the children in it, such as the `SIGTERM` of a stop, does not end it.
const WATCHDOG: &str = "trap '' HUP INT QUIT TERM; read -r _; kill -KILL 0";

/// How long killed processes may take to be gone.
const DYING: Duration = Duration::from_secs(5);

/// The variable that tells to which task a process belongs that has left its group: each task has a home of its own.
const HOME: &str = "HOME";

/// All groups of this process.
static GROUPS: Mutex<Groups> = Mutex::new(Groups {
    idle: Vec::new(),
    active: Vec::new(),
});

struct Groups {
    /// Watchdogs whose groups have nobody else in them. Starting one takes as long as starting a small program.
    idle: Vec<Child>,
    active: Vec<Active>,
}

/// What is known of a group in which a child runs.
struct Active {
    id: Pid,
    child: Option<Pid>,
    /// Its [`HOME`], if it was given one.
    home: Option<OsString>,
}

impl Active {
    fn has_started(&self, orphan: &Orphan) -> bool {
        let home = self.home.as_ref();
        orphan.group == self.id
            || home.is_some_and(|home| orphan.has_variable(HOME, home.as_encoded_bytes()))
    }
}

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
        orphans::adopt();
        let mut watchdog = None;
        while let Some(mut idle) = locked().idle.pop() {
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
        let id = pid(&watchdog);
        locked().active.push(Active {
            id,
            child: None,
            home: None,
        });
        Ok(Self {
            id,
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
        let home = command.get_envs().find(|(name, _)| *name == HOME);
        if let Some(active) = locked().active.iter_mut().find(|group| group.id == self.id) {
            active.child = Some(pid(&child));
            active.home = home.and_then(|(_, home)| Some(home?.to_owned()));
        }
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

    /// The processes that the child has left behind, whether or not they are in the group. What cannot be told to
    /// be another child's counts as this one's: somebody must end it.
    pub(super) fn survivors(&self) -> Vec<Orphan> {
        let groups = locked();
        let is_own = |id: Pid| {
            groups.idle.iter().any(|watchdog| pid(watchdog) == id)
                || groups
                    .active
                    .iter()
                    .any(|group| group.id == id || group.child == Some(id))
        };
        let mut found = orphans::adopted(&is_own);
        found.retain(|orphan| {
            let mut others = groups.active.iter().filter(|group| group.id != self.id);
            !others.any(|other| other.has_started(orphan))
        });
        found
    }

    /// Leaves the group, in which nobody but the watchdog is any more, to the next child.
    pub(super) fn leave(mut self) {
        let watchdog = self.watchdog.take();
        let mut groups = locked();
        groups.active.retain(|group| group.id != self.id);
        groups.idle.extend(watchdog);
    }

    /// Kills what is left of the child and waits for it and the watchdog.
    pub(super) fn end(&mut self) {
        self.signal(Signal::SIGKILL);
        // Both are dead or dying, so that there is nothing to be told of a failed wait.
        if let Some(child) = &mut self.child {
            let _ = child.wait();
        }
        // A kill takes a moment on a busy machine, and only then do the children of the killed show. One that the
        // kernel cannot end, as it waits for a device, must not hold us for ever.
        let until = Instant::now() + DYING;
        loop {
            let survivors = self.survivors();
            if survivors.is_empty() || Instant::now() >= until {
                break;
            }
            for survivor in survivors {
                // It may be gone by now, which is what this is for.
                let _ = kill(survivor.id, Signal::SIGKILL);
            }
            thread::sleep(Duration::from_millis(2));
        }
        if let Some(mut watchdog) = self.watchdog.take() {
            let _ = watchdog.wait();
        }
        locked().active.retain(|group| group.id != self.id);
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

fn locked() -> MutexGuard<'static, Groups> {
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The number of a process; the kernel's are below 2^22.
fn pid(process: &Child) -> Pid {
    Pid::from_raw(process.id().cast_signed())
}

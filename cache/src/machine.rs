//! Being alone on the machine: what is measured waits until no other process works, and others wait for it.
//!
//! Two bytes of one file are locked. Whoever works shares the first; who must be alone takes it alone. To that end he
//! takes the second first, which everybody else must pass: so those who work become fewer until he is alone.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Context, StoreError};
use crate::lock::{Kind, open_locks, try_lock_byte, unlock, wait_for};

/// Shared by those who work.
const WORK_BYTE: i64 = 0;
/// Held by who waits to be alone.
const TURNSTILE_BYTE: i64 = 1;

/// A process among those that share a machine, and the file by which they know of each other.
#[derive(Debug)]
pub struct SharedMachine {
    path: PathBuf,
    /// How many guards there are. The lock belongs to the open file, which all of them share.
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    file: Option<File>,
    guards: usize,
}

/// Keeps others from being alone, or from working, until it is dropped.
#[derive(Debug)]
#[must_use = "the machine is given up when this is dropped"]
pub struct MachineGuard<'a>(&'a SharedMachine);

impl Drop for MachineGuard<'_> {
    fn drop(&mut self) {
        let mut inside = self.0.inside();
        inside.guards -= 1;
        if inside.guards == 0
            && let Some(file) = &inside.file
        {
            unlock(file, WORK_BYTE);
        }
    }
}

impl SharedMachine {
    /// The processes that name this file share a machine. It is made at the first use, and stays.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            inside: Mutex::default(),
        }
    }

    /// Waits until no other process is alone, or with `alone` until no other process works. Within this process
    /// whoever wants to be alone must see to it himself.
    ///
    /// `on_wait` and `cancelled` are as for [`Store::lock`](crate::Store::lock).
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] where the file cannot be made or locked.
    pub fn enter(
        &self,
        alone: bool,
        cancelled: &dyn Fn() -> bool,
        on_wait: &mut dyn FnMut(),
    ) -> Result<Option<MachineGuard<'_>>, StoreError> {
        let mut inside = self.inside();
        let Inside { file, guards } = &mut *inside;
        if *guards == 0 || alone {
            let file = match file {
                Some(file) => file,
                None => file.insert(open_locks(&self.path).context("open", &self.path)?),
            };
            if take(file, alone, cancelled, on_wait, &self.path)?.is_none() {
                return Ok(None);
            }
        }
        *guards += 1;
        Ok(Some(MachineGuard(self)))
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn take(
    file: &File,
    alone: bool,
    cancelled: &dyn Fn() -> bool,
    on_wait: &mut dyn FnMut(),
    path: &Path,
) -> Result<Option<()>, StoreError> {
    let mut told = false;
    let mut once = || {
        if !std::mem::replace(&mut told, true) {
            on_wait();
        }
    };
    let kind = match alone {
        true => Kind::Alone,
        false => Kind::Shared,
    };
    for byte in [TURNSTILE_BYTE, WORK_BYTE] {
        let taken = wait_for(cancelled, &mut once, || {
            let taken = try_lock_byte(file, kind, byte).context("lock", path)?;
            Ok(taken.then_some(()))
        });
        // Through the turnstile, or away from it.
        if byte == WORK_BYTE {
            unlock(file, TURNSTILE_BYTE);
        }
        if taken?.is_none() {
            return Ok(None);
        }
    }
    Ok(Some(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(machine: &SharedMachine, alone: bool) -> Option<MachineGuard<'_>> {
        machine.enter(alone, &|| true, &mut || {}).unwrap()
    }

    #[test]
    fn many_work_together_and_one_is_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("machine.lock");
        // Each of them stands for a process: a lock belongs to an opening of the file.
        let (one, other) = (SharedMachine::new(&path), SharedMachine::new(&path));
        let first = enter(&one, false).unwrap();
        let second = enter(&one, false).unwrap();
        let third = enter(&other, false).unwrap();
        drop(third);
        assert!(enter(&other, true).is_none());
        drop(first);
        assert!(enter(&other, true).is_none(), "one of two still works");
        drop(second);
        let alone = enter(&other, true).unwrap();
        assert!(enter(&one, false).is_none());
        assert!(enter(&one, true).is_none());
        drop(alone);
        assert!(enter(&one, true).is_some());
        assert!(enter(&other, false).is_some());
    }

    #[test]
    fn who_waits_to_be_alone_keeps_newcomers_out_until_he_gives_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("machine.lock");
        let (one, other, third) = (
            SharedMachine::new(&path),
            SharedMachine::new(&path),
            SharedMachine::new(&path),
        );
        let works = enter(&one, false).unwrap();
        let asked = std::cell::Cell::new(0);
        let mut told = 0;
        let cancelled = || {
            // In the midst of waiting.
            assert!(enter(&third, false).is_none());
            asked.set(asked.get() + 1);
            asked.get() == 3
        };
        let waited = other.enter(true, &cancelled, &mut || told += 1).unwrap();
        assert!(waited.is_none());
        assert_eq!(told, 1);
        assert!(enter(&third, false).is_some());
        drop(works);
    }
}

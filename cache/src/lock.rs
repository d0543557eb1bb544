//! Locks of keys: of several processes and threads one works on a key.
//!
//! All are bytes of one file, `locks`, at an offset that the key determines; three bytes beyond those of keys are for
//! collections, which `uses` and `maintenance` take. An open file description lock
//! belongs to the opening of the file, so each guard opens it anew and threads exclude one another just as
//! processes do; the system releases it when the owner dies, however it dies.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use blake3::Hash;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::disk;
use crate::error::{Context, StoreError};
use crate::frame::u64_at;
use crate::store::Store;

const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// How long new readers are kept out at a time, and how long they are let in again.
const TURNSTILE_TIME: Duration = Duration::from_millis(50);
const TURNSTILE_PAUSE: Duration = Duration::from_millis(150);

/// The byte that whoever uses the store shares, and that is taken alone to remove something. Keys have those below.
pub(crate) const COLLECTION_BYTE: i64 = 1 << 62;
/// The byte that one collection at a time takes alone. As long as it is taken, no list of uses is removed.
pub(crate) const COLLECTOR_BYTE: i64 = COLLECTION_BYTE + 1;

/// The byte that a process shares while it waits to share the collection byte for long. A collection that cannot get
/// that byte takes this one alone for a moment, so that those who have it become fewer.
pub(crate) const TURNSTILE_BYTE: i64 = COLLECTION_BYTE + 2;

/// The file whose bytes are locked, in the store at `root`.
pub(crate) fn locks_path(root: &Path) -> PathBuf {
    root.join("locks")
}

/// Holds the lock of a key until it is dropped.
#[must_use = "the lock is released when this is dropped"]
pub struct KeyLock {
    file: File,
    offset: i64,
}

impl Drop for KeyLock {
    fn drop(&mut self) {
        // Closing the file would do, unless a child process is just being started and has it open too.
        unlock(&self.file, self.offset);
    }
}

impl Store {
    /// Waits for the lock of `key` and takes it.
    ///
    /// If someone else has it, `on_wait` is called once; from then on `cancelled` is asked about every 50
    /// milliseconds, and once it says true the result is `None`. A thread that asks for a lock which it holds
    /// already waits for itself.
    pub fn lock(
        &self,
        key: &Hash,
        cancelled: &dyn Fn() -> bool,
        on_wait: &mut dyn FnMut(),
    ) -> Result<Option<KeyLock>, StoreError> {
        self.session()?;
        let path = locks_path(self.root());
        let offset = offset_of(key);
        let file = wait_for(cancelled, on_wait, || {
            try_lock(&path, offset).context("lock a key in", &path)
        })?;
        Ok(file.map(|file| KeyLock { file, offset }))
    }
}

/// Tries until it gets something, at growing intervals of up to 50 milliseconds. `on_wait` is called after the
/// first try that brought nothing; once `cancelled` says true the result is `None`.
pub(crate) fn wait_for<T>(
    cancelled: &dyn Fn() -> bool,
    on_wait: &mut dyn FnMut(),
    mut attempt: impl FnMut() -> Result<Option<T>, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut pause = None;
    loop {
        match attempt()? {
            Some(got) => return Ok(Some(got)),
            None if pause.is_none() => on_wait(),
            None => {}
        }
        if cancelled() {
            return Ok(None);
        }
        let now = pause.unwrap_or(FIRST_PAUSE);
        std::thread::sleep(now);
        pause = Some(LONGEST_PAUSE.min(now * 2));
    }
}

/// The same without an end.
pub(crate) fn wait<T>(
    on_wait: &mut dyn FnMut(),
    mut attempt: impl FnMut() -> Result<Option<T>, StoreError>,
) -> Result<T, StoreError> {
    loop {
        if let Some(got) = wait_for(&|| false, on_wait, &mut attempt)? {
            return Ok(got);
        }
    }
}

/// The byte that stands for a key. That two keys share one has a chance of 2^-62; they would then wait for each
/// other.
pub(crate) fn offset_of(key: &Hash) -> i64 {
    (u64_at(key.as_bytes(), 0) >> 2) as i64
}

fn byte_range(kind: libc::c_int, offset: i64) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: offset,
        l_len: 1,
        // Must be zero: the lock belongs to the open file, not to a process.
        l_pid: 0,
    }
}

/// Locks a byte of an open file, together with others who share it (which needs the file open for reading) or
/// alone (open for writing too); false if someone else has it. A lock that the opening has is changed.
pub(crate) fn try_lock_byte(file: &File, kind: Kind, offset: i64) -> io::Result<bool> {
    match fcntl(
        file,
        FcntlArg::F_OFD_SETLK(&byte_range(kind.code(), offset)),
    ) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Waits for a byte and locks it together with others.
pub(crate) fn share_byte(file: &File, offset: i64) -> io::Result<()> {
    let range = byte_range(Kind::Shared.code(), offset);
    loop {
        match fcntl(file, FcntlArg::F_OFD_SETLKW(&range)) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits for the collection byte and shares it, and lets a collection go first that waits for it.
pub(crate) fn share_for_long(file: &File) -> io::Result<()> {
    share_byte(file, TURNSTILE_BYTE)?;
    let shared = share_byte(file, COLLECTION_BYTE);
    unlock(file, TURNSTILE_BYTE);
    shared
}

/// Waits until nobody shares the collection byte, and takes it alone. `on_wait` is called if that takes long.
///
/// Those who share it for long are kept out for a moment at a time only: as long as one of them has it, the others
/// must not have to wait.
pub(crate) fn take_alone(file: &File, on_wait: &mut dyn FnMut()) -> io::Result<()> {
    let mut told = false;
    loop {
        let end = Instant::now() + TURNSTILE_TIME;
        let mut closed = false;
        while Instant::now() < end {
            closed = closed || try_lock_byte(file, Kind::Alone, TURNSTILE_BYTE)?;
            if try_lock_byte(file, Kind::Alone, COLLECTION_BYTE)? {
                unlock(file, TURNSTILE_BYTE);
                return Ok(());
            }
            std::thread::sleep(FIRST_PAUSE);
        }
        unlock(file, TURNSTILE_BYTE);
        if !told {
            on_wait();
            told = true;
        }
        std::thread::sleep(TURNSTILE_PAUSE);
    }
}

/// Gives a byte up.
pub(crate) fn unlock(file: &File, offset: i64) {
    // It fails only for ranges and files that no lock could have been taken on.
    let _ = fcntl(
        file,
        FcntlArg::F_OFD_SETLK(&byte_range(libc::F_UNLCK, offset)),
    );
}

/// How a byte is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Shared,
    Alone,
}

impl Kind {
    fn code(self) -> libc::c_int {
        match self {
            Self::Shared => libc::F_RDLCK,
            Self::Alone => libc::F_WRLCK,
        }
    }
}

/// Opens the file of locks for taking bytes alone; it is made if it is not there.
pub(crate) fn open_locks(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

/// Opens the file of locks and takes one byte alone; `None` if someone else has it.
pub(crate) fn try_lock(path: &Path, offset: i64) -> io::Result<Option<File>> {
    loop {
        let file = open_locks(path)?;
        if !try_lock_byte(&file, Kind::Alone, offset)? {
            return Ok(None);
        }
        if disk::still_named(&file, path)? {
            return Ok(Some(file));
        }
        // Someone removed the file; those who come now make and lock another.
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn take(store: &Store, key: &[u8]) -> Option<KeyLock> {
        store
            .lock(&blake3::hash(key), &|| true, &mut || {})
            .unwrap()
    }

    #[test]
    fn a_lock_excludes_its_own_key_only_and_ends_with_its_guard() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let guard = take(&store, b"a").unwrap();
        assert!(take(&store, b"a").is_none());
        assert!(take(&store, b"b").is_some());
        drop(guard);
        assert!(take(&store, b"a").is_some());
    }

    #[test]
    fn waiting_is_told_once_and_can_be_cancelled() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let _guard = take(&store, b"a").unwrap();
        let asked = Cell::new(0);
        let mut told = 0;
        let cancelled = || {
            asked.set(asked.get() + 1);
            asked.get() == 4
        };
        let lock = store.lock(&blake3::hash(b"a"), &cancelled, &mut || told += 1);
        assert!(lock.unwrap().is_none());
        assert_eq!((asked.get(), told), (4, 1));
    }

    #[test]
    fn threads_exclude_one_another() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let inside = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        let guard = store.lock(&blake3::hash(b"a"), &|| false, &mut || {});
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(guard.unwrap().unwrap());
                    }
                });
            }
        });
    }

    #[test]
    fn offsets_are_never_negative_and_below_those_of_collections() {
        let largest = offset_of(&Hash::from_bytes([0xff; 32]));
        assert_eq!(largest, COLLECTION_BYTE - 1);
    }
}

//! The private folder that a process has in the store while it writes: unfinished blobs and scratch live here.
//!
//! `tmp/<name>.lock` is locked as long as the owner lives; `tmp/<name>/` is what it owns, and `tmp/<name>.uses` is
//! what it uses. A lock that nobody holds means that the owner is gone, so the others can go too; but no list of
//! uses goes while there is a collection, because what it named may be in a record by now that the collection has
//! not seen.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::crash::crash_point;
use crate::disk;
use crate::error::{Context, StoreError};
use crate::lock::{COLLECTOR_BYTE, Kind, locks_path, try_lock_byte};
use crate::scratch::Made;

const LOCK: &str = ".lock";
const USES: &str = ".uses";

/// A process's folder under `tmp/`; it and its lock are removed on drop.
pub(crate) struct Session {
    root: PathBuf,
    name: String,
    folder: PathBuf,
    lock_path: PathBuf,
    /// Held for its lock.
    _lock: File,
    /// Scratch folders that nobody uses.
    idle: Mutex<Vec<Made>>,
}

impl Session {
    /// Removes what dead processes left in the `tmp` of the store at `root`, which must exist, and makes a folder for
    /// this one.
    pub(crate) fn begin(root: &Path) -> Result<Session, StoreError> {
        let tmp = tmp_folder(root);
        sweep(root)?;
        loop {
            let name = disk::random_name();
            let lock_path = tmp.join(format!("{name}{LOCK}"));
            let lock = File::create_new(&lock_path).context("make", &lock_path)?;
            lock.lock().context("lock", &lock_path)?;
            // Between making and locking it, a sweeper may have taken it for a dead one's.
            if !disk::still_named(&lock, &lock_path).context("look at", &lock_path)? {
                continue;
            }
            crash_point("session-locked");
            let folder = tmp.join(&name);
            fs::create_dir(&folder).context("make the folder", &folder)?;
            crash_point("session-made");
            return Ok(Session {
                root: root.to_owned(),
                name,
                folder,
                lock_path,
                _lock: lock,
                idle: Mutex::default(),
            });
        }
    }

    /// An empty file of a new name, readable and writable.
    pub(crate) fn make_file(&self) -> Result<(File, PathBuf), StoreError> {
        let path = self.new_path();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .context("make", &path)?;
        Ok((file, path))
    }

    /// An empty folder of a new name.
    pub(crate) fn make_folder(&self) -> Result<PathBuf, StoreError> {
        let path = self.new_path();
        fs::create_dir(&path).context("make the folder", &path)?;
        Ok(path)
    }

    /// Keeps an emptied scratch folder for the next.
    pub(crate) fn keep(&self, made: Made) {
        self.idle().push(made);
    }

    /// An empty scratch folder with these folders in it, if there is one.
    pub(crate) fn take(&self, inner: &[&str]) -> Option<Made> {
        let mut idle = self.idle();
        let at = idle.iter().position(|made| made.has(inner))?;
        Some(idle.swap_remove(at))
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Made>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new name in the folder.
    pub(crate) fn new_path(&self) -> PathBuf {
        self.folder.join(disk::random_name())
    }

    /// Where the process lists what it uses.
    pub(crate) fn uses_path(&self) -> PathBuf {
        uses_path(&tmp_folder(&self.root), &self.name)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // What cannot be removed now is swept by a later process, for which the lock must stay.
        let removed = remove_tree(&self.folder)
            .and_then(|()| remove_uses(&self.root, &tmp_folder(&self.root), &self.name));
        if removed.is_ok() {
            let _ = fs::remove_file(&self.lock_path);
        }
    }
}

/// The folder of the sessions of the store at `root`.
pub(crate) fn tmp_folder(root: &Path) -> PathBuf {
    root.join("tmp")
}

fn uses_path(tmp: &Path, name: &str) -> PathBuf {
    tmp.join(format!("{name}{USES}"))
}

/// The session that an entry of `tmp` belongs to.
pub(crate) fn session_of(entry: &str) -> &str {
    let name = entry.strip_suffix(LOCK).or(entry.strip_suffix(USES));
    name.unwrap_or(entry)
}

/// Whether an entry of `tmp` is a list of uses.
pub(crate) fn is_uses(entry: &str) -> bool {
    entry.ends_with(USES)
}

/// Removes the list of a session's uses, unless there is a collection: then it stays for that, and a later process
/// sweeps it. It need not exist.
fn remove_uses(root: &Path, tmp: &Path, name: &str) -> io::Result<()> {
    // Held until the list is gone: a collection that begins after that sees what the session recorded.
    let locks = match File::open(locks_path(root)) {
        Ok(locks) if !try_lock_byte(&locks, Kind::Shared, COLLECTOR_BYTE)? => return Ok(()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        locks => locks.ok(),
    };
    let removed = fs::remove_file(uses_path(tmp, name));
    drop(locks);
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Removes the sessions whose owners are gone.
pub(crate) fn sweep(root: &Path) -> Result<(), StoreError> {
    let tmp = tmp_folder(root);
    for entry in fs::read_dir(&tmp).context("list the folder", &tmp)? {
        let name = entry.context("list the folder", &tmp)?.file_name();
        // A folder without a lock is found too: a power cut may have kept the one and lost the other. Owners lock
        // before they make the folder, so making its lock here takes it from nobody.
        let Some(name) = name.to_str().map(session_of) else {
            continue;
        };
        // Others may sweep at the same time, and what cannot be removed must not stop this process.
        let _ = sweep_one(root, &tmp, name);
    }
    Ok(())
}

fn sweep_one(root: &Path, tmp: &Path, name: &str) -> io::Result<()> {
    let lock_path = tmp.join(format!("{name}{LOCK}"));
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&lock_path)?;
    lock.try_lock()?;
    if disk::still_named(&lock, &lock_path)? {
        remove_tree(&tmp.join(name))?;
        remove_uses(root, tmp, name)?;
        fs::remove_file(&lock_path)?;
    }
    Ok(())
}

/// Removes a folder and what is in it, folders without write permission included. It need not exist.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_folders(path)?;
            fs::remove_dir_all(path)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn open_folders(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_folders(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::lock::open_locks;

    /// A folder that has what a session needs of a store.
    pub(crate) fn store_folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(tmp_folder(folder.path())).unwrap();
        folder
    }

    fn names(root: &Path) -> usize {
        fs::read_dir(tmp_folder(root)).unwrap().count()
    }

    #[test]
    fn a_session_leaves_nothing_behind() {
        let store = store_folder();
        let session = Session::begin(store.path()).unwrap();
        session.make_file().unwrap();
        session.make_folder().unwrap();
        fs::write(session.uses_path(), "").unwrap();
        assert_eq!(names(store.path()), 3);
        drop(session);
        assert_eq!(names(store.path()), 0);
    }

    #[test]
    fn what_the_dead_left_is_swept_and_what_is_alive_is_not() {
        let store = store_folder();
        let tmp = tmp_folder(store.path());
        let alive = Session::begin(store.path()).unwrap();
        let (_, kept) = alive.make_file().unwrap();
        fs::write(alive.uses_path(), "").unwrap();
        let whole = tmp.join("whole");
        fs::create_dir(&whole).unwrap();
        fs::write(whole.join("file"), "x").unwrap();
        fs::write(tmp.join("whole.lock"), "").unwrap();
        fs::write(tmp.join("whole.uses"), "").unwrap();
        fs::write(tmp.join("only.lock"), "").unwrap();
        fs::write(tmp.join("list.uses"), "").unwrap();
        fs::create_dir(tmp.join("folder")).unwrap();

        let second = Session::begin(store.path()).unwrap();
        assert!(kept.exists() && alive.uses_path().exists());
        assert_eq!(names(store.path()), 5);
        drop(second);
        drop(alive);
        assert_eq!(names(store.path()), 0);
    }

    #[test]
    fn lists_of_uses_stay_as_long_as_there_is_a_collection() {
        let store = store_folder();
        let session = Session::begin(store.path()).unwrap();
        let uses = session.uses_path();
        fs::write(&uses, "").unwrap();
        fs::write(tmp_folder(store.path()).join("dead.uses"), "").unwrap();
        let locks = open_locks(&locks_path(store.path())).unwrap();
        assert!(try_lock_byte(&locks, Kind::Alone, COLLECTOR_BYTE).unwrap());
        drop(session);
        sweep(store.path()).unwrap();
        assert_eq!(names(store.path()), 2);
        assert!(uses.exists());
        drop(locks);
        sweep(store.path()).unwrap();
        assert_eq!(names(store.path()), 0);
    }
}

//! The private folder that a process has in the store while it writes: unfinished blobs and scratch live here.
//!
//! `tmp/<name>.lock` is locked as long as the owner lives; `tmp/<name>/` is what it owns. A lock that nobody holds
//! means that the owner is gone, so the folder can go too.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::crash::crash_point;
use crate::disk;
use crate::error::{Context, StoreError};

/// A process's folder under `tmp/`; it and its lock are removed on drop.
pub(crate) struct Session {
    folder: PathBuf,
    lock_path: PathBuf,
    /// Held for its lock.
    _lock: File,
}

impl Session {
    /// Removes what dead processes left in `tmp`, which must exist, and makes a folder for this one.
    pub(crate) fn begin(tmp: &Path) -> Result<Session, StoreError> {
        sweep(tmp)?;
        loop {
            let name = disk::random_name();
            let lock_path = tmp.join(format!("{name}.lock"));
            let lock = File::create_new(&lock_path).context("make", &lock_path)?;
            lock.lock().context("lock", &lock_path)?;
            // Between making and locking it, a sweeper may have taken it for a dead one's.
            if !disk::still_named(&lock, &lock_path).context("look at", &lock_path)? {
                continue;
            }
            crash_point("session-locked");
            let folder = tmp.join(name);
            fs::create_dir(&folder).context("make the folder", &folder)?;
            crash_point("session-made");
            return Ok(Session {
                folder,
                lock_path,
                _lock: lock,
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

    fn new_path(&self) -> PathBuf {
        self.folder.join(disk::random_name())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // What cannot be removed now is swept by a later process, for which the lock must stay.
        if remove_tree(&self.folder).is_ok() {
            let _ = fs::remove_file(&self.lock_path);
        }
    }
}

/// Removes the sessions whose owners are gone.
fn sweep(tmp: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(tmp).context("list the folder", tmp)? {
        let name = entry.context("list the folder", tmp)?.file_name();
        // A folder without a lock is found too: a power cut may have kept the one and lost the other. Owners lock
        // before they make the folder, so making its lock here takes it from nobody.
        let Some(name) = name.to_str().map(|name| name.trim_end_matches(".lock")) else {
            continue;
        };
        // Others may sweep at the same time, and what cannot be removed must not stop this process.
        let _ = sweep_one(tmp, name);
    }
    Ok(())
}

fn sweep_one(tmp: &Path, name: &str) -> io::Result<()> {
    let lock_path = tmp.join(format!("{name}.lock"));
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&lock_path)?;
    lock.try_lock()?;
    if disk::still_named(&lock, &lock_path)? {
        remove_tree(&tmp.join(name))?;
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
mod tests {
    use super::*;

    fn names(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_session_leaves_nothing_behind() {
        let tmp = tempfile::tempdir().unwrap();
        let session = Session::begin(tmp.path()).unwrap();
        session.make_file().unwrap();
        session.make_folder().unwrap();
        assert_eq!(names(tmp.path()), 2);
        drop(session);
        assert_eq!(names(tmp.path()), 0);
    }

    #[test]
    fn what_the_dead_left_is_swept_and_what_is_alive_is_not() {
        let tmp = tempfile::tempdir().unwrap();
        let alive = Session::begin(tmp.path()).unwrap();
        let (_, kept) = alive.make_file().unwrap();
        let whole = tmp.path().join("whole");
        fs::create_dir(&whole).unwrap();
        fs::write(whole.join("file"), "x").unwrap();
        fs::write(tmp.path().join("whole.lock"), "").unwrap();
        fs::write(tmp.path().join("only.lock"), "").unwrap();
        fs::create_dir(tmp.path().join("folder")).unwrap();

        let second = Session::begin(tmp.path()).unwrap();
        assert!(kept.exists());
        assert_eq!(names(tmp.path()), 4);
        drop(second);
        drop(alive);
        assert_eq!(names(tmp.path()), 0);
    }
}

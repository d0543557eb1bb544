//! Folders for work in progress: private ones that vanish, and resumable ones that stay.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blake3::Hash;

use crate::disk;
use crate::error::{Context, StoreError};
use crate::session::{Session, remove_tree};
use crate::store::Store;

/// A private folder that began with some empty folders in it. It is gone on drop; if the process is killed, a later
/// one removes it.
pub struct Scratch {
    made: Made,
    /// Keeps other processes from sweeping the folder.
    session: Arc<Session>,
}

/// A folder as it was made. Making and removing folders is what costs most about a small task, so one that has been
/// emptied serves the next.
pub(crate) struct Made {
    path: PathBuf,
    /// The folders in it, by their paths from here.
    inner: Vec<PathBuf>,
    /// What it and they were like.
    like: Like,
}

/// What a program may have changed about a folder.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Like {
    mode: u32,
    owner: u32,
    group: u32,
}

impl Scratch {
    /// Where the folder is.
    pub fn path(&self) -> &Path {
        &self.made.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let made = Made {
            path: std::mem::take(&mut self.made.path),
            inner: std::mem::take(&mut self.made.inner),
            like: self.made.like,
        };
        if made.empty().is_ok_and(|as_made| as_made) {
            self.session.keep(made);
        } else {
            // What cannot be removed now goes with the session, or is swept by a later process.
            let _ = remove_tree(&made.path);
        }
    }
}

impl Made {
    fn new(path: PathBuf, inner: &[&str]) -> Result<Made, StoreError> {
        for name in inner {
            let folder = path.join(name);
            fs::create_dir(&folder).context("make the folder", &folder)?;
        }
        Ok(Made {
            like: Like::of(&path).context("look at", &path)?,
            inner: inner.iter().map(PathBuf::from).collect(),
            path,
        })
    }

    pub(crate) fn has(&self, inner: &[&str]) -> bool {
        self.inner.iter().eq(inner.iter().map(Path::new))
    }

    /// Removes all that was not there in the beginning, and says whether everything is as it was then.
    fn empty(&self) -> io::Result<bool> {
        let kept = self.empty_folder(&self.path, Path::new(""))?;
        Ok(kept == Some(self.inner.len()))
    }

    /// Empties one of the folders that were there, and those in it. Returns how many of those there are; nothing if
    /// one of them was changed.
    fn empty_folder(&self, path: &Path, name: &Path) -> io::Result<Option<usize>> {
        if Like::of(path)? != self.like {
            return Ok(None);
        }
        let mut kept = 0;
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let (path, name) = (entry.path(), name.join(entry.file_name()));
            if !entry.file_type()?.is_dir() {
                fs::remove_file(path)?;
            } else if self.inner.contains(&name) {
                let Some(inside) = self.empty_folder(&path, &name)? else {
                    return Ok(None);
                };
                kept += inside + 1;
            } else {
                remove_tree(&path)?;
            }
        }
        Ok(Some(kept))
    }
}

impl Like {
    fn of(path: &Path) -> io::Result<Like> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Like {
            mode: metadata.mode(),
            owner: metadata.uid(),
            group: metadata.gid(),
        })
    }
}

impl Store {
    /// Makes a scratch folder, on the file system of the store, with these empty folders in it and nothing else. They
    /// are paths in it; one that lies in another stands after that.
    pub fn scratch(&self, inner: &[&str]) -> Result<Scratch, StoreError> {
        let session = self.session()?;
        let made = match session.take(inner) {
            Some(made) => made,
            None => Made::new(session.make_folder()?, inner)?,
        };
        Ok(Scratch { made, session })
    }

    /// The folder in which work on `key` can be taken up again after a failed or killed attempt. It is made if it
    /// is not there. The caller holds the lock of the key. Nothing in it is durable or verified by the store.
    pub fn resumable(&self, key: &Hash) -> Result<PathBuf, StoreError> {
        self.session()?;
        let above = self.root().join("resumable");
        disk::make_folder(&above)?;
        let path = above.join(key.to_hex().as_str());
        disk::make_folder(&path)?;
        Ok(path)
    }

    /// Removes the resumable folder of `key`, if there is one. The caller holds the lock of the key.
    pub fn clear_resumable(&self, key: &Hash) -> Result<(), StoreError> {
        let path = self.root().join("resumable").join(key.to_hex().as_str());
        remove_tree(&path).context("remove the folder", &path)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// What there is below a folder, by paths from there, in order.
    fn tree(path: &Path) -> Vec<PathBuf> {
        fn add(root: &Path, path: &Path, found: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(path).unwrap() {
                let path = entry.unwrap().path();
                found.push(path.strip_prefix(root).unwrap().to_owned());
                if path.is_dir() {
                    add(root, &path, found);
                }
            }
        }
        let mut found = Vec::new();
        add(path, path, &mut found);
        found.sort();
        found
    }

    /// The folder that comes after one in which `act` was done.
    fn after(act: impl Fn(&Path)) -> (bool, Vec<PathBuf>, u32) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let inner = ["home", "work", "work/in"];
        let first = store.scratch(&inner).unwrap();
        let place = first.path().to_owned();
        act(&place);
        drop(first);
        let second = store.scratch(&inner).unwrap();
        let mode = fs::metadata(second.path().join("work")).unwrap().mode() & 0o777;
        let kept = second.path() == place;
        (kept, tree(second.path()), mode)
    }

    #[test]
    fn the_next_folder_has_nothing_of_the_one_before() {
        let mode = after(|_| {}).2;
        let clean = |act: &dyn Fn(&Path), kept: bool| {
            let expected = ["home", "work", "work/in"].map(PathBuf::from).to_vec();
            assert_eq!(after(act), (kept, expected, mode));
        };
        clean(&|_| {}, true);
        clean(
            &|root| fs::write(root.join("work/file"), "x").unwrap(),
            true,
        );
        clean(&|root| fs::write(root.join("file"), "x").unwrap(), true);
        clean(
            &|root| {
                fs::create_dir_all(root.join("work/deep/er")).unwrap();
                fs::write(root.join("work/deep/er/file"), "x").unwrap();
                symlink(root, root.join("home/link")).unwrap();
                let closed = Permissions::from_mode(0o500);
                fs::set_permissions(root.join("work/deep"), closed).unwrap();
            },
            true,
        );
        clean(
            &|root| fs::write(root.join("work/in/file"), "x").unwrap(),
            true,
        );
        clean(&|root| fs::remove_dir(root.join("work/in")).unwrap(), false);
        clean(&|root| fs::remove_dir(root.join("home")).unwrap(), false);
        clean(
            &|root| {
                let outside = root.parent().unwrap().join("outside");
                fs::create_dir(&outside).unwrap();
                fs::remove_dir(root.join("home")).unwrap();
                symlink(&outside, root.join("home")).unwrap();
            },
            false,
        );
        clean(
            &|root| {
                let open = Permissions::from_mode(0o777);
                fs::set_permissions(root.join("work"), open).unwrap();
            },
            false,
        );
        clean(&|root| fs::remove_dir_all(root).unwrap(), false);
    }

    #[test]
    fn folders_of_two_at_a_time_are_two() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        drop(store.scratch(&["a"]).unwrap());
        let first = store.scratch(&["a"]).unwrap();
        let second = store.scratch(&["a"]).unwrap();
        let other = store.scratch(&[]).unwrap();
        assert_ne!(first.path(), second.path());
        assert!(tree(other.path()).is_empty());
    }
}

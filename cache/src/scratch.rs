//! Folders for work in progress: private ones that vanish, and resumable ones that stay.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use blake3::Hash;

use crate::disk;
use crate::error::{Context, StoreError};
use crate::session::{Session, remove_tree};
use crate::store::Store;

/// A fresh, empty, private folder. It is removed on drop; if the process is killed, a later one removes it.
pub struct Scratch {
    path: PathBuf,
    /// Keeps other processes from sweeping the folder.
    _session: Arc<Session>,
}

impl Scratch {
    /// Where the folder is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now goes with the session, or is swept by a later process.
        let _ = remove_tree(&self.path);
    }
}

impl Store {
    /// Makes a scratch folder, on the file system of the store.
    pub fn scratch(&self) -> Result<Scratch, StoreError> {
        let session = self.session()?;
        Ok(Scratch {
            path: session.make_folder()?,
            _session: session,
        })
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

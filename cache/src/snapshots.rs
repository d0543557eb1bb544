//! What programs note for their own next run. It may be lost at any time.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use blake3::Hash;

use crate::disk;
use crate::error::{Context, StoreError};
use crate::store::Store;

/// A longer file is no snapshot, and is not read.
const MAX_BYTES: u64 = 1 << 30;
/// Bytes of the digest at the end of the file.
const DIGEST_BYTES: usize = 32;

/// The folder of the snapshots of the store at `root`.
pub(crate) fn snapshots_folder(root: &Path) -> PathBuf {
    root.join("snapshots")
}

impl Store {
    /// The last snapshot of this name. One that is damaged, or cannot be read, is none.
    pub fn snapshot(&self, name: &Hash) -> Option<Vec<u8>> {
        let path = self.snapshot_path(name);
        // A pipe in its place would be waited for.
        let metadata = fs::symlink_metadata(&path).ok()?;
        if !metadata.is_file() || metadata.len() > MAX_BYTES {
            return None;
        }
        let mut bytes = Vec::new();
        let file = File::open(&path).ok()?;
        file.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
        let content = bytes.len().checked_sub(DIGEST_BYTES)?;
        let digest = blake3::hash(&bytes[..content]);
        if digest.as_bytes()[..] != bytes[content..] {
            return None;
        }
        bytes.truncate(content);
        Some(bytes)
    }

    /// Keeps a snapshot in place of the last one of this name. It is not flushed: after a power cut there may be none,
    /// or a damaged one.
    pub fn keep_snapshot(&self, name: &Hash, content: &[u8]) -> Result<(), StoreError> {
        let session = self.session()?;
        disk::make_folder(&snapshots_folder(self.root()))?;
        let (mut file, temporary) = session.make_file()?;
        let digest = blake3::hash(content);
        let written = file
            .write_all(content)
            .and_then(|()| file.write_all(digest.as_bytes()))
            .context("write", &temporary)
            .and_then(|()| disk::rename(&temporary, &self.snapshot_path(name)));
        if written.is_err() {
            // If this fails too, it goes with the session.
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    fn snapshot_path(&self, name: &Hash) -> PathBuf {
        snapshots_folder(self.root()).join(name.to_hex().as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_is_found_and_a_damaged_one_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let (name, other) = (blake3::hash(b"name"), blake3::hash(b"other"));
        assert_eq!(store.snapshot(&name), None);
        store.keep_snapshot(&name, b"first").unwrap();
        store.keep_snapshot(&name, b"second").unwrap();
        assert_eq!(store.snapshot(&name).as_deref(), Some(&b"second"[..]));
        assert_eq!(store.snapshot(&other), None);
        let path = store.snapshot_path(&name);
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(store.snapshot(&name), None, "{length}");
        }
        for place in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[place] ^= 1;
            fs::write(&path, &flipped).unwrap();
            assert_eq!(store.snapshot(&name), None, "{place}");
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(store.snapshot(&name), None);
    }
}

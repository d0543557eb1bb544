//! What the tests share: a store in a temporary folder, records that can be recognised, snapshots of a folder.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use llmcl_cache::{BlobRef, Hash, NewRecord, Record, Root, Store, StoreError};

pub(crate) fn digest(text: &str) -> Hash {
    blake3::hash(text.as_bytes())
}

/// An empty store and the folder that holds it. Everyone may enter the folder, for the tests that change user.
pub(crate) fn empty_store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    (folder, store)
}

/// A record whose every part follows from its name.
pub(crate) struct Sample {
    name: String,
    inline: Vec<u8>,
}

impl Sample {
    pub(crate) fn new(name: impl Into<String>) -> Sample {
        let name = name.into();
        Sample {
            inline: format!("inline {name}").into_bytes(),
            name,
        }
    }

    /// The content of the blob that the record names and that has a file.
    pub(crate) fn content(&self) -> Vec<u8> {
        format!("content of {}", self.name).into_bytes()
    }

    pub(crate) fn append(&self, store: &Store, blobs: &[BlobRef]) -> Result<(), StoreError> {
        let mut blobs = blobs.to_vec();
        blobs.push(BlobRef::of(&self.inline));
        store.append(NewRecord {
            key: digest(&self.name),
            shape: digest("shape"),
            blobs: &blobs,
            inline: &[&self.inline],
            body: self.name.as_bytes(),
        })
    }

    /// Whether the store has the record. Panics if it has it, but not as it was appended.
    pub(crate) fn is_in(&self, store: &Store) -> bool {
        store.record(&digest(&self.name)).is_some_and(|record| {
            assert_eq!(record.body(), self.name.as_bytes());
            check(&record);
            true
        })
    }
}

impl Sample {
    /// Panics unless all blobs that the record names can be had.
    pub(crate) fn read_all(&self, store: &Store) {
        let record = store.record(&digest(&self.name)).unwrap();
        for blob in record.blobs() {
            let content = store.blob(&blob.digest, blob.bytes);
            assert_eq!(BlobRef::of(&content.unwrap()), blob);
        }
    }
}

/// What keeps the samples of these names.
pub(crate) fn root_of(names: &[&str]) -> Root {
    Root {
        reason: "kept".to_owned(),
        keys: names.iter().map(|name| digest(name)).collect(),
    }
}

/// Panics unless the record is a [`Sample`], whole.
pub(crate) fn check(record: &Record) {
    let sample = Sample::new(String::from_utf8(record.body().to_vec()).unwrap());
    assert_eq!(record.key(), digest(&sample.name));
    assert_eq!(record.shape(), digest("shape"));
    let inline = BlobRef::of(&sample.inline);
    assert_eq!(record.inline().collect::<Vec<_>>(), [inline]);
    assert_eq!(record.blobs().last(), Some(inline));
}

/// Panics unless every record is whole and every blob that it names is there and intact.
pub(crate) fn check_all(store: &Store) {
    for record in store.records() {
        check(&record);
        assert_eq!(store.missing(&record), []);
        for blob in record.blobs() {
            let content = store.blob(&blob.digest, blob.bytes).unwrap();
            assert_eq!(BlobRef::of(&content), blob);
        }
    }
}

/// Where the store keeps a blob.
pub(crate) fn blob_path(store: &Store, blob: &BlobRef) -> PathBuf {
    let hex = blob.digest.to_hex();
    store
        .root()
        .join("blobs")
        .join(&hex[..2])
        .join(hex.as_str())
}

/// The segments of a store.
pub(crate) fn segments(store: &Store) -> Vec<PathBuf> {
    let entries = fs::read_dir(store.root().join("records")).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Everything about a folder that writing would change.
pub(crate) fn snapshot(folder: &Path) -> BTreeMap<PathBuf, (u32, i64, i64, i64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(path) = folders.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let content = if metadata.is_dir() {
            folders.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
            Vec::new()
        } else {
            fs::read(&path).unwrap()
        };
        let state = (
            metadata.mode(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.ctime_nsec(),
            content,
        );
        found.insert(path, state);
    }
    found
}

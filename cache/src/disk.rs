//! The operations on which durability rests, and their small helpers. They go through this module so that a test
//! can hold their order.

use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Context, StoreError};

/// Flushes a file, content and metadata.
pub(crate) fn sync_file(file: &File, path: &Path) -> Result<(), StoreError> {
    trace("sync", path);
    file.sync_all().context("flush", path)
}

/// Flushes a file's content and as much metadata as is needed to read it back.
pub(crate) fn sync_content(file: &File, path: &Path) -> Result<(), StoreError> {
    trace("sync", path);
    file.sync_data().context("flush", path)
}

/// Flushes the names in a folder. File systems that cannot do this for a folder are believed to need no asking.
pub(crate) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    trace("sync", path);
    match File::open(path).and_then(|folder| folder.sync_all()) {
        Err(error)
            if !matches!(
                error.kind(),
                ErrorKind::Unsupported | ErrorKind::InvalidInput
            ) =>
        {
            Err(error).context("flush the folder", path)
        }
        _ => Ok(()),
    }
}

/// Renames within the store. The name is durable once the folder has been flushed.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    trace("rename", to);
    fs::rename(from, to).context("rename to", to)
}

/// Makes a folder and those above it, each durable in the one above.
pub(crate) fn make_folders(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
        make_folders(above)?;
    }
    make_folder(path)?;
    match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => sync_folder(above),
        _ => sync_folder(Path::new(".")),
    }
}

/// Makes a folder if it is not there; whoever calls flushes the folder above.
pub(crate) fn make_folder(path: &Path) -> Result<(), StoreError> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        result => result.context("make the folder", path),
    }
}

/// What tells one file, and one state of it, from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileState {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl FileState {
    pub(crate) fn of(metadata: &fs::Metadata) -> FileState {
        FileState {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }

    pub(crate) fn same_file(&self, other: &FileState) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// Whether `path` still names this open file. A lock on a file that has lost its name protects nothing.
pub(crate) fn still_named(file: &File, path: &Path) -> io::Result<bool> {
    let open = FileState::of(&file.metadata()?);
    match fs::symlink_metadata(path) {
        Ok(named) => Ok(open.same_file(&FileState::of(&named))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// An identifier that no other process and no later call draws again.
pub(crate) fn random_id() -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    // Each `RandomState` is seeded by the operating system; the rest guards against a seed that repeats.
    for _ in 0..2 {
        hasher.update(&RandomState::new().build_hasher().finish().to_le_bytes());
    }
    hasher.update(&std::process::id().to_le_bytes());
    hasher.update(&nanoseconds_now().to_le_bytes());
    let mut id = [0; 16];
    hasher.finalize_xof().fill(&mut id);
    id
}

/// A random name for a file: 32 hexadecimal digits.
pub(crate) fn random_name() -> String {
    hexadecimal(&random_id())
}

/// Lower-case hexadecimal digits of `bytes`.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Nanoseconds since 1970 by the system's clock; 0 if that is before 1970, and the largest value after the year
/// 2554.
pub(crate) fn nanoseconds_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
        })
}

#[cfg(not(test))]
fn trace(_operation: &str, _path: &Path) {}

#[cfg(test)]
fn trace(operation: &str, path: &Path) {
    tests::TRACE.with_borrow_mut(|trace| trace.push((operation.to_owned(), path.to_owned())));
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::RefCell;
    use std::path::PathBuf;

    use super::*;

    thread_local! {
        /// The durability operations of this thread, in order.
        pub(crate) static TRACE: RefCell<Vec<(String, PathBuf)>> = const { RefCell::new(Vec::new()) };
    }

    /// The operations since the last call, the paths relative to `root`, and what is random in them replaced.
    pub(crate) fn take_trace(root: &Path) -> Vec<String> {
        TRACE
            .take()
            .into_iter()
            .map(|(operation, path)| {
                let path = path.strip_prefix(root).unwrap_or(&path).to_owned();
                let top = path.iter().next().map(|part| part.to_string_lossy());
                match (top.as_deref(), path.iter().count()) {
                    (Some("tmp"), 3) => format!("{operation} tmp/SESSION/FILE"),
                    (Some("records"), 2) => format!("{operation} records/SEGMENT"),
                    _ => format!("{operation} {}", path.display()),
                }
            })
            .collect()
    }

    #[test]
    fn random_names_differ() {
        let names: std::collections::HashSet<_> = (0..1000).map(|_| random_name()).collect();
        assert_eq!(names.len(), 1000);
        assert!(names.iter().all(|name| name.len() == 32));
    }

    #[test]
    fn a_file_that_was_replaced_is_not_still_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let file = File::create(&path).unwrap();
        assert!(still_named(&file, &path).unwrap());
        fs::rename(&path, folder.path().join("g")).unwrap();
        assert!(!still_named(&file, &path).unwrap());
        File::create(&path).unwrap();
        assert!(!still_named(&file, &path).unwrap());
    }

    #[test]
    fn folders_are_made_durable_from_the_top() {
        let folder = tempfile::tempdir().unwrap();
        TRACE.take();
        make_folders(&folder.path().join("a/b")).unwrap();
        assert_eq!(take_trace(folder.path()), ["sync ", "sync a"]);
        make_folders(&folder.path().join("a/b")).unwrap();
        assert!(take_trace(folder.path()).is_empty());
    }
}

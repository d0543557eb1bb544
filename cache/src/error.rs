//! What can go wrong, with the path or the digest that it went wrong on.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blake3::Hash;

/// Why the store could not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file system refused an operation; the cause is the error's source.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was tried, as a phrase that goes before the path: "open", "rename".
        action: &'static str,
        /// The file or folder that it was tried on.
        path: PathBuf,
        /// What the system answered; shared, because records of several threads are flushed together.
        source: Arc<io::Error>,
    },
    /// A record was to be appended that names a blob which the store does not hold at that length.
    #[error("the record names blob {digest} of {bytes} bytes, which the store does not hold")]
    MissingBlob {
        /// Digest of the blob.
        digest: Hash,
        /// Length that the record gives for it, in bytes.
        bytes: u64,
    },
    /// A record is larger than [`MAX_RECORD_BYTES`](crate::MAX_RECORD_BYTES); large outputs belong into blobs.
    #[error("a record of {bytes} bytes is over the limit of {limit} bytes")]
    RecordTooLarge {
        /// Encoded length of the record, in bytes.
        bytes: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The name of a run cannot be the name of a file.
    #[error(
        "`{name}` cannot name a run: use up to 200 letters, digits, `-`, `_` and `.`, and begin with no `.`"
    )]
    BadRunName {
        /// The name as it was given.
        name: String,
    },
    /// Another process or thread is writing this run's log.
    #[error("the log {} is being written by someone else", path.display())]
    RunLogInUse {
        /// Path of the log.
        path: PathBuf,
    },
    /// A line for a run's log contains a line break, so that it would read back as several.
    #[error("a line for the log {} contains a line break", path.display())]
    LineBreak {
        /// Path of the log.
        path: PathBuf,
    },
}

/// Why a blob could not be had. All but [`BlobError::Store`] mean "not there": the work that made it must be done
/// again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// The store holds no blob of this digest.
    #[error("blob {digest} is not in the store")]
    Missing {
        /// Digest of the blob.
        digest: Hash,
    },
    /// What was stored under the digest is not the content that the digest stands for.
    #[error("blob {digest} is damaged; {}", moved(moved_to))]
    Damaged {
        /// Digest of the blob.
        digest: Hash,
        /// Where the damaged file is now; `None` if it could not be moved, for instance in a read-only store.
        moved_to: Option<PathBuf>,
    },
    /// The blob is intact, but its length is not the one asked for: whoever asks is mistaken.
    #[error("blob {digest} has {actual} bytes, not {expected}")]
    Length {
        /// Digest of the blob.
        digest: Hash,
        /// Length asked for, in bytes.
        expected: u64,
        /// Length of the intact blob, in bytes.
        actual: u64,
    },
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn moved(to: &Option<PathBuf>) -> String {
    match to {
        Some(path) => format!("it was set aside as {}", path.display()),
        None => "it could not be set aside".to_owned(),
    }
}

/// Says what was tried and on which path when an operation fails.
pub(crate) trait Context<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, StoreError>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Io {
            action,
            path: path.to_owned(),
            source: Arc::new(source),
        })
    }
}

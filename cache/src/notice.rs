//! What the store noticed on the way and went on from.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use blake3::Hash;

/// Something that was wrong with the store and did not stop it. See [`Store::notices`](crate::Store::notices).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Notice {
    /// Records were damaged and are skipped; the ones around them are intact.
    #[error("{bytes} bytes of records at byte {offset} of {} are damaged and were skipped", segment.display())]
    DamagedRecords {
        /// The segment's file.
        segment: PathBuf,
        /// Where the damage begins, in bytes from the start of the file.
        offset: u64,
        /// How many bytes are skipped.
        bytes: u64,
    },
    /// A segment ended in a record that was not completely written, or damaged; the end was cut off.
    #[error("{bytes} bytes at the end of {} were no complete record and were cut off", segment.display())]
    TornTail {
        /// The segment's file.
        segment: PathBuf,
        /// Where the file ends now, in bytes.
        offset: u64,
        /// How many bytes were cut off.
        bytes: u64,
    },
    /// A segment's header is damaged. Its intact records are used; nothing is appended to it any more.
    #[error("the header of {} is damaged; its intact records are used", segment.display())]
    DamagedHeader {
        /// The segment's file.
        segment: PathBuf,
    },
    /// A segment is of a later version of the format. It is left alone and its records are not seen.
    #[error("{} has format version {version}, which this program does not know; it was ignored", segment.display())]
    FutureSegment {
        /// The segment's file.
        segment: PathBuf,
        /// The version that its header gives.
        version: u32,
    },
    /// A segment could not be read, so its records are not seen.
    #[error("could not read {}: {error}", segment.display())]
    UnreadableSegment {
        /// The segment's file.
        segment: PathBuf,
        /// What the system answered.
        error: io::Error,
    },
    /// A blob does not have the content that its name stands for. It was set aside if that was possible.
    #[error("blob {digest} is damaged and is now {}", path.display())]
    DamagedBlob {
        /// Digest that the blob was stored under.
        digest: Hash,
        /// Where the damaged file is now: in `quarantine/`, or where it was if it could not be moved.
        path: PathBuf,
    },
}

/// The notices that nobody has asked for yet.
#[derive(Debug, Default)]
pub(crate) struct Notices(Mutex<Vec<Notice>>);

impl Notices {
    pub(crate) fn add(&self, notice: Notice) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(notice);
    }

    pub(crate) fn drain(&self) -> Vec<Notice> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

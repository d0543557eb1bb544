//! Blobs: immutable content by digest.

use std::fmt;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use crate::record::{BlobRef, InlineContent};

/// A blob that has been stored and is durable: its digest and its length in bytes.
pub type StoredBlob = BlobRef;

/// The verified content of a blob. Cheap to clone; the content stays valid as long as any clone lives, whatever
/// happens to the store's names meanwhile.
#[derive(Clone)]
pub struct Blob(Content);

#[derive(Clone)]
enum Content {
    /// A file of its own, mapped read-only.
    File { map: Arc<Mmap>, path: Arc<Path> },
    /// A piece of a record.
    Inline(InlineContent),
}

impl Blob {
    pub(crate) fn of_file(map: Mmap, path: &Path) -> Blob {
        Blob(Content::File {
            map: Arc::new(map),
            path: path.into(),
        })
    }

    pub(crate) fn inline(content: InlineContent) -> Blob {
        Blob(Content::Inline(content))
    }

    /// The blob's file, which must not be changed; `None` for a blob that lives inside a record.
    pub fn path(&self) -> Option<&Path> {
        match &self.0 {
            Content::File { path, .. } => Some(path),
            Content::Inline(_) => None,
        }
    }
}

/// The content. That of a file begins on a page boundary, that of a blob inside a record anywhere.
impl AsRef<[u8]> for Blob {
    fn as_ref(&self) -> &[u8] {
        match &self.0 {
            Content::File { map, .. } => map,
            Content::Inline(content) => content.as_ref(),
        }
    }
}

impl Deref for Blob {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_ref()
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Blob")
            .field("bytes", &self.len())
            .field("path", &self.path())
            .finish()
    }
}

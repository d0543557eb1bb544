//! The one place where memory is mapped.

use std::fs::File;
use std::io;

use memmap2::{Mmap, MmapOptions};

/// Maps the first `bytes` bytes of a blob's file for reading. The mapping stays valid when the file is renamed,
/// replaced or unlinked.
#[expect(
    unsafe_code,
    reason = "memory mapping is inherently at the mercy of other processes; the store's rules make it safe"
)]
pub(crate) fn map_blob(file: &File, bytes: usize) -> io::Result<Mmap> {
    // SAFETY: the mapping must not change or shrink while it is in use. Only files under `blobs/` come here: they
    // have mode 0444, and the store never writes to or truncates a file once it has that name. It replaces and
    // removes names only, which leaves the mapped file itself as it is.
    unsafe { MmapOptions::new().len(bytes).map(file) }
}

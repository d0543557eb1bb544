//! Files in memory, without reading them.

use std::fs::{self, File};
use std::io;
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

/// The bytes of a file.
#[derive(Debug)]
pub(crate) enum Mapped {
    /// Nothing cannot be mapped.
    Empty,
    File(Mmap),
}

impl Mapped {
    /// Maps a file, which must be a regular one.
    #[expect(
        unsafe_code,
        reason = "models larger than memory are read in place, tensor by tensor and several times"
    )]
    pub(crate) fn open(path: &Path) -> io::Result<Mapped> {
        // Before it is opened: opening a pipe waits for somebody to write.
        if !fs::metadata(path)?.is_file() {
            let kind = io::ErrorKind::InvalidInput;
            return Err(io::Error::new(kind, "it is no regular file"));
        }
        let file = File::open(path)?;
        if file.metadata()?.len() == 0 {
            return Ok(Mapped::Empty);
        }
        // SAFETY: bytes that another process changes meanwhile are caught: what is written is decoded and compared, and
        // holds digests. One that cuts the file off ends this process with a signal, and no output has appeared then.
        unsafe { Mmap::map(&file) }.map(Mapped::File)
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Mapped::Empty => &[],
            Mapped::File(map) => map,
        }
    }
}

//! Bytes on their way into the store, held against what the corpus file says of them.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use llmcl_stages_api::artifact::BlobRef;
use llmcl_stages_api::task::{BlobSink, Host, TaskError, TaskErrorKind};
use sha2::Digest;

use super::gauge::Gauge;
use super::model::{ModelFile, Sha256};
use super::{disk, outside};

/// How many bytes are read at once.
pub(super) const CHUNK: usize = 1 << 20;

/// A file that is being taken in. Dropped before its end, it leaves nothing.
pub(super) struct Intake<'a> {
    host: &'a dyn Host,
    file: &'a ModelFile,
    sink: Box<dyn BlobSink + 'a>,
    hasher: sha2::Sha256,
    taken: u64,
}

impl<'a> Intake<'a> {
    pub(super) fn new(host: &'a dyn Host, file: &'a ModelFile) -> Result<Self, TaskError> {
        Ok(Self {
            host,
            file,
            sink: host.write()?,
            hasher: sha2::Sha256::new(),
            taken: 0,
        })
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// If there are more than there should be, the store cannot be written, or the task is stopped.
    pub(super) fn push(&mut self, chunk: &[u8], gauge: &mut Gauge<'_>) -> Result<(), TaskError> {
        self.host.checkpoint()?;
        self.taken += chunk.len() as u64;
        if self.taken > self.file.bytes {
            return Err(self.wrong(format!("more than {} bytes", self.file.bytes)));
        }
        self.hasher.update(chunk);
        self.sink.write_all(chunk).map_err(|error| {
            TaskError::new(
                TaskErrorKind::Store,
                format!("`{}` could not be stored: {error}", self.file.name),
            )
        })?;
        gauge.show(self.taken, self.file.bytes);
        Ok(())
    }

    /// Ends the file, which is in the store for good after this.
    ///
    /// # Errors
    /// If it is not what it should be, or the store cannot be written.
    pub(super) fn finish(self) -> Result<BlobRef, TaskError> {
        let found = Sha256(self.hasher.clone().finalize().into());
        if self.taken != self.file.bytes || found != self.file.sha256 {
            return Err(self.wrong(format!("{} bytes with SHA-256 {found}", self.taken)));
        }
        self.sink.finish()
    }

    fn wrong(&self, found: String) -> TaskError {
        outside(format!(
            "`{}` is not what the corpus file says: expected {} bytes with SHA-256 {}, found {found}",
            self.file.name, self.file.bytes, self.file.sha256
        ))
        .with_hint("nothing of it was kept; if the source is to be trusted, correct the corpus file")
    }
}

/// Streams a file of this fetch's own into the intake.
pub(super) fn pour_file(
    path: &Path,
    intake: &mut Intake<'_>,
    gauge: &mut Gauge<'_>,
) -> Result<(), TaskError> {
    let mut file = File::open(path).map_err(|error| disk(path, &error))?;
    pump(&mut file, &|error| disk(path, &error), &mut |chunk| {
        intake.push(chunk, gauge)
    })
}

/// Reads to the end and hands over chunk by chunk; each is full but the last, however little a read yields.
pub(super) fn pump(
    reader: &mut dyn Read,
    failed: &dyn Fn(io::Error) -> TaskError,
    out: &mut dyn FnMut(&[u8]) -> Result<(), TaskError>,
) -> Result<(), TaskError> {
    let mut buffer = Vec::with_capacity(CHUNK);
    loop {
        buffer.clear();
        Read::take(&mut *reader, CHUNK as u64)
            .read_to_end(&mut buffer)
            .map_err(failed)?;
        if buffer.is_empty() {
            return Ok(());
        }
        out(&buffer)?;
    }
}

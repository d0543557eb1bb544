//! Storing a blob.

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::Builder;

use blake3::Hash;

use crate::blob::StoredBlob;
use crate::blob_files::digest_of;
use crate::crash::crash_point;
use crate::disk;
use crate::error::{Context, StoreError};
use crate::session::Session;
use crate::store::Store;

const BUFFER_BYTES: usize = 1 << 16;
/// How much of a file is copied between two looks whether to stop.
const COPY_BYTES: u64 = 256 << 20;

/// A file of this length or more is on its way to the disk while it is digested: each takes long.
const LARGE_BYTES: u64 = 16 << 20;

/// Takes the content of a blob as it comes, and digests it. [`BlobWriter::finish`] stores it; without that, nothing
/// is left behind.
pub struct BlobWriter {
    store: Store,
    file: BufWriter<File>,
    temporary: Temporary,
    hasher: blake3::Hasher,
    bytes: u64,
}

/// The name of an unfinished file. It is removed on drop; once the file has its final name, there is nothing left
/// to remove.
struct Temporary {
    path: PathBuf,
    /// Keeps other processes from sweeping the file.
    _session: Arc<Session>,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Store {
    /// Begins to store a blob whose digest is not known yet.
    pub fn write_blob(&self) -> Result<BlobWriter, StoreError> {
        let session = self.session()?;
        let (file, path) = session.make_file()?;
        crash_point("blob-made");
        Ok(BlobWriter {
            store: self.clone(),
            file: BufWriter::with_capacity(BUFFER_BYTES, file),
            temporary: Temporary {
                path,
                _session: session,
            },
            hasher: blake3::Hasher::new(),
            bytes: 0,
        })
    }

    /// Stores a blob. It is durable when this returns.
    pub fn put(&self, bytes: &[u8]) -> Result<StoredBlob, StoreError> {
        let mut writer = self.write_blob()?;
        writer
            .write_all(bytes)
            .context("write", &writer.temporary.path)?;
        writer.finish()
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl BlobWriter {
    /// Where the unfinished content is: for messages, as an error of [`Write`] does not name it.
    pub fn path(&self) -> &Path {
        &self.temporary.path
    }

    /// Stores what has been written. The blob is durable when this returns.
    ///
    /// If the store holds the content already, it stays; a damaged file under that digest is set aside first.
    pub fn finish(self) -> Result<StoredBlob, StoreError> {
        let BlobWriter {
            store,
            file,
            temporary,
            hasher,
            bytes,
        } = self;
        let path = &temporary.path;
        let file = file
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
            .context("write", path)?;
        let written = file.metadata().context("look at", path)?.len();
        if written != bytes {
            let message = format!("{written} of {bytes} bytes were written");
            return Err(io::Error::new(ErrorKind::WriteZero, message)).context("write", path);
        }
        store.keep_blob(&file, &temporary, hasher.finalize(), bytes)
    }
}

impl Store {
    /// Takes a file as a blob. It is moved, so that its content is not written a second time, and gone from where it
    /// was; if it has other names, or lies on another file system, a copy is taken. Nobody may write to it any more.
    ///
    /// The blob is durable when this returns; nothing is returned if `stopping` said to stop.
    pub fn take_file(
        &self,
        path: &Path,
        stopping: &dyn Fn() -> bool,
    ) -> Result<Option<StoredBlob>, StoreError> {
        let metadata = fs::symlink_metadata(path).context("look at", path)?;
        if metadata.is_file() && metadata.nlink() == 1 {
            let temporary = self.new_temporary()?;
            match fs::rename(path, &temporary.path) {
                Ok(()) => return self.digest_and_keep(&temporary, stopping),
                Err(error) if error.kind() == ErrorKind::CrossesDevices => {}
                Err(error) => return Err(error).context("take", path),
            }
        }
        self.copy_file(path, stopping)
    }

    /// Takes a copy of a file as a blob. Where the file system can share blocks between files, it does.
    ///
    /// The blob is durable when this returns; nothing is returned if `stopping` said to stop.
    pub fn copy_file(
        &self,
        path: &Path,
        stopping: &dyn Fn() -> bool,
    ) -> Result<Option<StoredBlob>, StoreError> {
        let mut from = File::open(path).context("open", path)?;
        if !from.metadata().context("look at", path)?.is_file() {
            return Err(io::Error::other("it is not a file")).context("copy", path);
        }
        let temporary = self.new_temporary()?;
        let mut to = File::create_new(&temporary.path).context("make", &temporary.path)?;
        // Piece by piece, so that there can be a stop.
        while io::copy(&mut (&mut from).take(COPY_BYTES), &mut to)
            .context("write", &temporary.path)?
            > 0
        {
            if stopping() {
                return Ok(None);
            }
        }
        self.digest_and_keep(&temporary, stopping)
    }

    fn new_temporary(&self) -> Result<Temporary, StoreError> {
        let session = self.session()?;
        Ok(Temporary {
            path: session.new_path(),
            _session: session,
        })
    }

    fn digest_and_keep(
        &self,
        temporary: &Temporary,
        stopping: &dyn Fn() -> bool,
    ) -> Result<Option<StoredBlob>, StoreError> {
        let path = &temporary.path;
        let file = File::open(path).context("open", path)?;
        let large = file.metadata().context("look at", path)?.len() >= LARGE_BYTES;
        let mut bytes = 0;
        let (digest, flushed) = std::thread::scope(|scope| {
            let flush = || disk::sync_content(&file, path);
            // A thread that cannot be had is not needed: the file is flushed before it gets its name.
            let early = large.then(|| Builder::new().spawn_scoped(scope, flush).ok());
            let digest = digest_of(&file, |read| {
                bytes += read;
                !stopping()
            });
            let early = early.flatten().and_then(|flush| flush.join().ok());
            (digest, early.unwrap_or(Ok(())))
        });
        let digest = digest.context("read", path)?;
        // A flush that failed is told of once.
        flushed?;
        digest
            .map(|digest| self.keep_blob(&file, temporary, digest, bytes))
            .transpose()
    }

    /// Gives a complete file its name, unless the store has the content already.
    fn keep_blob(
        &self,
        file: &File,
        temporary: &Temporary,
        digest: Hash,
        bytes: u64,
    ) -> Result<StoredBlob, StoreError> {
        crash_point("blob-written");
        let path = &temporary.path;
        let files = self.blob_files();
        let (blob_path, folder) = files.path(&digest);
        // Before looking whether it is there: it must not go after that.
        self.protect(&[digest])?;
        files.make_folder(&digest)?;
        if !files.is_intact_or_cleared(&digest, self.notice_list())? {
            file.set_permissions(Permissions::from_mode(0o444))
                .context("protect", path)?;
            disk::sync_file(file, path)?;
            crash_point("blob-synced");
            disk::rename(path, &blob_path)?;
            crash_point("blob-renamed");
        }
        // Also if it was there: its writer may have been killed before it came to this.
        disk::sync_folder(&folder)?;
        crash_point("blob-durable");
        Ok(StoredBlob { digest, bytes })
    }
}

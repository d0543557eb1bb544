//! Storing a blob.

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::blob::StoredBlob;
use crate::crash::crash_point;
use crate::disk;
use crate::error::{Context, StoreError};
use crate::session::Session;
use crate::store::Store;

const BUFFER_BYTES: usize = 1 << 16;

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
        crash_point("blob-written");
        let digest = hasher.finalize();
        let files = store.blob_files();
        let (blob_path, folder) = files.path(&digest);
        // Before looking whether it is there: it must not go after that.
        store.protect(&[digest])?;
        files.make_folder(&digest)?;
        if !files.is_intact_or_cleared(&digest, store.notice_list())? {
            file.set_permissions(Permissions::from_mode(0o444))
                .context("protect", path)?;
            disk::sync_file(&file, path)?;
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

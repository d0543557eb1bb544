//! The store: what opens it, and how its parts hang together.

use std::collections::HashSet;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use blake3::Hash;

use crate::blob::Blob;
use crate::blob_files::BlobFiles;
use crate::disk;
use crate::error::{BlobError, Context, StoreError};
use crate::group_commit::{FailedFlush, GroupCommit};
use crate::index::{Index, records_folder};
use crate::notice::{Notice, Notices};
use crate::record::{self, BlobRef, InlineContent, NewRecord, Record};
use crate::segment::{SegmentWriter, Segments, Unflushed};
use crate::session::{self, Session};
use crate::uses::Uses;

/// A content-addressed store in a folder. Cheap to clone; clones and threads share one state.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

struct Shared {
    root: PathBuf,
    index: RwLock<Index>,
    blobs: BlobFiles,
    notices: Notices,
    uses: Uses,
    /// Made at the first write.
    session: Mutex<Option<Arc<Session>>>,
    /// Taken at the first append.
    writer: Mutex<Writers>,
    commits: GroupCommit,
    /// The last stamp given out.
    stamp: AtomicU64,
    /// The digests of the blobs inside records whose content has been verified.
    verified_inline: Mutex<HashSet<Hash>>,
}

/// The segment that is appended to, and what is left of those before it.
#[derive(Default)]
struct Writers {
    current: Option<SegmentWriter>,
    /// Full segments with records that are not durable yet.
    full: Vec<Unflushed>,
}

/// A record that has been written. It is durable once [`Store::flush`] has returned for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[must_use = "the record is durable only after a flush"]
pub struct Written(u64);

impl Store {
    /// Opens the store at `root` and reads its records.
    ///
    /// Nothing is written: a store that does not exist is empty, and its folders are made at the first write. Until
    /// then, or until the store is dropped, no collection removes anything; see `FORMAT.md` for what holds then.
    pub fn open(root: &Path) -> Result<Store, StoreError> {
        let store = Store(Arc::new(Shared {
            root: root.to_owned(),
            index: RwLock::default(),
            blobs: BlobFiles::new(root),
            notices: Notices::default(),
            uses: Uses::new(root),
            session: Mutex::default(),
            writer: Mutex::default(),
            commits: GroupCommit::default(),
            stamp: AtomicU64::new(0),
            verified_inline: Mutex::default(),
        }));
        store.refresh()?;
        Ok(store)
    }

    /// The store's folder, as it was given.
    pub fn root(&self) -> &Path {
        &self.0.root
    }

    /// The newest intact record under a key, as of the last [`Store::refresh`] or [`Store::append`]. No collection
    /// removes it, or what it names, as long as this process lives.
    pub fn record(&self, key: &Hash) -> Option<Record> {
        self.index().newest(key)?;
        // What cannot be protected is a miss.
        self.protect(&[*key]).ok()?;
        self.index().newest(key).cloned()
    }

    /// Whether any record has this shape.
    pub fn has_shape(&self, shape: &Hash) -> bool {
        self.index().has_shape(shape)
    }

    /// All intact records, also those that newer ones have replaced. The records of a segment come oldest first.
    pub fn records(&self) -> impl Iterator<Item = Record> + use<> {
        self.index().records().to_vec().into_iter()
    }

    /// Reads what other processes have appended.
    pub fn refresh(&self) -> Result<(), StoreError> {
        self.0.uses.undisturbed(|removals| self.read_on(removals))
    }

    fn read_on(&self, removals: u64) -> Result<(), StoreError> {
        let mut index = self.0.index.write().unwrap_or_else(PoisonError::into_inner);
        index.refresh(&records_folder(self.root()), removals, &self.0.notices)
    }

    /// Keeps what the store has of these keys and digests from being collected as long as this process lives. What
    /// the index says of them afterwards is so.
    pub(crate) fn protect(&self, used: &[Hash]) -> Result<(), StoreError> {
        self.0.uses.add(used, |removals| {
            if self.index().removals() == removals {
                return Ok(());
            }
            self.read_on(removals)
        })
    }

    /// Appends a record. It is durable, and found by all who read on, when this returns.
    ///
    /// Threads that append at the same time share a flush. An error means that the record may or may not be found
    /// later; it never means that another one is lost.
    pub fn append(&self, record: NewRecord<'_>) -> Result<(), StoreError> {
        self.flush(self.write(record)?)
    }

    /// Appends a record that need not be durable yet. From now on it is found here and by all who read on; a
    /// `SIGKILL` does not lose it, a power cut may.
    pub fn write(&self, record: NewRecord<'_>) -> Result<Written, StoreError> {
        let inline: Vec<BlobRef> = record
            .inline
            .iter()
            .map(|bytes| BlobRef::of(bytes))
            .collect();
        let inside: HashSet<&BlobRef> = inline.iter().collect();
        let outside = record.blobs.iter().filter(|blob| !inside.contains(blob));
        let mut used: Vec<Hash> = outside.clone().map(|blob| blob.digest).collect();
        used.push(record.key);
        self.protect(&used)?;
        for blob in outside {
            if !self.holds(&blob.digest, blob.bytes) {
                return Err(StoreError::MissingBlob {
                    digest: blob.digest,
                    bytes: blob.bytes,
                });
            }
        }
        let body = record::encode(&record, &inline, self.next_stamp())?;
        self.write_record(&body)
    }

    /// Returns once a record is durable that [`Store::write`] has written, and with it all that were written before.
    /// An error means that any of them that had not been flushed before may or may not be found later.
    pub fn flush(&self, written: Written) -> Result<(), StoreError> {
        self.0.commits.settle(written.0, || self.flush_all())
    }

    /// The blobs of a record that the store does not hold at their length. Only looks at lengths.
    pub fn missing(&self, record: &Record) -> Vec<BlobRef> {
        record
            .blobs()
            .filter(|blob| !self.holds(&blob.digest, blob.bytes))
            .collect()
    }

    /// Whether the store holds a blob of this digest and this length in bytes. Does not look into it. If so, no
    /// collection removes it as long as this process lives.
    pub fn has_blob(&self, digest: &Hash, bytes: u64) -> bool {
        self.holds(digest, bytes) && self.protect(&[*digest]).is_ok() && self.holds(digest, bytes)
    }

    fn holds(&self, digest: &Hash, bytes: u64) -> bool {
        let inline_bytes = self
            .index()
            .inline(digest)
            .map(|content| content.as_ref().len());
        inline_bytes.is_some_and(|inline| inline as u64 == bytes) || self.0.blobs.has(digest, bytes)
    }

    /// The content of a blob of `bytes` bytes.
    ///
    /// It is verified against the digest at its first use in this process, and again if the file has changed since.
    /// What is damaged is set aside into `quarantine/` and is missing from then on.
    pub fn blob(&self, digest: &Hash, bytes: u64) -> Result<Blob, BlobError> {
        match self.verified_inline(digest) {
            Some(content) if content.as_ref().len() as u64 == bytes => Ok(Blob::inline(content)),
            _ => self.0.blobs.open(digest, bytes, &self.0.notices),
        }
    }

    /// What has been noticed since the last call and did not stop anything: damage that was skipped, set aside or
    /// cut off.
    pub fn notices(&self) -> Vec<Notice> {
        self.0.notices.drain()
    }

    /// The content of a blob inside a record, if there is one and it has the digest that the record says.
    fn verified_inline(&self, digest: &Hash) -> Option<InlineContent> {
        let content = self.index().inline(digest)?;
        let mut verified = self
            .0
            .verified_inline
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !verified.contains(digest) {
            // The record's checksum holds, so whoever wrote it was wrong about the digest.
            if blake3::hash(content.as_ref()) != *digest {
                let mut index = self.0.index.write().unwrap_or_else(PoisonError::into_inner);
                index.forget_inline(digest);
                return None;
            }
            verified.insert(*digest);
        }
        Some(content)
    }

    /// Makes a record durable that another process may have written and not flushed.
    pub fn make_durable(&self, record: &Record) -> Result<(), StoreError> {
        let path = records_folder(self.root()).join(record.segment().file_name());
        match File::open(&path) {
            // It has been merged into another segment, which was durable before this one went.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            file => disk::sync_content(&file.context("open", &path)?, &path),
        }
    }

    /// Writes a record and brings the index up to it.
    fn write_record(&self, body: &[u8]) -> Result<Written, StoreError> {
        let session = self.session()?;
        let mut writers = self.writers();
        let mut writer = match writers.current.take() {
            Some(writer) if writer.is_usable() => writer,
            before => {
                writers
                    .full
                    .extend(before.and_then(|full| full.unflushed()));
                Segments {
                    root: self.root(),
                    index: &self.0.index,
                    notices: &self.0.notices,
                    session: &session,
                }
                .take()?
            }
        };
        let result = writer
            .append(body)
            .and_then(|()| writer.index(&self.0.index, &self.0.notices));
        // What it has written before is flushed with the rest, even if it is not used again.
        match result {
            Ok(()) => writers.current = Some(writer),
            Err(_) => writers.full.extend(writer.unflushed()),
        }
        result?;
        Ok(Written(self.0.commits.written()))
    }

    /// Makes everything durable that has been written.
    fn flush_all(&self) -> Result<(), FailedFlush> {
        let unflushed: Vec<Unflushed> = {
            let mut writers = self.writers();
            let mut unflushed = std::mem::take(&mut writers.full);
            unflushed.extend(writers.current.as_ref().and_then(SegmentWriter::unflushed));
            unflushed
        };
        let result = unflushed.iter().try_for_each(Unflushed::flush);
        let mut writers = self.writers();
        let Err(error) = result else {
            if let Some(writer) = &mut writers.current {
                unflushed.iter().for_each(|flushed| writer.flushed(flushed));
            }
            return Ok(());
        };
        // What was appended during the flush goes too. No ticket is given out while the writers are held.
        let last = self.0.commits.last();
        if let Some(writer) = writers.current.take() {
            writer.abandon();
        }
        // Nothing is to be found that nobody knows to be there.
        *self.0.index.write().unwrap_or_else(PoisonError::into_inner) = Index::default();
        drop(writers);
        // Where that fails, what is not in the index is a miss.
        let _ = self.refresh();
        Err(FailedFlush { error, last })
    }

    fn writers(&self) -> MutexGuard<'_, Writers> {
        self.0.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stamp larger than all seen: the clock's, unless that is behind.
    fn next_stamp(&self) -> u64 {
        let least = self.index().latest_stamp().max(disk::nanoseconds_now());
        let next = |last: u64| least.max(last).saturating_add(1);
        match self
            .0
            .stamp
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                Some(next(last))
            }) {
            Ok(last) | Err(last) => next(last),
        }
    }

    /// Removes what processes left that were killed, which the first write does too.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] where it cannot be looked for.
    pub fn sweep(&self) -> Result<(), StoreError> {
        session::sweep(self.root())
    }

    /// This process's session, for which the store's folders are made at the first call.
    pub(crate) fn session(&self) -> Result<Arc<Session>, StoreError> {
        let mut session = self
            .0
            .session
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = session.as_ref() {
            return Ok(Arc::clone(session));
        }
        disk::make_folders(self.root())?;
        for name in ["blobs", "records", "tmp"] {
            disk::make_folder(&self.root().join(name))?;
        }
        disk::sync_folder(self.root())?;
        let begun = Arc::new(Session::begin(self.root())?);
        self.0.uses.begin_list(&begun)?;
        *session = Some(Arc::clone(&begun));
        Ok(begun)
    }

    pub(crate) fn blob_files(&self) -> &BlobFiles {
        &self.0.blobs
    }

    pub(crate) fn notice_list(&self) -> &Notices {
        &self.0.notices
    }

    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.0.index.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Store").field(&self.0.root).finish()
    }
}

#[cfg(test)]
mod tests;

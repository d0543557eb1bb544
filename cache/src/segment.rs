//! Writing a segment: taking one, mending its end, and appending to it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use crate::crash::{crash_point, crash_point_after};
use crate::disk;
use crate::error::{Context, StoreError};
use crate::frame::{FrameKey, HEAD_BYTES, SegmentId, encode_header};
use crate::index::{Index, records_folder};
use crate::notice::{Notice, Notices};
use crate::session::Session;

/// A segment of this length or more is not appended to, so that what reads or rewrites one has a bound.
const FULL_SEGMENT_BYTES: u64 = 64 << 20;

/// The only writer of a segment, which the lock on the open file sees to. The lock goes with the process.
pub(crate) struct SegmentWriter {
    id: SegmentId,
    path: PathBuf,
    file: Arc<File>,
    key: FrameKey,
    /// Where the next frame goes.
    end: u64,
    /// Everything before is durable.
    durable: u64,
}

/// What a segment held when a flush of it began.
pub(crate) struct Unflushed {
    id: SegmentId,
    path: PathBuf,
    file: Arc<File>,
    end: u64,
}

impl Unflushed {
    /// Makes it durable.
    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        disk::sync_content(&self.file, &self.path)?;
        crash_point("record-synced");
        Ok(())
    }
}

/// What taking a segment needs of the store.
pub(crate) struct Segments<'a> {
    pub(crate) root: &'a Path,
    pub(crate) index: &'a RwLock<Index>,
    pub(crate) notices: &'a Notices,
    pub(crate) session: &'a Session,
}

impl Segments<'_> {
    /// Takes a segment that nobody writes, or makes one.
    pub(crate) fn take(&self) -> Result<SegmentWriter, StoreError> {
        let candidates: Vec<SegmentId> = {
            let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
            let open = index
                .appendable()
                .filter(|(_, segment)| segment.consumed < FULL_SEGMENT_BYTES);
            open.map(|(id, _)| id).collect()
        };
        for id in candidates {
            if let Some(writer) = self.take_existing(id)? {
                return Ok(writer);
            }
        }
        self.make()
    }

    /// Takes a segment unless someone else has it, or this process may not write it or cannot read it.
    fn take_existing(&self, id: SegmentId) -> Result<Option<SegmentWriter>, StoreError> {
        let path = records_folder(self.root).join(id.file_name());
        if !path.is_file() {
            return Ok(None);
        }
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::NotFound | ErrorKind::PermissionDenied
                ) =>
            {
                return Ok(None);
            }
            file => file.context("open", &path)?,
        };
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error).context("lock", &path),
            Ok(()) => {}
        }
        if !disk::still_named(&file, &path).context("look at", &path)? {
            return Ok(None);
        }
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = index.read_on(id, &file, &path, self.notices) {
            self.notices.add(Notice::UnreadableSegment {
                segment: path,
                error,
            });
            return Ok(None);
        }
        let Some(segment) = index.segment(id) else {
            return Ok(None);
        };
        let mut writer = SegmentWriter {
            id,
            key: FrameKey::of(id),
            end: segment.consumed,
            durable: segment.consumed,
            path,
            file: Arc::new(file),
        };
        let length = writer
            .file
            .metadata()
            .context("look at", &writer.path)?
            .len();
        if length < writer.end || writer.end >= FULL_SEGMENT_BYTES {
            return Ok(None);
        }
        writer.cut_off_torn_end(length, self.notices)?;
        for range in &segment.damaged {
            writer.cover_with_hole(range)?;
        }
        index.forget_damage(id);
        Ok(Some(writer))
    }

    /// Makes a segment. It gets its name only when its header is durable, so that no reader sees half of one.
    fn make(&self) -> Result<SegmentWriter, StoreError> {
        let id = SegmentId::random();
        let (mut file, temporary) = self.session.make_file()?;
        let header = encode_header(id);
        std::io::Write::write_all(&mut file, &header).context("write", &temporary)?;
        disk::sync_file(&file, &temporary)?;
        file.try_lock()
            .map_err(std::io::Error::from)
            .context("lock", &temporary)?;
        crash_point("segment-made");
        let folder = records_folder(self.root);
        let path = folder.join(id.file_name());
        disk::rename(&temporary, &path)?;
        crash_point("segment-renamed");
        disk::sync_folder(&folder)?;
        Ok(SegmentWriter {
            id,
            path,
            file: Arc::new(file),
            key: FrameKey::of(id),
            end: header.len() as u64,
            durable: header.len() as u64,
        })
    }
}

impl SegmentWriter {
    /// Whether the segment may grow further and is still the one of its name.
    pub(crate) fn is_usable(&self) -> bool {
        self.end < FULL_SEGMENT_BYTES && disk::still_named(&self.file, &self.path).unwrap_or(false)
    }

    /// Appends a record. It is durable once what [`SegmentWriter::unflushed`] returns after that has been flushed.
    pub(crate) fn append(&mut self, body: &[u8]) -> Result<(), StoreError> {
        let mut frame = Vec::new();
        self.key.encode_record(self.end, body, &mut frame);
        crash_point_after("record-torn", || {
            let _ = self.file.write_all_at(&frame[..frame.len() / 2], self.end);
        });
        let written = self.file.write_all_at(&frame, self.end);
        if written.is_err() {
            // If this fails too, the next writer does it.
            let _ = self.file.set_len(self.end);
        }
        written.context("append to", &self.path)?;
        crash_point("record-written");
        self.end += frame.len() as u64;
        Ok(())
    }

    /// What is to be flushed; nothing if all is durable.
    pub(crate) fn unflushed(&self) -> Option<Unflushed> {
        (self.durable < self.end).then(|| Unflushed {
            id: self.id,
            path: self.path.clone(),
            file: Arc::clone(&self.file),
            end: self.end,
        })
    }

    /// Notes what has been flushed.
    pub(crate) fn flushed(&mut self, flushed: &Unflushed) {
        if self.id == flushed.id {
            self.durable = self.durable.max(flushed.end);
        }
    }

    /// Cuts off what is not durable, after a flush that failed: what the system still has of it is not known, and
    /// this writer must not be used again.
    pub(crate) fn abandon(self) {
        // If this fails too, what is there is whole frames or an end that the next writer cuts off.
        let _ = self.file.set_len(self.durable);
    }

    /// Brings the index up to what this writer has written.
    pub(crate) fn index(&self, index: &RwLock<Index>, notices: &Notices) -> Result<(), StoreError> {
        index
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .read_on(self.id, &self.file, &self.path, notices)
            .context("read", &self.path)
    }

    fn cut_off_torn_end(&mut self, length: u64, notices: &Notices) -> Result<(), StoreError> {
        if length > self.end {
            self.file.set_len(self.end).context("cut", &self.path)?;
            crash_point("segment-truncated");
            notices.add(Notice::TornTail {
                segment: self.path.clone(),
                offset: self.end,
                bytes: length - self.end,
            });
        }
        Ok(())
    }

    /// Makes readers pass over damaged frames from now on. Only the head of the first is overwritten; the rest
    /// stays for whoever wants to look into what happened.
    fn cover_with_hole(&self, damaged: &Range<u64>) -> Result<(), StoreError> {
        let length = damaged.end - damaged.start;
        let mut bytes = vec![0; length as usize];
        self.file
            .read_exact_at(&mut bytes, damaged.start)
            .context("read", &self.path)?;
        // Someone may have covered it before, and a read that failed once may succeed now.
        let still_damaged = self.key.scan(damaged.start, &bytes, |_| true).consumed == 0;
        let hole = self.key.encode_hole(damaged.start, length);
        if let Some(hole) = hole.filter(|_| still_damaged) {
            debug_assert_eq!(hole.len(), HEAD_BYTES);
            self.file
                .write_all_at(&hole, damaged.start)
                .context("write", &self.path)?;
        }
        Ok(())
    }
}

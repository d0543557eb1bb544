//! What the segments hold, in memory. Derived from them alone and brought up to date by reading on.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blake3::Hash;

use crate::error::{Context, StoreError};
use crate::frame::{FrameKey, HEADER_BYTES, Header, SegmentId, decode_header};
use crate::notice::{Notice, Notices};
use crate::record::{Chunk, InlineContent, Record};

/// A longer file is no segment: writers stop long before, and a reader holds a segment in memory.
const MAX_SEGMENT_BYTES: u64 = 1 << 30;

/// All intact records of a store.
#[derive(Default)]
pub(crate) struct Index {
    segments: BTreeMap<SegmentId, Segment>,
    /// Every record, in the order of reading: within a segment the oldest first.
    records: Vec<Record>,
    /// The newest record under each key, as its place in `records`.
    newest: HashMap<Hash, usize, DigestHashing>,
    shapes: HashSet<Hash, DigestHashing>,
    /// Blobs inside records: the record's place in `records`, and which of its inline blobs it is.
    inline: HashMap<Hash, (usize, usize), DigestHashing>,
    latest_stamp: u64,
    /// How often records had been removed from the store before this was read.
    removals: u64,
}

/// How far a segment has been read.
#[derive(Default)]
pub(crate) struct Segment {
    /// The end of the last intact frame, in bytes from the start of the file.
    pub(crate) consumed: u64,
    /// Stretches of the file that hold no intact frame and are followed by one that does.
    pub(crate) damaged: Vec<Range<u64>>,
    /// Whether it has frames of kinds that this program does not know, which must be kept.
    pub(crate) has_other: bool,
    /// Whether it is not read again and never appended to: its header is damaged or of a later version, or it
    /// could not be read.
    frozen: bool,
    /// Whether it may hold records that are not seen: it is of a later version, or could not be read.
    unseen: bool,
}

impl Segment {
    /// Whether it is all known and undamaged, as far as it has been read.
    pub(crate) fn is_intact(&self) -> bool {
        !self.frozen && !self.has_other && self.damaged.is_empty()
    }
}

impl Index {
    pub(crate) fn newest(&self, key: &Hash) -> Option<&Record> {
        self.newest.get(key).map(|place| &self.records[*place])
    }

    pub(crate) fn has_shape(&self, shape: &Hash) -> bool {
        self.shapes.contains(shape)
    }

    pub(crate) fn records(&self) -> &[Record] {
        &self.records
    }

    pub(crate) fn inline(&self, digest: &Hash) -> Option<InlineContent> {
        let (place, which) = self.inline.get(digest)?;
        self.records[*place].inline_content(*which)
    }

    pub(crate) fn forget_inline(&mut self, digest: &Hash) {
        self.inline.remove(digest);
    }

    /// The largest stamp of any record.
    pub(crate) fn latest_stamp(&self) -> u64 {
        self.latest_stamp
    }

    /// The segments that may be appended to, as far as they have been read.
    pub(crate) fn appendable(&self) -> impl Iterator<Item = (SegmentId, &Segment)> {
        self.segments
            .iter()
            .filter(|(_, segment)| !segment.frozen)
            .map(|(id, segment)| (*id, segment))
    }

    pub(crate) fn segment(&self, id: SegmentId) -> Option<&Segment> {
        self.segments.get(&id)
    }

    /// The segments that may hold records which are not seen.
    pub(crate) fn unseen(&self) -> impl Iterator<Item = SegmentId> {
        let segments = self.segments.iter();
        segments
            .filter(|(_, segment)| segment.unseen)
            .map(|(id, _)| *id)
    }

    pub(crate) fn forget_damage(&mut self, id: SegmentId) {
        if let Some(segment) = self.segments.get_mut(&id) {
            segment.damaged.clear();
        }
    }

    /// How often records had been removed from the store before this was read.
    pub(crate) fn removals(&self) -> u64 {
        self.removals
    }

    /// Reads what has been appended to any segment since the last time; everything, if records have been removed
    /// since. `removals` is how often that has happened in all.
    pub(crate) fn refresh(
        &mut self,
        folder: &Path,
        removals: u64,
        notices: &Notices,
    ) -> Result<(), StoreError> {
        let listing = list_segments(folder)?;
        if self.removals != removals || self.has_shrunk(&listing) {
            *self = Index::default();
            self.removals = removals;
        }
        for (id, bytes) in listing {
            let segment = self.segments.get(&id);
            if segment.is_some_and(|segment| segment.frozen || segment.consumed >= bytes) {
                continue;
            }
            let path = folder.join(id.file_name());
            let read = open_file(&path).and_then(|file| self.read_on(id, &file, &path, notices));
            match read {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    // Not tried again by this process, so that it is said once.
                    let segment = self.segments.entry(id).or_default();
                    segment.frozen = true;
                    segment.unseen = true;
                    notices.add(Notice::UnreadableSegment {
                        segment: path,
                        error,
                    });
                }
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Whether something that was read is no longer there.
    fn has_shrunk(&self, listing: &BTreeMap<SegmentId, u64>) -> bool {
        self.segments.iter().any(|(id, segment)| {
            let bytes = listing.get(id).copied();
            bytes.is_none_or(|bytes| bytes < segment.consumed && !segment.frozen)
        })
    }

    /// Reads what has been appended to one segment since the last time.
    pub(crate) fn read_on(
        &mut self,
        id: SegmentId,
        file: &File,
        path: &Path,
        notices: &Notices,
    ) -> io::Result<()> {
        let file_bytes = file.metadata()?.len();
        if file_bytes > MAX_SEGMENT_BYTES {
            return Err(io::Error::new(
                ErrorKind::FileTooLarge,
                "too long for a segment",
            ));
        }
        let known = self.segments.get(&id);
        let start = known.map_or(0, |segment| segment.consumed);
        if start >= file_bytes && known.is_some() {
            return Ok(());
        }
        let bytes = read_range(file, start..file_bytes)?;
        let mut segment = Segment::default();
        let mut first_frame = 0;
        if known.is_none() {
            match decode_header(id, &bytes) {
                Header::Current => {}
                Header::Damaged => {
                    segment.frozen = true;
                    notices.add(Notice::DamagedHeader {
                        segment: path.to_owned(),
                    });
                }
                Header::Future { version } => {
                    segment.frozen = true;
                    segment.unseen = true;
                    self.segments.insert(id, segment);
                    notices.add(Notice::FutureSegment {
                        segment: path.to_owned(),
                        version,
                    });
                    return Ok(());
                }
            }
            first_frame = HEADER_BYTES.min(bytes.len());
        }
        let offset = start + first_frame as u64;
        let chunk = Arc::new(Chunk {
            segment: id,
            offset: start,
            bytes,
        });
        let scan = FrameKey::of(id).scan(offset, &chunk.bytes[first_frame..], |body| {
            let body = first_frame + body.start..first_frame + body.end;
            match Record::decode(&chunk, body) {
                Some(record) => {
                    self.insert(record);
                    true
                }
                None => false,
            }
        });
        for range in scan.damaged {
            let range = offset + range.start as u64..offset + range.end as u64;
            notices.add(Notice::DamagedRecords {
                segment: path.to_owned(),
                offset: range.start,
                bytes: range.end - range.start,
            });
            segment.damaged.push(range);
        }
        let known = self.segments.entry(id).or_default();
        known.consumed = offset + scan.consumed as u64;
        known.frozen |= segment.frozen;
        known.has_other |= scan.has_other;
        known.damaged.append(&mut segment.damaged);
        Ok(())
    }

    fn insert(&mut self, record: Record) {
        self.latest_stamp = self.latest_stamp.max(record.stamp());
        self.shapes.insert(record.shape());
        let place = self.records.len();
        for (which, blob) in record.inline().enumerate() {
            self.inline.insert(blob.digest, (place, which));
        }
        let newest = self.newest.entry(record.key()).or_insert(place);
        if *newest != place && self.records[*newest].age() < record.age() {
            *newest = place;
        }
        self.records.push(record);
    }
}

/// Digests are as good as random already, so eight bytes of one are its hash.
#[derive(Clone, Copy, Default)]
struct DigestHashing;

impl BuildHasher for DigestHashing {
    type Hasher = DigestHasher;

    fn build_hasher(&self) -> DigestHasher {
        DigestHasher(0)
    }
}

struct DigestHasher(u64);

impl Hasher for DigestHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    /// The length, which is the same for all digests.
    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The segments in a folder and their lengths in bytes. A folder that does not exist has none.
fn list_segments(folder: &Path) -> Result<BTreeMap<SegmentId, u64>, StoreError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        entries => entries.context("list the folder", folder)?,
    };
    let mut segments = BTreeMap::new();
    for entry in entries {
        let entry = entry.context("list the folder", folder)?;
        let Some(id) = entry
            .file_name()
            .to_str()
            .and_then(SegmentId::from_file_name)
        else {
            continue;
        };
        match entry.metadata() {
            Ok(metadata) => segments.insert(id, metadata.len()),
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error).context("look at", &entry.path()),
        };
    }
    Ok(segments)
}

/// Opens a file for reading. A pipe in its place would be waited for, so it is not opened.
fn open_file(path: &Path) -> io::Result<File> {
    if fs::metadata(path)?.is_file() {
        File::open(path)
    } else {
        Err(io::Error::other("it is not a file"))
    }
}

/// Reads a range that lies within the file. What is read may be shorter: a writer may just have cut off a torn end.
fn read_range(mut file: &File, range: Range<u64>) -> io::Result<Vec<u8>> {
    let length = range.end - range.start;
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(length as usize)
        .map_err(|_| io::Error::from(ErrorKind::OutOfMemory))?;
    file.seek(SeekFrom::Start(range.start))?;
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The folder of the segments of the store at `root`.
pub(crate) fn records_folder(root: &Path) -> PathBuf {
    root.join("records")
}

//! Records: what the store keeps under a key.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use blake3::Hash;

use crate::error::StoreError;
use crate::frame::{HEAD_BYTES, MAX_BODY_BYTES, SegmentId, array_at, u32_at, u64_at};

/// The largest encoded record in bytes, the blobs inside it included.
pub const MAX_RECORD_BYTES: u64 = MAX_BODY_BYTES as u64;

/// Bytes before the first blob reference: key, shape, stamp and the two counts.
const FIXED_BYTES: usize = 32 + 32 + 8 + 4 + 4;
/// Bytes of a blob reference: digest and length.
const REFERENCE_BYTES: usize = 32 + 8;

/// Names a blob: its digest and its length in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlobRef {
    /// BLAKE3 digest of the content.
    pub digest: Hash,
    /// Length of the content, in bytes.
    pub bytes: u64,
}

impl BlobRef {
    /// The reference to a blob with this content, whether or not any store holds it.
    pub fn of(content: &[u8]) -> BlobRef {
        BlobRef {
            digest: blake3::hash(content),
            bytes: content.len() as u64,
        }
    }
}

/// A record to be appended.
#[derive(Clone, Copy, Debug)]
pub struct NewRecord<'a> {
    /// The key that it will be found under.
    pub key: Hash,
    /// A digest of what several keys have in common; see [`Store::has_shape`](crate::Store::has_shape).
    pub shape: Hash,
    /// Every blob that the outputs are or point into. Each must be in the store at its length, inside an earlier
    /// record, or in `inline`.
    pub blobs: &'a [BlobRef],
    /// The content of small blobs that live inside the record and nowhere else. They are found by digest like all
    /// others.
    pub inline: &'a [&'a [u8]],
    /// The engine's own bytes; the store does not look into them.
    pub body: &'a [u8],
}

/// A piece of a segment as it was read.
pub(crate) struct Chunk {
    /// The segment that it is a piece of.
    pub(crate) segment: SegmentId,
    /// Where in the segment it begins, in bytes.
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
}

/// Where a frame is. No two frames ever have the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) segment: SegmentId,
    /// In bytes from the start of the segment.
    pub(crate) offset: u64,
    /// Length of the frame.
    pub(crate) bytes: u64,
}

/// An intact record. Cheap to clone; it keeps the bytes that it was read with alive.
#[derive(Clone)]
pub struct Record {
    chunk: Arc<Chunk>,
    start: usize,
    end: usize,
    body_start: usize,
}

impl Record {
    /// Reads the record at `range` of a chunk; `None` if the bytes are no record.
    pub(crate) fn decode(chunk: &Arc<Chunk>, range: Range<usize>) -> Option<Record> {
        let bytes = chunk.bytes.get(range.clone())?;
        if bytes.len() < FIXED_BYTES {
            return None;
        }
        let references = u64::from(u32_at(bytes, 72)) + u64::from(u32_at(bytes, 76));
        let references_bytes = references * REFERENCE_BYTES as u64;
        if references_bytes > (bytes.len() - FIXED_BYTES) as u64 {
            return None;
        }
        let mut record = Record {
            chunk: Arc::clone(chunk),
            start: range.start,
            end: range.end,
            body_start: range.start + FIXED_BYTES + references_bytes as usize,
        };
        let mut room = (record.end - record.body_start) as u64;
        let mut inline_bytes = 0_u64;
        for blob in record.inline() {
            room = room.checked_sub(blob.bytes)?;
            inline_bytes += blob.bytes;
        }
        record.body_start += inline_bytes as usize;
        Some(record)
    }

    fn bytes(&self) -> &[u8] {
        &self.chunk.bytes[self.start..self.end]
    }

    /// The key that the record was appended under.
    pub fn key(&self) -> Hash {
        Hash::from_bytes(array_at(self.bytes(), 0))
    }

    /// The digest of what this record's key has in common with others.
    pub fn shape(&self) -> Hash {
        Hash::from_bytes(array_at(self.bytes(), 32))
    }

    /// When the record was appended, in nanoseconds since 1970 (UTC). Of two records under one key the one with
    /// the larger stamp is the newer: a writer's stamps are larger than all that it has seen, whatever the clock.
    pub fn stamp(&self) -> u64 {
        u64_at(self.bytes(), 64)
    }

    /// Every blob that the outputs are or point into, in the order in which they were given.
    pub fn blobs(&self) -> impl ExactSizeIterator<Item = BlobRef> + '_ {
        self.references(0, self.blob_count())
    }

    /// The blobs that live inside this record, in the order in which they were given.
    pub fn inline(&self) -> impl ExactSizeIterator<Item = BlobRef> + '_ {
        let count = u32_at(self.bytes(), 76) as usize;
        self.references(self.blob_count(), count)
    }

    /// The engine's own bytes.
    pub fn body(&self) -> &[u8] {
        &self.chunk.bytes[self.body_start..self.end]
    }

    fn blob_count(&self) -> usize {
        u32_at(self.bytes(), 72) as usize
    }

    fn references(
        &self,
        first: usize,
        count: usize,
    ) -> impl ExactSizeIterator<Item = BlobRef> + '_ {
        (first..first + count).map(|index| {
            let at = FIXED_BYTES + index * REFERENCE_BYTES;
            BlobRef {
                digest: Hash::from_bytes(array_at(self.bytes(), at)),
                bytes: u64_at(self.bytes(), at + 32),
            }
        })
    }

    /// The content of one of the blobs inside this record, counted from 0.
    pub(crate) fn inline_content(&self, which: usize) -> Option<InlineContent> {
        let references = self.blobs().len() + self.inline().len();
        let mut start = self.start + FIXED_BYTES + references * REFERENCE_BYTES;
        for (index, blob) in self.inline().enumerate() {
            let range = start..start + blob.bytes as usize;
            if index == which {
                let chunk = Arc::clone(&self.chunk);
                return Some(InlineContent { chunk, range });
            }
            start = range.end;
        }
        None
    }

    /// The segment that it was read from.
    pub(crate) fn segment(&self) -> SegmentId {
        self.chunk.segment
    }

    /// Where the record's frame is.
    pub(crate) fn place(&self) -> Place {
        let body = self.chunk.offset + self.start as u64;
        Place {
            segment: self.chunk.segment,
            offset: body - HEAD_BYTES as u64,
            bytes: (HEAD_BYTES + self.end - self.start) as u64,
        }
    }

    /// The body of the record's frame.
    pub(crate) fn encoded(&self) -> &[u8] {
        self.bytes()
    }

    /// What the newer of two records under one key has the larger of.
    pub(crate) fn age(&self) -> (u64, SegmentId, u64) {
        let offset = self.chunk.offset + self.start as u64;
        (self.stamp(), self.chunk.segment, offset)
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Record")
            .field("key", &self.key())
            .field("shape", &self.shape())
            .field("stamp", &self.stamp())
            .field("blobs", &self.blobs().collect::<Vec<_>>())
            .field("inline", &self.inline().collect::<Vec<_>>())
            .field("body_bytes", &self.body().len())
            .finish()
    }
}

/// The content of a blob that lives inside a record.
#[derive(Clone)]
pub(crate) struct InlineContent {
    chunk: Arc<Chunk>,
    range: Range<usize>,
}

impl AsRef<[u8]> for InlineContent {
    fn as_ref(&self) -> &[u8] {
        &self.chunk.bytes[self.range.clone()]
    }
}

/// The body of the frame that a record is written in. `inline` are the references to `record.inline`.
pub(crate) fn encode(
    record: &NewRecord<'_>,
    inline: &[BlobRef],
    stamp: u64,
) -> Result<Vec<u8>, StoreError> {
    let references = record.blobs.len() + inline.len();
    let inline_bytes: u64 = inline.iter().map(|blob| blob.bytes).sum();
    let bytes =
        (FIXED_BYTES + references * REFERENCE_BYTES + record.body.len()) as u64 + inline_bytes;
    if bytes > MAX_RECORD_BYTES {
        return Err(StoreError::RecordTooLarge {
            bytes,
            limit: MAX_RECORD_BYTES,
        });
    }
    let mut body = Vec::with_capacity(bytes as usize);
    body.extend_from_slice(record.key.as_bytes());
    body.extend_from_slice(record.shape.as_bytes());
    body.extend_from_slice(&stamp.to_le_bytes());
    // The limit above keeps both counts within 32 bits.
    body.extend_from_slice(&(record.blobs.len() as u32).to_le_bytes());
    body.extend_from_slice(&(inline.len() as u32).to_le_bytes());
    for blob in record.blobs.iter().chain(inline) {
        body.extend_from_slice(blob.digest.as_bytes());
        body.extend_from_slice(&blob.bytes.to_le_bytes());
    }
    for content in record.inline {
        body.extend_from_slice(content);
    }
    body.extend_from_slice(record.body);
    Ok(body)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chunk(bytes: Vec<u8>) -> Arc<Chunk> {
        Arc::new(Chunk {
            segment: SegmentId::random(),
            offset: 48,
            bytes,
        })
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            key: [u8; 32], shape: [u8; 32], stamp: u64,
            blobs in prop::collection::vec((any::<[u8; 32]>(), any::<u64>()), 0..5),
            inline in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..5),
            body in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let blobs: Vec<_> = blobs
                .into_iter()
                .map(|(digest, bytes)| BlobRef { digest: Hash::from_bytes(digest), bytes })
                .collect();
            let contents: Vec<&[u8]> = inline.iter().map(Vec::as_slice).collect();
            let references: Vec<_> = contents.iter().map(|content| BlobRef::of(content)).collect();
            let new = NewRecord {
                key: Hash::from_bytes(key),
                shape: Hash::from_bytes(shape),
                blobs: &blobs,
                inline: &contents,
                body: &body,
            };
            let bytes = encode(&new, &references, stamp).unwrap();
            let chunk = chunk(bytes.clone());
            let record = Record::decode(&chunk, 0..bytes.len()).unwrap();
            prop_assert_eq!(record.key(), new.key);
            prop_assert_eq!(record.shape(), new.shape);
            prop_assert_eq!(record.stamp(), stamp);
            prop_assert_eq!(record.blobs().collect::<Vec<_>>(), blobs);
            prop_assert_eq!(record.inline().collect::<Vec<_>>(), references);
            prop_assert_eq!(record.body(), body);
            for (which, expected) in inline.iter().enumerate() {
                let content = record.inline_content(which).unwrap();
                prop_assert_eq!(content.as_ref(), expected);
            }
        }

        /// Whatever the lengths claim, decoding stays within the bytes.
        #[test]
        fn any_bytes_decode_to_a_record_within_them_or_to_none(
            bytes in prop::collection::vec(prop_oneof![3 => Just(0_u8), 1 => any::<u8>()], 0..400),
        ) {
            let length = bytes.len();
            if let Some(record) = Record::decode(&chunk(bytes), 0..length) {
                let inside: u64 = record.inline().map(|blob| blob.bytes).sum();
                prop_assert!(inside <= length as u64);
                for (which, blob) in record.inline().enumerate() {
                    let content = record.inline_content(which).unwrap();
                    prop_assert_eq!(content.as_ref().len() as u64, blob.bytes);
                }
                prop_assert!(record.body().len() <= length);
            }
        }
    }

    #[test]
    fn a_record_over_the_limit_is_refused() {
        let content = vec![0; MAX_BODY_BYTES];
        let new = NewRecord {
            key: blake3::hash(b"key"),
            shape: blake3::hash(b"shape"),
            blobs: &[],
            inline: &[&content],
            body: &[],
        };
        let error = encode(&new, &[BlobRef::of(&content)], 0).unwrap_err();
        assert!(matches!(error, StoreError::RecordTooLarge { .. }));
    }
}

//! The bytes of a segment: its header, and the frames that records are written in. `FORMAT.md` is the law here.
//!
//! A frame's checksums are keyed by the segment's identifier and cover the frame's offset. So bytes that look like
//! a frame, for instance because a blob inside a record is itself a piece of a segment, are never taken for one,
//! and a reader can look for the next intact frame after any damage.

use std::fmt;
use std::ops::Range;

use crate::disk;

/// The version of the format that this program writes and reads.
pub(crate) const FORMAT_VERSION: u32 = 1;
/// Length of a segment's header, and so the offset of its first frame.
pub(crate) const HEADER_BYTES: usize = 48;
/// Length of what precedes a frame's body.
pub(crate) const HEAD_BYTES: usize = 48;
/// The largest body of a record's frame.
pub(crate) const MAX_BODY_BYTES: usize = 16 << 20;

const MAGIC: [u8; 8] = *b"llmclseg";
const MARKER: [u8; 8] = *b"\xf1\x9ellmcl\n";
const KEY_CONTEXT: &str = "llmcl 2026-11 record segment format 1";
const KIND_RECORD: u32 = 1;
const KIND_HOLE: u32 = 2;

/// Identifies a segment; its file is named by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SegmentId([u8; 16]);

impl SegmentId {
    pub(crate) fn random() -> SegmentId {
        SegmentId(disk::random_id())
    }

    pub(crate) fn file_name(self) -> String {
        format!("{self}.seg")
    }

    /// The identifier in a file's name: 32 lower-case hexadecimal digits and `.seg`.
    pub(crate) fn from_file_name(name: &str) -> Option<SegmentId> {
        let digits = name.strip_suffix(".seg")?.as_bytes();
        if digits.len() != 32 {
            return None;
        }
        let mut id = [0; 16];
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = hexadecimal_digit(pair[0])? << 4 | hexadecimal_digit(pair[1])?;
        }
        Some(SegmentId(id))
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&disk::hexadecimal(&self.0))
    }
}

fn hexadecimal_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// What the first bytes of a segment say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// Of the version that this program reads and writes.
    Current,
    /// Intact, but of a later version.
    Future { version: u32 },
    /// Not a header, not this segment's header, or damaged.
    Damaged,
}

/// The header of a segment of the current version.
pub(crate) fn encode_header(id: SegmentId) -> [u8; HEADER_BYTES] {
    encode_header_of_version(id, FORMAT_VERSION)
}

pub(crate) fn encode_header_of_version(id: SegmentId, version: u32) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[0..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&version.to_le_bytes());
    header[16..32].copy_from_slice(&id.0);
    let checksum = blake3::hash(&header[..32]);
    header[32..48].copy_from_slice(&checksum.as_bytes()[..16]);
    header
}

/// Reads the header at the start of a segment's bytes, of which there may be too few.
pub(crate) fn decode_header(id: SegmentId, bytes: &[u8]) -> Header {
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Header::Damaged;
    };
    let version = u32_at(header, 8);
    let intact = header[0..8] == MAGIC
        && header[16..32] == id.0
        && header[32..48] == blake3::hash(&header[..32]).as_bytes()[..16];
    match version {
        _ if !intact => Header::Damaged,
        FORMAT_VERSION if header[12..16] == [0; 4] => Header::Current,
        version if version > FORMAT_VERSION => Header::Future { version },
        _ => Header::Damaged,
    }
}

/// What a reader finds where a frame should begin.
#[derive(Debug, PartialEq, Eq)]
enum Decoded {
    /// An intact frame with a record; the range is that of its body.
    Record(Range<usize>),
    /// A hole, to be passed over. It has this length.
    Hole(usize),
    /// A frame of a kind that this program does not know, to be passed over and kept. It has this length.
    Other(usize),
    /// The head is intact and gives this length, but the body is damaged.
    DamagedBody(usize),
    /// No frame, or one that goes on beyond the end of the bytes.
    NoFrame,
}

/// The checksum key of one segment.
pub(crate) struct FrameKey([u8; 32]);

impl FrameKey {
    pub(crate) fn of(id: SegmentId) -> FrameKey {
        FrameKey(blake3::derive_key(KEY_CONTEXT, &id.0))
    }

    /// Appends to `output` the frame of a record that will stand at `offset` of the segment.
    pub(crate) fn encode_record(&self, offset: u64, body: &[u8], output: &mut Vec<u8>) {
        let body_checksum = self.checksum(body);
        // A body is at most `MAX_BODY_BYTES` long, which `record::encode` sees to.
        let head = self.head(offset, KIND_RECORD, body.len() as u32, &body_checksum);
        output.extend_from_slice(&head);
        output.extend_from_slice(body);
    }

    /// The head that turns `bytes` bytes at `offset` into a hole, which readers pass over; `None` if no hole can
    /// have that length.
    pub(crate) fn encode_hole(&self, offset: u64, bytes: u64) -> Option<[u8; HEAD_BYTES]> {
        let length = u32::try_from(bytes.checked_sub(HEAD_BYTES as u64)?).ok()?;
        Some(self.head(offset, KIND_HOLE, length, &[0; 16]))
    }

    fn head(&self, offset: u64, kind: u32, length: u32, body: &[u8; 16]) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        head[0..8].copy_from_slice(&MARKER);
        head[8..12].copy_from_slice(&kind.to_le_bytes());
        head[12..16].copy_from_slice(&length.to_le_bytes());
        head[16..32].copy_from_slice(body);
        let checksum = self.head_checksum(offset, &head);
        head[32..48].copy_from_slice(&checksum);
        head
    }

    fn head_checksum(&self, offset: u64, head: &[u8; HEAD_BYTES]) -> [u8; 16] {
        let mut covered = [0; 40];
        covered[..8].copy_from_slice(&offset.to_le_bytes());
        covered[8..].copy_from_slice(&head[..32]);
        self.checksum(&covered)
    }

    fn checksum(&self, bytes: &[u8]) -> [u8; 16] {
        array_at(blake3::keyed_hash(&self.0, bytes).as_bytes(), 0)
    }

    /// Reads the frame at `bytes[start..]`, which stands at `offset` of the segment.
    fn decode(&self, offset: u64, bytes: &[u8], start: usize) -> Decoded {
        let Some(head) = bytes[start..].first_chunk::<HEAD_BYTES>() else {
            return Decoded::NoFrame;
        };
        if head[0..8] != MARKER || head[32..48] != self.head_checksum(offset, head) {
            return Decoded::NoFrame;
        }
        let length = u32_at(head, 12) as usize;
        let body_start = start + HEAD_BYTES;
        if length > bytes.len() - body_start {
            return Decoded::NoFrame;
        }
        let body = body_start..body_start + length;
        match u32_at(head, 8) {
            KIND_RECORD if length > MAX_BODY_BYTES => Decoded::DamagedBody(HEAD_BYTES + length),
            KIND_RECORD if head[16..32] == self.checksum(&bytes[body.clone()]) => {
                Decoded::Record(body)
            }
            KIND_RECORD => Decoded::DamagedBody(HEAD_BYTES + length),
            KIND_HOLE => Decoded::Hole(HEAD_BYTES + length),
            _ => Decoded::Other(HEAD_BYTES + length),
        }
    }

    /// Goes over the frames in `bytes`, which stand at `offset` of the segment, and calls `on_record` with the body
    /// of each intact record. `on_record` says whether it understood the body; if not, the frame counts as damaged.
    pub(crate) fn scan(
        &self,
        offset: u64,
        bytes: &[u8],
        mut on_record: impl FnMut(Range<usize>) -> bool,
    ) -> Scan {
        let mut scan = Scan::default();
        let mut damage_start = None;
        let mut position = 0;
        while position < bytes.len() {
            let next = match self.decode(offset + position as u64, bytes, position) {
                Decoded::Record(body) if on_record(body.clone()) => Ok(body.end),
                Decoded::Hole(length) => Ok(position + length),
                Decoded::Other(length) => {
                    scan.has_other = true;
                    Ok(position + length)
                }
                Decoded::Record(body) => Err(Some(body.end)),
                Decoded::DamagedBody(length) => Err(Some(position + length)),
                Decoded::NoFrame => Err(find_marker(bytes, position + 1)),
            };
            match next {
                Ok(end) => {
                    if let Some(start) = damage_start.take() {
                        scan.damaged.push(start..position);
                    }
                    scan.consumed = end;
                    position = end;
                }
                Err(resume) => {
                    damage_start.get_or_insert(position);
                    position = resume.unwrap_or(bytes.len());
                }
            }
        }
        scan
    }
}

/// What going over a piece of a segment came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    /// The end of the last intact frame. What follows is being written by someone, torn, or damaged.
    pub(crate) consumed: usize,
    /// Stretches without an intact frame that have an intact frame after them.
    pub(crate) damaged: Vec<Range<usize>>,
    /// Whether there are intact frames of kinds that this program does not know.
    pub(crate) has_other: bool,
}

fn find_marker(bytes: &[u8], from: usize) -> Option<usize> {
    let found = bytes
        .get(from..)?
        .windows(MARKER.len())
        .position(|window| window == MARKER)?;
    Some(from + found)
}

/// The little-endian 32-bit number at `at`, which must lie within `bytes`.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

/// The little-endian 64-bit number at `at`, which must lie within `bytes`.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

/// The `N` bytes at `at`, which must lie within `bytes`.
pub(crate) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

#[cfg(test)]
mod tests;

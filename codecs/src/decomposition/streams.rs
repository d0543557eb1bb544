//! The streams: how each is written and read.

use super::recipe::{Kind, KindBytes, Piece};
use super::{Blocks, Place};
use crate::accounting::Accounting;
use crate::bytes::{ByteReader, CHUNK_BYTES, CountingWriter};
use crate::error::{DecodeError, EncodeError};
use crate::mixture::{
    BLOCK_BYTES, HEADER_BYTES, HeaderEncoder, NIBBLE_BYTES, NibbleDecoder, NibbleEncoder, RUN,
    decode_headers,
};
use crate::zstd_frame::{FrameReader, FrameWriter};

/// Headers whose bytes are grouped together: as many as fill a block of zstd with each byte of theirs.
const GROUPED: usize = 1 << 17;

/// A stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Meta,
    NibblesQ4K,
    QuantOther,
    ScalesQ4K,
    TensorF32,
}

impl Stream {
    /// All streams, in the order of their names.
    pub(super) const ALL: [Stream; 5] = [
        Stream::Meta,
        Stream::NibblesQ4K,
        Stream::QuantOther,
        Stream::ScalesQ4K,
        Stream::TensorF32,
    ];

    /// Its name in the study.
    pub(super) fn name(self) -> &'static str {
        match self {
            Stream::Meta => "meta",
            Stream::NibblesQ4K => "nibbles_q4k",
            Stream::QuantOther => "quant_other",
            Stream::ScalesQ4K => "scales_q4k",
            Stream::TensorF32 => "tensor_f32",
        }
    }

    fn kind(self) -> Kind {
        match self {
            Stream::Meta => Kind::Meta,
            Stream::NibblesQ4K | Stream::ScalesQ4K => Kind::Q4K,
            Stream::QuantOther => Kind::Other,
            Stream::TensorF32 => Kind::F32,
        }
    }

    /// Bytes of its content, by those of each kind.
    pub(super) fn content(self, bytes: &KindBytes) -> u64 {
        let own = self.kind().bytes(bytes);
        let of_blocks = |part: usize| own / BLOCK_BYTES as u64 * part as u64;
        match self {
            Stream::NibblesQ4K => of_blocks(NIBBLE_BYTES),
            Stream::ScalesQ4K => of_blocks(HEADER_BYTES),
            _ => own,
        }
    }
}

/// Upper estimate of the memory that grouping bytes takes: the bytes as they come, and grouped.
pub(super) fn grouped_memory(bytes: u64) -> u64 {
    bytes.min(2 * (GROUPED * HEADER_BYTES) as u64) + CHUNK_BYTES as u64
}

/// Writes the streams of pieces.
pub(super) struct StreamWriter<'a> {
    pub(super) pieces: &'a [Piece<'a>],
    pub(super) blocks: &'a Blocks,
    pub(super) level: u32,
}

impl<'a> StreamWriter<'a> {
    /// Writes a stream of `content` bytes.
    ///
    /// # Errors
    ///
    /// Where zstd or `out` fails.
    pub(super) fn write(
        &self,
        stream: Stream,
        content: u64,
        out: &mut CountingWriter<'_>,
    ) -> Result<Accounting, EncodeError> {
        match (stream, self.blocks) {
            (Stream::NibblesQ4K, Blocks::Mixture(mixture)) => {
                let mut encoder = NibbleEncoder::new(mixture);
                let nibbles = self.super_blocks().map(|(_, nibbles)| *nibbles);
                return write_runs(nibbles, out, |run, encoded| encoder.encode(run, encoded));
            }
            (Stream::ScalesQ4K, Blocks::Mixture(_)) => {
                let mut encoder = HeaderEncoder::default();
                let headers = self.super_blocks().map(|(header, _)| *header);
                return write_runs(headers, out, |run, encoded| encoder.encode(run, encoded));
            }
            _ => {}
        }
        let before = out.written();
        let mut frame = FrameWriter::new(self.level, content)?;
        match (stream, self.blocks) {
            (Stream::NibblesQ4K, _) => {
                let nibbles = self.super_blocks().map(|(_, nibbles)| nibbles.as_slice());
                put_all(nibbles, &mut frame, out)?;
            }
            (Stream::ScalesQ4K, Blocks::Grouped) => self.put_grouped(&mut frame, out)?,
            (Stream::ScalesQ4K, _) => {
                let headers = self.super_blocks().map(|(header, _)| header.as_slice());
                put_all(headers, &mut frame, out)?;
            }
            _ => {
                for piece in self.pieces_of(stream.kind()) {
                    frame.put(piece, out)?;
                }
            }
        }
        frame.finish(out)?;
        Ok(Accounting {
            payload: out.written() - before,
            ..Accounting::default()
        })
    }

    fn pieces_of(&self, kind: Kind) -> impl Iterator<Item = &'a [u8]> {
        let pieces = self.pieces.iter().filter(move |piece| piece.kind == kind);
        pieces.map(|piece| piece.data)
    }

    fn super_blocks(
        &self,
    ) -> impl Iterator<Item = (&'a [u8; HEADER_BYTES], &'a [u8; NIBBLE_BYTES])> {
        self.pieces_of(Kind::Q4K)
            .flat_map(|data| data.as_chunks::<BLOCK_BYTES>().0)
            .filter_map(|block| block.first_chunk().zip(block.last_chunk()))
    }

    fn put_grouped(
        &self,
        frame: &mut FrameWriter,
        out: &mut CountingWriter<'_>,
    ) -> Result<(), EncodeError> {
        let mut headers = self.super_blocks().map(|(header, _)| *header);
        let (mut held, mut group) = (Vec::new(), Vec::new());
        loop {
            held.clear();
            held.extend(headers.by_ref().take(GROUPED));
            if held.is_empty() {
                return Ok(());
            }
            for place in 0..HEADER_BYTES {
                group.clear();
                let bytes = held.as_flattened().iter().skip(place);
                group.extend(bytes.step_by(HEADER_BYTES));
                frame.put(&group, out)?;
            }
        }
    }
}

/// Puts many short slices into a frame.
fn put_all<'a>(
    slices: impl Iterator<Item = &'a [u8]>,
    frame: &mut FrameWriter,
    out: &mut CountingWriter<'_>,
) -> Result<(), EncodeError> {
    let mut buffer = Vec::with_capacity(CHUNK_BYTES);
    for slice in slices {
        buffer.extend_from_slice(slice);
        if buffer.len() >= CHUNK_BYTES {
            frame.put(&buffer, out)?;
            buffer.clear();
        }
    }
    frame.put(&buffer, out)
}

/// Writes parts of super-blocks in runs.
fn write_runs<const BYTES: usize>(
    mut parts: impl Iterator<Item = [u8; BYTES]>,
    out: &mut CountingWriter<'_>,
    mut encode: impl FnMut(&[[u8; BYTES]], &mut Vec<u8>) -> Accounting,
) -> Result<Accounting, EncodeError> {
    let (mut run, mut encoded) = (Vec::new(), Vec::new());
    let mut accounting = Accounting::default();
    loop {
        run.clear();
        run.extend(parts.by_ref().take(RUN));
        if run.is_empty() {
            return Ok(accounting);
        }
        encoded.clear();
        accounting += encode(&run, &mut encoded);
        out.put(&encoded)?;
    }
}

/// Reads a stream.
pub(super) struct StreamReader<'a> {
    source: Source<'a>,
    /// Content that was decoded, for sources that do so in runs.
    held: Vec<u8>,
    /// How much of it was given.
    given: usize,
    /// Bytes of content that are yet to be decoded in runs.
    left: u64,
}

enum Source<'a> {
    Empty,
    Frame(FrameReader<'a>),
    Grouped {
        frame: FrameReader<'a>,
        groups: Vec<u8>,
    },
    Nibbles(NibbleDecoder, ByteReader<'a>),
    Headers(ByteReader<'a>),
}

impl<'a> StreamReader<'a> {
    /// Begins to read a stream whose content is of `content` bytes.
    ///
    /// # Errors
    ///
    /// Where it does not begin as such a stream does, or its content is of another length.
    pub(super) fn open(
        stream: Stream,
        blocks: &Blocks,
        level: u32,
        place: Place<'a>,
        content: u64,
    ) -> Result<StreamReader<'a>, DecodeError> {
        let frame = || {
            let frame = FrameReader::new(place.bytes(), place.at, level)?;
            match frame.content() {
                found if found == content => Ok(frame),
                found => Err(DecodeError::Length {
                    what: "stream",
                    at: place.at,
                    expected: content,
                    found,
                }),
            }
        };
        let source = match (stream, blocks) {
            _ if content == 0 => Source::Empty,
            (Stream::NibblesQ4K, Blocks::Mixture(mixture)) => {
                Source::Nibbles(NibbleDecoder::new(mixture), place.reader()?)
            }
            (Stream::ScalesQ4K, Blocks::Mixture(_)) => Source::Headers(place.reader()?),
            (Stream::ScalesQ4K, Blocks::Grouped) => Source::Grouped {
                frame: frame()?,
                groups: Vec::new(),
            },
            _ => Source::Frame(frame()?),
        };
        Ok(StreamReader {
            source,
            held: Vec::new(),
            given: 0,
            left: content,
        })
    }

    /// Fills `buffer` with content. There is as much as the recipe asks for.
    ///
    /// # Errors
    ///
    /// Where the stream is damaged.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Result<(), DecodeError> {
        if let Source::Frame(frame) = &mut self.source {
            return frame.read(buffer).map(|_| ());
        }
        let mut rest = buffer;
        while !rest.is_empty() {
            if self.given == self.held.len() {
                self.decode_run()?;
            }
            let held = self.held.get(self.given..).unwrap_or(&[]);
            let count = held.len().min(rest.len());
            if count == 0 {
                break;
            }
            let (filled, after) = rest.split_at_mut(count);
            filled.copy_from_slice(held.get(..count).unwrap_or(&[]));
            self.given += count;
            rest = after;
        }
        Ok(())
    }

    /// Decodes what comes next, of which the last may be short.
    fn decode_run(&mut self) -> Result<(), DecodeError> {
        let most = match self.source {
            Source::Empty | Source::Frame(_) => 0,
            Source::Grouped { .. } => GROUPED * HEADER_BYTES,
            Source::Nibbles(..) => RUN * NIBBLE_BYTES,
            Source::Headers(_) => RUN * HEADER_BYTES,
        };
        let count = self.left.min(most as u64);
        self.left -= count;
        self.given = 0;
        self.held.clear();
        self.held.resize(count as usize, 0);
        match &mut self.source {
            Source::Empty | Source::Frame(_) => Ok(()),
            Source::Grouped { frame, groups } => {
                groups.resize(self.held.len(), 0);
                frame.read(groups)?;
                let headers = self.held.len() / HEADER_BYTES;
                for (place, group) in groups.chunks(headers.max(1)).enumerate() {
                    let slots = self.held.iter_mut().skip(place).step_by(HEADER_BYTES);
                    for (slot, byte) in slots.zip(group) {
                        *slot = *byte;
                    }
                }
                Ok(())
            }
            Source::Nibbles(decoder, reader) => decoder.decode(reader, self.held.as_chunks_mut().0),
            Source::Headers(reader) => decode_headers(reader, self.held.as_chunks_mut().0),
        }
    }

    /// Ends the reading once all content was read.
    ///
    /// # Errors
    ///
    /// Where the stream goes on.
    pub(super) fn finish(self) -> Result<(), DecodeError> {
        match self.source {
            Source::Empty => Ok(()),
            Source::Frame(frame) | Source::Grouped { frame, .. } => frame.finish(),
            Source::Nibbles(_, reader) | Source::Headers(reader) => reader.finish(),
        }
    }
}

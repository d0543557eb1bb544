//! Chunks and their modes.
//!
//! | mode | follows |
//! | --- | --- |
//! | 0, stored | the blocks |
//! | 2, coded | the symbols of their windows, in one stream ([`Runs`](crate::rans::Runs)); given other blocks, as [`given`] has them |
//! | 3, coded, some again | which blocks come again ([`Again`]); the others, coded, as if they were all |
//! | 4, zstd | the length of a zstd frame as a variable-length integer, the frame |
//!
//! A chunk is coded if that is shorter than stored, and if the tensor has tables; if blocks come again, without them. If
//! it may repeat itself, it is zstd's where that is shorter still.

use super::again::Again;
use super::given;
use super::pass::{Counting, Counts, Decoding, Encoding, Pass, TableOf};
use super::tables::Tables;
use super::{BlockCoder, Shape, Window};
use crate::bytes::ByteReader;
use crate::error::{DecodeError, EncodeError};
use crate::floats::repeats;
use crate::rans::{DecoderTable, EncoderTable, RunDecoder, Runs};

const STORED: u8 = 0;
const CODED: u8 = 2;
const CODED_AGAIN: u8 = 3;
const ZSTD: u8 = 4;

/// The same weights as those of a chunk, or a tensor, at a finer precision.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) shape: Shape,
    pub(super) data: &'a [u8],
}

impl<'a> Given<'a> {
    /// The part that has the weights of `number`-th part of so many blocks, where a part of its own has `blocks`.
    fn part(self, number: usize, blocks: usize) -> Given<'a> {
        let length = blocks * self.shape.layout.bytes();
        let start = (number * length).min(self.data.len());
        let end = (start + length).min(self.data.len());
        Given {
            shape: self.shape,
            data: self.data.get(start..end).unwrap_or(&[]),
        }
    }
}

/// Space used again from chunk to chunk.
#[derive(Default)]
pub(super) struct Scratch<S> {
    own: S,
    window: Window,
    /// The same weights at a finer precision.
    given: Window,
    by_given: given::Scratch,
    runs: Runs,
    /// The chunk that is encoded, as zstd has it.
    frame: Vec<u8>,
    /// Blocks that do not come again.
    kept: Vec<u8>,
}

/// What the chunks of a tensor are encoded by.
pub(super) struct Encoder {
    table_of: Box<TableOf>,
    tables: Vec<EncoderTable>,
}

impl Encoder {
    pub(super) fn new(tables: &Tables) -> Encoder {
        Encoder {
            table_of: tables.of_class.clone(),
            tables: tables.frequencies.iter().map(EncoderTable::new).collect(),
        }
    }
}

/// What the chunks of a tensor are decoded by.
pub(super) struct Decoder {
    table_of: Box<TableOf>,
    table: DecoderTable,
}

impl Decoder {
    pub(super) fn new(tables: &Tables) -> Decoder {
        Decoder {
            table_of: tables.of_class.clone(),
            table: DecoderTable::new(&tables.frequencies),
        }
    }
}

/// Counts the symbols of a tensor, which are coded in these chunks.
pub(super) fn count<C: BlockCoder>(
    shape: Shape,
    data: &[u8],
    given: Option<Given<'_>>,
    scratch: &mut Scratch<C::Scratch>,
    counts: &mut Counts,
) {
    let chunks = data.chunks(shape.chunk() * shape.layout.bytes());
    for (number, data) in chunks.enumerate() {
        let mut pass = Counting(counts);
        let given = given.map(|given| given.part(number, given.shape.chunk()));
        if given.is_none() && may_repeat(shape, data) {
            let mut kept = std::mem::take(&mut scratch.kept);
            let again = Again::find(data, shape.layout.bytes());
            again.leave_out(data, shape.layout.bytes(), &mut kept);
            walk_blocks::<C>(shape, &kept, None, scratch, &mut pass);
            scratch.kept = kept;
        } else {
            walk_blocks::<C>(shape, data, given, scratch, &mut pass);
        }
    }
}

fn may_repeat(shape: Shape, data: &[u8]) -> bool {
    repeats::may_repeat_in_blocks(data, shape.layout.bytes())
}

/// Gives the symbols of blocks to `pass`.
fn walk_blocks<C: BlockCoder>(
    shape: Shape,
    data: &[u8],
    given: Option<Given<'_>>,
    scratch: &mut Scratch<C::Scratch>,
    pass: &mut impl Pass,
) {
    let windows = data.chunks(shape.window() * shape.layout.bytes());
    for (number, data) in windows.enumerate() {
        scratch.window.split(shape, data);
        walk_window::<C>(shape, number, given, scratch, pass);
    }
}

/// Gives the symbols of a window to `pass`, or has it fill them in.
fn walk_window<C: BlockCoder>(
    shape: Shape,
    number: usize,
    given: Option<Given<'_>>,
    scratch: &mut Scratch<C::Scratch>,
    pass: &mut impl Pass,
) {
    let Some(given) = given else {
        C::walk(shape, &mut scratch.window, &mut scratch.own, pass);
        return;
    };
    let part = given.part(number, given.shape.window());
    scratch.given.split(given.shape, part.data);
    let Scratch {
        window,
        given: finer,
        by_given,
        ..
    } = scratch;
    given::walk(shape, window, given.shape, finer, by_given, pass);
}

/// Appends a chunk of blocks, which is not empty.
///
/// # Errors
///
/// [`EncodeError::Backend`] where libzstd fails.
pub(super) fn encode<C: BlockCoder>(
    shape: Shape,
    encoder: Option<&Encoder>,
    data: &[u8],
    given: Option<Given<'_>>,
    scratch: &mut Scratch<C::Scratch>,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let start = out.len();
    let may_repeat = may_repeat(shape, data);
    let again = match given {
        None if may_repeat => Again::find(data, shape.layout.bytes()),
        _ => Again::default(),
    };
    if let Some(encoder) = encoder {
        if again.is_empty() {
            out.push(CODED);
            encode_blocks::<C>(shape, encoder, data, given, scratch, out);
        } else {
            let mut kept = std::mem::take(&mut scratch.kept);
            again.leave_out(data, shape.layout.bytes(), &mut kept);
            out.push(CODED_AGAIN);
            again.write(out);
            encode_blocks::<C>(shape, encoder, &kept, None, scratch, out);
            scratch.kept = kept;
        }
    }
    if encoder.is_none() || out.len() - start > data.len() {
        out.truncate(start);
        out.push(STORED);
        out.extend_from_slice(data);
    }
    if may_repeat {
        let mut frame = std::mem::take(&mut scratch.frame);
        frame.clear();
        frame.push(ZSTD);
        repeats::write_frame(data, &mut frame)?;
        if frame.len() < out.len() - start {
            out.truncate(start);
            out.extend_from_slice(&frame);
        }
        scratch.frame = frame;
    }
    Ok(())
}

/// Appends the symbols of blocks.
fn encode_blocks<C: BlockCoder>(
    shape: Shape,
    encoder: &Encoder,
    data: &[u8],
    given: Option<Given<'_>>,
    scratch: &mut Scratch<C::Scratch>,
    out: &mut Vec<u8>,
) {
    let mut runs = std::mem::take(&mut scratch.runs);
    runs.clear();
    let mut pass = Encoding {
        table_of: &encoder.table_of,
        runs: &mut runs,
        tables: Vec::new(),
    };
    walk_blocks::<C>(shape, data, given, scratch, &mut pass);
    runs.encode(&encoder.tables, out);
    scratch.runs = runs;
}

/// Takes what [`encode_blocks`] writes and fills `data` with whole blocks.
fn decode_blocks<C: BlockCoder>(
    shape: Shape,
    decoder: &Decoder,
    reader: &mut ByteReader<'_>,
    given: Option<Given<'_>>,
    scratch: &mut Scratch<C::Scratch>,
    data: &mut [u8],
) -> Result<(), DecodeError> {
    let blocks = data.len() / shape.layout.bytes();
    let symbols = blocks * shape.symbols();
    let mut runs = RunDecoder::start(reader, &decoder.table, symbols)?;
    let mut pass = Decoding {
        table_of: &decoder.table_of,
        decoder: &mut runs,
        tables: Vec::new(),
    };
    let windows = data.chunks_mut(shape.window() * shape.layout.bytes());
    for (number, data) in windows.enumerate() {
        let blocks = data.len() / shape.layout.bytes();
        scratch.window.resize(shape, blocks);
        walk_window::<C>(shape, number, given, scratch, &mut pass);
        scratch.window.join(shape, data);
    }
    runs.finish()
}

/// Decodes a chunk and fills `data` with whole blocks.
///
/// # Errors
///
/// Where bytes are missing, or are not what [`encode`] writes.
pub(super) fn decode<C: BlockCoder>(
    shape: Shape,
    decoder: Option<&Decoder>,
    encoded: &[u8],
    given: Option<Given<'_>>,
    scratch: &mut Scratch<C::Scratch>,
    data: &mut [u8],
) -> Result<(), DecodeError> {
    let mut reader = ByteReader::new(encoded);
    match (reader.byte("mode of a chunk")?, decoder) {
        (STORED, _) => data.copy_from_slice(reader.take(data.len() as u64, "stored chunk")?),
        (CODED, Some(decoder)) => {
            decode_blocks::<C>(shape, decoder, &mut reader, given, scratch, data)?;
        }
        (CODED_AGAIN, Some(decoder)) if given.is_none() => {
            let length = shape.layout.bytes();
            let again = Again::read(&mut reader, data.len() / length)?;
            let mut kept = std::mem::take(&mut scratch.kept);
            kept.resize(data.len() - again.blocks() * length, 0);
            let decoded = decode_blocks::<C>(shape, decoder, &mut reader, None, scratch, &mut kept);
            again.put_back(&kept, length, data);
            scratch.kept = kept;
            decoded?;
        }
        (ZSTD, _) => repeats::read_frame(&mut reader, data)?,
        (found, _) => {
            return Err(DecodeError::Field {
                what: "mode of a chunk",
                at: 0,
                expected: "0 or 4; in a tensor with tables 2, and 3 where nothing is given",
                found: found.into(),
            });
        }
    }
    reader.finish()
}

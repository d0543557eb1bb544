//! Chunks and their modes.
//!
//! | mode | follows |
//! | --- | --- |
//! | 0, stored | the blocks |
//! | 2, coded | the symbols of their windows, in one stream ([`Runs`](crate::rans::Runs)) |
//! | 4, zstd | the length of a zstd frame as a variable-length integer, the frame |
//!
//! A chunk is coded if that is shorter than stored, and if the tensor has tables. If it repeats itself, it is zstd's
//! where that is the shortest.

use super::pass::{Counting, Counts, Decoding, Encoding, TableOf};
use super::tables::Tables;
use super::{BlockCoder, Shape, Window};
use crate::bytes::ByteReader;
use crate::error::{DecodeError, EncodeError};
use crate::floats::repeats;
use crate::rans::{DecoderTable, EncoderTable, RunDecoder, Runs};

const STORED: u8 = 0;
const CODED: u8 = 2;
const ZSTD: u8 = 4;

/// Space used again from chunk to chunk.
#[derive(Default)]
pub(super) struct Scratch<S> {
    own: S,
    window: Window,
    runs: Runs,
    frame: Vec<u8>,
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

/// Counts the symbols of whole blocks.
pub(super) fn count<C: BlockCoder>(
    shape: Shape,
    data: &[u8],
    scratch: &mut Scratch<C::Scratch>,
    counts: &mut Counts,
) {
    for data in data.chunks(shape.window() * shape.layout.bytes()) {
        scratch.window.split(shape, data);
        let mut pass = Counting(counts);
        C::walk(shape, &mut scratch.window, &mut scratch.own, &mut pass);
    }
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
    scratch: &mut Scratch<C::Scratch>,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let start = out.len();
    if let Some(encoder) = encoder {
        out.push(CODED);
        scratch.runs.clear();
        let mut pass = Encoding {
            table_of: &encoder.table_of,
            runs: &mut scratch.runs,
            tables: Vec::new(),
        };
        for data in data.chunks(shape.window() * shape.layout.bytes()) {
            scratch.window.split(shape, data);
            C::walk(shape, &mut scratch.window, &mut scratch.own, &mut pass);
        }
        scratch.runs.encode(&encoder.tables, out);
    }
    let most = 1 + data.len();
    let coded = match encoder {
        Some(_) => out.len() - start,
        None => most,
    };
    if repeats::may_repeat(data) {
        scratch.frame.clear();
        repeats::write_frame(data, &mut scratch.frame)?;
        if 1 + scratch.frame.len() < coded.min(most) {
            out.truncate(start);
            out.push(ZSTD);
            out.extend_from_slice(&scratch.frame);
            return Ok(());
        }
    }
    if coded >= most {
        out.truncate(start);
        out.push(STORED);
        out.extend_from_slice(data);
    }
    Ok(())
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
    scratch: &mut Scratch<C::Scratch>,
    data: &mut [u8],
) -> Result<(), DecodeError> {
    let mut reader = ByteReader::new(encoded);
    match (reader.byte("mode of a chunk")?, decoder) {
        (STORED, _) => data.copy_from_slice(reader.take(data.len() as u64, "stored chunk")?),
        (CODED, Some(decoder)) => {
            let blocks = data.len() / shape.layout.bytes();
            let symbols = blocks * shape.symbols();
            let mut runs = RunDecoder::start(&mut reader, &decoder.table, symbols)?;
            let mut pass = Decoding {
                table_of: &decoder.table_of,
                decoder: &mut runs,
                tables: Vec::new(),
            };
            for data in data.chunks_mut(shape.window() * shape.layout.bytes()) {
                let blocks = data.len() / shape.layout.bytes();
                scratch.window.resize(shape, blocks);
                C::walk(shape, &mut scratch.window, &mut scratch.own, &mut pass);
                scratch.window.join(shape, data);
            }
            runs.finish()?;
        }
        (ZSTD, _) => repeats::read_frame(&mut reader, data)?,
        (found, _) => {
            return Err(DecodeError::Field {
                what: "mode of a chunk",
                at: 0,
                expected: "0 or 4, or 2 in a tensor with tables",
                found: found.into(),
            });
        }
    }
    reader.finish()
}

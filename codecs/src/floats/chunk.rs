//! Chunks and their modes.
//!
//! | mode | follows |
//! | --- | --- |
//! | 0, stored | the weights |
//! | 1, constant | the weight that all are |
//! | 2, coded | for fp32 what is beneath the words, see [`beneath`](super::beneath); what the coder writes for the words |
//! | 3, coded as bf16, for fp16 alone | what the coder writes for the same numbers as bf16 words |
//! | 4, zstd | the length of a zstd frame as a variable-length integer, the frame |
//!
//! A chunk is constant if it can be. If it repeats itself, it is zstd's where that is the shortest. It is coded if that
//! is shorter than stored.

use super::beneath::Beneath;
use super::tensor::{FloatType, Matrix};
use super::{FloatCoder, born, repeats};
use crate::accounting::Accounting;
use crate::bytes::ByteReader;
use crate::error::{DecodeError, EncodeError};
use crate::float::FloatLayout;

const STORED: u8 = 0;
const CONSTANT: u8 = 1;
const CODED: u8 = 2;
const CODED_AS_BF16: u8 = 3;
const ZSTD: u8 = 4;

/// Space used again from chunk to chunk.
#[derive(Default)]
pub(crate) struct ChunkScratch<S> {
    coder: S,
    words: Vec<[u8; 2]>,
    beneath: Beneath,
    frame: Vec<u8>,
}

/// Whether all weights are the same.
fn is_constant(kind: FloatType, data: &[u8]) -> bool {
    let bytes = kind.bytes();
    // Equal to itself, a weight further on.
    data.get(bytes..) == data.get(..data.len() - bytes)
}

/// Appends a chunk of weights, which is not empty.
///
/// # Errors
///
/// [`EncodeError::Backend`] where libzstd fails.
pub(crate) fn encode_chunk<C: FloatCoder>(
    coder: &C,
    kind: FloatType,
    matrix: Matrix,
    data: &[u8],
    scratch: &mut ChunkScratch<C::Scratch>,
    out: &mut Vec<u8>,
) -> Result<Accounting, EncodeError> {
    let start = out.len();
    let mut accounting = Accounting {
        container: 1,
        ..Accounting::default()
    };
    if is_constant(kind, data) {
        out.push(CONSTANT);
        out.extend(data.iter().take(kind.bytes()));
        accounting.payload = kind.bytes() as u64;
        return Ok(accounting);
    }
    let words = match kind {
        FloatType::Bf16 => {
            out.push(CODED);
            data.as_chunks().0
        }
        FloatType::F16 => {
            let halves = data.as_chunks().0;
            scratch.words.resize(halves.len(), [0; 2]);
            if born::to_bf16(halves, &mut scratch.words) {
                out.push(CODED_AS_BF16);
                &scratch.words
            } else {
                out.push(CODED);
                halves
            }
        }
        FloatType::F32 => {
            out.push(CODED);
            let singles = data.as_chunks().0;
            scratch.words.resize(singles.len(), [0; 2]);
            scratch.beneath.divide(singles, &mut scratch.words);
            scratch.beneath.write(out)?;
            &scratch.words
        }
    };
    let layout = match out.get(start) {
        Some(&CODED_AS_BF16) => FloatLayout::Bf16,
        _ => kind.layout(),
    };
    let own = &mut scratch.coder;
    accounting.tables = coder.encode(matrix, layout, words, own, out);
    if repeats::may_repeat(data) {
        scratch.frame.clear();
        repeats::write_frame(data, &mut scratch.frame)?;
        if 1 + scratch.frame.len() < (out.len() - start).min(1 + data.len()) {
            out.truncate(start);
            out.push(ZSTD);
            out.extend_from_slice(&scratch.frame);
            accounting.tables = 0;
        }
    }
    if out.len() - start > data.len() {
        out.truncate(start);
        out.push(STORED);
        out.extend_from_slice(data);
        accounting.tables = 0;
    }
    accounting.payload = (out.len() - start) as u64 - 1 - accounting.tables;
    Ok(accounting)
}

/// Takes a chunk and fills `data`, whose length is that of whole weights.
///
/// # Errors
///
/// Where bytes are missing, or are not what [`encode_chunk`] writes.
pub(crate) fn decode_chunk<C: FloatCoder>(
    coder: &C,
    kind: FloatType,
    matrix: Matrix,
    reader: &mut ByteReader<'_>,
    scratch: &mut ChunkScratch<C::Scratch>,
    data: &mut [u8],
) -> Result<(), DecodeError> {
    let at = reader.at();
    let mode = reader.byte("mode of a chunk")?;
    let own = &mut scratch.coder;
    match (mode, kind) {
        (STORED, _) => {
            let stored = reader.take(data.len() as u64, "stored chunk")?;
            data.copy_from_slice(stored);
            Ok(())
        }
        (CONSTANT, _) => {
            let weight = reader.take(kind.bytes() as u64, "constant chunk")?;
            for slot in data.chunks_exact_mut(kind.bytes()) {
                slot.copy_from_slice(weight);
            }
            Ok(())
        }
        (CODED, FloatType::Bf16 | FloatType::F16) => {
            let words = data.as_chunks_mut().0;
            coder.decode(matrix, kind.layout(), reader, own, words)
        }
        (CODED, FloatType::F32) => {
            let singles = data.as_chunks_mut().0;
            scratch.beneath.read(singles.len(), reader)?;
            scratch.words.resize(singles.len(), [0; 2]);
            let words = scratch.words.as_mut_slice();
            coder.decode(matrix, kind.layout(), reader, own, words)?;
            scratch.beneath.join(words, singles);
            Ok(())
        }
        (CODED_AS_BF16, FloatType::F16) => {
            let words = data.as_chunks_mut().0;
            let layout = FloatLayout::Bf16;
            coder.decode(matrix, layout, reader, own, words)?;
            if born::to_f16(words) {
                return Ok(());
            }
            Err(DecodeError::Field {
                what: "mode of a chunk",
                at,
                expected: "another than 3, because some of its numbers are none of fp16",
                found: mode.into(),
            })
        }
        (ZSTD, _) => repeats::read_frame(reader, data),
        (found, _) => Err(DecodeError::Field {
            what: "mode of a chunk",
            at,
            expected: "0, 1, 2 or 4, or 3 for fp16",
            found: found.into(),
        }),
    }
}

//! Chunks and their modes.
//!
//! | mode | follows |
//! | --- | --- |
//! | 0, stored | the blocks |
//! | 2, coded | the blocks, as the method has them |
//! | 3, coded, some again | which blocks come again ([`Again`]); the others, coded, as if they were all |
//! | 4, zstd | the length of a zstd frame as a variable-length integer, the frame |
//!
//! A chunk is coded if that is shorter than stored, and if the tensor is; if blocks come again, without them. If it may
//! repeat itself, it is zstd's where that is shorter still.

use super::again::Again;
use super::{BlockCoding, Given, Shape};
use crate::bytes::ByteReader;
use crate::error::{DecodeError, EncodeError};
use crate::floats::repeats;

const STORED: u8 = 0;
const CODED: u8 = 2;
const CODED_AGAIN: u8 = 3;
const ZSTD: u8 = 4;

/// Space used again from chunk to chunk.
#[derive(Default)]
pub(super) struct Scratch<S> {
    pub(super) own: S,
    /// The chunk that is encoded, as zstd has it.
    frame: Vec<u8>,
    /// Blocks that do not come again.
    kept: Vec<u8>,
}

/// Whether blocks may well come again.
pub(super) fn may_repeat(shape: Shape, data: &[u8]) -> bool {
    repeats::may_repeat_in_blocks(data, shape.layout.bytes())
}

/// Appends a chunk of blocks, which is not empty.
///
/// # Errors
///
/// [`EncodeError::Backend`] where libzstd fails.
pub(super) fn encode<C: BlockCoding>(
    shape: Shape,
    coding: Option<&C>,
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
    if let Some(coding) = coding {
        if again.is_empty() {
            out.push(CODED);
            coding.encode(shape, data, given, &mut scratch.own, out);
        } else {
            again.leave_out(data, shape.layout.bytes(), &mut scratch.kept);
            out.push(CODED_AGAIN);
            again.write(out);
            coding.encode(shape, &scratch.kept, None, &mut scratch.own, out);
        }
    }
    if coding.is_none() || out.len() - start > data.len() {
        out.truncate(start);
        out.push(STORED);
        out.extend_from_slice(data);
    }
    if may_repeat {
        let frame = &mut scratch.frame;
        frame.clear();
        frame.push(ZSTD);
        repeats::write_frame(data, frame)?;
        if frame.len() < out.len() - start {
            out.truncate(start);
            out.extend_from_slice(frame);
        }
    }
    Ok(())
}

/// Decodes a chunk and fills `data` with whole blocks.
///
/// # Errors
///
/// Where bytes are missing, or are not what [`encode`] writes.
pub(super) fn decode<C: BlockCoding>(
    shape: Shape,
    coding: Option<&C>,
    encoded: &[u8],
    given: Option<Given<'_>>,
    scratch: &mut Scratch<C::Scratch>,
    data: &mut [u8],
) -> Result<(), DecodeError> {
    let mut reader = ByteReader::new(encoded);
    match (reader.byte("mode of a chunk")?, coding) {
        (STORED, _) => data.copy_from_slice(reader.take(data.len() as u64, "stored chunk")?),
        (CODED, Some(coding)) => {
            coding.decode(shape, &mut reader, given, &mut scratch.own, data)?;
        }
        (CODED_AGAIN, Some(coding)) if given.is_none() => {
            let length = shape.layout.bytes();
            let again = Again::read(&mut reader, data.len() / length)?;
            let Scratch { own, kept, .. } = scratch;
            kept.resize(data.len() - again.blocks() * length, 0);
            let decoded = coding.decode(shape, &mut reader, None, own, kept);
            again.put_back(kept, length, data);
            decoded?;
        }
        (ZSTD, _) => repeats::read_frame(&mut reader, data)?,
        (found, _) => {
            return Err(DecodeError::Field {
                what: "mode of a chunk",
                at: 0,
                expected: "0 or 4; in a tensor that is coded 2, and 3 where nothing is given",
                found: found.into(),
            });
        }
    }
    reader.finish()
}

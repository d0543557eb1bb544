//! What encodings of 16-bit floats have in common: the head of a unit, and chunks that are stored or constant.

use crate::accounting::Accounting;
use crate::bytes::{ByteReader, CountingWriter, write_varint};
use crate::error::{DecodeError, EncodeError};

/// Bytes of a weight.
pub(crate) const WORD_BYTES: u64 = 2;

const STORED: u8 = 0;
const CONSTANT: u8 = 1;
const CODED: u8 = 2;

/// Appends the head of a unit: the version, the number of tensors, and that of the weights of all.
pub(crate) fn write_head(out: &mut Vec<u8>, version: u8, tensors: usize, weights: u64) {
    out.push(version);
    write_varint(out, tensors as u64);
    write_varint(out, weights);
}

/// The head of a unit that is being decoded. The number of all weights guards those of the tensors, on which nothing
/// else depends where chunks are constant.
pub(crate) struct Head {
    pub(crate) tensors: u64,
    at: u64,
    weights: u64,
    /// Weights that no tensor has claimed yet.
    left: u64,
}

impl Head {
    /// Takes the head of a unit of version 1.
    pub(crate) fn read(reader: &mut ByteReader<'_>) -> Result<Head, DecodeError> {
        let version = reader.byte("version")?;
        if version != 1 {
            return Err(DecodeError::Field {
                what: "version",
                at: 0,
                expected: "1",
                found: version.into(),
            });
        }
        let tensors = reader.varint("number of tensors")?;
        let at = reader.at();
        let weights = reader.varint("number of all weights")?;
        Ok(Head {
            tensors,
            at,
            weights,
            left: weights,
        })
    }

    /// Claims the weights of a tensor, of which nothing means more than a number can say.
    pub(crate) fn claim(&mut self, weights: Option<u64>) -> Result<u64, DecodeError> {
        let left = weights.and_then(|weights| self.left.checked_sub(weights));
        let claimed = self.left - left.ok_or(self.refusal())?;
        self.left -= claimed;
        Ok(claimed)
    }

    /// Ends the unit: all weights must have been claimed.
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        match self.left {
            0 => Ok(()),
            _ => Err(self.refusal()),
        }
    }

    fn refusal(&self) -> DecodeError {
        DecodeError::Field {
            what: "number of all weights",
            at: self.at,
            expected: "the sum of the tensors'",
            found: self.weights,
        }
    }
}

/// Writes a chunk if all of its words are the same, or there is none.
pub(crate) fn write_if_constant(
    words: &[[u8; 2]],
    out: &mut CountingWriter<'_>,
) -> Result<Option<Accounting>, EncodeError> {
    let Some((first, rest)) = words.split_first() else {
        return Ok(Some(Accounting::default()));
    };
    if rest.iter().any(|word| word != first) {
        return Ok(None);
    }
    out.put(&[CONSTANT])?;
    out.put(first)?;
    Ok(Some(Accounting {
        container: 1,
        payload: WORD_BYTES,
        ..Accounting::default()
    }))
}

/// Writes a chunk as it was coded, tables first, or as it is if that is not longer.
pub(crate) fn write_shorter(
    words: &[[u8; 2]],
    tables: &[u8],
    planes: &[&[u8]],
    out: &mut CountingWriter<'_>,
) -> Result<Accounting, EncodeError> {
    let stored = words.as_flattened();
    let payload: usize = planes.iter().map(|plane| plane.len()).sum();
    let mut accounting = Accounting {
        container: 1,
        ..Accounting::default()
    };
    if tables.len() + payload < stored.len() {
        out.put(&[CODED])?;
        out.put(tables)?;
        planes.iter().try_for_each(|plane| out.put(plane))?;
        accounting.tables = tables.len() as u64;
        accounting.payload = payload as u64;
    } else {
        out.put(&[STORED])?;
        out.put(stored)?;
        accounting.payload = stored.len() as u64;
    }
    Ok(accounting)
}

/// Takes the mode of a chunk and fills `words` if that is all there is to it. Says whether the chunk is coded: then what
/// codes it comes next.
pub(crate) fn read_unless_coded(
    reader: &mut ByteReader<'_>,
    words: &mut [[u8; 2]],
) -> Result<bool, DecodeError> {
    let at = reader.at();
    match reader.byte("mode of a chunk")? {
        STORED => {
            let stored = reader.take(WORD_BYTES * words.len() as u64, "stored chunk")?;
            words.copy_from_slice(stored.as_chunks().0);
            Ok(false)
        }
        CONSTANT => {
            words.fill(reader.array("constant chunk")?);
            Ok(false)
        }
        CODED => Ok(true),
        found => Err(DecodeError::Field {
            what: "mode of a chunk",
            at,
            expected: "0, 1 or 2",
            found: found.into(),
        }),
    }
}

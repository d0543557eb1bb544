//! What is beneath the upper halves of fp32 weights, which are bf16 words.
//!
//! | field | bytes |
//! | --- | --- |
//! | 0, stored, with the lower halves | 1 + 2 a weight |
//! | 1, all zero, as of weights that were bf16 once | 1 |
//! | 2, zstd, with the length of a frame as a variable-length integer, and the frame | more |

use super::repeats;
use crate::bytes::ByteReader;
use crate::error::{DecodeError, EncodeError};

const STORED: u8 = 0;
const ZERO: u8 = 1;
const ZSTD: u8 = 2;

/// Lower halves.
#[derive(Default)]
pub(super) struct Beneath {
    halves: Vec<[u8; 2]>,
}

impl Beneath {
    /// Divides weights into their upper halves and these.
    pub(super) fn divide(&mut self, singles: &[[u8; 4]], words: &mut [[u8; 2]]) {
        self.halves.clear();
        self.halves
            .extend(singles.iter().map(|[a, b, _, _]| [*a, *b]));
        for (word, [_, _, c, d]) in words.iter_mut().zip(singles) {
            *word = [*c, *d];
        }
    }

    /// Puts weights together.
    pub(super) fn join(&self, words: &[[u8; 2]], singles: &mut [[u8; 4]]) {
        for ((single, word), half) in singles.iter_mut().zip(words).zip(&self.halves) {
            *single = [half[0], half[1], word[0], word[1]];
        }
    }

    /// Appends the written form.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let bytes = self.halves.as_flattened();
        if bytes.iter().all(|byte| *byte == 0) {
            out.push(ZERO);
            return Ok(());
        }
        let start = out.len();
        // Of weights that were fp16 once, the lower byte is zero.
        if repeats::may_repeat(bytes) {
            out.push(ZSTD);
            repeats::write_frame(bytes, out)?;
            if out.len() - start <= bytes.len() {
                return Ok(());
            }
            out.truncate(start);
        }
        out.push(STORED);
        out.extend_from_slice(bytes);
        Ok(())
    }

    /// Takes a written form of `weights` weights.
    pub(super) fn read(
        &mut self,
        weights: usize,
        reader: &mut ByteReader<'_>,
    ) -> Result<(), DecodeError> {
        let at = reader.at();
        self.halves.resize(weights, [0; 2]);
        let bytes = self.halves.as_flattened_mut();
        match reader.byte("mode of lower halves")? {
            STORED => bytes.copy_from_slice(reader.take(bytes.len() as u64, "lower halves")?),
            ZERO => bytes.fill(0),
            ZSTD => repeats::read_frame(reader, bytes)?,
            found => {
                return Err(DecodeError::Field {
                    what: "mode of lower halves",
                    at,
                    expected: "0, 1 or 2",
                    found: found.into(),
                });
            }
        }
        Ok(())
    }
}

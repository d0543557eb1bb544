//! Units of the methods, in chunks that run across the tensors.
//!
//! | field | bytes |
//! | --- | --- |
//! | version | 1 |
//! | number of weights of all tensors together | variable-length integer |
//! | what the method has once a unit; nothing if there are no weights | |
//! | per chunk: its mode | 1 |
//! | … mode 0: the weights as they are | 2 each |
//! | … another mode, of which the method says what it means | |
//!
//! The weights of all tensors follow each other, and all chunks but the last have as many as the method says. A chunk
//! is stored as it is where coding would make it longer. Real weights never come to that.

use std::io::Write;

use crate::accounting::Accounting;
use crate::bytes::{ByteReader, CountingWriter, put_decoded, write_varint};
use crate::error::{DecodeError, EncodeError};
use crate::tensor::TensorView;

const STORED: u8 = 0;

/// The mode of a coded chunk of a method that has no other.
pub(crate) const CODED: u8 = 1;

/// What a method says of a chunk that it has coded.
pub(crate) struct Coded {
    /// The mode, not 0.
    pub(crate) mode: u8,
    /// Bytes of it that are tables.
    pub(crate) tables: u64,
    /// Bytes of it that are lengths.
    pub(crate) container: u64,
}

/// The units of a method.
pub(crate) struct SplitUnit {
    /// The version of the method's format.
    pub(crate) version: u8,
    /// Weights of every chunk but the last.
    pub(crate) chunk_weights: usize,
}

impl SplitUnit {
    /// Calls `each` with the weights of each chunk of tensors of two bytes a weight.
    ///
    /// # Errors
    ///
    /// What `each` fails with.
    pub(crate) fn each_chunk<E>(
        &self,
        tensors: &[TensorView<'_>],
        mut each: impl FnMut(&[[u8; 2]]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut held: Vec<[u8; 2]> = Vec::new();
        for tensor in tensors {
            let mut words = tensor.data.as_chunks().0;
            while !words.is_empty() {
                let room = self.chunk_weights.saturating_sub(held.len()).max(1);
                let (taken, rest) = words.split_at(room.min(words.len()));
                held.extend_from_slice(taken);
                words = rest;
                if held.len() >= self.chunk_weights {
                    each(&held)?;
                    held.clear();
                }
            }
        }
        if held.is_empty() {
            return Ok(());
        }
        each(&held)
    }

    /// Writes a unit of tensors, `bytes` long together. `tables` is what the method has once a unit; `encode` appends a
    /// coded chunk.
    ///
    /// # Errors
    ///
    /// [`EncodeError::Write`] where `out` fails, and what `encode` fails with.
    pub(crate) fn encode(
        &self,
        tensors: &[TensorView<'_>],
        bytes: u64,
        tables: &[u8],
        out: &mut dyn Write,
        mut encode: impl FnMut(&[[u8; 2]], &mut Vec<u8>) -> Result<Coded, EncodeError>,
    ) -> Result<Accounting, EncodeError> {
        let mut out = CountingWriter::new(out);
        let mut encoded = vec![self.version];
        write_varint(&mut encoded, bytes / 2);
        let mut accounting = Accounting {
            container: encoded.len() as u64,
            tables: tables.len() as u64,
            payload: 0,
        };
        encoded.extend_from_slice(tables);
        out.put(&encoded)?;
        self.each_chunk(tensors, |words| {
            encoded.clear();
            encoded.push(STORED);
            let mut coded = encode(words, &mut encoded)?;
            let stored = words.as_flattened();
            if encoded.len() > 1 + stored.len() {
                encoded.truncate(1);
                encoded.extend_from_slice(stored);
                (coded.tables, coded.container) = (0, 0);
            } else if let Some(mode) = encoded.first_mut() {
                *mode = coded.mode;
            }
            coded.container += 1;
            accounting += Accounting {
                payload: encoded.len() as u64 - coded.tables - coded.container,
                tables: coded.tables,
                container: coded.container,
            };
            out.put(&encoded)
        })?;
        Ok(accounting)
    }

    /// Reads a unit. `tables` takes what the method has once a unit; `decode` takes a coded chunk of the mode that it is
    /// given, and fills its weights.
    ///
    /// # Errors
    ///
    /// Where bytes are missing, too many, or not what [`encode`](Self::encode) writes; [`DecodeError::Write`] where
    /// `out` fails.
    pub(crate) fn decode<'a, T>(
        &self,
        encoded: &'a [u8],
        out: &mut dyn Write,
        tables: impl FnOnce(&mut ByteReader<'a>) -> Result<T, DecodeError>,
        mut decode: impl FnMut(&T, u8, &mut ByteReader<'a>, &mut [[u8; 2]]) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let mut reader = ByteReader::new(encoded);
        let version = reader.byte("version")?;
        if version != self.version {
            return Err(DecodeError::Field {
                what: "version",
                at: 0,
                expected: "the one that this method writes",
                found: version.into(),
            });
        }
        let mut left = reader.varint("number of weights")?;
        if left == 0 {
            return reader.finish();
        }
        let tables = tables(&mut reader)?;
        let mut words = Vec::new();
        while left > 0 {
            let count = left.min(self.chunk_weights as u64);
            let mode = reader.byte("mode of a chunk")?;
            if mode == STORED {
                put_decoded(out, reader.take(2 * count, "stored chunk")?)?;
            } else {
                words.resize(count as usize, [0; 2]);
                decode(&tables, mode, &mut reader, &mut words)?;
                put_decoded(out, words.as_flattened())?;
            }
            left -= count;
        }
        reader.finish()
    }
}

/// The error of a mode that the method does not have. The reader stands behind the mode.
pub(crate) fn wrong_mode(mode: u8, expected: &'static str, reader: &ByteReader<'_>) -> DecodeError {
    DecodeError::Field {
        what: "mode of a chunk",
        at: reader.at().saturating_sub(1),
        expected,
        found: mode.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Dtype;

    #[test]
    fn chunks_run_across_tensors() {
        let unit = SplitUnit {
            version: 1,
            chunk_weights: 5,
        };
        let data: Vec<u8> = (0..44).collect();
        let shapes = [[3u64], [0], [13], [6]];
        let mut rest = data.as_slice();
        let tensors: Vec<_> = shapes
            .iter()
            .map(|shape| {
                let (own, after) = rest.split_at(2 * shape[0] as usize);
                rest = after;
                TensorView {
                    name: "tensor",
                    dtype: Dtype::Bf16,
                    shape,
                    data: own,
                }
            })
            .collect();
        let (mut lengths, mut all) = (Vec::new(), Vec::new());
        let found: Result<(), ()> = unit.each_chunk(&tensors, |words| {
            lengths.push(words.len());
            all.extend_from_slice(words.as_flattened());
            Ok(())
        });
        assert!(found.is_ok());
        assert_eq!(lengths, [5, 5, 5, 5, 2]);
        assert_eq!(all, data);
    }

    #[test]
    fn a_chunk_that_would_grow_is_stored() {
        let unit = SplitUnit {
            version: 3,
            chunk_weights: 2,
        };
        let tensor = TensorView {
            name: "tensor",
            dtype: Dtype::Bf16,
            shape: &[3],
            data: &[1, 2, 3, 4, 5, 6],
        };
        let mut out = Vec::new();
        // The first chunk becomes one byte, the second three.
        let accounting = unit.encode(&[tensor], 6, &[9], &mut out, |words, out| {
            out.extend(vec![7; if words.len() == 2 { 1 } else { 3 }]);
            Ok(Coded {
                mode: CODED,
                tables: 1,
                container: 0,
            })
        });
        assert_eq!(out, [3, 3, 9, CODED, 7, STORED, 5, 6]);
        let expected = Accounting {
            payload: 2,
            tables: 2,
            container: 4,
        };
        assert_eq!(accounting.unwrap(), expected);
        let mut decoded = Vec::new();
        let read = |reader: &mut ByteReader<'_>| reader.byte("table");
        unit.decode(&out, &mut decoded, read, |table, mode, reader, words| {
            assert_eq!((*table, mode, reader.byte("code")?), (9, CODED, 7));
            words.copy_from_slice(&[[1, 2], [3, 4]]);
            Ok(())
        })
        .unwrap();
        assert_eq!(decoded, tensor.data);
    }
}

//! The study's hybrid: symbols and mantissas of a chunk, each handed to a general-purpose compressor.
//!
//! # Format
//!
//! A [`SplitUnit`] of chunks of 2^20 weights. A coded chunk, mode 1, is the length of the compressed symbols as a
//! variable-length integer, the compressed symbols, and the same of the mantissas. Symbols are `u16`, little-endian;
//! mantissas are packed.

use std::io::Write;

use super::symbols::{join, pack_mantissas, split_symbols, take_mantissas};
use super::unit::{Coded, SplitUnit, wrong_mode};
use super::{CHUNK_WEIGHTS, CODED};
use crate::accounting::Accounting;
use crate::bytes::{ByteReader, CountingWriter, write_varint};
use crate::error::{DecodeError, EncodeError};
use crate::method::Method;
use crate::tensor::{Dtype, TensorView};
use crate::unit::{check_tensors, refuse_profile, refuse_profile_to_decode};

const UNIT: SplitUnit = SplitUnit {
    version: 1,
    chunk_weights: CHUNK_WEIGHTS,
};

/// Bytes of a chunk's weights.
const CHUNK_BYTES: u64 = 2 * CHUNK_WEIGHTS as u64;
/// Bytes that are held for a chunk beside what the compressor takes: weights, symbols twice, mantissas, and what they
/// are compressed to.
const STREAMS_MEMORY: u64 = 16 * CHUNK_WEIGHTS as u64;

/// A general-purpose compressor at one of its levels.
pub(crate) trait StreamCompressor: Send + Sync {
    /// The name of the method that is made of it.
    fn method(&self) -> String;

    /// Writes the stream compressed.
    ///
    /// # Errors
    ///
    /// Where the compressor or `out` fails.
    fn compress(&self, stream: &[u8], out: &mut CountingWriter<'_>) -> Result<(), EncodeError>;

    /// Fills `stream` with what was compressed. It stands at `at`, for errors.
    ///
    /// # Errors
    ///
    /// Where it is damaged, or was of another length.
    fn fill(&self, compressed: &[u8], at: u64, stream: &mut [u8]) -> Result<(), DecodeError>;

    /// Working memory in bytes to compress so many bytes.
    fn encode_memory(&self, bytes: u64) -> u64;

    /// Working memory in bytes to decompress to so many bytes.
    fn decode_memory(&self, bytes: u64) -> u64;
}

/// The method that hands the streams to a compressor.
pub(crate) struct CompressedStreams<C>(pub(crate) C);

impl<C: StreamCompressor> Method for CompressedStreams<C> {
    fn name(&self) -> String {
        self.0.method()
    }

    fn encode(
        &self,
        tensors: &[TensorView<'_>],
        profile: Option<&[u8]>,
        out: &mut dyn Write,
    ) -> Result<Accounting, EncodeError> {
        refuse_profile(self, profile)?;
        let bytes = check_tensors(self, tensors)?;
        UNIT.encode(tensors, bytes, &[], out, |words, out| {
            self.encode_chunk(words, out)
        })
    }

    fn decode(
        &self,
        encoded: &[u8],
        profile: Option<&[u8]>,
        out: &mut dyn Write,
    ) -> Result<(), DecodeError> {
        refuse_profile_to_decode(self, profile)?;
        UNIT.decode(
            encoded,
            out,
            |_| Ok(()),
            |(), mode, reader, words| {
                if mode != CODED {
                    return Err(wrong_mode(mode, "0 or 1", reader));
                }
                self.decode_chunk(reader, words)
            },
        )
    }

    fn takes(&self, dtype: Dtype) -> bool {
        dtype == Dtype::Bf16
    }

    fn encode_memory(&self, bytes: u64) -> u64 {
        self.0.encode_memory(bytes.min(CHUNK_BYTES)) + STREAMS_MEMORY
    }

    fn decode_memory(&self, bytes: u64) -> u64 {
        self.0.decode_memory(bytes.min(CHUNK_BYTES)) + STREAMS_MEMORY
    }
}

impl<C: StreamCompressor> CompressedStreams<C> {
    fn encode_chunk(&self, words: &[[u8; 2]], out: &mut Vec<u8>) -> Result<Coded, EncodeError> {
        let mut symbols = Vec::new();
        split_symbols(words, &mut symbols);
        let bytes: Vec<u8> = symbols
            .iter()
            .flat_map(|symbol| symbol.to_le_bytes())
            .collect();
        let mut packed = Vec::new();
        pack_mantissas(words, &mut packed);
        let mut container = 0;
        for stream in [bytes, packed] {
            let mut compressed = Vec::new();
            self.0
                .compress(&stream, &mut CountingWriter::new(&mut compressed))?;
            let before = out.len();
            write_varint(out, compressed.len() as u64);
            container += (out.len() - before) as u64;
            out.extend_from_slice(&compressed);
        }
        Ok(Coded {
            mode: CODED,
            tables: 0,
            container,
        })
    }

    fn decode_chunk(
        &self,
        reader: &mut ByteReader<'_>,
        words: &mut [[u8; 2]],
    ) -> Result<(), DecodeError> {
        let mut fill = |bytes: usize| {
            let length = reader.varint("length of a stream")?;
            let at = reader.at();
            let compressed = reader.take(length, "stream")?;
            let mut stream = vec![0; bytes];
            self.0.fill(compressed, at, &mut stream)?;
            Ok((stream, at))
        };
        let (bytes, at) = fill(2 * words.len())?;
        let pairs = bytes.as_chunks().0;
        let symbols: Vec<u16> = pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
        if let Some(&found) = symbols.iter().find(|&&symbol| symbol > 0x1ff) {
            return Err(DecodeError::Field {
                what: "symbol",
                at,
                expected: "of nine bits",
                found: found.into(),
            });
        }
        let (packed, _) = fill((7 * words.len()).div_ceil(8))?;
        let packed = take_mantissas(&mut ByteReader::new(&packed), words.len())?;
        join(&symbols, packed, words);
        Ok(())
    }
}

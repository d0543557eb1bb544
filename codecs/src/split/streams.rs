//! Chunks whose symbols and mantissas are handed to a general-purpose compressor.
//!
//! A chunk is the length of the compressed symbols as a variable-length integer, the compressed symbols, and the same of
//! the mantissas. Symbols are `u16`, little-endian; mantissas are packed.

use super::symbols::{join, pack_mantissas, split_symbols, take_mantissas};
use super::unit::Coded;
use super::{CHUNK_WEIGHTS, CODED};
use crate::bytes::{ByteReader, CountingWriter, write_varint};
use crate::error::{DecodeError, EncodeError};

/// Bytes that are held for a chunk beside what the compressor takes: weights, symbols twice, mantissas, and what they
/// are compressed to.
pub(crate) fn streams_memory() -> u64 {
    16 * CHUNK_WEIGHTS as u64
}

/// Appends a chunk, each of whose streams `compress` writes.
///
/// # Errors
///
/// What `compress` fails with.
pub(crate) fn encode_streams(
    words: &[[u8; 2]],
    out: &mut Vec<u8>,
    compress: impl Fn(&[u8], &mut CountingWriter<'_>) -> Result<(), EncodeError>,
) -> Result<Coded, EncodeError> {
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
        compress(&stream, &mut CountingWriter::new(&mut compressed))?;
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

/// Takes a chunk, each of whose streams `decompress` takes, with its place, and fills a buffer with.
///
/// # Errors
///
/// Where bytes are missing, a symbol is none, and what `decompress` fails with.
pub(crate) fn decode_streams(
    reader: &mut ByteReader<'_>,
    words: &mut [[u8; 2]],
    decompress: impl Fn(&[u8], u64, &mut [u8]) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut fill = |bytes: usize| {
        let length = reader.varint("length of a stream")?;
        let at = reader.at();
        let compressed = reader.take(length, "stream")?;
        let mut stream = vec![0; bytes];
        decompress(compressed, at, &mut stream)?;
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

//! Reading encoded bytes with their offsets in mind, writing them with a count, and variable-length integers.

use std::io::{self, Write};

use crate::error::{DecodeError, EncodeError};

/// Bytes that are moved at a time where data is streamed: 64 KiB, which stays in a level-two cache.
pub const CHUNK_BYTES: usize = 1 << 16;

/// Most bytes that [`write_varint`] makes of a number.
pub const VARINT_MAX_BYTES: usize = 10;

/// A writer that counts what it passes on and gives write errors their place in [`EncodeError`].
pub struct CountingWriter<'a> {
    out: &'a mut dyn Write,
    written: u64,
}

impl<'a> CountingWriter<'a> {
    /// Wraps `out`; nothing is written yet.
    pub fn new(out: &'a mut dyn Write) -> Self {
        CountingWriter { out, written: 0 }
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    ///
    /// [`EncodeError::Write`] where the writer fails.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.out.write_all(bytes).map_err(EncodeError::Write)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.written
    }
}

/// Writes decoded bytes.
///
/// # Errors
///
/// [`DecodeError::Write`] where the writer fails.
pub fn put_decoded(out: &mut dyn Write, bytes: &[u8]) -> Result<(), DecodeError> {
    out.write_all(bytes).map_err(DecodeError::Write)
}

/// Appends `value` as a variable-length integer: seven bits a byte, the lowest first, the top bit set on all bytes but
/// the last (LEB128). At most [`VARINT_MAX_BYTES`] bytes.
pub fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A position in encoded bytes from which fields are read one after the other.
#[derive(Clone, Copy, Debug)]
pub struct ByteReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> ByteReader<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        ByteReader { bytes, at: 0 }
    }

    /// Offset of the next byte.
    pub fn at(&self) -> u64 {
        self.at as u64
    }

    /// Bytes that are left.
    pub fn left(&self) -> u64 {
        self.rest().len() as u64
    }

    /// The bytes that are left, without reading them.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or(&[])
    }

    /// Takes `count` bytes; `what` names them in errors.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] where fewer are left.
    pub fn take(&mut self, count: u64, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let rest = self.rest();
        let taken = usize::try_from(count)
            .ok()
            .and_then(|count| rest.get(..count))
            .ok_or(DecodeError::Truncated {
                what,
                at: self.at(),
                expected: count,
                found: self.left(),
            })?;
        self.at += taken.len();
        Ok(taken)
    }

    /// Takes an array of bytes; `what` names it in errors.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] where fewer bytes are left.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64, what)?);
        Ok(array)
    }

    /// Takes a byte; `what` names it in errors.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] at the end.
    pub fn byte(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    /// Takes a variable-length integer as [`write_varint`] writes it; `what` names it in errors.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] at the end, [`DecodeError::Field`] where the number does not fit `u64` or could have
    /// been written shorter, so that no two encodings mean the same.
    pub fn varint(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        let start = self.at();
        let mut value = 0u64;
        for place in 0..VARINT_MAX_BYTES {
            let byte = self.byte(what)?;
            let bits = u64::from(byte & 0x7f);
            let shift = 7 * place as u32;
            let last = byte & 0x80 == 0;
            if (bits << shift) >> shift != bits || (last && byte == 0 && place > 0) {
                break;
            }
            value |= bits << shift;
            if last {
                return Ok(value);
            }
        }
        Err(DecodeError::Field {
            what,
            at: start,
            expected: "a 64-bit number in its shortest form",
            found: value,
        })
    }

    /// Ends the reading.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Trailing`] where bytes are left.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.left() {
            0 => Ok(()),
            found => Err(DecodeError::Trailing {
                at: self.at(),
                found,
            }),
        }
    }
}

/// A writer that takes up to a limit of bytes and then fails, for those who decode what they do not trust and know how
/// long it may be.
pub struct LimitedWriter<W> {
    inner: W,
    left: u64,
}

impl<W: Write> LimitedWriter<W> {
    /// Passes on at most `limit` bytes to `inner`.
    pub fn new(inner: W, limit: u64) -> Self {
        LimitedWriter { inner, left: limit }
    }

    /// The writer within.
    pub fn into_inner(self) -> W {
        self.inner
    }
}

impl<W: Write> Write for LimitedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.left {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "more bytes than the limit",
            ));
        }
        let count = self.inner.write(bytes)?;
        self.left -= count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_come_back_in_their_shortest_form() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::MAX >> 1, u64::MAX] {
            let mut bytes = Vec::new();
            write_varint(&mut bytes, value);
            assert!(bytes.len() <= VARINT_MAX_BYTES);
            let mut reader = ByteReader::new(&bytes);
            assert_eq!(reader.varint("number").unwrap(), value);
            reader.finish().unwrap();
        }
    }

    #[test]
    fn hostile_varints_are_refused() {
        let overlong: &[u8] = &[0x80, 0x00];
        let overflow: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        let endless: &[u8] = &[0xff; 11];
        for bytes in [overlong, overflow, endless] {
            let found = ByteReader::new(bytes).varint("number");
            assert!(matches!(found, Err(DecodeError::Field { at: 0, .. })));
        }
        let found = ByteReader::new(&[0x80]).varint("number");
        assert!(matches!(found, Err(DecodeError::Truncated { at: 1, .. })));
    }

    #[test]
    fn a_huge_count_is_only_an_error() {
        let found = ByteReader::new(&[1, 2, 3]).take(u64::MAX, "data");
        assert!(matches!(
            found,
            Err(DecodeError::Truncated { found: 3, .. })
        ));
    }

    #[test]
    fn a_limited_writer_stops() {
        let mut writer = LimitedWriter::new(Vec::new(), 3);
        writer.write_all(&[1, 2]).unwrap();
        assert!(writer.write_all(&[3, 4]).is_err());
        assert_eq!(writer.into_inner(), [1, 2]);
    }
}

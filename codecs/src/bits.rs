//! Numbers of a few bits, the first in the lowest bits of the first byte, filled up with zeros to a whole byte.

use crate::bytes::ByteReader;
use crate::error::DecodeError;

/// Appends bits to bytes. What is held back is written by [`BitWriter::finish`].
pub(crate) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    held: u32,
    count: u32,
}

impl<'a> BitWriter<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        BitWriter {
            out,
            held: 0,
            count: 0,
        }
    }

    /// Appends the lowest `count` bits of `value`, 16 at most; those above must be zero.
    pub(crate) fn put(&mut self, value: u32, count: u32) {
        self.held |= value << self.count;
        self.count += count;
        while self.count >= 8 {
            self.out.push(self.held as u8);
            self.held >>= 8;
            self.count -= 8;
        }
    }

    pub(crate) fn finish(self) {
        if self.count > 0 {
            self.out.push(self.held as u8);
        }
    }
}

/// Takes bits of bytes, of which no more are read than are needed.
pub(crate) struct BitReader {
    what: &'static str,
    held: u32,
    count: u32,
}

impl BitReader {
    /// `what` names the field in errors.
    pub(crate) fn new(what: &'static str) -> Self {
        BitReader {
            what,
            held: 0,
            count: 0,
        }
    }

    /// Takes `count` bits, 16 at most.
    pub(crate) fn take(
        &mut self,
        reader: &mut ByteReader<'_>,
        count: u32,
    ) -> Result<u32, DecodeError> {
        while self.count < count {
            self.held |= u32::from(reader.byte(self.what)?) << self.count;
            self.count += 8;
        }
        let value = self.held & ((1 << count) - 1);
        self.held >>= count;
        self.count -= count;
        Ok(value)
    }

    /// Bits of the last byte that were not taken. The bytes are in their one form if they are zero.
    pub(crate) fn rest(&self) -> u32 {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_put_is_taken(numbers in prop::collection::vec((any::<u16>(), 0u32..=16), 0..100)) {
            let low = |(value, count): (u16, u32)| u32::from(value) & ((1 << count) - 1);
            let mut bytes = Vec::new();
            let mut writer = BitWriter::new(&mut bytes);
            for &number in &numbers {
                writer.put(low(number), number.1);
            }
            writer.finish();
            let all: u32 = numbers.iter().map(|(_, count)| count).sum();
            prop_assert_eq!(bytes.len(), all.div_ceil(8) as usize);
            let mut reader = ByteReader::new(&bytes);
            let mut bits = BitReader::new("bits");
            for &number in &numbers {
                prop_assert_eq!(bits.take(&mut reader, number.1).unwrap(), low(number));
            }
            prop_assert_eq!(bits.rest(), 0);
            prop_assert!(reader.finish().is_ok());
        }
    }
}

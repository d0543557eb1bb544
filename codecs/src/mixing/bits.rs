//! Binary arithmetic coding.
//!
//! The interval of what can still follow is kept as its two ends, in 32 bits; a bit takes the part of it that is as large
//! as the bit is likely, a one the lower part. Once the ends have their highest byte in common it is written. In the
//! end the lower end is written, which is how a decoder knows that it has read what was written.

use crate::bytes::ByteReader;
use crate::error::DecodeError;

const WHAT: &str = "bits of a chunk";

/// What bits go through: to be written, or to be read.
pub(crate) trait Bits {
    /// A bit that is one with a probability of so many 65,536ths, neither none nor all of them. Returns it; what is given
    /// is looked at where bits are written.
    fn bit(&mut self, is_one: bool, probability: u16) -> bool;
}

/// The ends of the interval, both in it.
#[derive(Clone, Copy, Debug)]
struct Interval {
    low: u32,
    high: u32,
}

impl Interval {
    const ALL: Interval = Interval {
        low: 0,
        high: u32::MAX,
    };

    /// The last number of the part that belongs to a one. It is below `high`, as the probability is below one.
    #[inline(always)]
    fn split(self, probability: u16) -> u32 {
        let range = u64::from(self.high - self.low);
        self.low + ((range * u64::from(probability)) >> 16) as u32
    }

    #[inline(always)]
    fn narrow(&mut self, is_one: bool, split: u32) {
        if is_one {
            self.high = split;
        } else {
            self.low = split + 1;
        }
    }

    /// Whether the highest byte is known.
    #[inline(always)]
    fn has_byte(self) -> bool {
        (self.low ^ self.high) >> 24 == 0
    }

    #[inline(always)]
    fn shift(&mut self) {
        self.low <<= 8;
        self.high = self.high << 8 | 0xff;
    }
}

/// Writes bits.
pub(crate) struct BitEncoder<'a> {
    interval: Interval,
    out: &'a mut Vec<u8>,
}

impl<'a> BitEncoder<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        BitEncoder {
            interval: Interval::ALL,
            out,
        }
    }

    /// Writes what is left.
    pub(crate) fn finish(self) {
        self.out.extend(self.interval.low.to_be_bytes());
    }
}

impl Bits for BitEncoder<'_> {
    #[inline(always)]
    fn bit(&mut self, is_one: bool, probability: u16) -> bool {
        let split = self.interval.split(probability);
        self.interval.narrow(is_one, split);
        while self.interval.has_byte() {
            self.out.push((self.interval.high >> 24) as u8);
            self.interval.shift();
        }
        is_one
    }
}

/// Reads bits.
pub(crate) struct BitDecoder<'a> {
    interval: Interval,
    /// Where in the interval what was written lies.
    place: u32,
    rest: &'a [u8],
    /// Where the bytes end.
    end: u64,
    /// Bytes that were missing.
    missing: u64,
}

impl<'a> BitDecoder<'a> {
    /// Takes all bytes that are left.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] where there are not even those of an encoding without bits.
    pub(crate) fn new(reader: &mut ByteReader<'a>) -> Result<Self, DecodeError> {
        let place = u32::from_be_bytes(reader.array(WHAT)?);
        let rest = reader.take(reader.left(), WHAT)?;
        Ok(BitDecoder {
            interval: Interval::ALL,
            place,
            rest,
            end: reader.at(),
            missing: 0,
        })
    }

    /// Checks that these were all bits.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] where bytes are missing, [`DecodeError::Field`] where there are more, or others, than
    /// are written at the end.
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        if self.missing > 0 {
            return Err(DecodeError::Truncated {
                what: WHAT,
                at: self.end,
                expected: self.missing,
                found: 0,
            });
        }
        if !self.rest.is_empty() || self.place != self.interval.low {
            return Err(DecodeError::Field {
                what: WHAT,
                at: self.end - self.rest.len() as u64,
                expected: "to end where the last symbol does",
                found: self.rest.len() as u64,
            });
        }
        Ok(())
    }
}

impl Bits for BitDecoder<'_> {
    #[inline(always)]
    fn bit(&mut self, _is_one: bool, probability: u16) -> bool {
        let split = self.interval.split(probability);
        let is_one = self.place <= split;
        self.interval.narrow(is_one, split);
        while self.interval.has_byte() {
            self.interval.shift();
            let byte = match self.rest.split_first() {
                Some((byte, rest)) => {
                    self.rest = rest;
                    *byte
                }
                None => {
                    self.missing += 1;
                    0
                }
            };
            self.place = self.place << 8 | u32::from(byte);
        }
        is_one
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(bits: &[(bool, u16)]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = BitEncoder::new(&mut out);
        for &(bit, probability) in bits {
            encoder.bit(bit, probability);
        }
        encoder.finish();
        out
    }

    fn decoded(bytes: &[u8], bits: &[(bool, u16)]) -> Result<Vec<bool>, DecodeError> {
        let mut decoder = BitDecoder::new(&mut ByteReader::new(bytes))?;
        let found = bits
            .iter()
            .map(|&(_, probability)| decoder.bit(false, probability))
            .collect();
        decoder.finish().map(|()| found)
    }

    #[test]
    fn what_is_likely_is_short() {
        // 800 bits of 0.0225 bits each, and the last four bytes.
        let bits = vec![(true, 64_520); 800];
        assert_eq!(encoded(&bits).len(), 6);
        // Of 6.0 bits each.
        let bits = vec![(false, 64_512); 800];
        assert_eq!(encoded(&bits).len(), 604);
    }

    proptest! {
        #[test]
        fn bits_come_back_and_end_where_they_did(
            bits in prop::collection::vec((any::<bool>(), prop_oneof![1..=u16::MAX, Just(1), Just(u16::MAX)]), 0..600),
        ) {
            let bytes = encoded(&bits);
            let expected: Vec<bool> = bits.iter().map(|(bit, _)| *bit).collect();
            prop_assert_eq!(decoded(&bytes, &bits).unwrap(), expected);
            prop_assert!(decoded(&bytes[..bytes.len() - 1], &bits).is_err());
            let mut more = bytes.clone();
            more.push(0);
            prop_assert!(decoded(&more, &bits).is_err());
            // The last byte says nothing of the bits.
            let mut other = bytes;
            if let Some(last) = other.last_mut() {
                *last ^= 1;
            }
            prop_assert!(decoded(&other, &bits).is_err());
        }

        #[test]
        fn hostile_bits_do_not_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..40),
            probabilities in prop::collection::vec(1..=u16::MAX, 0..400),
        ) {
            let bits: Vec<(bool, u16)> = probabilities.into_iter().map(|p| (false, p)).collect();
            let _ = decoded(&bytes, &bits);
        }
    }
}

//! Frequencies of bytes that add up to a power of two, and their compact form.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use crate::bits::{BitReader, BitWriter};
use crate::bytes::ByteReader;
use crate::error::DecodeError;

/// Base-two logarithm of what the frequencies add up to in the coder.
pub const SCALE_BITS: u32 = 12;

/// The coarsest precision of a written table: it must leave room for all 256 symbols.
const LEAST_PRECISION: u32 = 8;

/// Bits that give the length of a frequency in the written form, and of a run of zeros.
const LENGTH_BITS: u32 = 4;

/// The most zeros after one.
const MOST_MORE: usize = (1 << LENGTH_BITS) - 1;

/// A frequency for each byte, together 2^[`SCALE_BITS`]; zero for a byte that does not occur.
///
/// # Written form
///
/// Three bytes: the precision P (8 to 12), the first byte that occurs, and how far the last one is from it. Then for
/// each byte from first to last, as a stream of bits filled up with zeros to a whole byte, lowest bit first: four bits
/// for the length of the frequency's number, and the number without its leading one. After a length of 0 come four bits
/// that say for how many bytes more the frequency is 0; there are as many as there can be. Written frequencies add up to
/// 2^P; the coder's are 2^(12 − P) times as large. Short sequences take a lower precision, as their counts say little.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frequencies {
    pub(super) precision: u32,
    /// Adding up to 2^precision.
    pub(super) written: [u16; 256],
}

impl Frequencies {
    /// Fits frequencies to counts; `None` if nothing was counted.
    ///
    /// Every byte that occurs gets its share rounded down, and one at least. What is left over goes one by one to where
    /// it shortens the code the most (c/(f+½) is the first term of the gain c·ln((f+1)/f)), and what is missing is
    /// taken where it costs the least. Equal candidates are served in the order of the bytes.
    pub fn fit(counts: &[u32; 256]) -> Option<Frequencies> {
        let total: u64 = counts.iter().map(|&count| u64::from(count)).sum();
        if total == 0 {
            return None;
        }
        let precision = u64::BITS - (total - 1).leading_zeros();
        Frequencies::fit_to(counts, precision.clamp(LEAST_PRECISION, SCALE_BITS))
    }

    /// The same with a precision, which leaves room for all symbols that occur.
    pub(super) fn fit_to(counts: &[u32; 256], precision: u32) -> Option<Frequencies> {
        let total: u64 = counts.iter().map(|&count| u64::from(count)).sum();
        if total == 0 {
            return None;
        }
        let scale = 1u64 << precision;
        let mut written = [0u16; 256];
        let (mut given, mut halves) = (0, 0);
        for (slot, &count) in written.iter_mut().zip(counts) {
            if count > 0 {
                let share = u64::from(count) * scale;
                *slot = (share / total).max(1) as u16;
                given += u64::from(*slot);
                halves += u64::from(is_over_half(share, total));
            }
        }
        // One more is worth more than total/scale where more than a half was rounded away, and less anywhere else: if
        // there is enough for all of these, they come first.
        if given + halves <= scale {
            for (slot, &count) in written.iter_mut().zip(counts) {
                *slot += u16::from(is_over_half(u64::from(count) * scale, total));
            }
            given += halves;
        }
        let shares = (0..=u8::MAX).zip(counts.iter().zip(&written));
        let shares = shares.filter(|(_, (_, frequency))| **frequency > 0);
        if given < scale {
            let gains = shares.map(|(symbol, (&count, &frequency))| Worth {
                count,
                frequency,
                rank: u8::MAX - symbol,
            });
            let mut gains: BinaryHeap<Worth> = gains.collect();
            for _ in given..scale {
                let mut most = gains.peek_mut()?;
                most.frequency += 1;
                written[usize::from(u8::MAX - most.rank)] += 1;
            }
        } else {
            let losses = shares.filter(|(_, (_, frequency))| **frequency > 1);
            let losses = losses.map(|(symbol, (&count, &frequency))| {
                Reverse(Worth {
                    count,
                    frequency: frequency - 1,
                    rank: symbol,
                })
            });
            let mut losses: BinaryHeap<Reverse<Worth>> = losses.collect();
            for _ in scale..given {
                let mut least = losses.peek_mut()?;
                written[usize::from(least.0.rank)] -= 1;
                least.0.frequency -= 1;
                if least.0.frequency == 0 {
                    PeekMut::pop(least);
                }
            }
        }
        Some(Frequencies { precision, written })
    }

    /// The frequency of each byte in the coder, together 2^[`SCALE_BITS`].
    pub fn scaled(&self) -> [u32; 256] {
        self.written
            .map(|frequency| u32::from(frequency) << (SCALE_BITS - self.precision))
    }

    /// Appends the written form.
    pub fn write(&self, out: &mut Vec<u8>) {
        let used = |frequency: &u16| *frequency > 0;
        let first = self.written.iter().position(used).unwrap_or(0);
        let last = self.written.iter().rposition(used).unwrap_or(0);
        out.extend([self.precision as u8, first as u8, (last - first) as u8]);
        let mut bits = BitWriter::new(out);
        let mut rest = self.written.get(first..=last).unwrap_or(&[]);
        while let [frequency, after @ ..] = rest {
            rest = after;
            let length = u16::BITS - frequency.leading_zeros();
            bits.put(length, LENGTH_BITS);
            if length == 0 {
                let more = after
                    .iter()
                    .take(MOST_MORE)
                    .take_while(|f| **f == 0)
                    .count();
                bits.put(more as u32, LENGTH_BITS);
                rest = after.get(more..).unwrap_or(&[]);
            } else {
                let leading = 1 << (length - 1);
                bits.put(u32::from(*frequency) - leading, length - 1);
            }
        }
        bits.finish();
    }

    /// Takes a written form.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] where bytes are missing, [`DecodeError::Field`] where it is not the one form of
    /// frequencies that add up as they must.
    pub fn read(reader: &mut ByteReader<'_>) -> Result<Frequencies, DecodeError> {
        let at = reader.at();
        let [precision, first, distance] = reader.array("frequency table")?;
        let refuse = |expected, found| DecodeError::Field {
            what: "frequency table",
            at,
            expected,
            found,
        };
        let precision = u32::from(precision);
        if !(LEAST_PRECISION..=SCALE_BITS).contains(&precision) {
            return Err(refuse("of a precision from 8 to 12", precision.into()));
        }
        let (first, distance) = (usize::from(first), usize::from(distance));
        let mut written = [0; 256];
        let range = written
            .get_mut(first..=first + distance)
            .ok_or_else(|| refuse("within 256 symbols", (first + distance) as u64))?;
        let mut bits = BitReader::new("frequency table");
        let mut sum = 0u64;
        let mut slots = range.iter_mut();
        // How many more the last run could have been.
        let mut room = 0;
        while let Some(slot) = slots.next() {
            let length = bits.take(reader, LENGTH_BITS)?;
            if length > precision + 1 {
                return Err(refuse("of frequencies up to their sum", length.into()));
            }
            if length > 0 {
                let leading = 1 << (length - 1);
                *slot = (leading | bits.take(reader, length - 1)?) as u16;
                sum += u64::from(*slot);
                room = 0;
                continue;
            }
            if room > 0 {
                return Err(refuse("of runs of zeros as long as they can be", 0));
            }
            let more = bits.take(reader, LENGTH_BITS)? as usize;
            if more > slots.len() {
                return Err(refuse("of no more zeros than symbols", more as u64));
            }
            room = MOST_MORE - more;
            if more > 0 {
                slots.nth(more - 1);
            }
        }
        if sum != 1 << precision {
            return Err(refuse("of frequencies that add up to its scale", sum));
        }
        if range.first() == Some(&0) || range.last() == Some(&0) {
            return Err(refuse("without unused symbols at its ends", 0));
        }
        if bits.rest() != 0 {
            return Err(refuse("filled up with zero bits", bits.rest().into()));
        }
        Ok(Frequencies { precision, written })
    }
}

/// Whether a share, in parts of a total, is rounded down by more than a half, and not up to one.
fn is_over_half(share: u64, total: u64) -> bool {
    share >= total && share % total > total / 2
}

/// What one more is worth to a symbol of this count and frequency. Of equal ones the one of the higher rank is worth more.
#[derive(PartialEq, Eq)]
struct Worth {
    count: u32,
    frequency: u16,
    rank: u8,
}

impl Ord for Worth {
    fn cmp(&self, other: &Worth) -> Ordering {
        let weight = |count: u32, frequency: u16| u64::from(count) * (2 * u64::from(frequency) + 1);
        let (own, others) = (
            weight(self.count, other.frequency),
            weight(other.count, self.frequency),
        );
        own.cmp(&others).then(self.rank.cmp(&other.rank))
    }
}

impl PartialOrd for Worth {
    fn partial_cmp(&self, other: &Worth) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same, by looking at all symbols for each one that is over or missing.
    fn fit_plainly(counts: &[u32; 256], precision: u32) -> [u16; 256] {
        let total: u64 = counts.iter().map(|&count| u64::from(count)).sum();
        let scale = 1u64 << precision;
        let share = |&count: &u32| match count {
            0 => 0,
            _ => (u64::from(count) * scale / total).max(1) as u16,
        };
        let mut written: Vec<u16> = counts.iter().map(share).collect();
        let given = |written: &[u16]| written.iter().map(|&f| u64::from(f)).sum::<u64>();
        let worth = |symbol: usize, frequency: u16| {
            f64::from(counts[symbol]) / (f64::from(frequency) + 0.5)
        };
        while given(&written) < scale {
            let used = (0..256).filter(|&symbol| written[symbol] > 0);
            let most = used.reduce(|most, next| {
                let more = worth(next, written[next]) > worth(most, written[most]);
                if more { next } else { most }
            });
            written[most.unwrap()] += 1;
        }
        while given(&written) > scale {
            let used = (0..256).filter(|&symbol| written[symbol] > 1);
            let least = used.reduce(|least, next| {
                let less = worth(next, written[next] - 1) < worth(least, written[least] - 1);
                if less { next } else { least }
            });
            written[least.unwrap()] -= 1;
        }
        written.try_into().unwrap()
    }

    fn counts_of(pairs: &[(usize, u32)]) -> [u32; 256] {
        let mut counts = [0; 256];
        for &(symbol, count) in pairs {
            counts[symbol] = count;
        }
        counts
    }

    fn round_trip(frequencies: &Frequencies) -> usize {
        let mut bytes = Vec::new();
        frequencies.write(&mut bytes);
        let mut reader = ByteReader::new(&bytes);
        assert_eq!(&Frequencies::read(&mut reader).unwrap(), frequencies);
        reader.finish().unwrap();
        bytes.len()
    }

    #[test]
    fn nothing_has_no_frequencies() {
        assert_eq!(Frequencies::fit(&[0; 256]), None);
    }

    #[test]
    fn a_single_symbol_has_all() {
        for count in [1, 77, u32::MAX] {
            let frequencies = Frequencies::fit(&counts_of(&[(9, count)])).unwrap();
            assert_eq!(frequencies.scaled()[9], 4096);
            round_trip(&frequencies);
        }
    }

    #[test]
    fn rare_symbols_keep_one() {
        let mut counts = [1; 256];
        counts[3] = u32::MAX;
        let frequencies = Frequencies::fit(&counts).unwrap();
        assert_eq!(frequencies.scaled()[3], 4096 - 255);
        assert_eq!(frequencies.scaled()[4], 1);
        round_trip(&frequencies);
    }

    #[test]
    fn short_sequences_get_short_tables() {
        let short = Frequencies::fit(&counts_of(&[(120, 3), (121, 7), (122, 9)])).unwrap();
        let long = Frequencies::fit(&counts_of(&[(120, 3000), (121, 7000), (122, 9000)])).unwrap();
        assert!(round_trip(&short) < round_trip(&long));
    }

    #[test]
    fn what_is_rounded_away_by_less_than_a_half_waits_for_its_turn() {
        // Of 25,600, to 256: 1.30, 200.24, 30.24 and 24.22. The one that is over is worth most to the largest.
        let counts = counts_of(&[(0, 130), (1, 20_024), (2, 3_024), (3, 2_422)]);
        let fitted = Frequencies::fit_to(&counts, 8).unwrap();
        assert_eq!(fitted.written[..4], [1, 201, 30, 24]);
        assert_eq!(fitted.written, fit_plainly(&counts, 8));
    }

    proptest! {
        #[test]
        fn what_is_over_goes_where_it_is_worth_most(
            pairs in prop::collection::vec((0usize..256, 1u32..3000), 1..300),
            equal in any::<bool>(),
        ) {
            let mut counts = counts_of(&pairs);
            if equal {
                for count in &mut counts {
                    *count = (*count).min(5);
                }
            }
            for precision in [8, 9, 12] {
                let fitted = Frequencies::fit_to(&counts, precision).unwrap();
                prop_assert_eq!(fitted.written, fit_plainly(&counts, precision));
            }
        }

        #[test]
        fn all_fits_add_up_and_come_back(counts in prop::array::uniform32(prop::array::uniform8(0u32..5000))) {
            let counts: [u32; 256] = std::array::from_fn(|i| counts[i / 8][i % 8].saturating_sub(2000));
            if let Some(frequencies) = Frequencies::fit(&counts) {
                let scaled = frequencies.scaled();
                prop_assert_eq!(scaled.iter().sum::<u32>(), 4096);
                for (frequency, count) in scaled.iter().zip(counts) {
                    prop_assert_eq!(*frequency > 0, count > 0);
                }
                round_trip(&frequencies);
            }
        }

        #[test]
        fn hostile_tables_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), precision in 8u8..13) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = precision;
            }
            if let Ok(frequencies) = Frequencies::read(&mut ByteReader::new(&bytes)) {
                prop_assert_eq!(frequencies.scaled().iter().sum::<u32>(), 4096);
            }
        }
    }
}

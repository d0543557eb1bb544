//! Frequencies that resemble others, written so that it takes little.
//!
//! # Written form
//!
//! A stream of bits, lowest first. Three bits for the precision less five. Then for each symbol from the first to the
//! last that the coded symbols can be: the length of its frequency's number, and the number without its leading one. The
//! length is written as the difference from what is likely: as many zeros as it is large, a one, and where it is not
//! zero a bit that is set if it is less than is likely. What is likely is the length for the same symbol in the
//! frequencies before, at this precision, and without such that of the symbol before.

use super::frequencies::{Frequencies, SCALE_BITS};
use crate::bits::{BitReader, BitWriter};
use crate::bytes::ByteReader;
use crate::error::DecodeError;

const LEAST_PRECISION: u32 = 5;
const PRECISION_BITS: u32 = 3;
/// About what it takes to say how long a number is.
const LENGTH_COST: f64 = 2.0;
const WHAT: &str = "related frequency table";

fn length(frequency: u16) -> u32 {
    u16::BITS - frequency.leading_zeros()
}

/// The length that is likely for a symbol, of which `written` holds the symbols before.
fn likely(symbol: usize, precision: u32, written: &[u16], before: Option<&Frequencies>) -> u32 {
    let Some(before) = before else {
        let last = symbol.checked_sub(1).and_then(|last| written.get(last));
        return last.map_or(0, |&frequency| length(frequency));
    };
    match before
        .written
        .get(symbol)
        .map_or(0, |&frequency| length(frequency))
    {
        0 => 0,
        length => (length + precision).saturating_sub(before.precision).max(1),
    }
}

impl Frequencies {
    /// Fits frequencies to counts with the precision that makes the code and the written form together shortest, about;
    /// `None` if nothing was counted.
    pub(crate) fn fit_short(counts: &[u32; 256]) -> Option<Frequencies> {
        let used = counts.iter().filter(|&&count| count > 0).count();
        let least = used.max(2).next_power_of_two().trailing_zeros() + 1;
        let least = least.clamp(LEAST_PRECISION, SCALE_BITS);
        let mut best: Option<(f64, Frequencies)> = None;
        for precision in (least..=SCALE_BITS).rev() {
            let fitted = Frequencies::fit_to(counts, precision)?;
            let bits = fitted.bits(counts);
            if best.as_ref().is_some_and(|(least, _)| *least <= bits) {
                break;
            }
            best = Some((bits, fitted));
        }
        best.map(|(_, fitted)| fitted)
    }

    /// What counted symbols take by these frequencies, and about what the written form takes.
    fn bits(&self, counts: &[u32; 256]) -> f64 {
        let both = self.written.iter().zip(counts);
        both.filter(|(frequency, _)| **frequency > 0)
            .map(|(&frequency, &count)| {
                let code = f64::from(self.precision) - libm::log2(f64::from(frequency));
                f64::from(count) * code + f64::from(length(frequency)) - 1.0 + LENGTH_COST
            })
            .sum()
    }

    /// Writes frequencies of symbols below `symbols`, which those before resemble.
    pub(crate) fn write_after(
        &self,
        before: Option<&Frequencies>,
        symbols: usize,
        bits: &mut BitWriter<'_>,
    ) {
        bits.put(self.precision - LEAST_PRECISION, PRECISION_BITS);
        for (symbol, &frequency) in self.written.iter().enumerate().take(symbols) {
            let likely = likely(symbol, self.precision, &self.written, before);
            let length = length(frequency);
            let difference = length.abs_diff(likely);
            bits.put(1 << difference, difference + 1);
            if difference > 0 {
                bits.put(u32::from(length < likely), 1);
            }
            if length > 0 {
                bits.put(u32::from(frequency) - (1 << (length - 1)), length - 1);
            }
        }
    }

    /// Takes what was written.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] where bytes are missing, [`DecodeError::Field`] where they are no frequencies.
    pub(crate) fn read_after(
        before: Option<&Frequencies>,
        symbols: usize,
        reader: &mut ByteReader<'_>,
        bits: &mut BitReader,
    ) -> Result<Frequencies, DecodeError> {
        let at = reader.at();
        let refuse = |expected, found: u64| DecodeError::Field {
            what: WHAT,
            at,
            expected,
            found,
        };
        let precision = LEAST_PRECISION + bits.take(reader, PRECISION_BITS)?;
        let mut written = [0; 256];
        let mut sum = 0u64;
        for symbol in 0..symbols.min(written.len()) {
            let likely = likely(symbol, precision, &written, before);
            let mut difference = 0;
            while bits.take(reader, 1)? == 0 {
                difference += 1;
                if difference > SCALE_BITS + 1 {
                    return Err(refuse("of frequencies up to their sum", difference.into()));
                }
            }
            let is_less = difference > 0 && bits.take(reader, 1)? == 1;
            let length = match is_less {
                true => likely.checked_sub(difference),
                false => Some(likely + difference),
            };
            let length = length.filter(|&length| length <= precision + 1);
            let Some(length) = length else {
                return Err(refuse("of frequencies up to their sum", difference.into()));
            };
            if let (Some(slot), 1..) = (written.get_mut(symbol), length) {
                *slot = (1 << (length - 1) | bits.take(reader, length - 1)?) as u16;
                sum += u64::from(*slot);
            }
        }
        if sum != 1 << precision {
            return Err(refuse("of frequencies that add up to its scale", sum));
        }
        Ok(Frequencies { precision, written })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn write(all: &[Frequencies], symbols: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut bits = BitWriter::new(&mut bytes);
        let mut before = None;
        for frequencies in all {
            frequencies.write_after(before, symbols, &mut bits);
            before = Some(frequencies);
        }
        bits.finish();
        bytes
    }

    fn read(count: usize, symbols: usize, bytes: &[u8]) -> Result<Vec<Frequencies>, DecodeError> {
        let mut reader = ByteReader::new(bytes);
        let mut bits = BitReader::new(WHAT);
        let mut all = Vec::new();
        for _ in 0..count {
            let next = Frequencies::read_after(all.last(), symbols, &mut reader, &mut bits)?;
            all.push(next);
        }
        reader.finish()?;
        Ok(all)
    }

    fn bell(middle: i64, sum: u32) -> [u32; 256] {
        std::array::from_fn(|symbol| {
            let distance = (symbol as i64 - middle).unsigned_abs();
            if symbol < 16 { sum >> distance } else { 0 }
        })
    }

    #[test]
    fn what_resembles_takes_less() {
        let of = |middle| Frequencies::fit_short(&bell(middle, 100_000)).unwrap();
        let [one, same, next] = [7, 7, 8].map(of);
        let first = write(std::slice::from_ref(&one), 16).len();
        let related = write(&[one.clone(), same], 16).len() - first;
        let shifted = write(&[one, next], 16).len() - first;
        assert!(
            related < shifted && shifted < first,
            "{related} {shifted} {first}"
        );
    }

    #[test]
    fn few_counts_get_a_low_precision() {
        let few = Frequencies::fit_short(&bell(7, 60)).unwrap();
        let many = Frequencies::fit_short(&bell(7, 1 << 24)).unwrap();
        assert!(
            few.precision < 9 && many.precision == 12,
            "{} {}",
            few.precision,
            many.precision
        );
        assert_eq!(Frequencies::fit_short(&[0; 256]), None);
    }

    proptest! {
        #[test]
        fn all_come_back(
            counts in prop::collection::vec(prop::collection::vec(0u32..3000, 256), 1..4),
            symbols in 1usize..257,
        ) {
            let all: Vec<Frequencies> = counts
                .iter()
                .filter_map(|counts| {
                    let counts = std::array::from_fn(|symbol| match symbol < symbols {
                        true => counts[symbol].saturating_sub(1000),
                        false => 0,
                    });
                    let fitted = Frequencies::fit_short(&counts)?;
                    for (count, frequency) in counts.iter().zip(fitted.scaled()) {
                        assert_eq!(*count > 0, frequency > 0);
                    }
                    assert_eq!(fitted.scaled().iter().sum::<u32>(), 1 << SCALE_BITS);
                    Some(fitted)
                })
                .collect();
            let bytes = write(&all, symbols);
            prop_assert_eq!(&read(all.len(), symbols, &bytes).unwrap(), &all);
            for cut in (0..bytes.len()).step_by(5) {
                prop_assert!(read(all.len(), symbols, &bytes[..cut]).is_err());
            }
        }

        #[test]
        fn hostile_tables_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), count in 1usize..4) {
            for frequencies in read(count, 16, &bytes).unwrap_or_default() {
                prop_assert_eq!(frequencies.scaled().iter().sum::<u32>(), 4096);
            }
        }
    }
}

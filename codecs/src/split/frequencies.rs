//! Frequencies of 512 symbols that add up to 4096, none of them zero, and their compact form.

use super::symbols::SYMBOLS;
use crate::bits::{BitReader, BitWriter};
use crate::bytes::ByteReader;
use crate::error::DecodeError;

/// Base-two logarithm of what the frequencies add up to.
pub(crate) const SCALE_BITS: u32 = 12;
/// What they add up to.
pub(crate) const SCALE: usize = 1 << SCALE_BITS;

/// Bits that give the length of a number in the written form, and those that give how many zeros follow one.
const LENGTH_BITS: u32 = 4;
const RUN_BITS: u32 = 9;

const WHAT: &str = "frequency table";

/// A frequency of one at least for each symbol, used or not; all add up to [`SCALE`].
///
/// That unused symbols have one is what the study's tables lose by: where u symbols occur, those have only
/// 4096 − (512 − u) of the scale, and a symbol costs −log2(1 − (512 − u) / 4096) bits more than its share. With 80 of the
/// symbols that is the study's 0.16 bits, and 0.18 with the 41 of most tensors of a small model.
///
/// # Written form
///
/// Each frequency less one, as a stream of bits filled up with zeros to a whole byte, lowest bit first: four bits for
/// the length of the number, and the number without its leading one. After a length of 0 come nine bits that say how
/// many symbols more have a frequency of one; there are as many as there can be. It is 50 bytes for most tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WideFrequencies([u16; SYMBOLS]);

impl WideFrequencies {
    /// Fits frequencies to counts, each below 2^50. If nothing was counted it is as if symbol 0 was.
    ///
    /// Every symbol that occurs gets its share of what the unused leave, rounded down, and one at least. What is left
    /// over goes one by one to where it shortens the code the most (c/(f+½) is the first term of the gain
    /// c·ln((f+1)/f)), and what is missing is taken where it costs the least. Equal candidates are served in the order
    /// of the symbols.
    pub(crate) fn fit(counts: &[u64; SYMBOLS]) -> WideFrequencies {
        let mut counts = *counts;
        if counts.iter().all(|&count| count == 0) {
            counts[0] = 1;
        }
        let total: u64 = counts.iter().sum();
        let unused = counts.iter().filter(|&&count| count == 0).count();
        let shared = (SCALE - unused) as u64;
        let mut fitted = counts.map(|count| (count * shared / total).max(1));
        let mut given: u64 = fitted.iter().sum();
        while given < SCALE as u64 {
            let best = (0..SYMBOLS).reduce(|best, next| {
                let more = weight(counts[next], fitted[best]) > weight(counts[best], fitted[next]);
                if more { next } else { best }
            });
            fitted[best.unwrap_or_default()] += 1;
            given += 1;
        }
        while given > SCALE as u64 {
            let cheapest =
                (0..SYMBOLS)
                    .filter(|&symbol| fitted[symbol] > 1)
                    .reduce(|best, next| {
                        let (ours, others) = (fitted[best] - 1, fitted[next] - 1);
                        let less = weight(counts[best], others) > weight(counts[next], ours);
                        if less { next } else { best }
                    });
            fitted[cheapest.unwrap_or_default()] -= 1;
            given -= 1;
        }
        WideFrequencies(fitted.map(|frequency| frequency as u16))
    }

    /// Frequencies as they are; `None` if one is zero or they do not add up.
    pub(crate) fn new(frequencies: [u16; SYMBOLS]) -> Option<WideFrequencies> {
        let sum: usize = frequencies.iter().map(|&f| usize::from(f)).sum();
        (sum == SCALE && !frequencies.contains(&0)).then_some(WideFrequencies(frequencies))
    }

    /// The frequency of each symbol.
    pub(crate) fn all(&self) -> &[u16; SYMBOLS] {
        &self.0
    }

    /// What each symbol costs, in bits times 65,536.
    pub(crate) fn costs(&self) -> [u32; SYMBOLS] {
        self.0.map(|frequency| {
            let bits = f64::from(SCALE_BITS) - libm::log2(f64::from(frequency));
            libm::round(bits * 65_536.0) as u32
        })
    }

    /// Appends the written form.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut bits = BitWriter::new(out);
        let mut rest = self.0.as_slice();
        while let [frequency, after @ ..] = rest {
            rest = after;
            let number = frequency - 1;
            let length = u16::BITS - number.leading_zeros();
            bits.put(length, LENGTH_BITS);
            if length == 0 {
                let more = after.iter().take_while(|f| **f == 1).count();
                bits.put(more as u32, RUN_BITS);
                rest = after.get(more..).unwrap_or(&[]);
            } else {
                bits.put(u32::from(number) - (1 << (length - 1)), length - 1);
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
    pub(crate) fn read(reader: &mut ByteReader<'_>) -> Result<WideFrequencies, DecodeError> {
        let at = reader.at();
        let refuse = |expected, found: usize| DecodeError::Field {
            what: WHAT,
            at,
            expected,
            found: found as u64,
        };
        let mut frequencies = [1u16; SYMBOLS];
        let mut slots = frequencies.iter_mut();
        let mut bits = BitReader::new(WHAT);
        let mut after_ones = false;
        while let Some(slot) = slots.next() {
            let length = bits.take(reader, LENGTH_BITS)?;
            if length > SCALE_BITS {
                return Err(refuse("of frequencies up to their sum", length as usize));
            }
            if length > 0 {
                let leading = 1 << (length - 1);
                *slot += (leading | bits.take(reader, length - 1)?) as u16;
                after_ones = false;
                continue;
            }
            let more = bits.take(reader, RUN_BITS)? as usize;
            if after_ones || more > slots.len() {
                return Err(refuse("of runs of ones as long as they can be", more));
            }
            after_ones = true;
            if more > 0 {
                slots.nth(more - 1);
            }
        }
        if bits.rest() != 0 {
            return Err(refuse("filled up with zero bits", bits.rest() as usize));
        }
        let sum = frequencies.iter().map(|&f| usize::from(f)).sum();
        WideFrequencies::new(frequencies).ok_or_else(|| refuse("of sum 4096", sum))
    }
}

/// For comparing what one more is worth: the count of one symbol by twice the frequency of the other and one.
fn weight(count: u64, frequency: u64) -> u64 {
    count * (2 * frequency + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(frequencies: &WideFrequencies) -> usize {
        let mut bytes = Vec::new();
        frequencies.write(&mut bytes);
        let mut reader = ByteReader::new(&bytes);
        assert_eq!(&WideFrequencies::read(&mut reader).unwrap(), frequencies);
        reader.finish().unwrap();
        bytes.len()
    }

    /// Bits of a symbol by the counts themselves, and by the frequencies fitted to them.
    fn bits_by(counts: &[u64; SYMBOLS]) -> (f64, f64) {
        let total: u64 = counts.iter().sum();
        let fitted = WideFrequencies::fit(counts);
        let mut bits = (0.0, 0.0);
        for (&count, &frequency) in counts.iter().zip(fitted.all()) {
            if count > 0 {
                let share = count as f64 / total as f64;
                bits.0 -= share * share.log2();
                bits.1 -= share * (f64::from(frequency) / SCALE as f64).log2();
            }
        }
        bits
    }

    #[test]
    fn the_floor_costs_what_the_unused_take() {
        for used in [8, 40, 80, 160, 320] {
            // Even shares, which round well, so that nothing but the floor costs.
            let counts = std::array::from_fn(|symbol| if symbol < used { 1000 } else { 0 });
            let (entropy, coded) = bits_by(&counts);
            let expected = -(1.0 - (SYMBOLS - used) as f64 / SCALE as f64).log2();
            assert!(
                (coded - entropy - expected).abs() < 0.01,
                "{used}: {}",
                coded - entropy
            );
        }
    }

    #[test]
    fn weights_lose_what_the_study_says() {
        // Both signs, and forty exponents below a greatest one, each half as frequent as the one above it, as those of
        // a distribution with a density at zero are.
        let counts = std::array::from_fn(|symbol| {
            let below = 140usize.checked_sub(symbol % 256);
            below
                .filter(|&below| below < 40)
                .map_or(0, |below| 1 << (45 - below))
        });
        let (entropy, coded) = bits_by(&counts);
        let lost = coded - entropy;
        assert!((0.15..0.2).contains(&lost), "{lost}");
    }

    #[test]
    fn nothing_and_a_single_symbol_have_frequencies() {
        let nothing = WideFrequencies::fit(&[0; SYMBOLS]);
        assert_eq!(nothing.all()[0], 4096 - 511);
        assert!(round_trip(&nothing) < 10);
        let mut counts = [0; SYMBOLS];
        counts[511] = 1 << 49;
        assert_eq!(WideFrequencies::fit(&counts).all()[511], 4096 - 511);
    }

    #[test]
    fn costs_are_logarithms() {
        let mut frequencies = [1; SYMBOLS];
        frequencies[7] = 2048;
        frequencies[8] = 4096 - 2048 - 510;
        let costs = WideFrequencies::new(frequencies).unwrap().costs();
        assert_eq!(costs[..2], [12 << 16; 2]);
        assert_eq!(costs[7], 1 << 16);
        assert_eq!(
            WideFrequencies::new([8; SYMBOLS]).unwrap().costs(),
            [9 << 16; SYMBOLS]
        );
        assert!(WideFrequencies::new([7; SYMBOLS]).is_none());
    }

    proptest! {
        #[test]
        fn all_fits_add_up_and_come_back(
            few in prop::collection::vec((0usize..SYMBOLS, 0u64..1 << 40), 0..600)
        ) {
            let mut counts = [0; SYMBOLS];
            for (symbol, count) in few {
                counts[symbol] = count;
            }
            let fitted = WideFrequencies::fit(&counts);
            prop_assert!(WideFrequencies::new(*fitted.all()).is_some());
            round_trip(&fitted);
        }

        #[test]
        fn hostile_tables_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..900)) {
            if let Ok(found) = WideFrequencies::read(&mut ByteReader::new(&bytes)) {
                round_trip(&found);
            }
        }

        #[test]
        fn a_changed_bit_is_an_error_or_another_table(at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let counts = std::array::from_fn(|symbol| 900u64.saturating_sub(9 * (symbol as u64 % 256)));
            let fitted = WideFrequencies::fit(&counts);
            let mut bytes = Vec::new();
            fitted.write(&mut bytes);
            let at = at.index(bytes.len());
            bytes[at] ^= 1u8 << bit;
            if let Ok(found) = WideFrequencies::read(&mut ByteReader::new(&bytes)) {
                prop_assert_ne!(found, fitted);
            }
        }
    }
}

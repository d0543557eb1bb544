//! A bf16 weight in two parts: its sign and exponent as a symbol, and its mantissa.
//!
//! The symbol, which the study calls SE9, is the upper nine bits: the sign times 256, and the exponent. The mantissa is
//! the lower seven. Mantissas are packed without gaps, the first in the lowest bits of the first byte; the last byte is
//! filled up with zeros.

use crate::bytes::ByteReader;
use crate::error::DecodeError;

/// Signs and exponents that there are.
pub(crate) const SYMBOLS: usize = 512;

/// Bits of a mantissa.
const MANTISSA_BITS: usize = 7;
const MANTISSA: u16 = (1 << MANTISSA_BITS) - 1;

#[inline(always)]
fn symbol(word: [u8; 2]) -> u16 {
    u16::from_le_bytes(word) >> MANTISSA_BITS
}

/// Fills `symbols` with the symbols of weights.
pub(crate) fn split_symbols(words: &[[u8; 2]], symbols: &mut Vec<u16>) {
    symbols.clear();
    symbols.extend(words.iter().map(|word| symbol(*word)));
}

/// Adds how often each symbol occurs among weights.
pub(crate) fn count_symbols(words: &[[u8; 2]], counts: &mut [u64; SYMBOLS]) {
    for word in words {
        // Nine bits are always below 512.
        counts[usize::from(symbol(*word)) % SYMBOLS] += 1;
    }
}

/// Bytes that the mantissas of so many weights take.
fn packed_bytes(weights: usize) -> usize {
    weights / 8 * MANTISSA_BITS + (weights % 8 * MANTISSA_BITS).div_ceil(8)
}

/// Appends the mantissas of weights.
pub(crate) fn pack_mantissas(words: &[[u8; 2]], out: &mut Vec<u8>) {
    out.reserve(packed_bytes(words.len()));
    for eight in words.chunks(8) {
        let mut bits = 0u64;
        for (place, word) in eight.iter().enumerate() {
            let mantissa = u16::from_le_bytes(*word) & MANTISSA;
            bits |= u64::from(mantissa) << (MANTISSA_BITS * place);
        }
        let bytes = bits.to_le_bytes();
        out.extend(bytes.iter().take(packed_bytes(eight.len())));
    }
}

/// Takes the packed mantissas of so many weights.
///
/// # Errors
///
/// [`DecodeError::Truncated`] where bytes are missing, [`DecodeError::Field`] where the last one is not filled up with
/// zeros.
pub(crate) fn take_mantissas<'a>(
    reader: &mut ByteReader<'a>,
    weights: usize,
) -> Result<&'a [u8], DecodeError> {
    let packed = reader.take(packed_bytes(weights) as u64, "mantissas")?;
    let used = weights * MANTISSA_BITS % 8;
    match packed.last() {
        Some(&last) if used > 0 && last >> used != 0 => Err(DecodeError::Field {
            what: "mantissas",
            at: reader.at() - 1,
            expected: "filled up with zero bits",
            found: last.into(),
        }),
        _ => Ok(packed),
    }
}

/// Makes weights of their symbols and packed mantissas, as many as all three have.
pub(crate) fn join(symbols: &[u16], packed: &[u8], words: &mut [[u8; 2]]) {
    #[inline(always)]
    fn eight(symbols: &[u16], bytes: [u8; 8], words: &mut [[u8; 2]]) {
        let bits = u64::from_le_bytes(bytes);
        for (place, (word, symbol)) in words.iter_mut().zip(symbols).enumerate() {
            let mantissa = (bits >> (MANTISSA_BITS * place)) as u16 & MANTISSA;
            *word = (symbol << MANTISSA_BITS | mantissa).to_le_bytes();
        }
    }
    let (eights, left) = words.as_chunks_mut::<8>();
    let (of_eights, of_left) = symbols.as_chunks::<8>();
    let (sevens, _) = packed.as_chunks::<MANTISSA_BITS>();
    for ((words, symbols), bytes) in eights.iter_mut().zip(of_eights).zip(sevens) {
        let [a, b, c, d, e, f, g] = *bytes;
        eight(symbols, [a, b, c, d, e, f, g, 0], words);
    }
    let mut bytes = [0; 8];
    let rest = packed.get(MANTISSA_BITS * of_eights.len()..).unwrap_or(&[]);
    for (slot, byte) in bytes.iter_mut().zip(rest) {
        *slot = *byte;
    }
    eight(of_left, bytes, left);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_is_an_exponent_of_127_without_a_mantissa() {
        let mut symbols = Vec::new();
        split_symbols(
            &[0x3f80u16.to_le_bytes(), 0xbfc1u16.to_le_bytes()],
            &mut symbols,
        );
        assert_eq!(symbols, [127, 256 + 127]);
        let mut packed = Vec::new();
        pack_mantissas(
            &[0x3f80u16.to_le_bytes(), 0xbfc1u16.to_le_bytes()],
            &mut packed,
        );
        assert_eq!(packed, [0x80, 0x20]);
    }

    #[test]
    fn what_fills_up_is_zero() {
        let found = take_mantissas(&mut ByteReader::new(&[0x80]), 1);
        assert!(matches!(found, Err(DecodeError::Field { at: 0, .. })));
        assert!(take_mantissas(&mut ByteReader::new(&[0xff; 7]), 8).is_ok());
    }

    proptest! {
        #[test]
        fn parts_make_the_weight(words in prop::collection::vec(any::<[u8; 2]>(), 0..100)) {
            let (mut symbols, mut packed) = (Vec::new(), Vec::new());
            split_symbols(&words, &mut symbols);
            pack_mantissas(&words, &mut packed);
            prop_assert_eq!(packed.len(), (7 * words.len()).div_ceil(8));
            let mut reader = ByteReader::new(&packed);
            let packed = take_mantissas(&mut reader, words.len()).unwrap();
            let mut joined = vec![[0; 2]; words.len()];
            join(&symbols, packed, &mut joined);
            prop_assert_eq!(joined, words);
        }
    }
}

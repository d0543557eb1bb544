//! fp16 weights that were bf16 once.
//!
//! A bf16 number has eight significant bits. Rounded to fp16, it keeps them, or fewer where the result is subnormal or
//! zero. So weights that were bf16 once are all numbers that bf16 can hold, and are coded as such in three bits less;
//! and every fp16 number that bf16 can hold comes back from it exactly.

use crate::simd::vectorized;

/// Adds to a bf16 exponent to make it one of fp16.
const EXPONENTS_APART: u16 = 127 - 15;

vectorized! {
/// Turns fp16 words into bf16 words of the same numbers. Returns whether all of them could be.
pub(super) fn to_bf16(words: &[[u8; 2]], converted: &mut [[u8; 2]]) -> bool {
    // Bits that were lost, of any word.
    let mut lost = 0;
    for (slot, word) in converted.iter_mut().zip(words) {
        let word = u16::from_le_bytes(*word);
        let (magnitude, sign) = (word & 0x7fff, word & 0x8000);
        // A rare word takes another way.
        let normal = (magnitude >> 3) + (EXPONENTS_APART << 7);
        let is_normal = (0x0400..0x7c00).contains(&magnitude);
        lost |= if is_normal { magnitude & 7 } else { 0 };
        *slot = (if is_normal { normal } else { RARE } | sign).to_le_bytes();
    }
    if lost != 0 {
        return false;
    }
    for (slot, word) in converted.iter_mut().zip(words) {
        if u16::from_le_bytes(*slot) & 0x7fff == RARE {
            let Some(number) = rare_to_bf16(u16::from_le_bytes(*word)) else {
                return false;
            };
            *slot = number.to_le_bytes();
        }
    }
    true
}
}

/// No bf16 number of an fp16 one has these bits.
const RARE: u16 = 0x7fff;

/// Of zero, subnormal numbers, infinity and what is no number.
fn rare_to_bf16(word: u16) -> Option<u16> {
    let (magnitude, sign) = (word & 0x7fff, word & 0x8000);
    if magnitude >= 0x7c00 {
        let payload = magnitude & 0x3ff;
        // All payload bits set would be taken for RARE; such a word is none that bf16 can hold.
        return (payload & 7 == 0).then_some(sign | 0x7f80 | payload >> 3);
    }
    if magnitude == 0 {
        return Some(sign);
    }
    // The number is magnitude · 2^-24.
    let highest = magnitude.ilog2() as u16;
    let mantissa = if highest <= 7 {
        magnitude << (7 - highest)
    } else {
        let below = highest - 7;
        if magnitude & ((1 << below) - 1) != 0 {
            return None;
        }
        magnitude >> below
    };
    Some(sign | (127 - 24 + highest) << 7 | mantissa & 0x7f)
}

vectorized! {
/// Turns bf16 words in place into fp16 words of the same numbers. Returns whether all of them could be.
pub(super) fn to_f16(words: &mut [[u8; 2]]) -> bool {
    // Blocks, so that a rare word is found while its neighbours are near.
    let mut all = true;
    for block in words.chunks_mut(256) {
        let mut has_rare = false;
        for slot in block.iter() {
            has_rare |= !is_normal(u16::from_le_bytes(*slot));
        }
        if has_rare {
            for slot in block.iter_mut() {
                let word = u16::from_le_bytes(*slot);
                let turned = if is_normal(word) {
                    Some(normal_to_f16(word))
                } else {
                    rare_to_f16(word)
                };
                all &= turned.is_some();
                *slot = turned.unwrap_or_default().to_le_bytes();
            }
        } else {
            for slot in block.iter_mut() {
                *slot = normal_to_f16(u16::from_le_bytes(*slot)).to_le_bytes();
            }
        }
    }
    all
}
}

/// Whether the fp16 number is a normal one.
#[inline(always)]
fn is_normal(word: u16) -> bool {
    let exponent = word >> 7 & 0xff;
    exponent.wrapping_sub(EXPONENTS_APART + 1) < 30
}

#[inline(always)]
fn normal_to_f16(word: u16) -> u16 {
    let magnitude = (word & 0x7fff).wrapping_sub(EXPONENTS_APART << 7);
    magnitude << 3 | word & 0x8000
}

fn rare_to_f16(word: u16) -> Option<u16> {
    let (magnitude, sign) = (word & 0x7fff, word & 0x8000);
    let (exponent, mantissa) = (magnitude >> 7, magnitude & 0x7f);
    match exponent {
        0 if mantissa == 0 => Some(sign),
        0xff => Some(sign | 0x7c00 | mantissa << 3),
        // Numbers from 2^-24 on to below 2^-14.
        103..=112 => {
            let highest = exponent - 103;
            let whole = 0x80 | mantissa;
            if highest >= 7 {
                Some(sign | whole << (highest - 7))
            } else {
                let below = 7 - highest;
                (whole & ((1 << below) - 1) == 0).then_some(sign | whole >> below)
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert(word: u16) -> Option<u16> {
        let mut converted = [[0; 2]];
        to_bf16(&[word.to_le_bytes()], &mut converted).then(|| u16::from_le_bytes(converted[0]))
    }

    #[test]
    fn whatever_was_bf16_once_comes_back() {
        for word in 0..=u16::MAX {
            let once = half::bf16::from_bits(word);
            let half = half::f16::from_f32(once.to_f32());
            let Some(found) = convert(half.to_bits()) else {
                // What is no number may have bits that bf16 has not.
                assert!(half.is_nan(), "{word:04x}");
                continue;
            };
            if !half.is_nan() {
                assert_eq!(
                    half::bf16::from_bits(found).to_f32(),
                    half.to_f32(),
                    "{word:04x}"
                );
            }
        }
    }

    #[test]
    fn what_is_converted_comes_back_and_all_else_is_refused() {
        let mut count = 0;
        for word in 0..=u16::MAX {
            let half = half::f16::from_bits(word);
            let fits = half::bf16::from_f32(half.to_f32()).to_f32() == half.to_f32();
            let found = convert(word);
            assert!(found.is_some() == fits || half.is_nan(), "{word:04x}");
            if let Some(found) = found {
                let mut back = [found.to_le_bytes()];
                assert!(to_f16(&mut back));
                assert_eq!(u16::from_le_bytes(back[0]), word);
                count += 1;
            }
        }
        assert!(count > 8000);
        // And in each place of a block, among others of each kind.
        let words: Vec<[u8; 2]> = (0..=u16::MAX)
            .filter(|word| convert(*word).is_some())
            .map(u16::to_le_bytes)
            .collect();
        let mut converted = vec![[0; 2]; words.len()];
        assert!(to_bf16(&words, &mut converted));
        assert!(to_f16(&mut converted));
        assert!(converted == words);
    }

    #[test]
    fn bf16_numbers_that_fp16_cannot_hold_are_refused() {
        for word in 0..=u16::MAX {
            let number = half::bf16::from_bits(word);
            let fits = half::f16::from_f32(number.to_f32()).to_f32() == number.to_f32();
            assert!(
                to_f16(&mut [word.to_le_bytes()]) == fits || number.is_nan(),
                "{word:04x}"
            );
        }
    }
}

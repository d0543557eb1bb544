//! What is stored of 16-bit words: signs, and the mantissa bits that are not coded.
//!
//! Eight bits a weight, the sign on top, where that is what there is: a bf16 word without its exponent, and an fp16 word
//! without its exponent and the upper three mantissa bits. Otherwise:
//!
//! * Of a bf16 word without exponent and the upper three mantissa bits: groups of [`GROUP`] weights, of which come first
//!   the lower four bits of each (byte j of part k, which is sixteen bytes long, holds those of weight 32k + j in its
//!   lower and of weight 32k + 16 + j in its upper half), and then the signs (bit k of byte j is that of weight
//!   16k + j). In this order, sixteen weights are neighbours of a vector. What is left over at the end has its fours two
//!   to a byte, the first in the lower half, and then the signs, the first in the lowest bit.
//! * Of an fp16 word without exponent: the lower eight bits of every mantissa, and then the signs above the upper two
//!   bits, three bits a weight, the first in the lowest bits, filled up with zeros to a whole byte.

use crate::simd::vectorized;

/// Weights of a group of [`Rest::FourAndSign`].
const GROUP: usize = 128;
const FOURS: usize = GROUP / 2;
const SIGNS: usize = GROUP / 8;
const LANES: usize = 16;

/// What of a word is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// The sign and the lower seven bits.
    Byte,
    /// The sign and the lower four bits.
    FourAndSign,
    /// The sign and the lower ten bits.
    TenAndSign,
}

impl Rest {
    /// The bits of a word that are stored.
    #[cfg(test)]
    fn mask(self) -> u16 {
        match self {
            Rest::Byte => 0x807f,
            Rest::FourAndSign => 0x800f,
            Rest::TenAndSign => 0x83ff,
        }
    }

    /// Bytes that it takes for `weights` weights.
    pub(crate) fn bytes(self, weights: usize) -> usize {
        match self {
            Rest::Byte => weights,
            Rest::FourAndSign => {
                let (groups, left) = (weights / GROUP, weights % GROUP);
                groups * (FOURS + SIGNS) + left.div_ceil(2) + left.div_ceil(8)
            }
            Rest::TenAndSign => weights + packed_bytes(weights),
        }
    }

    /// Appends what is stored of words.
    pub(crate) fn split(self, words: &[[u8; 2]], out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + self.bytes(words.len()), 0);
        split(self, words, out.get_mut(start..).unwrap_or(&mut []));
    }

    /// Puts what is stored to words that have zeros in its place. `rest` is that of `weights` weights; the words are
    /// some of them, `first` come before, which is a multiple of [`GROUP`], and so is their number unless they are the
    /// last.
    pub(crate) fn join(self, rest: &[u8], weights: usize, first: usize, words: &mut [[u8; 2]]) {
        join(self, rest, weights, first, words);
    }
}

vectorized! {
    fn split(kind: Rest, words: &[[u8; 2]], rest: &mut [u8]) {
        match kind {
            Rest::Byte => {
                for (byte, [low, high]) in rest.iter_mut().zip(words) {
                    *byte = high & 0x80 | low & 0x7f;
                }
            }
            Rest::FourAndSign => {
                let (groups, left) = words.as_chunks::<GROUP>();
                let (parts, end) = rest.split_at_mut(groups.len() * (FOURS + SIGNS));
                let parts = parts.as_chunks_mut::<{ FOURS + SIGNS }>().0;
                for (words, part) in groups.iter().zip(parts) {
                    split_group(words, part);
                }
                let (fours, signs) = end.split_at_mut(left.len().div_ceil(2));
                for (place, [low, high]) in left.iter().enumerate() {
                    fours[place / 2] |= (low & 15) << (place % 2 * 4);
                    signs[place / 8] |= high >> 7 << (place % 8);
                }
            }
            Rest::TenAndSign => {
                let (lows, packed) = rest.split_at_mut(words.len());
                for (byte, [low, _]) in lows.iter_mut().zip(words) {
                    *byte = *low;
                }
                for (eight, bytes) in words.chunks(8).zip(packed.chunks_mut(3)) {
                    let mut three = 0u32;
                    for (place, [_, high]) in eight.iter().enumerate() {
                        three |= u32::from(high >> 5 & 4 | high & 3) << (3 * place);
                    }
                    for (byte, part) in bytes.iter_mut().zip(three.to_le_bytes()) {
                        *byte = part;
                    }
                }
            }
        }
    }
}

vectorized! {
    fn join(kind: Rest, rest: &[u8], weights: usize, first: usize, words: &mut [[u8; 2]]) {
        match kind {
            Rest::Byte => {
                let rest = rest.get(first..).unwrap_or(&[]);
                for (word, &byte) in words.iter_mut().zip(rest) {
                    let stored = u16::from(byte & 0x7f) | u16::from(byte & 0x80) << 8;
                    *word = (u16::from_le_bytes(*word) | stored).to_le_bytes();
                }
            }
            Rest::FourAndSign => {
                let rest = rest.get(kind.bytes(first)..).unwrap_or(&[]);
                let (groups, left) = words.as_chunks_mut::<GROUP>();
                let (parts, end) = rest.split_at(rest.len().min(groups.len() * (FOURS + SIGNS)));
                let parts = parts.as_chunks::<{ FOURS + SIGNS }>().0;
                for (words, part) in groups.iter_mut().zip(parts) {
                    join_group(part, words);
                }
                let (fours, signs) = end.split_at(end.len().min(left.len().div_ceil(2)));
                for (place, [low, high]) in left.iter_mut().enumerate() {
                    *low |= fours
                        .get(place / 2)
                        .map_or(0, |byte| byte >> (place % 2 * 4) & 15);
                    *high |= signs
                        .get(place / 8)
                        .map_or(0, |byte| byte >> (place % 8) << 7);
                }
            }
            Rest::TenAndSign => {
                let (lows, packed) = rest.split_at(rest.len().min(weights));
                let lows = lows.get(first..).unwrap_or(&[]);
                let packed = packed.get(packed_bytes(first)..).unwrap_or(&[]);
                for ([low, _], &byte) in words.iter_mut().zip(lows) {
                    *low |= byte;
                }
                for (eight, bytes) in words.chunks_mut(8).zip(packed.chunks(3)) {
                    let mut whole = [0; 4];
                    for (slot, &byte) in whole.iter_mut().zip(bytes) {
                        *slot = byte;
                    }
                    let mut three = u32::from_le_bytes(whole);
                    for [_, high] in eight {
                        *high |= (three as u8 & 4) << 5 | three as u8 & 3;
                        three >>= 3;
                    }
                }
            }
        }
    }
}

/// Calls a function of the number of a part for each of the eight, as a constant: shifts by constants make vectors.
macro_rules! each_part {
    ($function:ident, $($argument:expr),*) => {
        $function::<0>($($argument),*);
        $function::<1>($($argument),*);
        $function::<2>($($argument),*);
        $function::<3>($($argument),*);
        $function::<4>($($argument),*);
        $function::<5>($($argument),*);
        $function::<6>($($argument),*);
        $function::<7>($($argument),*);
    };
}

#[inline(always)]
fn split_group(words: &[[u8; 2]; GROUP], part: &mut [u8; FOURS + SIGNS]) {
    each_part!(split_part, words, part);
}

#[inline(always)]
fn join_group(part: &[u8; FOURS + SIGNS], words: &mut [[u8; 2]; GROUP]) {
    each_part!(join_part, part, words);
}

#[inline(always)]
fn split_part<const K: usize>(words: &[[u8; 2]; GROUP], part: &mut [u8; FOURS + SIGNS]) {
    for j in 0..LANES {
        let word = u16::from_le_bytes(words[K * LANES + j]);
        part[K / 2 * LANES + j] |= ((word & 15) << (K % 2 * 4)) as u8;
        part[FOURS + j] |= (word >> 15 << K) as u8;
    }
}

#[inline(always)]
fn join_part<const K: usize>(part: &[u8; FOURS + SIGNS], words: &mut [[u8; 2]; GROUP]) {
    for j in 0..LANES {
        let four = u16::from(part[K / 2 * LANES + j]) >> (K % 2 * 4) & 15;
        let sign = u16::from(part[FOURS + j]) << (15 - K) & 0x8000;
        let word = u16::from_le_bytes(words[K * LANES + j]);
        words[K * LANES + j] = (word | four | sign).to_le_bytes();
    }
}

/// Bytes of three bits for each of `weights` weights.
fn packed_bytes(weights: usize) -> usize {
    weights / 8 * 3 + (weights % 8 * 3).div_ceil(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_comes_back_in_every_place() {
        let all: Vec<[u8; 2]> = (0..=u16::MAX).map(u16::to_le_bytes).collect();
        for rest in [Rest::Byte, Rest::FourAndSign, Rest::TenAndSign] {
            for skip in (0..9).chain([40, 100]) {
                let words = &all[skip * 7..all.len() - skip];
                let mut stored = vec![1];
                rest.split(words, &mut stored);
                let stored = &stored[1..];
                assert_eq!(stored.len(), rest.bytes(words.len()));
                let without =
                    |word: &[u8; 2]| (u16::from_le_bytes(*word) & !rest.mask()).to_le_bytes();
                for piece in [words.len(), GROUP, 5 * GROUP] {
                    let mut joined: Vec<[u8; 2]> = words.iter().map(without).collect();
                    for (number, joined) in joined.chunks_mut(piece).enumerate() {
                        rest.join(stored, words.len(), number * piece, joined);
                    }
                    assert!(joined == words, "{rest:?} {skip} {piece}");
                }
            }
        }
    }
}

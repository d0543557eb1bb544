//! What is stored: signs and lower mantissa bits.

use crate::float::FloatLayout;

/// Signs and lower mantissa bits.
pub(super) fn split_rest(layout: FloatLayout, words: &[[u8; 2]], rest: &mut Vec<u8>) {
    rest.clear();
    match layout {
        FloatLayout::Bf16 => {
            rest.extend(words.chunks(2).map(|pair| match pair {
                [[first, _], [second, _]] => first & 15 | second << 4,
                [[first, _]] => first & 15,
                _ => 0,
            }));
            rest.extend(words.chunks(8).map(|eight| {
                let signs = eight.iter().enumerate();
                signs.fold(0, |byte, (place, [_, high])| byte | high >> 7 << place)
            }));
        }
        FloatLayout::F16 => {
            rest.extend(words.iter().map(|[low, high]| high & 0x80 | low & 0x7f));
        }
    }
}

/// Puts signs and lower mantissa bits to words that have neither.
pub(super) fn join_rest(layout: FloatLayout, rest: &[u8], words: &mut [[u8; 2]]) {
    match layout {
        FloatLayout::Bf16 => {
            let (lower, signs) = rest.split_at(words.len().div_ceil(2).min(rest.len()));
            for (pair, byte) in words.chunks_mut(2).zip(lower) {
                for ([low, _], nibble) in pair.iter_mut().zip([byte & 15, byte >> 4]) {
                    *low |= nibble;
                }
            }
            for (eight, byte) in words.chunks_mut(8).zip(signs) {
                for (place, [_, high]) in eight.iter_mut().enumerate() {
                    *high |= byte >> place << 7;
                }
            }
        }
        FloatLayout::F16 => {
            for ([low, high], byte) in words.iter_mut().zip(rest) {
                *low |= byte & 0x7f;
                *high |= byte & 0x80;
            }
        }
    }
}

/// Bytes that they take.
pub(super) fn rest_bytes(layout: FloatLayout, weights: usize) -> u64 {
    let bytes = match layout {
        FloatLayout::Bf16 => weights.div_ceil(2) + weights.div_ceil(8),
        FloatLayout::F16 => weights,
    };
    bytes as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_comes_back_in_every_place() {
        let all: Vec<[u8; 2]> = (0..=u16::MAX).map(u16::to_le_bytes).collect();
        // What is coded: exponent and upper mantissa bits.
        for (layout, coded) in [(FloatLayout::Bf16, 0x7ff0), (FloatLayout::F16, 0x7f80)] {
            for skip in 0..9 {
                let words = &all[skip * 7..all.len() - skip];
                let mut rest = vec![1];
                split_rest(layout, words, &mut rest);
                assert_eq!(rest.len() as u64, rest_bytes(layout, words.len()));
                let mut joined: Vec<[u8; 2]> = words
                    .iter()
                    .map(|word| (u16::from_le_bytes(*word) & coded).to_le_bytes())
                    .collect();
                join_rest(layout, &rest, &mut joined);
                assert!(joined == words, "{layout:?}");
            }
        }
    }
}

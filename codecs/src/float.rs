//! The parts of 16-bit floats, and planes of them.

use crate::bytes::ByteReader;
use crate::error::DecodeError;
use crate::tensor::Dtype;

/// How a float of 16 bits is divided: the sign on top, then the exponent, then the mantissa.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FloatLayout {
    /// 8 exponent and 7 mantissa bits.
    Bf16,
    /// 5 exponent and 10 mantissa bits.
    F16,
}

impl FloatLayout {
    /// The layout of a type; `None` if it is no float of 16 bits.
    pub fn of(dtype: Dtype) -> Option<FloatLayout> {
        match dtype {
            Dtype::Bf16 => Some(FloatLayout::Bf16),
            Dtype::F16 => Some(FloatLayout::F16),
            _ => None,
        }
    }

    /// The byte that stands for it in encodings.
    pub fn code(self) -> u8 {
        match self {
            FloatLayout::Bf16 => 0,
            FloatLayout::F16 => 1,
        }
    }

    /// Takes the byte that stands for a layout.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] at the end, [`DecodeError::Field`] where it is another byte.
    pub fn read(reader: &mut ByteReader<'_>) -> Result<FloatLayout, DecodeError> {
        let at = reader.at();
        match reader.byte("layout")? {
            0 => Ok(FloatLayout::Bf16),
            1 => Ok(FloatLayout::F16),
            found => Err(DecodeError::Field {
                what: "layout",
                at,
                expected: "0 or 1",
                found: found.into(),
            }),
        }
    }

    /// Bits of the exponent.
    pub fn exponent_bits(self) -> u32 {
        15 - self.mantissa_bits()
    }

    /// Bits of the mantissa, the hidden one aside.
    pub fn mantissa_bits(self) -> u32 {
        match self {
            FloatLayout::Bf16 => 7,
            FloatLayout::F16 => 10,
        }
    }

    /// Bytes that signs and mantissas of `weights` weights take in [`split`](Self::split).
    pub fn rest_bytes(self, weights: usize) -> usize {
        match self {
            FloatLayout::Bf16 => weights,
            FloatLayout::F16 => weights + packed_bytes(weights),
        }
    }

    /// Divides little-endian words into their exponents, a byte each, and the rest; both vectors are overwritten.
    ///
    /// The rest of bf16 is a byte a weight, the sign above the mantissa. The rest of fp16 is the lower eight bits of
    /// every mantissa, and then the signs above the upper two bits, three bits a weight, the first in the lowest bits,
    /// filled up with zeros to a whole byte.
    pub fn split(self, words: &[[u8; 2]], exponents: &mut Vec<u8>, rest: &mut Vec<u8>) {
        exponents.clear();
        rest.clear();
        match self {
            FloatLayout::Bf16 => {
                exponents.extend(words.iter().map(|[low, high]| high << 1 | low >> 7));
                rest.extend(words.iter().map(|[low, high]| high & 0x80 | low & 0x7f));
            }
            FloatLayout::F16 => {
                exponents.extend(words.iter().map(|[_, high]| high >> 2 & 0x1f));
                rest.extend(words.iter().map(|[low, _]| low));
                for eight in words.chunks(8) {
                    let mut packed = 0u32;
                    for (place, [_, high]) in eight.iter().enumerate() {
                        packed |= u32::from(high >> 5 & 4 | high & 3) << (3 * place);
                    }
                    let bytes = packed.to_le_bytes();
                    rest.extend(bytes.iter().take(packed_bytes(eight.len())));
                }
            }
        }
    }

    /// Puts together what [`split`](Self::split) divided; stops at the shortest of the three. Exponents of fp16 are
    /// taken modulo 32.
    pub fn join(self, exponents: &[u8], rest: &[u8], words: &mut [[u8; 2]]) {
        match self {
            FloatLayout::Bf16 => {
                for ((word, &exponent), &rest) in words.iter_mut().zip(exponents).zip(rest) {
                    *word = [exponent << 7 | rest & 0x7f, rest & 0x80 | exponent >> 1];
                }
            }
            FloatLayout::F16 => {
                let (lows, packed) = rest.split_at(rest.len().min(words.len()));
                let groups = words
                    .chunks_mut(8)
                    .zip(exponents.chunks(8))
                    .zip(lows.chunks(8))
                    .zip(packed.chunks(3));
                for (((words, exponents), lows), packed) in groups {
                    let mut bytes = [0; 4];
                    for (slot, &byte) in bytes.iter_mut().zip(packed) {
                        *slot = byte;
                    }
                    let mut packed = u32::from_le_bytes(bytes);
                    for ((word, &exponent), &low) in words.iter_mut().zip(exponents).zip(lows) {
                        let three = packed as u8 & 7;
                        *word = [low, (three & 4) << 5 | (exponent & 0x1f) << 2 | three & 3];
                        packed >>= 3;
                    }
                }
            }
        }
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
        for layout in [FloatLayout::Bf16, FloatLayout::F16] {
            let (mut exponents, mut rest) = (vec![1], vec![2]);
            for skip in 0..9 {
                let words = &all[skip * 7..all.len() - skip];
                layout.split(words, &mut exponents, &mut rest);
                assert_eq!(exponents.len(), words.len());
                assert_eq!(rest.len(), layout.rest_bytes(words.len()));
                let mut joined = vec![[0; 2]; words.len()];
                layout.join(&exponents, &rest, &mut joined);
                assert_eq!(joined, words);
            }
        }
    }

    #[test]
    fn parts_of_one() {
        let (mut exponents, mut rest) = (Vec::new(), Vec::new());
        FloatLayout::Bf16.split(&[0xbf80u16.to_le_bytes()], &mut exponents, &mut rest);
        assert_eq!(
            (exponents.as_slice(), rest.as_slice()),
            (&[127][..], &[0x80][..])
        );
        FloatLayout::F16.split(&[0xbc00u16.to_le_bytes()], &mut exponents, &mut rest);
        assert_eq!(
            (exponents.as_slice(), rest.as_slice()),
            (&[15][..], &[0, 4][..])
        );
    }
}

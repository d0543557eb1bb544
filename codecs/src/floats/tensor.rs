//! Tensors of floats as rows of weights.

use crate::bytes::ByteReader;
use crate::error::DecodeError;
use crate::float::FloatLayout;
use crate::simd::vectorized;
use crate::tensor::{Dtype, TensorView};

/// A type of floats that are coded by their exponent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FloatType {
    Bf16,
    F16,
    F32,
}

impl FloatType {
    /// The type of a tensor's elements; `None` if it is another.
    pub(crate) fn of(dtype: Dtype) -> Option<FloatType> {
        match dtype {
            Dtype::Bf16 => Some(FloatType::Bf16),
            Dtype::F16 => Some(FloatType::F16),
            Dtype::F32 => Some(FloatType::F32),
            _ => None,
        }
    }

    /// The byte that stands for it in encodings.
    pub(crate) fn code(self) -> u8 {
        match self {
            FloatType::Bf16 => 0,
            FloatType::F16 => 1,
            FloatType::F32 => 2,
        }
    }

    /// Takes the byte that stands for a type.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] at the end, [`DecodeError::Field`] where it is another byte.
    pub(crate) fn read(reader: &mut ByteReader<'_>) -> Result<FloatType, DecodeError> {
        let at = reader.at();
        match reader.byte("type of a tensor")? {
            0 => Ok(FloatType::Bf16),
            1 => Ok(FloatType::F16),
            2 => Ok(FloatType::F32),
            found => Err(DecodeError::Field {
                what: "type of a tensor",
                at,
                expected: "0, 1 or 2",
                found: found.into(),
            }),
        }
    }

    /// The layout of the words that it is coded by.
    pub(crate) fn layout(self) -> FloatLayout {
        match self {
            FloatType::F16 => FloatLayout::F16,
            FloatType::Bf16 | FloatType::F32 => FloatLayout::Bf16,
        }
    }

    /// Bytes of a weight.
    pub(crate) fn bytes(self) -> usize {
        match self {
            FloatType::Bf16 | FloatType::F16 => 2,
            FloatType::F32 => 4,
        }
    }
}

/// How many rows, and weights of a row, a tensor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Matrix {
    pub(crate) rows: u64,
    pub(crate) columns: u64,
}

impl Matrix {
    /// The first axis counts rows; all others together are one. A tensor of one axis, or of none, is a single row.
    pub(crate) fn of(shape: &[u64], weights: u64) -> Matrix {
        let rows = match shape {
            [rows, _, ..] if weights > 0 => *rows,
            _ => 1,
        };
        Matrix {
            rows,
            columns: weights / rows,
        }
    }

    /// All weights; `None` if they are more than a number can say.
    pub(crate) fn weights(self) -> Option<u64> {
        self.rows.checked_mul(self.columns)
    }
}

/// A tensor to be encoded.
#[derive(Clone, Copy)]
pub(crate) struct FloatTensor<'a> {
    pub(crate) kind: FloatType,
    pub(crate) matrix: Matrix,
    pub(crate) data: &'a [u8],
}

impl<'a> FloatTensor<'a> {
    /// `None` if its elements are of another type. The data must be as long as the shape says.
    pub(crate) fn of(tensor: &TensorView<'a>) -> Option<FloatTensor<'a>> {
        let kind = FloatType::of(tensor.dtype)?;
        let weights = (tensor.data.len() / kind.bytes()) as u64;
        Some(FloatTensor {
            kind,
            matrix: Matrix::of(tensor.shape, weights),
            data: tensor.data,
        })
    }

    /// A matrix of words.
    pub(crate) fn of_words(
        layout: FloatLayout,
        matrix: Matrix,
        words: &'a [[u8; 2]],
    ) -> FloatTensor<'a> {
        FloatTensor {
            kind: match layout {
                FloatLayout::Bf16 => FloatType::Bf16,
                FloatLayout::F16 => FloatType::F16,
            },
            matrix,
            data: words.as_flattened(),
        }
    }

    /// The layout of the words that its weights are coded by.
    pub(crate) fn layout(&self) -> FloatLayout {
        self.kind.layout()
    }

    /// Takes the words of `count` weights from `first` on; of fp32, the upper halves.
    pub(crate) fn words(&self, first: usize, count: usize, words: &mut Vec<[u8; 2]>) {
        words.clear();
        match self.kind {
            FloatType::Bf16 | FloatType::F16 => {
                let all = self.data.as_chunks().0;
                words.extend_from_slice(all.get(first..first + count).unwrap_or(&[]));
            }
            FloatType::F32 => {
                let all = self.data.as_chunks().0;
                let some = all.get(first..first + count).unwrap_or(&[]);
                words.extend(some.iter().map(|[_, _, c, d]| [*c, *d]));
            }
        }
    }

    /// Magnitudes of the weights from `first` on; 0 for what is no number, or so large that it would drown the others.
    pub(crate) fn magnitudes(&self, first: usize, magnitudes: &mut [f32]) {
        let data = self.data.get(first * self.kind.bytes()..).unwrap_or(&[]);
        fill_magnitudes(self.kind, data, magnitudes);
    }
}

/// The exponent of 2^64 in single precision: beyond it, sums could overflow.
const MOST: u32 = (127 + 64) << 23;

vectorized! {
    fn fill_magnitudes(kind: FloatType, data: &[u8], magnitudes: &mut [f32]) {
        let single = |bits: u32| {
            let bits = bits & 0x7fff_ffff;
            f32::from_bits(if bits < MOST { bits } else { 0 })
        };
        match kind {
            FloatType::Bf16 => {
                for (magnitude, word) in magnitudes.iter_mut().zip(data.as_chunks().0) {
                    *magnitude = single(u32::from(u16::from_le_bytes(*word)) << 16);
                }
            }
            FloatType::F16 => {
                for (magnitude, word) in magnitudes.iter_mut().zip(data.as_chunks().0) {
                    *magnitude = half_magnitude(u16::from_le_bytes(*word));
                }
            }
            FloatType::F32 => {
                for (magnitude, word) in magnitudes.iter_mut().zip(data.as_chunks().0) {
                    *magnitude = single(u32::from_le_bytes(*word));
                }
            }
        }
    }
}

/// The magnitude of an fp16 number; 0 for what is no number.
#[inline(always)]
fn half_magnitude(word: u16) -> f32 {
    let bits = u32::from(word & 0x7fff);
    if bits >= 0x7c00 {
        return 0.0;
    }
    // With the exponent of single precision 112 too small, so that the product is exact, also of subnormal numbers.
    f32::from_bits(bits << 13) * f32::from_bits((127 + 112) << 23)
}

/// What is added to an exponent of a layout.
pub(crate) fn bias(layout: FloatLayout) -> i32 {
    (1 << (layout.exponent_bits() - 1)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magnitudes_are_those_of_the_numbers() {
        let all: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        let singles: Vec<u8> = (0..=u16::MAX)
            .flat_map(|word| (u32::from(word) << 16 | 0x1234).to_le_bytes())
            .collect();
        for (kind, data) in [
            (FloatType::Bf16, &all),
            (FloatType::F16, &all),
            (FloatType::F32, &singles),
        ] {
            let matrix = Matrix {
                rows: 1,
                columns: 1 << 16,
            };
            let tensor = FloatTensor { kind, matrix, data };
            let mut found = vec![7.0; 1 << 16];
            tensor.magnitudes(0, &mut found);
            for (word, found) in (0..=u16::MAX).zip(&found) {
                let number = match kind {
                    FloatType::Bf16 => half::bf16::from_bits(word).to_f32(),
                    FloatType::F16 => half::f16::from_bits(word).to_f32(),
                    FloatType::F32 => f32::from_bits(u32::from(word) << 16 | 0x1234),
                };
                let counts = number.is_finite() && number.abs() < 2f32.powi(64);
                let expected = if counts { number.abs() } else { 0.0 };
                assert_eq!(*found, expected, "{kind:?} {word:04x}");
            }
            let mut some = [7.0; 3];
            tensor.magnitudes((1 << 16) - 2, &mut some);
            assert_eq!(some[2], 7.0);
        }
    }

    #[test]
    fn rows_are_those_of_the_first_axis() {
        let of = |shape: &[u64], weights| {
            let Matrix { rows, columns } = Matrix::of(shape, weights);
            (rows, columns)
        };
        assert_eq!(of(&[], 1), (1, 1));
        assert_eq!(of(&[7], 7), (1, 7));
        assert_eq!(of(&[3, 5], 15), (3, 5));
        assert_eq!(of(&[3, 5, 2], 30), (3, 10));
        assert_eq!(of(&[0, 5], 0), (1, 0));
        assert_eq!(of(&[5, 0], 0), (1, 0));
    }
}

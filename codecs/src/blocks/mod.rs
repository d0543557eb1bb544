//! What the blocks of GGUF's quantised types are made of.
//!
//! A block is some bytes that a fixed number of weights share: scales, minima, and a number of few bits for each
//! weight, its quant. Each module takes the bytes of one type apart into its fields and puts them together again. Every
//! bit of a block belongs to one field, so that any bytes come back. The quants are in the order of the weights.
//!
//! | type | weights | bytes | fields | a weight is |
//! | --- | --- | --- | --- | --- |
//! | [`Q4K`] | 256 | 144 | `d`, `dmin`; 8 scales and 8 minima of 6 bits, one for 32 weights; quants of 4 bits | `d`·scale·q − `dmin`·minimum |
//! | [`Q6K`] | 256 | 210 | `d`; 16 signed scales of 8 bits, one for 16 weights; quants of 6 bits | `d`·scale·(q − 32) |
//! | [`Q5_0`] | 32 | 22 | `d`; quants of 5 bits | `d`·(q − 16) |
//! | [`Q8_0`] | 32 | 34 | `d`; signed quants of 8 bits | `d`·q |
//! | [`Q4_1`] | 32 | 20 | `d`, `m`; quants of 4 bits | `d`·q + `m` |
//!
//! `d`, `dmin` and `m` are fp16 and are kept as their bits, since a NaN must come back as well. All numbers of several
//! bytes are little-endian.

pub mod q4_1;
pub mod q4_k;
pub mod q5_0;
pub mod q6_k;
pub mod q8_0;

pub use q4_1::Q4_1;
pub use q4_k::Q4K;
pub use q5_0::Q5_0;
pub use q6_k::Q6K;
pub use q8_0::Q8_0;

use crate::tensor::Dtype;

/// The types of blocks that can be taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockLayout {
    /// [`Q4K`].
    Q4K,
    /// [`Q6K`].
    Q6K,
    /// [`Q5_0`].
    Q5_0,
    /// [`Q8_0`].
    Q8_0,
    /// [`Q4_1`].
    Q4_1,
}

impl BlockLayout {
    /// Every layout.
    pub const ALL: [BlockLayout; 5] = [
        BlockLayout::Q4K,
        BlockLayout::Q6K,
        BlockLayout::Q5_0,
        BlockLayout::Q8_0,
        BlockLayout::Q4_1,
    ];

    /// The layout of a type; `None` if its blocks cannot be taken apart here.
    pub fn of(dtype: Dtype) -> Option<BlockLayout> {
        BlockLayout::ALL
            .into_iter()
            .find(|layout| layout.dtype() == dtype)
    }

    /// The type that has this layout.
    pub fn dtype(self) -> Dtype {
        match self {
            BlockLayout::Q4K => Dtype::Q4K,
            BlockLayout::Q6K => Dtype::Q6K,
            BlockLayout::Q5_0 => Dtype::Q5_0,
            BlockLayout::Q8_0 => Dtype::Q8_0,
            BlockLayout::Q4_1 => Dtype::Q4_1,
        }
    }

    /// Weights of a block.
    pub fn weights(self) -> usize {
        self.dtype().block().elements as usize
    }

    /// Bytes of a block.
    pub fn bytes(self) -> usize {
        self.dtype().block().bytes as usize
    }
}

/// The number that fp16 `bits` stand for, in units of 2⁻²⁴, of which every finite one is a whole number below 2⁴⁰.
/// `None` if it is infinite or not a number.
///
/// # Examples
///
/// ```
/// use llmcl_codecs::blocks::f16_units;
///
/// assert_eq!(f16_units(0x3c00), Some(1 << 24)); // 1
/// assert_eq!(f16_units(0x8001), Some(-1)); // the least subnormal, negative
/// assert_eq!(f16_units(0x7c00), None); // infinity
/// ```
pub fn f16_units(bits: u16) -> Option<i64> {
    let mantissa = i64::from(bits & 0x3ff);
    let units = match bits >> 10 & 31 {
        0 => mantissa,
        31 => return None,
        exponent => (mantissa | 0x400) << (exponent - 1),
    };
    Some(if bits >> 15 == 1 { -units } else { units })
}

/// Takes nibbles apart: the lower halves of the bytes come first.
#[inline(always)]
fn nibbles<const N: usize>(bytes: &[u8], quants: &mut [u8; N]) {
    let (low, high) = quants.split_at_mut(N / 2);
    for ((byte, low), high) in bytes.iter().zip(low).zip(high) {
        *low = byte & 15;
        *high = byte >> 4;
    }
}

/// Puts nibbles together, the other way round; of each quant the lower four bits.
#[inline(always)]
fn join_nibbles<const N: usize>(quants: &[u8; N], bytes: &mut [u8]) {
    let (low, high) = quants.split_at(N / 2);
    for ((byte, low), high) in bytes.iter_mut().zip(low).zip(high) {
        *byte = low & 15 | high << 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_of_their_types() {
        for layout in BlockLayout::ALL {
            assert_eq!(BlockLayout::of(layout.dtype()), Some(layout));
        }
        assert_eq!(BlockLayout::of(Dtype::Q5K), None);
        let sizes = BlockLayout::ALL.map(|layout| (layout.weights(), layout.bytes()));
        let known = [
            (Q4K::WEIGHTS, Q4K::BYTES),
            (Q6K::WEIGHTS, Q6K::BYTES),
            (Q5_0::WEIGHTS, Q5_0::BYTES),
            (Q8_0::WEIGHTS, Q8_0::BYTES),
            (Q4_1::WEIGHTS, Q4_1::BYTES),
        ];
        assert_eq!(sizes, known);
    }

    #[test]
    fn every_fp16_number_in_units() {
        for bits in 0..=u16::MAX {
            let float = half::f16::from_bits(bits);
            let expected = float
                .is_finite()
                .then(|| (float.to_f64() * 16_777_216.0) as i64);
            assert_eq!(f16_units(bits), expected, "{bits:04x}");
        }
    }
}

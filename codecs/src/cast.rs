//! Rounding floats to narrower ones, on their bits.
//!
//! All casts round to nearest, ties to even, in one step; what is too large becomes infinity, what is too small a
//! subnormal or a zero of the same sign. A NaN stays a NaN of the same sign: its payload keeps the top bits that fit,
//! and its quiet bit is set, so that a payload whose kept bits are all zero does not become infinity. (IEEE 754-2019,
//! sections 4.3.1 and 6.2.3; hardware does the same.)
//!
//! fp16 and bf16 lie within fp32, so a cast between the two rounds once only.

use std::io::{self, Write};

use thiserror::Error;

use crate::bytes::CHUNK_BYTES;
use crate::tensor::Dtype;

/// A cast from one float type to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cast {
    /// binary32 to bfloat16.
    F32ToBf16,
    /// binary32 to binary16.
    F32ToF16,
    /// bfloat16 to binary16.
    Bf16ToF16,
    /// binary16 to bfloat16.
    F16ToBf16,
}

/// Why data could not be cast.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CastError {
    /// The data is no whole number of elements.
    #[error("{found} bytes are no whole number of {dtype} elements")]
    Length {
        /// Type of the elements.
        dtype: Dtype,
        /// Bytes of the data.
        found: u64,
    },
    /// The output could not be written.
    #[error("writing the cast data")]
    Write(#[source] io::Error),
}

impl Cast {
    /// The cast between two types; `None` if there is none, also if they are the same.
    pub fn between(from: Dtype, to: Dtype) -> Option<Cast> {
        match (from, to) {
            (Dtype::F32, Dtype::Bf16) => Some(Cast::F32ToBf16),
            (Dtype::F32, Dtype::F16) => Some(Cast::F32ToF16),
            (Dtype::Bf16, Dtype::F16) => Some(Cast::Bf16ToF16),
            (Dtype::F16, Dtype::Bf16) => Some(Cast::F16ToBf16),
            _ => None,
        }
    }

    /// The type cast from.
    pub fn from(self) -> Dtype {
        match self {
            Cast::F32ToBf16 | Cast::F32ToF16 => Dtype::F32,
            Cast::Bf16ToF16 => Dtype::Bf16,
            Cast::F16ToBf16 => Dtype::F16,
        }
    }

    /// The type cast to.
    pub fn to(self) -> Dtype {
        match self {
            Cast::F32ToBf16 | Cast::F16ToBf16 => Dtype::Bf16,
            Cast::F32ToF16 | Cast::Bf16ToF16 => Dtype::F16,
        }
    }

    /// Casts `data`, little-endian elements of [`from`](Self::from), and writes elements of [`to`](Self::to), some
    /// thousands at a time.
    ///
    /// # Errors
    ///
    /// [`CastError::Length`] where `data` is no whole number of elements, and [`CastError::Write`] where `out` fails.
    pub fn write(self, data: &[u8], out: &mut dyn Write) -> Result<(), CastError> {
        let dtype = self.from();
        if !data.len().is_multiple_of(dtype.block().bytes as usize) {
            return Err(CastError::Length {
                dtype,
                found: data.len() as u64,
            });
        }
        let mut buffer = Vec::with_capacity(CHUNK_BYTES);
        for piece in data.chunks(CHUNK_BYTES) {
            buffer.clear();
            self.extend(piece, &mut buffer);
            out.write_all(&buffer).map_err(CastError::Write)?;
        }
        Ok(())
    }

    /// Casts the whole elements in `data` and appends them to `out`.
    fn extend(self, data: &[u8], out: &mut Vec<u8>) {
        match self {
            Cast::F32ToBf16 => extend(data, out, |b| f32_to_bf16(u32::from_le_bytes(b))),
            Cast::F32ToF16 => extend(data, out, |b| f32_to_f16(u32::from_le_bytes(b))),
            Cast::Bf16ToF16 => extend(data, out, |b| bf16_to_f16(u16::from_le_bytes(b))),
            Cast::F16ToBf16 => extend(data, out, |b| f16_to_bf16(u16::from_le_bytes(b))),
        }
    }
}

fn extend<const N: usize>(data: &[u8], out: &mut Vec<u8>, cast: impl Fn([u8; N]) -> u16) {
    let (elements, _) = data.as_chunks::<N>();
    out.extend(
        elements
            .iter()
            .flat_map(|&element| cast(element).to_le_bytes()),
    );
}

/// Bits of a binary32 to bits of the nearest bfloat16.
pub fn f32_to_bf16(bits: u32) -> u16 {
    let upper = (bits >> 16) as u16;
    if bits & 0x7fff_ffff > 0x7f80_0000 {
        return upper | 0x0040;
    }
    // A carry out of the mantissa raises the exponent, and from the largest exponent it makes infinity.
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    (rounded >> 16) as u16
}

/// Bits of a bfloat16 to bits of the same number in binary32.
pub fn bf16_to_f32(bits: u16) -> u32 {
    u32::from(bits) << 16
}

/// Bits of a binary32 to bits of the nearest binary16.
pub fn f32_to_f16(bits: u32) -> u16 {
    /// The exponent fields of binary32 at which binary16 has its smallest normal number, 2^-14, …
    const LEAST_NORMAL: u32 = 113 << 23;
    /// … at which it has run out, 2^16, …
    const ABOVE: u32 = 143 << 23;
    /// … and below which all is nearer to zero than to the smallest subnormal, 2^-24: what is less than 2^-25.
    const VANISHING: u32 = 102 << 23;
    let sign = (bits >> 16 & 0x8000) as u16;
    let magnitude = bits & 0x7fff_ffff;
    if magnitude > 0x7f80_0000 {
        return sign | 0x7e00 | (magnitude >> 13 & 0x01ff) as u16;
    }
    let rounded = if magnitude >= ABOVE {
        0x7c00
    } else if magnitude >= LEAST_NORMAL {
        // Rounding may carry into the exponent, up to infinity.
        let rebased = magnitude - (112 << 23);
        (rebased + 0xfff + (rebased >> 13 & 1)) >> 13
    } else if magnitude >= VANISHING {
        // A subnormal counts 2^-24: the mantissa with its hidden bit, shifted down by 126 less the exponent field.
        let mantissa = magnitude & 0x007f_ffff | 0x0080_0000;
        let shift = 126 - (magnitude >> 23);
        let half = 1 << (shift - 1);
        (mantissa + (half - 1) + (mantissa >> shift & 1)) >> shift
    } else {
        0
    };
    sign | rounded as u16
}

/// Bits of a binary16 to bits of the same number in binary32. A NaN keeps its payload as it is.
pub fn f16_to_f32(bits: u16) -> u32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let exponent = u32::from(bits >> 10 & 0x1f);
    let mantissa = u32::from(bits & 0x03ff);
    let magnitude = match (exponent, mantissa) {
        (0, 0) => 0,
        (0, _) => {
            // The leading one becomes the hidden bit: 2^-24 is 103 in the exponent field.
            let top = 31 - mantissa.leading_zeros();
            (103 + top) << 23 | (mantissa << (23 - top) & 0x007f_ffff)
        }
        (0x1f, _) => 0xff << 23 | mantissa << 13,
        _ => (exponent + 112) << 23 | mantissa << 13,
    };
    sign | magnitude
}

/// Bits of a bfloat16 to bits of the nearest binary16.
pub fn bf16_to_f16(bits: u16) -> u16 {
    f32_to_f16(bf16_to_f32(bits))
}

/// Bits of a binary16 to bits of the nearest bfloat16.
pub fn f16_to_bf16(bits: u16) -> u16 {
    f32_to_bf16(f16_to_f32(bits))
}

//! The parts of 16-bit floats.

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
}

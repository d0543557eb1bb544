//! Element types and tensors.

use std::fmt;

/// What one element of a tensor is.
///
/// The list is closed: it holds what the safetensors format (version 0.8) can name, of which the types of
/// CTranslate2 are a part. A file that names another type is refused by its reader, because nothing can be said about
/// the size of such a tensor.
///
/// # Examples
///
/// ```
/// use llmcl_codecs::Dtype;
///
/// assert_eq!(Dtype::from_name("BF16"), Some(Dtype::Bf16));
/// assert_eq!(Dtype::F8E4M3.name(), "F8_E4M3");
/// assert_eq!(Dtype::F4.bits(), 4);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dtype {
    /// A truth value in a byte.
    Bool,
    /// OCP microscaling FP4 (E2M1), two to a byte.
    F4,
    /// OCP microscaling FP6 with 2 exponent and 3 mantissa bits.
    F6E2M3,
    /// OCP microscaling FP6 with 3 exponent and 2 mantissa bits.
    F6E3M2,
    /// Unsigned 8-bit integer, and plain bytes.
    U8,
    /// Signed 8-bit integer.
    I8,
    /// FP8 with 5 exponent and 2 mantissa bits.
    F8E5M2,
    /// FP8 with 4 exponent and 3 mantissa bits.
    F8E4M3,
    /// OCP microscaling scale: 8 exponent bits.
    F8E8M0,
    /// FP8 E4M3 without infinities and negative zero.
    F8E4M3Fnuz,
    /// FP8 E5M2 without infinities and negative zero.
    F8E5M2Fnuz,
    /// Signed 16-bit integer.
    I16,
    /// Unsigned 16-bit integer.
    U16,
    /// IEEE 754 binary16: 1 sign, 5 exponent, 10 mantissa bits.
    F16,
    /// The upper half of a binary32: 1 sign, 8 exponent, 7 mantissa bits.
    Bf16,
    /// Signed 32-bit integer.
    I32,
    /// Unsigned 32-bit integer.
    U32,
    /// IEEE 754 binary32.
    F32,
    /// A complex number of two binary32.
    C64,
    /// IEEE 754 binary64.
    F64,
    /// Signed 64-bit integer.
    I64,
    /// Unsigned 64-bit integer.
    U64,
}

impl Dtype {
    /// Every type, in the order of the enum.
    pub const ALL: [Dtype; 22] = [
        Dtype::Bool,
        Dtype::F4,
        Dtype::F6E2M3,
        Dtype::F6E3M2,
        Dtype::U8,
        Dtype::I8,
        Dtype::F8E5M2,
        Dtype::F8E4M3,
        Dtype::F8E8M0,
        Dtype::F8E4M3Fnuz,
        Dtype::F8E5M2Fnuz,
        Dtype::I16,
        Dtype::U16,
        Dtype::F16,
        Dtype::Bf16,
        Dtype::I32,
        Dtype::U32,
        Dtype::F32,
        Dtype::C64,
        Dtype::F64,
        Dtype::I64,
        Dtype::U64,
    ];

    /// The name, as safetensors writes it.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::Bool => "BOOL",
            Dtype::F4 => "F4",
            Dtype::F6E2M3 => "F6_E2M3",
            Dtype::F6E3M2 => "F6_E3M2",
            Dtype::U8 => "U8",
            Dtype::I8 => "I8",
            Dtype::F8E5M2 => "F8_E5M2",
            Dtype::F8E4M3 => "F8_E4M3",
            Dtype::F8E8M0 => "F8_E8M0",
            Dtype::F8E4M3Fnuz => "F8_E4M3FNUZ",
            Dtype::F8E5M2Fnuz => "F8_E5M2FNUZ",
            Dtype::I16 => "I16",
            Dtype::U16 => "U16",
            Dtype::F16 => "F16",
            Dtype::Bf16 => "BF16",
            Dtype::I32 => "I32",
            Dtype::U32 => "U32",
            Dtype::F32 => "F32",
            Dtype::C64 => "C64",
            Dtype::F64 => "F64",
            Dtype::I64 => "I64",
            Dtype::U64 => "U64",
        }
    }

    /// The type of a name, written as safetensors writes it.
    pub fn from_name(name: &str) -> Option<Dtype> {
        Dtype::ALL.into_iter().find(|dtype| dtype.name() == name)
    }

    /// Bits an element takes.
    pub fn bits(self) -> u32 {
        match self {
            Dtype::F4 => 4,
            Dtype::F6E2M3 | Dtype::F6E3M2 => 6,
            Dtype::Bool
            | Dtype::U8
            | Dtype::I8
            | Dtype::F8E5M2
            | Dtype::F8E4M3
            | Dtype::F8E8M0
            | Dtype::F8E4M3Fnuz
            | Dtype::F8E5M2Fnuz => 8,
            Dtype::I16 | Dtype::U16 | Dtype::F16 | Dtype::Bf16 => 16,
            Dtype::I32 | Dtype::U32 | Dtype::F32 => 32,
            Dtype::C64 | Dtype::F64 | Dtype::I64 | Dtype::U64 => 64,
        }
    }

    /// Bytes that a tensor of this type and `shape` takes.
    ///
    /// `None` if the number does not fit `u64`, or is not whole because elements are narrower than a byte.
    pub fn bytes_for(self, shape: &[u64]) -> Option<u64> {
        let bits = shape
            .iter()
            .try_fold(u64::from(self.bits()), |bits, &dim| bits.checked_mul(dim));
        match bits {
            Some(bits) => bits.is_multiple_of(8).then_some(bits / 8),
            // Eight times the bytes may overflow where the bytes do not; elements of whole bytes need no remainder.
            None if self.bits() >= 8 => shape
                .iter()
                .try_fold(u64::from(self.bits() / 8), |bytes, &dim| {
                    bytes.checked_mul(dim)
                })
                // The order of factors decides whether a zero comes in time, so a shape with one is empty at once.
                .or_else(|| shape.contains(&0).then_some(0)),
            None => shape.contains(&0).then_some(0),
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One tensor to be coded; a whole file is one of dtype [`Dtype::U8`] and shape `[n]`.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    /// Its name in the file.
    pub name: &'a str,
    /// Type of its elements.
    pub dtype: Dtype,
    /// Its dimensions, outermost first; empty for a scalar.
    pub shape: &'a [u64],
    /// Its bytes, little-endian, row-major: [`Dtype::bytes_for`] the shape many.
    pub data: &'a [u8],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_lead_back() {
        for dtype in Dtype::ALL {
            assert_eq!(Dtype::from_name(dtype.name()), Some(dtype));
        }
        assert_eq!(Dtype::from_name("bf16"), None);
        assert_eq!(Dtype::from_name(""), None);
    }

    #[test]
    fn bytes_of_shapes() {
        assert_eq!(Dtype::Bf16.bytes_for(&[]), Some(2));
        assert_eq!(Dtype::Bf16.bytes_for(&[3, 5]), Some(30));
        assert_eq!(Dtype::F4.bytes_for(&[3]), None);
        assert_eq!(Dtype::F4.bytes_for(&[4]), Some(2));
        assert_eq!(Dtype::F6E2M3.bytes_for(&[4]), Some(3));
        assert_eq!(Dtype::U8.bytes_for(&[u64::MAX]), Some(u64::MAX));
        assert_eq!(Dtype::U16.bytes_for(&[u64::MAX]), None);
        assert_eq!(Dtype::U16.bytes_for(&[u64::MAX, 7, 0]), Some(0));
        assert_eq!(Dtype::F4.bytes_for(&[u64::MAX, 8, 0]), Some(0));
        assert_eq!(Dtype::F4.bytes_for(&[u64::MAX, 8]), None);
    }
}

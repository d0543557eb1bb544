//! Element types and tensors.

use std::fmt;

/// What the elements of a tensor are.
///
/// The list is closed. It holds what the safetensors format (version 0.8) can name, of which the types of CTranslate2
/// are a part, and after that the types of GGUF whose elements come in blocks, with what they share: scales, minima,
/// the upper bits. Of other types nothing can be said about the size of a tensor.
///
/// # Examples
///
/// ```
/// use llmcl_codecs::Dtype;
///
/// assert_eq!(Dtype::from_name("BF16"), Some(Dtype::Bf16));
/// assert_eq!(Dtype::F8E4M3.name(), "F8_E4M3");
/// assert_eq!(Dtype::Q4K.name(), "Q4_K");
/// assert_eq!(Dtype::Q4K.bytes_for(&[2, 512]), Some(4 * 144));
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
    /// GGUF, blocks of 128: one bit a weight.
    Q1_0,
    /// GGUF, blocks of 64: two bits a weight and a scale.
    Q2_0,
    /// GGUF, blocks of 256: two bits a weight, in sixteen groups with scales and minima of four bits.
    Q2K,
    /// GGUF, blocks of 256: three bits a weight, in sixteen groups with scales of six bits.
    Q3K,
    /// GGUF, blocks of 32: four bits a weight and a scale.
    Q4_0,
    /// GGUF, blocks of 32: four bits a weight, a scale and a minimum.
    Q4_1,
    /// GGUF, blocks of 256: four bits a weight, in eight groups with scales and minima of six bits.
    Q4K,
    /// GGUF, blocks of 32: five bits a weight and a scale.
    Q5_0,
    /// GGUF, blocks of 32: five bits a weight, a scale and a minimum.
    Q5_1,
    /// GGUF, blocks of 256: five bits a weight, in eight groups with scales and minima of six bits.
    Q5K,
    /// GGUF, blocks of 256: six bits a weight, in sixteen groups with scales of eight bits.
    Q6K,
    /// GGUF, blocks of 32: eight bits a weight and a scale.
    Q8_0,
    /// GGUF, blocks of 32: eight bits a weight, a scale and a sum.
    Q8_1,
    /// GGUF, blocks of 256: eight bits a weight, a scale and sums of groups.
    Q8K,
    /// GGUF, blocks of 256: about 1.5 bits a weight, from a codebook.
    Iq1S,
    /// GGUF, blocks of 256: about 1.75 bits a weight, from a codebook.
    Iq1M,
    /// GGUF, blocks of 256: about 2 bits a weight, from a codebook.
    Iq2Xxs,
    /// GGUF, blocks of 256: about 2.3 bits a weight, from a codebook.
    Iq2Xs,
    /// GGUF, blocks of 256: about 2.5 bits a weight, from a codebook.
    Iq2S,
    /// GGUF, blocks of 256: about 3 bits a weight, from a codebook.
    Iq3Xxs,
    /// GGUF, blocks of 256: about 3.4 bits a weight, from a codebook.
    Iq3S,
    /// GGUF, blocks of 32: four bits a weight, unevenly spaced, and a scale.
    Iq4Nl,
    /// GGUF, blocks of 256: four bits a weight, unevenly spaced, in eight groups with scales of six bits.
    Iq4Xs,
    /// GGUF, blocks of 256: ternary weights, five to a byte.
    Tq1_0,
    /// GGUF, blocks of 256: ternary weights, four to a byte.
    Tq2_0,
    /// GGUF, blocks of 32: FP4 (E2M1) with a scale of eight exponent bits.
    Mxfp4,
    /// GGUF, blocks of 64: FP4 (E2M1) in four groups with FP8 scales.
    Nvfp4,
}

/// The fewest elements of a type that are stored in whole bytes by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// How many elements; 1 for most types.
    pub elements: u32,
    /// Bytes that they take together.
    pub bytes: u32,
}

impl Dtype {
    /// Every type, in the order of the enum.
    pub const ALL: [Dtype; 49] = [
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
        Dtype::Q1_0,
        Dtype::Q2_0,
        Dtype::Q2K,
        Dtype::Q3K,
        Dtype::Q4_0,
        Dtype::Q4_1,
        Dtype::Q4K,
        Dtype::Q5_0,
        Dtype::Q5_1,
        Dtype::Q5K,
        Dtype::Q6K,
        Dtype::Q8_0,
        Dtype::Q8_1,
        Dtype::Q8K,
        Dtype::Iq1S,
        Dtype::Iq1M,
        Dtype::Iq2Xxs,
        Dtype::Iq2Xs,
        Dtype::Iq2S,
        Dtype::Iq3Xxs,
        Dtype::Iq3S,
        Dtype::Iq4Nl,
        Dtype::Iq4Xs,
        Dtype::Tq1_0,
        Dtype::Tq2_0,
        Dtype::Mxfp4,
        Dtype::Nvfp4,
    ];

    /// The name, as safetensors writes it, or GGUF.
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
            Dtype::Q1_0 => "Q1_0",
            Dtype::Q2_0 => "Q2_0",
            Dtype::Q2K => "Q2_K",
            Dtype::Q3K => "Q3_K",
            Dtype::Q4_0 => "Q4_0",
            Dtype::Q4_1 => "Q4_1",
            Dtype::Q4K => "Q4_K",
            Dtype::Q5_0 => "Q5_0",
            Dtype::Q5_1 => "Q5_1",
            Dtype::Q5K => "Q5_K",
            Dtype::Q6K => "Q6_K",
            Dtype::Q8_0 => "Q8_0",
            Dtype::Q8_1 => "Q8_1",
            Dtype::Q8K => "Q8_K",
            Dtype::Iq1S => "IQ1_S",
            Dtype::Iq1M => "IQ1_M",
            Dtype::Iq2Xxs => "IQ2_XXS",
            Dtype::Iq2Xs => "IQ2_XS",
            Dtype::Iq2S => "IQ2_S",
            Dtype::Iq3Xxs => "IQ3_XXS",
            Dtype::Iq3S => "IQ3_S",
            Dtype::Iq4Nl => "IQ4_NL",
            Dtype::Iq4Xs => "IQ4_XS",
            Dtype::Tq1_0 => "TQ1_0",
            Dtype::Tq2_0 => "TQ2_0",
            Dtype::Mxfp4 => "MXFP4",
            Dtype::Nvfp4 => "NVFP4",
        }
    }

    /// The type of a name, written as [`name`](Self::name) writes it.
    pub fn from_name(name: &str) -> Option<Dtype> {
        Dtype::ALL.into_iter().find(|dtype| dtype.name() == name)
    }

    /// Whether it is one of GGUF's types of blocks: a row is a whole number of them, and safetensors has none.
    pub fn is_block_quantised(self) -> bool {
        self > Dtype::U64
    }

    /// The fewest elements that take whole bytes, and those bytes.
    pub fn block(self) -> Block {
        let (elements, bytes) = match self {
            Dtype::F4 => (2, 1),
            Dtype::F6E2M3 | Dtype::F6E3M2 => (4, 3),
            Dtype::Bool
            | Dtype::U8
            | Dtype::I8
            | Dtype::F8E5M2
            | Dtype::F8E4M3
            | Dtype::F8E8M0
            | Dtype::F8E4M3Fnuz
            | Dtype::F8E5M2Fnuz => (1, 1),
            Dtype::I16 | Dtype::U16 | Dtype::F16 | Dtype::Bf16 => (1, 2),
            Dtype::I32 | Dtype::U32 | Dtype::F32 => (1, 4),
            Dtype::C64 | Dtype::F64 | Dtype::I64 | Dtype::U64 => (1, 8),
            Dtype::Q1_0 => (128, 18),
            Dtype::Q2_0 => (64, 18),
            Dtype::Q2K => (256, 84),
            Dtype::Q3K => (256, 110),
            Dtype::Q4_0 => (32, 18),
            Dtype::Q4_1 => (32, 20),
            Dtype::Q4K => (256, 144),
            Dtype::Q5_0 => (32, 22),
            Dtype::Q5_1 => (32, 24),
            Dtype::Q5K => (256, 176),
            Dtype::Q6K => (256, 210),
            Dtype::Q8_0 => (32, 34),
            // Scale and sum were F32 once, and are F16 now. No file holds this type: it is of what is computed.
            Dtype::Q8_1 => (32, 36),
            Dtype::Q8K => (256, 292),
            Dtype::Iq1S => (256, 50),
            Dtype::Iq1M => (256, 56),
            Dtype::Iq2Xxs => (256, 66),
            Dtype::Iq2Xs => (256, 74),
            Dtype::Iq2S => (256, 82),
            Dtype::Iq3Xxs => (256, 98),
            Dtype::Iq3S => (256, 110),
            Dtype::Iq4Nl => (32, 18),
            Dtype::Iq4Xs => (256, 136),
            Dtype::Tq1_0 => (256, 54),
            Dtype::Tq2_0 => (256, 66),
            Dtype::Mxfp4 => (32, 17),
            Dtype::Nvfp4 => (64, 36),
        };
        Block { elements, bytes }
    }

    /// Bytes that a tensor of this type and `shape` takes.
    ///
    /// `None` if the number does not fit `u64`, or the elements are no whole number of blocks; for the block types of
    /// GGUF, those of each row.
    pub fn bytes_for(self, shape: &[u64]) -> Option<u64> {
        if shape.contains(&0) {
            return Some(0);
        }
        let block = self.block();
        let per_block = u64::from(block.elements);
        let row = shape.last().copied().unwrap_or(1);
        if self.is_block_quantised() && !row.is_multiple_of(per_block) {
            return None;
        }
        // Elements that overflow this take more than 2^64 bytes, whatever their type.
        let elements = shape
            .iter()
            .try_fold(1u128, |count, &dim| count.checked_mul(dim.into()))?;
        if !elements.is_multiple_of(per_block.into()) {
            return None;
        }
        let blocks = u64::try_from(elements / u128::from(per_block)).ok()?;
        blocks.checked_mul(block.bytes.into())
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
        assert_eq!(Dtype::F4.bytes_for(&[u64::MAX, 2]), Some(u64::MAX));
    }

    #[test]
    fn rows_are_whole_blocks() {
        assert_eq!(Dtype::Q4K.bytes_for(&[3, 512]), Some(3 * 2 * 144));
        assert_eq!(Dtype::Q4K.bytes_for(&[512, 3]), None);
        assert_eq!(Dtype::Q4K.bytes_for(&[2, 128]), None);
        assert_eq!(Dtype::Q5_0.bytes_for(&[]), None);
        assert_eq!(Dtype::Q5_0.bytes_for(&[0, 31]), Some(0));
        assert_eq!(Dtype::Q8_0.bytes_for(&[u64::MAX, 32]), None);
        for dtype in Dtype::ALL {
            let block = dtype.block();
            let row = [u64::from(block.elements)];
            assert_eq!(dtype.bytes_for(&row), Some(u64::from(block.bytes)));
            assert_eq!(dtype.is_block_quantised(), block.elements > 4);
        }
    }
}

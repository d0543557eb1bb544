//! The numbers that GGUF gives to types of tensors.

use crate::tensor::Dtype;

/// Numbers and types, as ggml of 2026 has them.
///
/// Those that are missing in between were given up by ggml: 4 and 5 (Q4_2, Q4_3), 31 to 33 and 36 to 38 (blocks laid
/// out for single processors).
const TYPES: &[(u32, Dtype)] = &[
    (0, Dtype::F32),
    (1, Dtype::F16),
    (2, Dtype::Q4_0),
    (3, Dtype::Q4_1),
    (6, Dtype::Q5_0),
    (7, Dtype::Q5_1),
    (8, Dtype::Q8_0),
    (9, Dtype::Q8_1),
    (10, Dtype::Q2K),
    (11, Dtype::Q3K),
    (12, Dtype::Q4K),
    (13, Dtype::Q5K),
    (14, Dtype::Q6K),
    (15, Dtype::Q8K),
    (16, Dtype::Iq2Xxs),
    (17, Dtype::Iq2Xs),
    (18, Dtype::Iq3Xxs),
    (19, Dtype::Iq1S),
    (20, Dtype::Iq4Nl),
    (21, Dtype::Iq3S),
    (22, Dtype::Iq2S),
    (23, Dtype::Iq4Xs),
    (24, Dtype::I8),
    (25, Dtype::I16),
    (26, Dtype::I32),
    (27, Dtype::I64),
    (28, Dtype::F64),
    (29, Dtype::Iq1M),
    (30, Dtype::Bf16),
    (34, Dtype::Tq1_0),
    (35, Dtype::Tq2_0),
    (39, Dtype::Mxfp4),
    (40, Dtype::Nvfp4),
    (41, Dtype::Q1_0),
    (42, Dtype::Q2_0),
];

/// The type of a number.
pub fn dtype_of(number: u32) -> Option<Dtype> {
    TYPES
        .iter()
        .find(|(known, _)| *known == number)
        .map(|(_, dtype)| *dtype)
}

/// The number of a type, if GGUF has it.
pub fn number_of(dtype: Dtype) -> Option<u32> {
    TYPES
        .iter()
        .find(|(_, known)| *known == dtype)
        .map(|(number, _)| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_types_lead_to_each_other() {
        for (number, dtype) in TYPES {
            assert_eq!(dtype_of(*number), Some(*dtype));
            assert_eq!(number_of(*dtype), Some(*number));
        }
        assert_eq!(dtype_of(4), None);
        assert_eq!(number_of(Dtype::U8), None);
        let blocks = Dtype::ALL.into_iter().filter(|d| d.is_block_quantised());
        assert!(blocks.into_iter().all(|dtype| number_of(dtype).is_some()));
    }
}

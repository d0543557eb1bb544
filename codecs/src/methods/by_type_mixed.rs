//! `by_type_mixed`: blocks of GGUF by context mixing, floats by the contextual method, and whatever else a file has by zstd.
//!
//! # Format
//!
//! Of a tensor, what the method of its type writes. A unit is that of methods that work in chunks, with a file taken
//! apart into its tensors and what is between them.

use crate::by_type::ByType;

pub(super) static FAMILY: ByType = ByType {
    name: "by_type_mixed",
    about: "blocks of GGUF by context mixing, floats by the contextual method, and whatever else a file has by zstd",
    leaf: "codecs/src/methods/by_type_mixed.rs",
    parts: &["exponent_mantissa_scaled", "block_mixed", "zstd_19"],
};

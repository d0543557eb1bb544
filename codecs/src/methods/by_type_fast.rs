//! `by_type_fast`: each tensor by the fast method for its type, and whatever is no tensor of a file by zstd.
//!
//! # Format
//!
//! Of a tensor, what the method of its type writes. A unit is that of methods that work in chunks, with a file taken
//! apart into its tensors and what is between them.

use crate::by_type::ByType;

pub(super) static FAMILY: ByType = ByType {
    name: "by_type_fast",
    about: "each tensor by the fast method for its type, and whatever is no tensor of a file by zstd",
    leaf: "codecs/src/methods/by_type_fast.rs",
    parts: &["exponent_mantissa_static", "block_static", "zstd_9"],
};

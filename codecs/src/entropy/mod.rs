//! How much information is in symbols, in floats of 16 bits and in blocks of quantised weights.
//!
//! * [`counts`]: from counts of symbols to their entropy and to the length of a code that a decoder can follow.
//! * [`float`]: both, for the parts of bf16 and fp16 weights.
//! * [`blocks`]: entropies, for the fields of GGUF's blocks.

pub mod blocks;
pub mod counts;
pub mod float;

pub use blocks::{BlockEntropy, BlockField, BlockHistogram};
pub use counts::{code_length_bits, entropy_bits};
pub use float::{EntropyError, FloatEntropy, WordHistogram};

pub use crate::blocks::BlockLayout;
pub use crate::float::FloatLayout;

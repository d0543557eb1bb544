//! How much information is in symbols, and in floats of 16 bits.
//!
//! * [`counts`]: from counts of symbols to their entropy and to the length of a code that a decoder can follow.
//! * [`float`]: both, for the parts of bf16 and fp16 weights.

pub mod counts;
pub mod float;

pub use counts::{code_length_bits, entropy_bits};
pub use float::{EntropyError, FloatEntropy, WordHistogram};

pub use crate::float::FloatLayout;

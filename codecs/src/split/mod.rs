//! What the published study's methods for bf16 share: the weight in two parts, tables of 512 symbols, the coder of
//! these, and units in chunks.
//!
//! The study is "Practical Limits of Lossless Compression for bf16 Transformer LLM Weights" (Rotem, 2026). It names
//! its symbols SE9 and states what its methods reach; how they are made it does not say. What is here is
//! *reconstructed*: it rests on the figures, above all on the 0.16 bits a weight that the study loses to its tables. A
//! table of twelve bits that gives all 512 symbols a frequency, used or not, loses just that, see
//! [`WideFrequencies`].

mod coder;
mod frequencies;
mod streams;
mod symbols;
mod unit;

pub(crate) use coder::{
    Contexts, DecoderTable, EncoderTable, count_in_contexts, decode_weights, encode,
};
pub(crate) use frequencies::WideFrequencies;
pub(crate) use streams::{CompressedStreams, StreamCompressor};
pub(crate) use symbols::{SYMBOLS, count_symbols, pack_mantissas, split_symbols};
pub(crate) use unit::{CODED, Coded, SplitUnit, wrong_mode};

/// Weights of the chunks of most methods. The study has chunks and does not say how long they are.
pub(crate) const CHUNK_WEIGHTS: usize = 1 << 20;

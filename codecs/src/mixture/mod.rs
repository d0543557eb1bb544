//! The published study's coder for `Q4_K`, which two of its methods share: the nibbles of each super-block by the best
//! of four tables of a trained profile, and its header.
//!
//! The study is "Practical Limits of Lossless Compression for bf16 Transformer LLM Weights" (Rotem, 2026). *Published*
//! are the name of the direction, Q.B, a mixture of four tables, the 277 bytes of the profile, and the ratios: 1.0514
//! is the median of 530 tensors, and one of 98,304 super-blocks comes to 1,096.4 bits each, of 1,152. All else is
//! *reconstructed*:
//!
//! * 277 bytes are four times 17 cumulative frequencies of four bytes, and five of a head.
//! * A super-block chooses, by two bits. On real tensors its 256 nibbles and the choice come to 986 to 988 bits. Longer
//!   stretches that choose win nothing over one table, and groups of 32, each with a choice, win more than the study
//!   has.
//! * Of 1,096.4 bits that leaves some 108 for the 128 of the header. Each of the four bytes of `d` and `dmin` by
//!   frequencies of its own, and the twelve of scales and minima by frequencies together, come to 107 to 109, the
//!   frequencies included. Frequencies for each of the sixteen would come to 105 in tensors that are not small, and
//!   zstd over the headers to 118.
//!
//! With the profile of gemma-3-270m, the twelve tensors of this type in Qwen2.5-Coder-0.5B come to a median of 1.0514;
//! with the profile of that, the 27 of gemma to 1.0509.
//!
//! A `Q4_K` block, as it lies in a file, is a header of 16 bytes and 128 bytes of nibbles; see
//! [`q4_k`](crate::blocks::q4_k).
//!
//! # Runs
//!
//! Super-blocks follow each other in runs of [`RUN`], the last of which is shorter. The headers of a run and its
//! nibbles are coded each on their own, so that they can lie apart.
//!
//! | field of a run of nibbles | bytes |
//! | --- | --- |
//! | mode | 1 |
//! | mode 0: the nibbles as they are | 128 a super-block |
//! | mode 1: the numbers of the tables, from 0 to 3, four to a byte, the first in the lowest bits; filled up with zeros | a quarter of one a super-block |
//! | … nibbles, the lower of each byte first, see [`rans`](crate::rans) | |
//!
//! | field of a run of headers | bytes |
//! | --- | --- |
//! | mode | 1 |
//! | mode 0: the headers as they are | 16 a super-block |
//! | mode 1: frequencies of the first byte, the second, the third, the fourth, and of the other twelve, see [`Frequencies`](crate::rans::Frequencies) | |
//! | … the bytes, header by header | |
//!
//! A run is stored as it is where coding would make it longer.

mod profile;
mod runs;

pub(crate) use profile::{Mixture, train};
pub(crate) use runs::{HeaderEncoder, NibbleDecoder, NibbleEncoder, RUN, decode_headers};

/// Bytes of a super-block's header.
pub(crate) const HEADER_BYTES: usize = 16;
/// Bytes of a super-block's nibbles.
pub(crate) const NIBBLE_BYTES: usize = 128;
/// Bytes of a super-block.
pub(crate) const BLOCK_BYTES: usize = HEADER_BYTES + NIBBLE_BYTES;

/// Upper estimate of the memory that encoding super-blocks of `bytes` bytes takes: blocks, symbols, classes, words and
/// what they become, of a run, and tables.
pub(crate) fn encode_memory(bytes: u64) -> u64 {
    bytes.min((RUN * BLOCK_BYTES) as u64) * 12 + (1 << 20)
}

/// Upper estimate of the memory that decoding super-blocks of `bytes` bytes takes: a run, and tables.
pub(crate) fn decode_memory(bytes: u64) -> u64 {
    bytes.min((RUN * BLOCK_BYTES) as u64) + (1 << 20)
}

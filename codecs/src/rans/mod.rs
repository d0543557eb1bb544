//! Interleaved range asymmetric numeral systems (rANS) over bytes, with static frequencies.
//!
//! The coder is Duda's range variant (*Asymmetric numeral systems: entropy coding combining speed of Huffman coding
//! with compression rate of arithmetic coding*, arXiv:1311.2540), interleaved as by Giesen (*Interleaved entropy
//! coders*, arXiv:1402.3392). Fixed by the format:
//!
//! * frequencies add up to 2^12; where symbols are of several classes, those of each class do;
//! * a state is a `u32` from 2^16 on, and takes or gives 16 bits at a time;
//! * symbol i belongs to lane i mod L, where L is [`WIDE_LANES`], or [`NARROW_LANES`] for short sequences;
//! * the lanes take their words from one stream, in the order of the symbols;
//! * encoding starts every lane at 2^16, so decoding must end there, which shows most damage.
//!
//! A step of a decoder needs no more than one word, and no state depends on its neighbours except through the place
//! in the stream, so sixteen lanes fit one vector of 512 bits. Long sequences are coded by AVX-512 or AVX2 where the
//! processor has them, and by portable loops; the bytes are the same. Where all symbols are of one class, and few, AVX2
//! searches for them among the ends of their ranges, which is faster than to look each up (`cargo bench`).
//!
//! Classes and frequencies are known before the symbols are. Symbols are decoded in blocks, so that what becomes of
//! them is done while they are near.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod decode;
mod encode;
mod frequencies;
mod related;
mod runs;
mod search;

pub use decode::{BLOCK, Consumer, DecoderTable, decode};
pub use encode::{EncoderTable, encode, encode_classed};
pub use frequencies::{Frequencies, SCALE_BITS};
pub(crate) use runs::{RunDecoder, Runs};

/// Lanes of sequences of [`WIDE_FROM`] symbols or more.
pub const WIDE_LANES: usize = 64;

/// Lanes of shorter sequences, for which 64 states would weigh too much.
pub const NARROW_LANES: usize = 4;

/// Symbols from which on a sequence has [`WIDE_LANES`] lanes.
pub const WIDE_FROM: usize = 1 << 14;

/// The smallest state, at which encoding begins and decoding ends.
const LEAST_STATE: u32 = 1 << 16;

/// What frequencies add up to.
const SLOTS: usize = 1 << SCALE_BITS;

#[cfg(test)]
mod tests;

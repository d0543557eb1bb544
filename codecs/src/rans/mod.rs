//! Interleaved range asymmetric numeral systems (rANS) over bytes, with static frequencies.
//!
//! The coder is Duda's range variant (*Asymmetric numeral systems: entropy coding combining speed of Huffman coding
//! with compression rate of arithmetic coding*, arXiv:1311.2540), interleaved as by Giesen (*Interleaved entropy
//! coders*, arXiv:1402.3392). Fixed by the format:
//!
//! * frequencies add up to 2^12;
//! * a state is a `u32` from 2^16 on, and takes or gives 16 bits at a time;
//! * symbol i belongs to lane i mod L, where L is [`WIDE_LANES`], or [`NARROW_LANES`] for short sequences;
//! * the lanes take their words from one stream, in the order of the symbols;
//! * encoding starts every lane at 2^16, so decoding must end there, which shows most damage.
//!
//! A step of a decoder needs no more than one word, and no state depends on its neighbours except through the place
//! in the stream, so sixteen lanes fit one vector of 512 bits.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod classed;
mod frequencies;
mod stream;

pub use classed::{ClassedDecoder, encode_classed};
pub use frequencies::{Frequencies, SCALE_BITS};
pub use stream::{NARROW_LANES, WIDE_FROM, WIDE_LANES, decode, encode};

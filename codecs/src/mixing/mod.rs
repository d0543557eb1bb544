//! Context mixing: each bit of a symbol is predicted by several counters, one for each context that the symbol has, and
//! what they say is mixed by weights that learn which of them to believe.
//!
//! A symbol is coded as the path to it in a binary tree, the highest bit first. Of every bit, each context has a counter:
//! how likely it is to be one, as far as the counter has seen. Their log odds are added up, each by a weight, and make the
//! probability that the bit is coded by ([`bits`]). Then counters and weights learn what the bit was.
//!
//! Encoder and decoder compute the same, so everything here is whole numbers, or additions, multiplications and divisions
//! of f32 and f64, which IEEE 754 rounds in one way only, in an order that the source fixes.

mod bits;
mod logistic;
mod mixer;

pub(crate) use bits::{BitDecoder, BitEncoder, Bits};
pub(crate) use mixer::{Context, Layout, Mixer};

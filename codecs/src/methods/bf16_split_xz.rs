//! `bf16_split_xz_N`: sign and exponent of bf16 weights as one xz stream, mantissas as another. The published study's
//! hybrid, at its preset 9 and at the others.
//!
//! The study hands "the same residual streams" to xz in place of rANS. How the streams are laid out is *reconstructed*:
//! symbols of nine bits as `u16`, little-endian, and mantissas packed, in chunks of 2^20 weights.
//! Of the layouts that were tried it is, with mantissas as bytes, which xz makes 0.9 % longer, the nearest to the study's
//! 1.4437, which is 97.0 % of its rANS form: with preset 9, the median tensor of MiniLM-L6 comes to 1.4443 against
//! 1.4828, 97.4 %. The bytes of the symbols apart from each other come to 1.456.
//!
//! # Format
//!
//! A [`SplitUnit`] of chunks of 2^20 weights. A coded chunk, mode 1, is the length of an xz stream as a variable-length
//! integer, the stream of the symbols, and the same of the mantissas; see [`xz_stream`](crate::xz_stream).

use crate::bytes::CountingWriter;
use crate::error::{DecodeError, EncodeError};
use crate::numbered::NumberedFamily;
use crate::split::{CompressedStreams, StreamCompressor};
use crate::xz_stream::{self, DECODE_MEMORY_LIMIT, MOST_PRESET, StreamWriter, fill_from_stream};

const PREFIX: &str = "bf16_split_xz_";

pub(super) static FAMILY: NumberedFamily = NumberedFamily {
    prefix: PREFIX,
    pattern: "bf16_split_xz_N",
    about: "the study's: xz at preset N, 0 to 9, over sign and exponent of bf16, and over its mantissas",
    leaf: "codecs/src/methods/bf16_split_xz.rs",
    numbers: 0..=MOST_PRESET,
    method: |preset| Box::new(CompressedStreams(Xz { preset })),
    chunked: None,
};

struct Xz {
    preset: u32,
}

impl StreamCompressor for Xz {
    fn method(&self) -> String {
        format!("{PREFIX}{}", self.preset)
    }

    fn compress(&self, stream: &[u8], out: &mut CountingWriter<'_>) -> Result<(), EncodeError> {
        let mut writer = StreamWriter::new(self.preset)?;
        writer.put(stream, out)?;
        writer.finish(out)
    }

    fn fill(&self, compressed: &[u8], at: u64, stream: &mut [u8]) -> Result<(), DecodeError> {
        fill_from_stream(compressed, at, stream)
    }

    fn encode_memory(&self, _bytes: u64) -> u64 {
        xz_stream::encode_memory(self.preset)
    }

    fn decode_memory(&self, _bytes: u64) -> u64 {
        DECODE_MEMORY_LIMIT
    }
}

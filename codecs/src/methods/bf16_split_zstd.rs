//! `bf16_split_zstd_N`: sign and exponent of bf16 weights as one zstd frame, mantissas as another. The published study's
//! hybrid, at its level 19 and at the others.
//!
//! The study hands "the same residual streams" to zstd in place of rANS. How the streams are laid out is
//! *reconstructed*: symbols of nine bits as `u16`, little-endian, and mantissas packed, in chunks of 2^20 weights.
//! Of the layouts that were tried it comes nearest to the study's 1.4256, which is 95.8 % of its rANS form: with level
//! 19, MiniLM-L6 comes to 1.4175 against 1.4822 by bytes, 95.6 %. Mantissas as bytes make it 0.1 % worse; exponents
//! apart from signs, or symbols as bytes, come to 1.50, so that the study cannot have done that.
//!
//! # Format
//!
//! A [`SplitUnit`] of chunks of 2^20 weights. A coded chunk, mode 1, is the length of a zstd frame as a variable-length
//! integer, the frame of the symbols, and the same of the mantissas.

use crate::bytes::CountingWriter;
use crate::error::{DecodeError, EncodeError};
use crate::numbered::NumberedFamily;
use crate::split::{CompressedStreams, StreamCompressor};
use crate::zstd_frame::{self, FrameWriter, LEAST_LEVEL, MOST_LEVEL, fill_from_frame};

const PREFIX: &str = "bf16_split_zstd_";

pub(super) static FAMILY: NumberedFamily = NumberedFamily {
    prefix: PREFIX,
    pattern: "bf16_split_zstd_N",
    about: "the study's: zstd at level N, 1 to 22, over sign and exponent of bf16, and over its mantissas",
    leaf: "codecs/src/methods/bf16_split_zstd.rs",
    numbers: LEAST_LEVEL..=MOST_LEVEL,
    method: |level| Box::new(CompressedStreams(Zstd { level })),
    chunked: None,
};

struct Zstd {
    level: u32,
}

impl StreamCompressor for Zstd {
    fn method(&self) -> String {
        format!("{PREFIX}{}", self.level)
    }

    fn compress(&self, stream: &[u8], out: &mut CountingWriter<'_>) -> Result<(), EncodeError> {
        let mut frame = FrameWriter::new(self.level, stream.len() as u64)?;
        frame.put(stream, out)?;
        frame.finish(out)
    }

    fn fill(&self, compressed: &[u8], at: u64, stream: &mut [u8]) -> Result<(), DecodeError> {
        fill_from_frame(compressed, at, self.level, stream)
    }

    fn encode_memory(&self, bytes: u64) -> u64 {
        zstd_frame::encode_memory(self.level, bytes)
    }

    fn decode_memory(&self, bytes: u64) -> u64 {
        zstd_frame::decode_memory(self.level, bytes)
    }
}

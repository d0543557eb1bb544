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

use std::collections::BTreeMap;
use std::io::Write;

use crate::accounting::Accounting;
use crate::error::{DecodeError, EncodeError, MethodError};
use crate::method::{Method, MethodFamily, ParameterValue, numbered_name};
use crate::split::{
    CHUNK_WEIGHTS, CODED, SplitUnit, decode_streams, encode_streams, streams_memory, wrong_mode,
};
use crate::tensor::{Dtype, TensorView};
use crate::unit::{check_tensors, refuse_profile, refuse_profile_to_decode};
use crate::zstd_frame::{self, FrameWriter, LEAST_LEVEL, MOST_LEVEL, fill_from_frame};

const PREFIX: &str = "bf16_split_zstd_";
const PATTERN: &str = "bf16_split_zstd_N";
const UNIT: SplitUnit = SplitUnit {
    version: 1,
    chunk_weights: CHUNK_WEIGHTS,
};

pub(super) struct Family;

impl MethodFamily for Family {
    fn pattern(&self) -> &'static str {
        PATTERN
    }

    fn about(&self) -> &'static str {
        "the study's: zstd at level N, 1 to 22, over sign and exponent of bf16, and over its mantissas"
    }

    fn leaf(&self) -> &'static str {
        "codecs/src/methods/bf16_split_zstd.rs"
    }

    fn resolve(
        &self,
        name: &str,
        _parameters: &BTreeMap<String, ParameterValue>,
    ) -> Option<Result<Box<dyn Method>, MethodError>> {
        let level = numbered_name(name, PREFIX, PATTERN, LEAST_LEVEL, MOST_LEVEL)?;
        Some(level.map(|level| Box::new(Bf16SplitZstd { level }) as Box<dyn Method>))
    }

    fn examples(&self) -> Vec<String> {
        (LEAST_LEVEL..=MOST_LEVEL)
            .map(|level| format!("{PREFIX}{level}"))
            .collect()
    }
}

struct Bf16SplitZstd {
    level: u32,
}

impl Method for Bf16SplitZstd {
    fn name(&self) -> String {
        format!("{PREFIX}{}", self.level)
    }

    fn encode(
        &self,
        tensors: &[TensorView<'_>],
        profile: Option<&[u8]>,
        out: &mut dyn Write,
    ) -> Result<Accounting, EncodeError> {
        refuse_profile(self, profile)?;
        let bytes = check_tensors(self, tensors)?;
        UNIT.encode(tensors, bytes, &[], out, |words, out| {
            encode_streams(words, out, |stream, out| {
                let mut frame = FrameWriter::new(self.level, stream.len() as u64)?;
                frame.put(stream, out)?;
                frame.finish(out)
            })
        })
    }

    fn decode(
        &self,
        encoded: &[u8],
        profile: Option<&[u8]>,
        out: &mut dyn Write,
    ) -> Result<(), DecodeError> {
        refuse_profile_to_decode(self, profile)?;
        UNIT.decode(
            encoded,
            out,
            |_| Ok(()),
            |(), mode, reader, words| {
                if mode != CODED {
                    return Err(wrong_mode(mode, "0 or 1", reader));
                }
                decode_streams(reader, words, |frame, at, stream| {
                    fill_from_frame(frame, at, self.level, stream)
                })
            },
        )
    }

    fn takes(&self, dtype: Dtype) -> bool {
        dtype == Dtype::Bf16
    }

    fn encode_memory(&self, bytes: u64) -> u64 {
        zstd_frame::encode_memory(self.level, bytes.min(2 * CHUNK_WEIGHTS as u64))
            + streams_memory()
    }

    fn decode_memory(&self, bytes: u64) -> u64 {
        zstd_frame::decode_memory(self.level, bytes.min(2 * CHUNK_WEIGHTS as u64))
            + streams_memory()
    }
}

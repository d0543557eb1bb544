//! `zstd_N`: one zstd frame over all bytes, in order. The general-purpose baseline.

use std::collections::BTreeMap;
use std::io::Write;

use crate::accounting::Accounting;
use crate::bytes::{CHUNK_BYTES, CountingWriter, put_decoded};
use crate::error::{DecodeError, EncodeError, MethodError};
use crate::method::{Method, MethodFamily, ParameterValue, numbered_name};
use crate::tensor::{Dtype, TensorView};
use crate::unit::{check_tensors, refuse_profile, refuse_profile_to_decode};
use crate::zstd_frame::{self, FrameReader, FrameWriter, LEAST_LEVEL, MOST_LEVEL};

const PREFIX: &str = "zstd_";
const PATTERN: &str = "zstd_N";

pub(super) struct Family;

impl MethodFamily for Family {
    fn pattern(&self) -> &'static str {
        PATTERN
    }

    fn about(&self) -> &'static str {
        "zstd at level N, 1 to 22, over all bytes as one frame"
    }

    fn leaf(&self) -> &'static str {
        "codecs/src/methods/zstd.rs"
    }

    fn resolve(
        &self,
        name: &str,
        _parameters: &BTreeMap<String, ParameterValue>,
    ) -> Option<Result<Box<dyn Method>, MethodError>> {
        let level = numbered_name(name, PREFIX, PATTERN, LEAST_LEVEL, MOST_LEVEL)?;
        Some(level.map(|level| Box::new(Zstd { level }) as Box<dyn Method>))
    }

    fn examples(&self) -> Vec<String> {
        (LEAST_LEVEL..=MOST_LEVEL)
            .map(|level| format!("{PREFIX}{level}"))
            .collect()
    }
}

struct Zstd {
    level: u32,
}

impl Method for Zstd {
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
        let total = check_tensors(self, tensors)?;
        let mut out = CountingWriter::new(out);
        let mut frame = FrameWriter::new(self.level, total)?;
        for tensor in tensors {
            frame.put(tensor.data, &mut out)?;
        }
        frame.finish(&mut out)?;
        Ok(Accounting {
            payload: out.written(),
            ..Accounting::default()
        })
    }

    fn decode(
        &self,
        encoded: &[u8],
        profile: Option<&[u8]>,
        out: &mut dyn Write,
    ) -> Result<(), DecodeError> {
        refuse_profile_to_decode(self, profile)?;
        let mut frame = FrameReader::new(encoded, 0, self.level)?;
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let count = frame.read(&mut buffer)?;
            put_decoded(out, buffer.get(..count).unwrap_or(&[]))?;
            if count < buffer.len() {
                return frame.finish();
            }
        }
    }

    fn takes(&self, _dtype: Dtype) -> bool {
        true
    }

    fn encode_memory(&self, bytes: u64) -> u64 {
        zstd_frame::encode_memory(self.level, bytes)
    }

    fn decode_memory(&self, bytes: u64) -> u64 {
        zstd_frame::decode_memory(self.level, bytes)
    }
}

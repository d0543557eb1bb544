//! `xz_N`: one xz stream over all bytes, in order, at preset N and in one thread; see [`xz_stream`](crate::xz_stream).

use std::collections::BTreeMap;
use std::io::Write;

use crate::accounting::Accounting;
use crate::bytes::{CHUNK_BYTES, CountingWriter, put_decoded};
use crate::error::{DecodeError, EncodeError, MethodError};
use crate::method::{Method, MethodFamily, ParameterValue, numbered_name};
use crate::tensor::{Dtype, TensorView};
use crate::unit::{check_tensors, refuse_profile, refuse_profile_to_decode};
use crate::xz_stream::{self, DECODE_MEMORY_LIMIT, MOST_PRESET, StreamReader, StreamWriter};

const PREFIX: &str = "xz_";
const PATTERN: &str = "xz_N";

pub(super) struct Family;

impl MethodFamily for Family {
    fn pattern(&self) -> &'static str {
        PATTERN
    }

    fn about(&self) -> &'static str {
        "xz at preset N, 0 to 9, over all bytes as one stream"
    }

    fn leaf(&self) -> &'static str {
        "codecs/src/methods/xz.rs"
    }

    fn resolve(
        &self,
        name: &str,
        _parameters: &BTreeMap<String, ParameterValue>,
    ) -> Option<Result<Box<dyn Method>, MethodError>> {
        let preset = numbered_name(name, PREFIX, PATTERN, 0, MOST_PRESET)?;
        Some(preset.map(|preset| Box::new(Xz { preset }) as Box<dyn Method>))
    }

    fn examples(&self) -> Vec<String> {
        (0..=MOST_PRESET)
            .map(|preset| format!("{PREFIX}{preset}"))
            .collect()
    }
}

struct Xz {
    preset: u32,
}

impl Method for Xz {
    fn name(&self) -> String {
        format!("{PREFIX}{}", self.preset)
    }

    fn encode(
        &self,
        tensors: &[TensorView<'_>],
        profile: Option<&[u8]>,
        out: &mut dyn Write,
    ) -> Result<Accounting, EncodeError> {
        refuse_profile(self, profile)?;
        check_tensors(self, tensors)?;
        let mut out = CountingWriter::new(out);
        let mut stream = StreamWriter::new(self.preset)?;
        for tensor in tensors {
            stream.put(tensor.data, &mut out)?;
        }
        stream.finish(&mut out)?;
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
        let mut stream = StreamReader::new(encoded, 0)?;
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let count = stream.read(&mut buffer)?;
            put_decoded(out, buffer.get(..count).unwrap_or(&[]))?;
            if count < buffer.len() {
                return stream.finish();
            }
        }
    }

    fn takes(&self, _dtype: Dtype) -> bool {
        true
    }

    fn encode_memory(&self, _bytes: u64) -> u64 {
        xz_stream::encode_memory(self.preset)
    }

    fn decode_memory(&self, _bytes: u64) -> u64 {
        DECODE_MEMORY_LIMIT
    }
}

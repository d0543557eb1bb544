//! `xz_N`: one xz stream over all bytes, in order, at preset N and in one thread; see [`xz_stream`](crate::xz_stream).

use std::io::Write;

use crate::accounting::Accounting;
use crate::bytes::{CHUNK_BYTES, CountingWriter, put_decoded};
use crate::error::{DecodeError, EncodeError};
use crate::method::Method;
use crate::numbered::NumberedFamily;
use crate::tensor::{Dtype, TensorView};
use crate::unit::{check_tensors, refuse_profile, refuse_profile_to_decode};
use crate::xz_stream::{self, DECODE_MEMORY_LIMIT, MOST_PRESET, StreamReader, StreamWriter};

const PREFIX: &str = "xz_";

pub(super) static FAMILY: NumberedFamily = NumberedFamily {
    prefix: PREFIX,
    pattern: "xz_N",
    about: "xz at preset N, 0 to 9, over all bytes as one stream",
    leaf: "codecs/src/methods/xz.rs",
    numbers: 0..=MOST_PRESET,
    method: |preset| Box::new(Xz { preset }),
    chunked: None,
};

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

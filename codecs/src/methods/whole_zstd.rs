//! `whole_zstdN`: a file as one zstd frame at level N. The published study's baseline for GGUF files, which has it at
//! levels 3 and 19.
//!
//! It does what `zstd_N` does, and takes plain bytes only. With what settings the study calls zstd is not known; here
//! there are none beside the level.

use std::io::Write;

use crate::accounting::Accounting;
use crate::bytes::{CHUNK_BYTES, CountingWriter, put_decoded};
use crate::error::{DecodeError, EncodeError};
use crate::method::Method;
use crate::numbered::NumberedFamily;
use crate::tensor::{Dtype, TensorView};
use crate::unit::{check_tensors, refuse_profile, refuse_profile_to_decode};
use crate::zstd_frame::{self, FrameReader, FrameWriter, LEAST_LEVEL, MOST_LEVEL};

const PREFIX: &str = "whole_zstd";

pub(super) static FAMILY: NumberedFamily = NumberedFamily {
    prefix: PREFIX,
    pattern: "whole_zstdN",
    about: "the study's: zstd at level N, 1 to 22, over a file as bytes",
    leaf: "codecs/src/methods/whole_zstd.rs",
    numbers: LEAST_LEVEL..=MOST_LEVEL,
    method: |level| Box::new(WholeZstd { level }),
    chunked: None,
};

struct WholeZstd {
    level: u32,
}

impl Method for WholeZstd {
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

    fn takes(&self, dtype: Dtype) -> bool {
        dtype == Dtype::U8
    }

    fn encode_memory(&self, bytes: u64) -> u64 {
        zstd_frame::encode_memory(self.level, bytes)
    }

    fn decode_memory(&self, bytes: u64) -> u64 {
        zstd_frame::decode_memory(self.level, bytes)
    }
}

//! Units that are one zstd frame over all bytes, in order.

use std::io::Write;

use crate::accounting::Accounting;
use crate::bytes::{CHUNK_BYTES, CountingWriter, put_decoded};
use crate::error::{DecodeError, EncodeError};
use crate::method::Method;
use crate::tensor::{Dtype, TensorView};
use crate::unit::{check_tensors, refuse_profile, refuse_profile_to_decode};
use crate::zstd_frame::{self, FrameReader, FrameWriter};

/// A method that is zstd at a level.
pub(crate) struct ZstdUnit {
    /// What stands before the level in its name.
    pub(crate) prefix: &'static str,
    pub(crate) level: u32,
    /// Which types it takes.
    pub(crate) takes: fn(Dtype) -> bool,
}

impl Method for ZstdUnit {
    fn name(&self) -> String {
        format!("{}{}", self.prefix, self.level)
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
        (self.takes)(dtype)
    }

    fn encode_memory(&self, bytes: u64) -> u64 {
        zstd_frame::encode_memory(self.level, bytes)
    }

    fn decode_memory(&self, bytes: u64) -> u64 {
        zstd_frame::decode_memory(self.level, bytes)
    }
}

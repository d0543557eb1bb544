//! `zstd_N`: one zstd frame over all bytes, in order. The general-purpose baseline.

use crate::bytes::{ByteReader, CountingWriter};
use crate::chunked::{ChunkedMethod, Chunks};
use crate::error::{DecodeError, EncodeError};
use crate::numbered::NumberedFamily;
use crate::tensor::{Dtype, TensorView};
use crate::unit::check_tensor;
use crate::zstd_frame::{FrameWriter, LEAST_LEVEL, MOST_LEVEL, fill_from_frame};
use crate::zstd_unit::ZstdUnit;

const PREFIX: &str = "zstd_";

pub(super) static FAMILY: NumberedFamily = NumberedFamily {
    prefix: PREFIX,
    pattern: "zstd_N",
    about: "zstd at level N, 1 to 22, over all bytes as one frame",
    leaf: "codecs/src/methods/zstd.rs",
    numbers: LEAST_LEVEL..=MOST_LEVEL,
    method: |level| {
        Box::new(ZstdUnit {
            prefix: PREFIX,
            level,
            takes: |_| true,
        })
    },
    chunked: Some(|level| Box::new(Zstd { level })),
};

struct Zstd {
    level: u32,
}

/// Bytes of a chunk. Longer ones hold more repetitions and leave less to do in parallel.
const CHUNKED_BYTES: u64 = 1 << 22;

impl ChunkedMethod for Zstd {
    fn name(&self) -> String {
        format!("{PREFIX}{}", self.level)
    }

    fn version(&self) -> u8 {
        1
    }

    fn takes(&self, _dtype: Dtype) -> bool {
        true
    }

    fn fit(
        &self,
        tensor: &TensorView<'_>,
        _given: Option<&TensorView<'_>>,
    ) -> Result<Box<dyn Chunks>, EncodeError> {
        check_tensor(tensor)?;
        Ok(Box::new(ZstdChunks { level: self.level }))
    }

    fn open(
        &self,
        _dtype: Dtype,
        _shape: &[u64],
        _given: Option<Dtype>,
        tables: &[u8],
    ) -> Result<Box<dyn Chunks>, DecodeError> {
        ByteReader::new(tables).finish()?;
        Ok(Box::new(ZstdChunks { level: self.level }))
    }
}

/// Chunks: 0 and the data as it is, or 1 and a frame if that is shorter.
struct ZstdChunks {
    level: u32,
}

const STORED: u8 = 0;
const FRAME: u8 = 1;

impl Chunks for ZstdChunks {
    fn tables(&self) -> &[u8] {
        &[]
    }

    fn chunk_bytes(&self) -> u64 {
        CHUNKED_BYTES
    }

    fn encode(
        &self,
        _first: u64,
        data: &[u8],
        _given: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let start = out.len();
        out.push(FRAME);
        let mut writer = CountingWriter::new(out);
        let mut frame = FrameWriter::new(self.level, data.len() as u64)?;
        frame.put(data, &mut writer)?;
        frame.finish(&mut writer)?;
        if out.len() - start > data.len() {
            out.truncate(start);
            out.push(STORED);
            out.extend_from_slice(data);
        }
        Ok(())
    }

    fn decode(
        &self,
        _first: u64,
        encoded: &[u8],
        _given: &[u8],
        data: &mut [u8],
    ) -> Result<(), DecodeError> {
        let mut reader = ByteReader::new(encoded);
        match reader.byte("mode of a chunk")? {
            STORED => {
                data.copy_from_slice(reader.take(data.len() as u64, "stored chunk")?);
                reader.finish()
            }
            FRAME => fill_from_frame(reader.rest(), 1, self.level, data),
            found => Err(DecodeError::Field {
                what: "mode of a chunk",
                at: 0,
                expected: "0 or 1",
                found: found.into(),
            }),
        }
    }
}

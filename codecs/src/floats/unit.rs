//! Units: tensors that are encoded together, as [`Method`] has them.
//!
//! | field | bytes |
//! | --- | --- |
//! | version | 1 |
//! | number of tensors | variable-length integer |
//! | bytes of all tensors | variable-length integer |
//! | per tensor: type, 0 bf16, 1 fp16, 2 fp32 | 1 |
//! | … number of rows, and of weights of a row | two variable-length integers |
//! | … its chunks, see [`chunk`](super::chunk) | |
//!
//! The number of all bytes guards those of the tensors, on which nothing else depends where chunks are constant.

use std::io::Write;
use std::marker::PhantomData;

use super::FloatCoder;
use super::chunk::{ChunkScratch, decode_chunk, encode_chunk};
use super::tensor::{FloatTensor, FloatType, Matrix};
use crate::accounting::Accounting;
use crate::bytes::{ByteReader, CountingWriter, put_decoded, write_varint};
use crate::error::{DecodeError, EncodeError};
use crate::method::Method;
use crate::tensor::{Dtype, TensorView};
use crate::unit::check_tensors;

/// The method of a coder.
pub(crate) struct FloatMethod<C>(PhantomData<C>);

impl<C> FloatMethod<C> {
    pub(crate) fn new() -> Self {
        FloatMethod(PhantomData)
    }
}

impl<C: FloatCoder> Method for FloatMethod<C> {
    fn name(&self) -> String {
        C::NAME.to_owned()
    }

    fn encode(
        &self,
        tensors: &[TensorView<'_>],
        profile: Option<&[u8]>,
        out: &mut dyn Write,
    ) -> Result<Accounting, EncodeError> {
        let coder = C::with_profile(profile).map_err(|problem| EncodeError::Profile {
            method: self.name(),
            problem,
        })?;
        let total = check_tensors(self, tensors)?;
        let mut out = CountingWriter::new(out);
        let mut accounting = Accounting::default();
        let mut scratch = ChunkScratch::default();
        let mut bytes = vec![C::VERSION];
        write_varint(&mut bytes, tensors.len() as u64);
        write_varint(&mut bytes, total);
        accounting.container += bytes.len() as u64;
        for view in tensors {
            let Some(tensor) = FloatTensor::of(view) else {
                return Err(EncodeError::Dtype {
                    method: self.name(),
                    tensor: view.name.to_owned(),
                    dtype: view.dtype,
                });
            };
            let FloatTensor { kind, matrix, data } = tensor;
            let start = bytes.len();
            bytes.push(kind.code());
            write_varint(&mut bytes, matrix.rows);
            write_varint(&mut bytes, matrix.columns);
            accounting.container += (bytes.len() - start) as u64;
            let chunk = C::chunk_weights(matrix);
            for data in data.chunks(chunk as usize * kind.bytes()) {
                accounting += encode_chunk(&coder, kind, matrix, data, &mut scratch, &mut bytes)?;
                out.put(&bytes)?;
                bytes.clear();
            }
        }
        // Of a unit without tensors, or whose last one is empty.
        out.put(&bytes)?;
        Ok(accounting)
    }

    fn decode(
        &self,
        encoded: &[u8],
        profile: Option<&[u8]>,
        out: &mut dyn Write,
    ) -> Result<(), DecodeError> {
        let coder = C::with_profile(profile).map_err(|problem| DecodeError::Profile {
            method: self.name(),
            problem,
        })?;
        let mut reader = ByteReader::new(encoded);
        let version = reader.byte("version")?;
        if version != C::VERSION {
            return Err(DecodeError::Field {
                what: "version",
                at: 0,
                expected: "the one that this method writes",
                found: version.into(),
            });
        }
        let tensors = reader.varint("number of tensors")?;
        let at = reader.at();
        let total = reader.varint("bytes of all tensors")?;
        let refuse = DecodeError::Field {
            what: "bytes of all tensors",
            at,
            expected: "the sum of the tensors'",
            found: total,
        };
        let mut left = total;
        let mut scratch = ChunkScratch::default();
        let mut data = Vec::new();
        for _ in 0..tensors {
            let kind = FloatType::read(&mut reader)?;
            let matrix = Matrix {
                rows: reader.varint("number of rows")?,
                columns: reader.varint("number of weights of a row")?,
            };
            let weights = matrix.weights();
            let bytes = weights.and_then(|weights| weights.checked_mul(kind.bytes() as u64));
            let Some((weights, after)) =
                weights.zip(bytes.and_then(|bytes| left.checked_sub(bytes)))
            else {
                return Err(refuse);
            };
            left = after;
            let chunk = C::chunk_weights(matrix);
            let mut first = 0;
            while first < weights {
                let length = chunk.min(weights - first) as usize * kind.bytes();
                data.resize(length, 0);
                decode_chunk(&coder, kind, matrix, &mut reader, &mut scratch, &mut data)?;
                put_decoded(out, &data)?;
                first += chunk;
            }
        }
        if left > 0 {
            return Err(refuse);
        }
        reader.finish()
    }

    fn takes(&self, dtype: Dtype) -> bool {
        FloatType::of(dtype).is_some()
    }

    fn encode_memory(&self, _bytes: u64) -> u64 {
        C::MEMORY
    }

    fn decode_memory(&self, _bytes: u64) -> u64 {
        C::MEMORY
    }
}

//! Float methods as containers use them.

use std::sync::Arc;

use super::FloatCoder;
use super::chunk::{ChunkScratch, decode_chunk, encode_chunk};
use super::tensor::{FloatTensor, FloatType, Matrix};
use super::unit::FloatMethod;
use crate::bytes::ByteReader;
use crate::chunked::{ChunkedMethod, Chunks};
use crate::error::{DecodeError, EncodeError, ProfileProblem};
use crate::method::Method;
use crate::pool::Pool;
use crate::tensor::{Dtype, TensorView};
use crate::unit::check_tensors;

type Space<C> = ChunkScratch<<C as FloatCoder>::Scratch>;

/// The chunked method of a coder.
pub(crate) struct FloatChunked<C: FloatCoder> {
    coder: Arc<C>,
    profile: Option<Vec<u8>>,
    pool: Pool<Space<C>>,
}

impl<C: FloatCoder> FloatChunked<C> {
    /// The method with its profile.
    pub(crate) fn with_profile(
        profile: Option<&[u8]>,
    ) -> Result<Box<dyn ChunkedMethod>, ProfileProblem> {
        Ok(Box::new(FloatChunked {
            coder: Arc::new(C::with_profile(profile)?),
            profile: profile.map(<[u8]>::to_vec),
            pool: Pool::default(),
        }))
    }

    fn chunks(&self, kind: FloatType, matrix: Matrix) -> Box<dyn Chunks> {
        Box::new(FloatChunks::<C> {
            coder: Arc::clone(&self.coder),
            kind,
            matrix,
            pool: self.pool.clone(),
        })
    }
}

impl<C: FloatCoder> ChunkedMethod for FloatChunked<C> {
    fn name(&self) -> String {
        C::NAME.to_owned()
    }

    fn version(&self) -> u8 {
        C::VERSION
    }

    fn profile(&self) -> Option<&[u8]> {
        self.profile.as_deref()
    }

    fn takes(&self, dtype: Dtype) -> bool {
        FloatType::of(dtype).is_some()
    }

    fn fit(
        &self,
        view: &TensorView<'_>,
        _given: Option<&TensorView<'_>>,
    ) -> Result<Box<dyn Chunks>, EncodeError> {
        let method = FloatMethod::<C>::new();
        check_tensors(&method, std::slice::from_ref(view))?;
        let Some(tensor) = FloatTensor::of(view) else {
            return Err(EncodeError::Dtype {
                method: method.name(),
                tensor: view.name.to_owned(),
                dtype: view.dtype,
            });
        };
        Ok(self.chunks(tensor.kind, tensor.matrix))
    }

    fn open(
        &self,
        dtype: Dtype,
        shape: &[u64],
        _given: Option<Dtype>,
        tables: &[u8],
    ) -> Result<Box<dyn Chunks>, DecodeError> {
        let refuse = |expected| DecodeError::Field {
            what: "tensor",
            at: 0,
            expected,
            found: dtype.block().bytes.into(),
        };
        let kind = FloatType::of(dtype).ok_or_else(|| refuse("of BF16, F16 or F32"))?;
        let bytes = dtype.bytes_for(shape);
        let bytes = bytes.ok_or_else(|| refuse("of a size that fits 64 bits"))?;
        let matrix = Matrix::of(shape, bytes / kind.bytes() as u64);
        ByteReader::new(tables).finish()?;
        Ok(self.chunks(kind, matrix))
    }
}

struct FloatChunks<C: FloatCoder> {
    coder: Arc<C>,
    kind: FloatType,
    matrix: Matrix,
    pool: Pool<Space<C>>,
}

impl<C: FloatCoder> Chunks for FloatChunks<C> {
    fn tables(&self) -> &[u8] {
        &[]
    }

    fn chunk_bytes(&self) -> u64 {
        C::chunk_weights(self.matrix) * self.kind.bytes() as u64
    }

    fn encode(
        &self,
        _first: u64,
        data: &[u8],
        _given: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        self.pool.with(|scratch| {
            encode_chunk(&*self.coder, self.kind, self.matrix, data, scratch, out)
        })?;
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
        self.pool.with(|scratch| {
            decode_chunk(
                &*self.coder,
                self.kind,
                self.matrix,
                &mut reader,
                scratch,
                data,
            )
        })?;
        reader.finish()
    }
}

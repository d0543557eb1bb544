//! Methods for blocks as containers use them.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::chunk::{self, Decoder, Encoder, Scratch};
use super::tables::Tables;
use super::{BlockCoder, Shape, all_classes};
use crate::blocks::BlockLayout;
use crate::bytes::ByteReader;
use crate::chunked::{ChunkedMethod, Chunks};
use crate::error::{DecodeError, EncodeError};
use crate::tensor::{Dtype, TensorView};
use crate::unit::check_tensor;

/// Space that is used again, by as many threads as there are.
type Pool<C> = Arc<Mutex<Vec<Scratch<<C as BlockCoder>::Scratch>>>>;

/// The chunked method of a coder.
pub(crate) struct BlockMethod<C: BlockCoder> {
    pool: Pool<C>,
}

impl<C: BlockCoder> BlockMethod<C> {
    pub(crate) fn new() -> Self {
        BlockMethod {
            pool: Pool::<C>::default(),
        }
    }
}

impl<C: BlockCoder> ChunkedMethod for BlockMethod<C> {
    fn name(&self) -> String {
        C::NAME.to_owned()
    }

    fn version(&self) -> u8 {
        C::VERSION
    }

    fn takes(&self, dtype: Dtype) -> bool {
        BlockLayout::of(dtype).is_some()
    }

    fn fit(&self, view: &TensorView<'_>) -> Result<Box<dyn Chunks>, EncodeError> {
        check_tensor(view)?;
        let Some(layout) = BlockLayout::of(view.dtype) else {
            return Err(EncodeError::Dtype {
                method: self.name(),
                tensor: view.name.to_owned(),
                dtype: view.dtype,
            });
        };
        let shape = Shape::of(layout, view.shape);
        let axes = C::axes(layout);
        let mut counts = vec![[0; 256]; all_classes(&axes)];
        with_scratch::<C, _>(&self.pool, |scratch| {
            chunk::count::<C>(shape, view.data, scratch, &mut counts);
        });
        let (tables, bits) = Tables::fit(&axes, &counts);
        let pays = bits < 8.0 * view.data.len() as f64;
        let mut written = Vec::new();
        if pays {
            tables.write(&axes, &mut written);
        }
        Ok(Box::new(BlockChunks::<C> {
            shape,
            written,
            tables: pays.then_some(tables),
            encoder: OnceLock::new(),
            decoder: OnceLock::new(),
            pool: Arc::clone(&self.pool),
        }))
    }

    fn open(
        &self,
        dtype: Dtype,
        shape: &[u64],
        written: &[u8],
    ) -> Result<Box<dyn Chunks>, DecodeError> {
        let Some(layout) = BlockLayout::of(dtype) else {
            return Err(DecodeError::Field {
                what: "tensor",
                at: 0,
                expected: "of Q4_K, Q6_K, Q5_0, Q8_0 or Q4_1",
                found: dtype.block().bytes.into(),
            });
        };
        let tables = match written {
            [] => None,
            _ => {
                let mut reader = ByteReader::new(written);
                let tables = Tables::read(&C::axes(layout), &mut reader)?;
                reader.finish()?;
                Some(tables)
            }
        };
        Ok(Box::new(BlockChunks::<C> {
            shape: Shape::of(layout, shape),
            written: written.to_vec(),
            tables,
            encoder: OnceLock::new(),
            decoder: OnceLock::new(),
            pool: Arc::clone(&self.pool),
        }))
    }
}

struct BlockChunks<C: BlockCoder> {
    shape: Shape,
    written: Vec<u8>,
    tables: Option<Tables>,
    /// Made when they are needed: they are large beside what they are made of.
    encoder: OnceLock<Encoder>,
    decoder: OnceLock<Decoder>,
    pool: Pool<C>,
}

fn with_scratch<C: BlockCoder, R>(
    pool: &Pool<C>,
    work: impl FnOnce(&mut Scratch<C::Scratch>) -> R,
) -> R {
    let taken = pool.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let mut scratch = taken.unwrap_or_default();
    let result = work(&mut scratch);
    pool.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(scratch);
    result
}

impl<C: BlockCoder> Chunks for BlockChunks<C> {
    fn tables(&self) -> &[u8] {
        &self.written
    }

    fn chunk_bytes(&self) -> u64 {
        (self.shape.chunk() * self.shape.layout.bytes()) as u64
    }

    fn encode(&self, _first: u64, data: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let tables = self.tables.as_ref();
        let encoder = tables.map(|tables| self.encoder.get_or_init(|| Encoder::new(tables)));
        with_scratch::<C, _>(&self.pool, |scratch| {
            chunk::encode::<C>(self.shape, encoder, data, scratch, out)
        })
    }

    fn decode(&self, _first: u64, encoded: &[u8], data: &mut [u8]) -> Result<(), DecodeError> {
        let tables = self.tables.as_ref();
        let decoder = tables.map(|tables| self.decoder.get_or_init(|| Decoder::new(tables)));
        with_scratch::<C, _>(&self.pool, |scratch| {
            chunk::decode::<C>(self.shape, decoder, encoded, scratch, data)
        })
    }
}

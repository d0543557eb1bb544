//! Methods for blocks as containers use them.

use std::sync::OnceLock;

use super::chunk::{self, Decoder, Encoder, Given, Scratch};
use super::given;
use super::tables::Tables;
use super::{Axis, BlockCoder, Shape, all_classes};
use crate::blocks::BlockLayout;
use crate::bytes::ByteReader;
use crate::chunked::{ChunkedMethod, Chunks};
use crate::error::{DecodeError, EncodeError};
use crate::pool::Pool;
use crate::tensor::{Dtype, TensorView};
use crate::unit::check_tensor;

type Space<C> = Scratch<<C as BlockCoder>::Scratch>;

/// The chunked method of a coder.
pub(crate) struct BlockMethod<C: BlockCoder> {
    pool: Pool<Space<C>>,
}

impl<C: BlockCoder> BlockMethod<C> {
    pub(crate) fn new() -> Self {
        BlockMethod {
            pool: Pool::default(),
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

    fn takes_given(&self, dtype: Dtype, given: Dtype) -> bool {
        let both = BlockLayout::of(dtype).zip(BlockLayout::of(given));
        both.is_some_and(|(own, given)| given::can_be_given(own, given))
    }

    fn agreement(&self, tensor: &TensorView<'_>, given: &TensorView<'_>) -> usize {
        match (Given::of(tensor), Given::of(given)) {
            (Some(own), Some(finer)) if self.takes_given(tensor.dtype, given.dtype) => {
                given::agreement(own.shape, own.data, finer.shape, finer.data)
            }
            _ => 0,
        }
    }

    fn fit(
        &self,
        view: &TensorView<'_>,
        given: Option<&TensorView<'_>>,
    ) -> Result<Box<dyn Chunks>, EncodeError> {
        check_tensor(view)?;
        let Some(layout) = BlockLayout::of(view.dtype) else {
            return Err(EncodeError::Dtype {
                method: self.name(),
                tensor: view.name.to_owned(),
                dtype: view.dtype,
            });
        };
        let shape = Shape::of(layout, view.shape);
        let given = given.filter(|given| self.takes_given(view.dtype, given.dtype));
        let given = given.and_then(Given::of);
        let axes = axes::<C>(layout, given.is_some());
        let mut counts = vec![[0; 256]; all_classes(&axes)];
        self.pool.with(|scratch| {
            chunk::count::<C>(shape, view.data, given, scratch, &mut counts);
        });
        let (tables, bits) = Tables::fit(&axes, &counts);
        let pays = bits < 8.0 * view.data.len() as f64;
        let mut written = Vec::new();
        if pays {
            tables.write(&axes, &mut written);
        }
        Ok(Box::new(BlockChunks::<C> {
            shape,
            given: given.map(|given| given.shape),
            written,
            tables: pays.then_some(tables),
            encoder: OnceLock::new(),
            decoder: OnceLock::new(),
            pool: self.pool.clone(),
        }))
    }

    fn open(
        &self,
        dtype: Dtype,
        shape: &[u64],
        given: Option<Dtype>,
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
        let given = given.and_then(BlockLayout::of);
        let axes = axes::<C>(layout, given.is_some());
        let tables = match written {
            [] => None,
            _ => {
                let mut reader = ByteReader::new(written);
                let tables = Tables::read(&axes, &mut reader)?;
                reader.finish()?;
                Some(tables)
            }
        };
        Ok(Box::new(BlockChunks::<C> {
            shape: Shape::of(layout, shape),
            given: given.map(|given| Shape::of(given, shape)),
            written: written.to_vec(),
            tables,
            encoder: OnceLock::new(),
            decoder: OnceLock::new(),
            pool: self.pool.clone(),
        }))
    }
}

/// The axes of a layout, by itself or given another tensor.
fn axes<C: BlockCoder>(layout: BlockLayout, is_given: bool) -> Vec<Axis> {
    match is_given {
        true => given::axes(layout),
        false => C::axes(layout),
    }
}

impl<'a> Given<'a> {
    fn of(tensor: &TensorView<'a>) -> Option<Given<'a>> {
        let layout = BlockLayout::of(tensor.dtype)?;
        Some(Given {
            shape: Shape::of(layout, tensor.shape),
            data: tensor.data,
        })
    }
}

struct BlockChunks<C: BlockCoder> {
    shape: Shape,
    /// That of the tensor which is given.
    given: Option<Shape>,
    written: Vec<u8>,
    tables: Option<Tables>,
    /// Made when they are needed: they are large beside what they are made of.
    encoder: OnceLock<Encoder>,
    decoder: OnceLock<Decoder>,
    pool: Pool<Space<C>>,
}

impl<C: BlockCoder> Chunks for BlockChunks<C> {
    fn tables(&self) -> &[u8] {
        &self.written
    }

    fn chunk_bytes(&self) -> u64 {
        (self.shape.chunk() * self.shape.layout.bytes()) as u64
    }

    fn encode(
        &self,
        _first: u64,
        data: &[u8],
        given: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let tables = self.tables.as_ref();
        let encoder = tables.map(|tables| self.encoder.get_or_init(|| Encoder::new(tables)));
        let given = self.given.map(|shape| Given { shape, data: given });
        self.pool
            .with(|scratch| chunk::encode::<C>(self.shape, encoder, data, given, scratch, out))
    }

    fn decode(
        &self,
        _first: u64,
        encoded: &[u8],
        given: &[u8],
        data: &mut [u8],
    ) -> Result<(), DecodeError> {
        let tables = self.tables.as_ref();
        let decoder = tables.map(|tables| self.decoder.get_or_init(|| Decoder::new(tables)));
        let given = self.given.map(|shape| Given { shape, data: given });
        self.pool
            .with(|scratch| chunk::decode::<C>(self.shape, decoder, encoded, given, scratch, data))
    }
}

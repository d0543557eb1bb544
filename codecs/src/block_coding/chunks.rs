//! Methods for blocks as containers use them.

use super::chunk::{self, Scratch};
use super::given;
use super::{BlockCoding, Given, Shape};
use crate::blocks::BlockLayout;
use crate::chunked::{ChunkedMethod, Chunks};
use crate::error::{DecodeError, EncodeError};
use crate::pool::Pool;
use crate::tensor::{Dtype, TensorView};
use crate::unit::check_tensor;

type Space<C> = Scratch<<C as BlockCoding>::Scratch>;

/// The chunked method of a coder.
pub(crate) struct BlockMethod<C: BlockCoding> {
    pool: Pool<Space<C>>,
}

impl<C: BlockCoding> BlockMethod<C> {
    pub(crate) fn new() -> Self {
        BlockMethod {
            pool: Pool::default(),
        }
    }
}

impl<C: BlockCoding> ChunkedMethod for BlockMethod<C> {
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
        let fitted = self
            .pool
            .with(|scratch| C::fit(shape, view.data, given, &mut scratch.own));
        let (coding, written) = fitted.unzip();
        Ok(Box::new(BlockChunks {
            shape,
            given: given.map(|given| given.shape),
            written: written.unwrap_or_default(),
            coding,
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
        Ok(Box::new(BlockChunks {
            shape: Shape::of(layout, shape),
            given: given.map(|given| Shape::of(given, shape)),
            written: written.to_vec(),
            coding: C::open(layout, given, written)?,
            pool: self.pool.clone(),
        }))
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

struct BlockChunks<C: BlockCoding> {
    shape: Shape,
    /// That of the tensor which is given.
    given: Option<Shape>,
    written: Vec<u8>,
    /// `None` where it does not pay.
    coding: Option<C>,
    pool: Pool<Space<C>>,
}

impl<C: BlockCoding> Chunks for BlockChunks<C> {
    fn tables(&self) -> &[u8] {
        &self.written
    }

    fn chunk_bytes(&self) -> u64 {
        (self.shape.chunk(C::CHUNK_WEIGHTS) * self.shape.layout.bytes()) as u64
    }

    fn encode(
        &self,
        _first: u64,
        data: &[u8],
        given: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let coding = self.coding.as_ref();
        let given = self.given.map(|shape| Given { shape, data: given });
        self.pool
            .with(|scratch| chunk::encode(self.shape, coding, data, given, scratch, out))
    }

    fn decode(
        &self,
        _first: u64,
        encoded: &[u8],
        given: &[u8],
        data: &mut [u8],
    ) -> Result<(), DecodeError> {
        let coding = self.coding.as_ref();
        let given = self.given.map(|shape| Given { shape, data: given });
        self.pool
            .with(|scratch| chunk::decode(self.shape, coding, encoded, given, scratch, data))
    }
}

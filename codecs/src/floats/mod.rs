//! What methods for floats have in common: tensors as rows of weights, chunks and their modes, and units of them.
//!
//! A [`FloatCoder`] codes 16-bit words. Around it, wider floats are divided into words and what is beneath them, fp16
//! weights that were bf16 once are coded as what they were, and chunks that the coder is no good for are stored in
//! another way.

mod beneath;
mod born;
mod chunk;
mod chunks;
pub(crate) mod octaves;
pub(crate) mod relative;
pub(crate) mod repeats;
pub(crate) mod rest;
pub(crate) mod scales;
mod tensor;
mod unit;

pub(crate) use chunks::FloatChunked;
pub(crate) use tensor::{FloatTensor, Matrix};
pub(crate) use unit::FloatMethod;

use crate::bytes::ByteReader;
use crate::error::{DecodeError, ProfileProblem};
use crate::float::FloatLayout;

/// Codes chunks of 16-bit floats.
pub(crate) trait FloatCoder: Sized + Send + Sync + 'static {
    /// The method's name.
    const NAME: &'static str;
    /// The version of its format.
    const VERSION: u8;
    /// Working memory of a chunk, beside its words.
    const MEMORY: u64;
    /// What the chunks of a tensor share.
    type Tables: Send + Sync;
    /// Space used again from chunk to chunk.
    type Scratch: Default + Send;

    /// The coder, with its profile. Most refuse one.
    fn with_profile(profile: Option<&[u8]>) -> Result<Self, ProfileProblem>;

    /// Fits what the chunks of a tensor share.
    fn fit(&self, tensor: &FloatTensor<'_>) -> Self::Tables;

    /// Appends it.
    fn write_tables(tables: &Self::Tables, out: &mut Vec<u8>);

    /// Takes it.
    ///
    /// # Errors
    ///
    /// Where bytes are missing, or are not what can have been written for such a tensor.
    fn read_tables(
        matrix: Matrix,
        reader: &mut ByteReader<'_>,
    ) -> Result<Self::Tables, DecodeError>;

    /// The weights of every chunk of a tensor but the last.
    fn chunk_weights(tables: &Self::Tables, matrix: Matrix) -> u64;

    /// Appends a coded chunk, which is not empty, and returns how many of its bytes are tables.
    ///
    /// `first` is the number of weights of the tensor before it.
    fn encode(
        &self,
        tables: &Self::Tables,
        layout: FloatLayout,
        first: u64,
        words: &[[u8; 2]],
        scratch: &mut Self::Scratch,
        out: &mut Vec<u8>,
    ) -> u64;

    /// Takes a coded chunk and fills `words`.
    ///
    /// # Errors
    ///
    /// Where bytes are missing, or are not what `encode` writes.
    fn decode(
        &self,
        tables: &Self::Tables,
        layout: FloatLayout,
        first: u64,
        reader: &mut ByteReader<'_>,
        scratch: &mut Self::Scratch,
        words: &mut [[u8; 2]],
    ) -> Result<(), DecodeError>;
}

/// Refuses a profile for a coder that needs none.
pub(crate) fn without_profile<C>(profile: Option<&[u8]>, coder: C) -> Result<C, ProfileProblem> {
    match profile {
        None => Ok(coder),
        Some(_) => Err(ProfileProblem::NotUsed),
    }
}

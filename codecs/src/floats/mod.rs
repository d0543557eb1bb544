//! What methods for floats have in common: tensors as rows of weights, chunks and their modes, and units of them.
//!
//! A [`FloatCoder`] codes 16-bit words. Around it, wider floats are divided into words and what is beneath them, fp16
//! weights that were bf16 once are coded as what they were, and chunks that the coder is no good for are stored in
//! another way.

mod beneath;
mod born;
mod chunk;
mod chunks;
mod family;
pub(crate) mod octaves;
pub(crate) mod relative;
pub(crate) mod repeats;
pub(crate) mod rest;
pub(crate) mod scales;
mod tensor;
mod unit;

pub(crate) use family::FloatFamily;
pub(crate) use tensor::{FloatTensor, Matrix};

use crate::bytes::ByteReader;
use crate::error::{DecodeError, ProfileProblem};
use crate::float::FloatLayout;
use crate::tensor::{Dtype, TensorView};

/// Whether elements of a type are floats that are coded by their exponent.
pub(crate) fn is_float(dtype: Dtype) -> bool {
    tensor::FloatType::of(dtype).is_some()
}

/// Codes chunks of 16-bit floats. A method is a coder and what is around it.
pub(crate) trait FloatCoder: Sized + Send + Sync + 'static {
    /// The method's name.
    const NAME: &'static str;
    /// What the method does, in a sentence.
    const ABOUT: &'static str;
    /// Its source file, relative to the workspace.
    const LEAF: &'static str;
    /// The version of its format.
    const VERSION: u8;
    /// Working memory of a chunk, beside its words.
    const MEMORY: u64;
    /// Whether it needs a profile.
    const NEEDS_PROFILE: bool = false;
    /// Space used again from chunk to chunk.
    type Scratch: Default + Send;

    /// The coder, with its profile. Most refuse one.
    fn with_profile(profile: Option<&[u8]>) -> Result<Self, ProfileProblem>;

    /// Learns a profile from tensors, if it needs one.
    fn train(_tensors: &[TensorView<'_>]) -> Option<Vec<u8>> {
        None
    }

    /// The weights of every chunk of a tensor but the last.
    fn chunk_weights(matrix: Matrix) -> u64;

    /// Appends a coded chunk of a tensor, which is not empty, and returns how many of its bytes are tables.
    fn encode(
        &self,
        matrix: Matrix,
        layout: FloatLayout,
        words: &[[u8; 2]],
        scratch: &mut Self::Scratch,
        out: &mut Vec<u8>,
    ) -> u64;

    /// Takes a coded chunk of a tensor and fills `words`.
    ///
    /// # Errors
    ///
    /// Where bytes are missing, or are not what `encode` writes.
    fn decode(
        &self,
        matrix: Matrix,
        layout: FloatLayout,
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

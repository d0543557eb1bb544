//! Methods as containers use them: a tensor in chunks, each decodable by itself.

use crate::error::{DecodeError, EncodeError, ProfileProblem};
use crate::methods::FAMILIES;
use crate::tensor::{Dtype, TensorView};

/// A method that codes a tensor in chunks.
pub trait ChunkedMethod: Send + Sync {
    /// The name of the method, as [`resolve`](crate::resolve) knows it.
    fn name(&self) -> String;

    /// The version of what it writes.
    fn version(&self) -> u8;

    /// The profile that it was made with, if it needs one.
    fn profile(&self) -> Option<&[u8]> {
        None
    }

    /// Whether tensors of this type can be encoded.
    fn takes(&self, dtype: Dtype) -> bool;

    /// The method that it leaves tensors of this type to, if it is made of several.
    fn by_type(&self, _dtype: Dtype) -> Option<&dyn ChunkedMethod> {
        None
    }

    /// Whether tensors of this type can be encoded given the same matrix as a tensor of another type.
    fn takes_given(&self, _dtype: Dtype, _given: Dtype) -> bool {
        false
    }

    /// How many elements of a sample, of a hundred, are what another tensor of the same shape says they are, which it
    /// can be [given](Self::takes_given).
    fn agreement(&self, _tensor: &TensorView<'_>, _given: &TensorView<'_>) -> usize {
        0
    }

    /// Looks at a tensor and gets ready to encode its chunks; given another, if it takes that.
    ///
    /// # Errors
    ///
    /// [`EncodeError::Dtype`] where the type is another than it takes, [`EncodeError::TensorLength`] where the data is
    /// not as long as the shape says.
    fn fit(
        &self,
        tensor: &TensorView<'_>,
        given: Option<&TensorView<'_>>,
    ) -> Result<Box<dyn Chunks>, EncodeError>;

    /// Gets ready to decode the chunks of a tensor, by what its encoding wrote as [`Chunks::tables`]. If another tensor
    /// was given, it was of the same shape.
    ///
    /// # Errors
    ///
    /// Where the tables are not what can have been written for such a tensor.
    fn open(
        &self,
        dtype: Dtype,
        shape: &[u64],
        given: Option<Dtype>,
        tables: &[u8],
    ) -> Result<Box<dyn Chunks>, DecodeError>;
}

/// The chunks of a tensor. If another tensor is given, each needs the chunk of that with the same number, which has the
/// same elements; else what is given is empty.
pub trait Chunks: Send + Sync {
    /// What all chunks share, written.
    fn tables(&self) -> &[u8];

    /// Bytes of the tensor in every chunk but the last, which has fewer: 8 MiB at most, and one at least.
    fn chunk_bytes(&self) -> u64;

    /// Appends the encoding of a chunk, which is not empty. `first` is the number of bytes of the tensor before it.
    ///
    /// # Errors
    ///
    /// [`EncodeError::Backend`] where a library fails.
    fn encode(
        &self,
        first: u64,
        data: &[u8],
        given: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError>;

    /// Decodes a chunk and fills `data`, which is as long as the chunk was.
    ///
    /// # Errors
    ///
    /// Where the bytes are not what [`encode`](Self::encode) writes for so much data.
    fn decode(
        &self,
        first: u64,
        encoded: &[u8],
        given: &[u8],
        data: &mut [u8],
    ) -> Result<(), DecodeError>;
}

/// How many bytes of one type have as many elements as `bytes` of another, of which they are whole blocks.
pub fn same_elements(bytes: u64, dtype: Dtype, other: Dtype) -> usize {
    let (own, other) = (dtype.block(), other.block());
    let elements = bytes / u64::from(own.bytes) * u64::from(own.elements);
    let bytes = elements / u64::from(other.elements) * u64::from(other.bytes);
    usize::try_from(bytes).unwrap_or(usize::MAX).max(1)
}

/// The chunked method of a name, with its profile; `None` if there is none of that name that works in chunks.
///
/// # Errors
///
/// Where it needs a profile and there is none, needs none and there is one, or cannot use it.
pub fn resolve(
    name: &str,
    profile: Option<&[u8]>,
) -> Option<Result<Box<dyn ChunkedMethod>, ProfileProblem>> {
    let mut families = FAMILIES.iter();
    families.find_map(|family| family.chunked(name, profile))
}

/// The names of all chunked methods, or a few telling ones of those that there are too many of.
pub fn names() -> Vec<String> {
    let examples = FAMILIES.iter().flat_map(|family| family.examples());
    examples
        .filter(|name| resolve(name, None).is_some())
        .collect()
}

/// Refuses a profile for a method that needs none.
pub(crate) fn without_profile(
    profile: Option<&[u8]>,
    method: impl FnOnce() -> Box<dyn ChunkedMethod>,
) -> Result<Box<dyn ChunkedMethod>, ProfileProblem> {
    match profile {
        None => Ok(method()),
        Some(_) => Err(ProfileProblem::NotUsed),
    }
}

//! Why a file is not a GGUF file, or not a sound one.

use thiserror::Error;

use crate::tensor::{Block, Dtype};

/// Why a file is not a GGUF file, or not a sound one. Positions count from the start of the file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GgufError {
    /// The file ends within a field.
    #[error("{what} at byte {at} takes {expected} bytes, {found} are left")]
    Truncated {
        /// The field.
        what: &'static str,
        /// Where it begins.
        at: u64,
        /// Bytes that it takes.
        expected: u64,
        /// Bytes that are left.
        found: u64,
    },
    /// The file begins with something else.
    #[error("a GGUF file begins with `GGUF`, found the bytes {found:02x?}")]
    Magic {
        /// The first bytes.
        found: [u8; 4],
    },
    /// The file was written for processors of the other byte order.
    #[error(
        "the file is big-endian (version {version} at byte 4), only little-endian ones are read"
    )]
    BigEndian {
        /// The version, its bytes swapped.
        version: u32,
    },
    /// Version 1, which had narrower lengths and which nothing writes any more.
    #[error("version 1 of the layout at byte 4 is not read, 2 and 3 are; convert the file anew")]
    Version1,
    /// The file is of a version that is not known.
    #[error("version {found} of the layout at byte 4 is not known, 2 and 3 are")]
    Version {
        /// The version that the file gives.
        found: u32,
    },
    /// There can not be so many: the file is too short.
    #[error("{what} at byte {at} is {found}, the {left} bytes that follow hold {most} at most")]
    Count {
        /// What is counted.
        what: &'static str,
        /// Where the count is.
        at: u64,
        /// The count.
        found: u64,
        /// Bytes that are left.
        left: u64,
        /// As many as fit in them.
        most: u64,
    },
    /// A name is longer than is sensible.
    #[error("{what} at byte {at} is {found} bytes long, at most {limit} are read")]
    NameTooLong {
        /// What is named.
        what: &'static str,
        /// Where its length is.
        at: u64,
        /// The length.
        found: u64,
        /// The limit, [`NAME_MAX_BYTES`](super::NAME_MAX_BYTES).
        limit: u64,
    },
    /// A name is not UTF-8.
    #[error("{what} is not UTF-8 at byte {at}")]
    NameUtf8 {
        /// What is named.
        what: &'static str,
        /// The first byte that is not.
        at: u64,
    },
    /// Two entries of the metadata share a key.
    #[error("the key `{key}` at byte {at} occurs before")]
    DuplicateKey {
        /// The key.
        key: String,
        /// Where it occurs again.
        at: u64,
    },
    /// A value is of no known type.
    #[error("the type of a value at byte {at} must be 0 to 12, found {found}")]
    ValueType {
        /// Where the type is.
        at: u64,
        /// The type.
        found: u32,
    },
    /// A truth value is neither.
    #[error("the truth value at byte {at} must be 0 or 1, found {found}")]
    Bool {
        /// Where it is.
        at: u64,
        /// What it is.
        found: u8,
    },
    /// Arrays hold arrays that hold arrays, and so on.
    #[error("the array at byte {at} lies {limit} arrays deep, which is not read")]
    ArrayDepth {
        /// Where it begins.
        at: u64,
        /// The limit, [`ARRAY_MAX_DEPTH`](super::ARRAY_MAX_DEPTH).
        limit: usize,
    },
    /// The alignment is none.
    #[error("`general.alignment` at byte {at} must be a power of two as U32, found {found}")]
    Alignment {
        /// Where the entry begins.
        at: u64,
        /// The value.
        found: String,
    },
    /// Two tensors share a name.
    #[error("the tensor `{tensor}` at byte {at} occurs before")]
    DuplicateTensor {
        /// The tensor.
        tensor: String,
        /// Where its description begins again.
        at: u64,
    },
    /// A tensor has more dimensions than there are.
    #[error("tensor `{tensor}` at byte {at} has {found} dimensions, at most {most} are read")]
    Dimensions {
        /// The tensor.
        tensor: String,
        /// Where its description begins.
        at: u64,
        /// Its number of dimensions.
        found: u32,
        /// The most, [`DIMENSIONS_MAX`](super::DIMENSIONS_MAX).
        most: u32,
    },
    /// A tensor has a dimension of nothing.
    #[error("tensor `{tensor}` at byte {at}: shape {shape:?} has a dimension of 0")]
    EmptyDimension {
        /// The tensor.
        tensor: String,
        /// Where its description begins.
        at: u64,
        /// Its shape, the slowest dimension first.
        shape: Vec<u64>,
    },
    /// A tensor's rows do not end with a block.
    #[error(
        "tensor `{tensor}` at byte {at}: rows of {found} elements are no whole blocks of {}, as {dtype} needs",
        block.elements
    )]
    RowLength {
        /// The tensor.
        tensor: String,
        /// Where its description begins.
        at: u64,
        /// Its type.
        dtype: Dtype,
        /// The blocks of that type.
        block: Block,
        /// Elements of a row.
        found: u64,
    },
    /// A tensor's size does not fit 64 bits.
    #[error("tensor `{tensor}` at byte {at}: shape {shape:?} is too large")]
    ShapeSize {
        /// The tensor.
        tensor: String,
        /// Where its description begins.
        at: u64,
        /// Its shape, the slowest dimension first.
        shape: Vec<u64>,
    },
    /// A tensor does not begin where tensors may.
    #[error(
        "tensor `{tensor}` at byte {at} begins at {found} of the data, which must be a multiple of {alignment}"
    )]
    Unaligned {
        /// The tensor.
        tensor: String,
        /// Where its description begins.
        at: u64,
        /// Where its data begins, from the start of the data.
        found: u64,
        /// The alignment.
        alignment: u64,
    },
    /// A tensor does not lie in the file.
    #[error(
        "tensor `{tensor}` takes {expected} bytes from byte {offset} on, the file ends at byte {end}"
    )]
    Outside {
        /// The tensor.
        tensor: String,
        /// Where its data begins.
        offset: u64,
        /// Bytes that type and shape take; 1 where the type is not known.
        expected: u64,
        /// Bytes of the file.
        end: u64,
    },
    /// A tensor begins within another.
    #[error(
        "tensor `{tensor}` begins at byte {offset}, within `{other}`, which ends at byte {end}"
    )]
    Overlap {
        /// The tensor that begins too early.
        tensor: String,
        /// Where its data begins.
        offset: u64,
        /// The one before.
        other: String,
        /// Where that one's data ends.
        end: u64,
    },
}

//! Errors of methods: of choosing one, of encoding, and of decoding.

use std::io;

use thiserror::Error;

use crate::method::ParameterKind;
use crate::tensor::Dtype;

/// Why a name and parameters do not make a method.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MethodError {
    /// No family knows the name.
    #[error("there is no method `{name}`")]
    Unknown {
        /// The name asked for.
        name: String,
        /// Names that exist and resemble it, the closest first.
        similar: Vec<String>,
    },
    /// The number in the name is not one the family has.
    #[error("`{name}`: {pattern} needs a number from {least} to {most}")]
    NumberOutOfRange {
        /// The name asked for.
        name: String,
        /// The family's pattern, such as `zstd_N`.
        pattern: &'static str,
        /// Smallest number.
        least: u32,
        /// Largest number.
        most: u32,
    },
    /// The family has no such parameter.
    #[error("`{method}` has no parameter `{parameter}`")]
    UnknownParameter {
        /// The method's name.
        method: String,
        /// The parameter asked for.
        parameter: String,
        /// The parameters that it has.
        known: Vec<&'static str>,
    },
    /// A parameter's value is of another kind.
    #[error("parameter `{parameter}` of `{method}` is {expected}, not {found}")]
    ParameterKind {
        /// The method's name.
        method: String,
        /// The parameter.
        parameter: String,
        /// The kind that it has.
        expected: ParameterKind,
        /// The kind that was given.
        found: ParameterKind,
    },
    /// A parameter's value is outside of what the method can do.
    #[error("parameter `{parameter}` of `{method}` must be {expected}, found {found}")]
    ParameterValue {
        /// The method's name.
        method: String,
        /// The parameter.
        parameter: String,
        /// What values it takes.
        expected: &'static str,
        /// The value that was given.
        found: String,
    },
}

/// Why tensors could not be encoded.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The method does not take this element type.
    #[error("tensor `{tensor}`: `{method}` does not take {dtype}")]
    Dtype {
        /// The method's name.
        method: String,
        /// The tensor's name.
        tensor: String,
        /// Its element type.
        dtype: Dtype,
    },
    /// The data of a tensor is not as long as its type and shape say.
    #[error(
        "tensor `{tensor}`: {dtype} of shape {shape:?} takes {expected:?} bytes, found {found}"
    )]
    TensorLength {
        /// The tensor's name.
        tensor: String,
        /// Its element type.
        dtype: Dtype,
        /// Its shape.
        shape: Vec<u64>,
        /// Bytes that the shape takes; `None` if that is no whole number or does not fit.
        expected: Option<u64>,
        /// Bytes that were given.
        found: u64,
    },
    /// All tensors together are too long for the format.
    #[error("the tensors together are longer than 2^64 bytes")]
    UnitLength,
    /// The method needs a profile and got none, or one that it cannot use.
    #[error("`{method}`: {problem}")]
    Profile {
        /// The method's name.
        method: String,
        /// What is wrong.
        problem: ProfileProblem,
    },
    /// A library that the method stands on failed.
    #[error("{library}: {message}")]
    Backend {
        /// The library.
        library: &'static str,
        /// What it said.
        message: String,
    },
    /// The output could not be written.
    #[error("writing the encoded bytes")]
    Write(#[source] io::Error),
}

/// Why encoded bytes could not be decoded. Offsets count from the start of the encoded unit.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The encoded bytes end inside of something.
    #[error("{what} at byte {at} needs {expected} bytes, {found} are left")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Where it begins.
        at: u64,
        /// Bytes that it takes.
        expected: u64,
        /// Bytes that are left.
        found: u64,
    },
    /// Bytes follow the end of the encoding.
    #[error("{found} bytes follow the end of the encoding at byte {at}")]
    Trailing {
        /// Where the encoding ends.
        at: u64,
        /// Bytes that follow.
        found: u64,
    },
    /// A field holds a value that it must not.
    #[error("{what} at byte {at} must be {expected}, found {found}")]
    Field {
        /// The field.
        what: &'static str,
        /// Where it is.
        at: u64,
        /// What it may hold.
        expected: &'static str,
        /// What it holds.
        found: u64,
    },
    /// Decoding yields another number of bytes than the encoding says.
    #[error("{what} at byte {at} decodes to {found} bytes, {expected} were declared")]
    Length {
        /// What was decoded.
        what: &'static str,
        /// Where its encoding begins.
        at: u64,
        /// Bytes that were declared.
        expected: u64,
        /// Bytes that came out, counted up to the first too many.
        found: u64,
    },
    /// A library that the method stands on refused the bytes.
    #[error("{library} at byte {at}: {message}")]
    Backend {
        /// The library.
        library: &'static str,
        /// Where the bytes that it was given begin.
        at: u64,
        /// What it said.
        message: String,
    },
    /// Decoding would take more memory than the method ever needs.
    #[error("{what} at byte {at} needs more memory to decode than the {limit} bytes allowed")]
    Memory {
        /// What was to be decoded.
        what: &'static str,
        /// Where it begins.
        at: u64,
        /// Bytes of memory allowed.
        limit: u64,
    },
    /// The method needs a profile and got none, or one that it cannot use.
    #[error("`{method}`: {problem}")]
    Profile {
        /// The method's name.
        method: String,
        /// What is wrong.
        problem: ProfileProblem,
    },
    /// The output could not be written.
    #[error("writing the decoded bytes")]
    Write(#[source] io::Error),
}

/// What is wrong with a profile.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProfileProblem {
    /// One was given to a method that uses none: its bytes would be charged for nothing.
    #[error("the method uses no profile, and one was given")]
    NotUsed,
    /// None was given to a method that needs one.
    #[error("the method needs a profile, and none was given")]
    Missing,
    /// The bytes are no profile of the method's.
    #[error("this is no profile of the method: {0}")]
    Unsound(String),
}

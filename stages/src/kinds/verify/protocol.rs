//! What the task and its worker say to each other.
//!
//! Numbers are little-endian. The task says:
//!
//! | field | bytes |
//! | --- | --- |
//! | [`REQUEST`] | 8 |
//! | length of the method's JSON, at most [`METHOD_MAX_BYTES`], and the JSON | 4 + n |
//! | 0, or 1 and the profile with its length before it | 1, or 9 + n |
//! | for each encoding: 1, and its bytes with their length before them | 9 + n |
//! | 0 | 1 |
//!
//! The worker answers with [`ANSWER`] and then, for each encoding, pieces of the decoded bytes, each with its length
//! in 4 bytes before it and none longer than [`PIECE_MAX_BYTES`]; a length of 0 ends them. Then comes a byte: 0 if it
//! was decoded, or 1 and the message of an error with its length in 4 bytes before it, after which the worker ends.

use std::io::{self, Read, Write};

/// What a request begins with; the last byte is the version.
pub(super) const REQUEST: &[u8; 8] = b"LLMCLDR\x01";
/// What an answer begins with.
pub(super) const ANSWER: &[u8; 8] = b"LLMCLDA\x01";
/// The longest description of a method.
pub(super) const METHOD_MAX_BYTES: u32 = 1 << 20;
/// The longest piece of decoded bytes.
pub(super) const PIECE_MAX_BYTES: usize = 1 << 16;
/// The longest message of an error.
pub(super) const MESSAGE_MAX_BYTES: usize = 1 << 14;

/// Tag of an encoding, a profile, an error.
pub(super) const SOME: u8 = 1;
/// Tag of there being none.
pub(super) const NONE: u8 = 0;

pub(super) fn read_array<const N: usize>(input: &mut dyn Read) -> io::Result<[u8; N]> {
    let mut array = [0; N];
    input.read_exact(&mut array)?;
    Ok(array)
}

pub(super) fn read_byte(input: &mut dyn Read) -> io::Result<u8> {
    read_array(input).map(|[byte]| byte)
}

pub(super) fn read_u32(input: &mut dyn Read) -> io::Result<u32> {
    read_array(input).map(u32::from_le_bytes)
}

pub(super) fn read_u64(input: &mut dyn Read) -> io::Result<u64> {
    read_array(input).map(u64::from_le_bytes)
}

/// Writes bytes with their length before them, in 4 bytes. They are shorter than 4 GiB.
pub(super) fn write_short(output: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    output.write_all(&length.to_le_bytes())?;
    output.write_all(bytes)
}

/// Writes bytes with their length before them, in 8 bytes.
pub(super) fn write_long(output: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
    output.write_all(&(bytes.len() as u64).to_le_bytes())?;
    output.write_all(bytes)
}

/// An error about what the other side said.
pub(super) fn garbage(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.into())
}

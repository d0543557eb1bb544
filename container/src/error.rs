//! What can be wrong.

use std::io;

use llmcl_codecs::error::ProfileProblem;
use llmcl_codecs::{DecodeError, EncodeError};
use thiserror::Error;

/// Why a container could not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ContainerError {
    /// The first bytes are those of another kind of file.
    #[error("this is no container: it does not begin with the eight bytes that one begins with")]
    NotAContainer,
    /// It was written by a later program.
    #[error("the container is of version {found}; this program reads versions 1 and 2")]
    Version {
        /// The version.
        found: u16,
    },
    /// It ends early.
    #[error(
        "the container is cut off: {what} should end at byte {expected}, the file at byte {found}"
    )]
    CutOff {
        /// What is missing.
        what: &'static str,
        /// Where it should end.
        expected: u64,
        /// Bytes of the file.
        found: u64,
    },
    /// The last bytes are not those of a container.
    #[error(
        "the container is cut off, or something follows it: its last bytes are not those of an end"
    )]
    NoEnd,
    /// A fixed field holds what it must not.
    #[error("{what} at byte {at} must be {expected}")]
    Field {
        /// The field.
        what: &'static str,
        /// Where it is.
        at: u64,
        /// What it may hold.
        expected: &'static str,
    },
    /// The index was changed since it was written.
    #[error("the index is damaged: its checksum is {found:016x}, {expected:016x} was written")]
    IndexChecksum {
        /// The checksum that was written.
        expected: u64,
        /// That of the bytes.
        found: u64,
    },
    /// The index does not say what an index says.
    #[error("the index, which begins at byte {at}")]
    Index {
        /// Where it begins.
        at: u64,
        /// What is wrong, with places from there on.
        source: DecodeError,
    },
    /// What the chunks of a segment share is not what its method writes.
    #[error("the tables of {of}, in the index")]
    Tables {
        /// The segment.
        of: String,
        /// What is wrong, with places from the beginning of the tables on.
        source: DecodeError,
    },
    /// The index says something that cannot be.
    #[error("the index: {what} {name:?} {problem}")]
    Entry {
        /// The kind of entry.
        what: &'static str,
        /// Its name.
        name: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A method that this program does not have.
    #[error(
        "the container needs the method {name:?}, version {version}, which this program does not have"
    )]
    Method {
        /// The method.
        name: String,
        /// The version of what it wrote.
        version: u8,
    },
    /// A profile that was not given.
    #[error(
        "the container needs a profile for {method:?}: the one whose BLAKE3 digest is {digest}"
    )]
    NoProfile {
        /// The method.
        method: String,
        /// The digest.
        digest: blake3::Hash,
    },
    /// A profile that the method cannot use.
    #[error("{method:?}: {problem}")]
    Profile {
        /// The method.
        method: String,
        /// What is wrong.
        problem: ProfileProblem,
    },
    /// A chunk was changed since it was written.
    #[error("{place} is damaged: its checksum is {found:016x}, {expected:016x} was written")]
    ChunkChecksum {
        /// The chunk.
        place: String,
        /// The checksum that was written.
        expected: u64,
        /// That of the bytes.
        found: u64,
    },
    /// A chunk does not hold what its method writes.
    #[error("{place} cannot be decoded")]
    Chunk {
        /// The chunk.
        place: String,
        /// What is wrong, with places from its start on.
        source: DecodeError,
    },
    /// A file came out other than it went in.
    #[error(
        "file {file:?} is not what it was: its BLAKE3 digest is {found}, {expected} was written"
    )]
    Digest {
        /// The file.
        file: String,
        /// The digest that was written.
        expected: blake3::Hash,
        /// That of what came out.
        found: blake3::Hash,
    },
    /// There are not so many bytes.
    #[error("bytes {from} to {to} are asked of {name:?}, which has {bytes}")]
    Range {
        /// What was asked of.
        name: String,
        /// The first byte.
        from: u64,
        /// The byte after the last.
        to: u64,
        /// How many there are.
        bytes: u64,
    },
    /// The output could not be written.
    #[error("writing the output")]
    Write(#[source] io::Error),
    /// Whoever called asked for an end.
    #[error("interrupted")]
    Interrupted,
}

/// Why files could not be compressed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// A file's name cannot stand in a container.
    #[error("the name {name:?} {problem}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Encoding failed.
    #[error("{place}")]
    Encode {
        /// What was encoded.
        place: String,
        /// What is wrong.
        source: EncodeError,
    },
    /// What was encoded did not decode to what it was. This is a mistake of the program, or of the machine.
    #[error("{place}: what was written does not decode to what was read; nothing is kept of it")]
    Check {
        /// The chunk.
        place: String,
    },
    /// The output could not be written.
    #[error("writing the container")]
    Write(#[source] io::Error),
    /// Whoever called asked for an end.
    #[error("interrupted")]
    Interrupted,
}

//! Methods that stand on openzl, a library that codes data by a graph of small steps: units of its frames.
//!
//! # Format of a unit
//!
//! | field | bytes |
//! | --- | --- |
//! | version | 1 |
//! | if the method needs a profile: its length | variable-length integer |
//! | … and a checksum of it, 32-bit FNV-1a, little-endian | 4 |
//! | number of tensors | variable-length integer |
//! | per tensor: its bytes | variable-length integer |
//! | … per piece of 1 MiB, the last one shorter: length of its frame | variable-length integer |
//! | … and the frame, as openzl has it | |
//!
//! A frame says itself what was done to the piece, so it is decoded without the profile. It is asked for all the same,
//! and held against the one that the unit was encoded with: what a profile costs is part of what a method does.
//!
//! # Bytes that cannot be trusted
//!
//! The library is written in C. What it is given is looked at before: of a frame, that it is as long as said and
//! decodes to as many bytes as the piece has; of a profile, all of it, see `profile`. Pieces are short so that little
//! memory is taken. What the library does with the inside of a frame is its own affair, and so is how much memory it
//! takes for streams on the way, of which the frame says how long they are: it asks the system for that, and the frame
//! is refused where there is not as much. The library is built with its assertions, which end the process where one
//! does not hold rather than go on. Neither damaged frames nor the fuzzer have met with one, or with a fault in memory.

mod ffi;
mod graph;
mod profile;
#[cfg(test)]
mod tests;
mod train;

use std::collections::BTreeMap;
use std::io::Write;

pub(crate) use graph::Graph;
pub(crate) use train::train;

use crate::accounting::Accounting;
use crate::bytes::{ByteReader, CountingWriter, put_decoded, write_varint};
use crate::error::{DecodeError, EncodeError, MethodError, ProfileProblem};
use crate::method::{Method, MethodFamily, ParameterValue};
use crate::tensor::{Dtype, TensorView};
use crate::unit::{check_tensors, refuse_profile, refuse_profile_to_decode};
use ffi::{Decoder, Encoder, Message};

const LIBRARY: &str = "openzl";

/// Bytes of a tensor that make a frame.
const PIECE_BYTES: usize = 1 << 20;
/// Working memory in bytes: what the steps put out is of the length of a piece, and there are several at a time.
const MEMORY: u64 = 16 << 20;
/// What all methods take: floats of two bytes.
pub(crate) const HALF_FLOATS: &[Dtype] = &[Dtype::Bf16, Dtype::F16];

/// Where a method has its compressor from.
#[derive(Clone, Copy)]
pub(crate) enum Compressor {
    /// It always is this one.
    Made(fn() -> Graph),
    /// It is its profile, which it learns so.
    Learnt(fn(&[TensorView<'_>]) -> Vec<u8>),
}

/// A method, which is a family by itself.
#[derive(Clone, Copy)]
pub(crate) struct Openzl {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Its source file, relative to the workspace.
    pub(crate) leaf: &'static str,
    /// The version of its format.
    pub(crate) version: u8,
    pub(crate) takes: &'static [Dtype],
    pub(crate) compressor: Compressor,
}

impl MethodFamily for Openzl {
    fn pattern(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn leaf(&self) -> &'static str {
        self.leaf
    }

    fn needs_profile(&self) -> bool {
        matches!(self.compressor, Compressor::Learnt(_))
    }

    fn resolve(
        &self,
        name: &str,
        _parameters: &BTreeMap<String, ParameterValue>,
    ) -> Option<Result<Box<dyn Method>, MethodError>> {
        (name == self.name).then(|| Ok(Box::new(*self) as Box<dyn Method>))
    }

    fn train(
        &self,
        name: &str,
        tensors: &[TensorView<'_>],
    ) -> Option<Result<Vec<u8>, EncodeError>> {
        match self.compressor {
            Compressor::Learnt(learn) if name == self.name => Some(Ok(learn(tensors))),
            _ => None,
        }
    }

    fn examples(&self) -> Vec<String> {
        vec![self.name.to_owned()]
    }
}

impl Openzl {
    /// Writes what a unit begins with.
    fn begin(&self, profile: Option<&[u8]>, tensors: usize) -> Vec<u8> {
        let mut bytes = vec![self.version];
        if let Some(profile) = profile {
            write_varint(&mut bytes, profile.len() as u64);
            bytes.extend(checksum(profile).to_le_bytes());
        }
        write_varint(&mut bytes, tensors as u64);
        bytes
    }

    /// Checks a profile that is needed.
    fn check_profile<'p>(&self, profile: Option<&'p [u8]>) -> Result<&'p [u8], ProfileProblem> {
        let profile = profile.ok_or(ProfileProblem::Missing)?;
        profile::check(profile).map_err(ProfileProblem::Unsound)?;
        Ok(profile)
    }

    fn encoder(&self, profile: Option<&[u8]>) -> Result<Encoder, EncodeError> {
        let refuse = |problem| EncodeError::Profile {
            method: self.name(),
            problem,
        };
        match self.compressor {
            Compressor::Made(graph) => {
                refuse_profile(self, profile)?;
                Encoder::new(&graph().serialize()).map_err(encode_error)
            }
            Compressor::Learnt(_) => {
                let profile = self.check_profile(profile).map_err(refuse)?;
                Encoder::new(profile).map_err(|message| refuse(ProfileProblem::Unsound(message)))
            }
        }
    }

    /// Reads what a unit begins with, up to the number of tensors.
    fn read_beginning(
        &self,
        profile: Option<&[u8]>,
        reader: &mut ByteReader<'_>,
    ) -> Result<(), DecodeError> {
        let refuse = |problem| DecodeError::Profile {
            method: self.name(),
            problem,
        };
        let profile = match self.compressor {
            Compressor::Made(_) => {
                refuse_profile_to_decode(self, profile)?;
                None
            }
            Compressor::Learnt(_) => Some(self.check_profile(profile).map_err(refuse)?),
        };
        let version = reader.byte("version")?;
        if version != self.version {
            return Err(DecodeError::Field {
                what: "version",
                at: 0,
                expected: "the one that this method writes",
                found: version.into(),
            });
        }
        if let Some(profile) = profile {
            let length = reader.varint("length of the profile")?;
            let sum = u32::from_le_bytes(reader.array("checksum of the profile")?);
            if length != profile.len() as u64 || sum != checksum(profile) {
                return Err(refuse(ProfileProblem::Unsound(
                    "it is not the one that the unit was encoded with".to_owned(),
                )));
            }
        }
        Ok(())
    }
}

impl Method for Openzl {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn encode(
        &self,
        tensors: &[TensorView<'_>],
        profile: Option<&[u8]>,
        out: &mut dyn Write,
    ) -> Result<Accounting, EncodeError> {
        let mut encoder = self.encoder(profile)?;
        check_tensors(self, tensors)?;
        let mut out = CountingWriter::new(out);
        let mut accounting = Accounting::default();
        let mut header = self.begin(profile, tensors.len());
        let mut frame = Vec::new();
        for tensor in tensors {
            write_varint(&mut header, tensor.data.len() as u64);
            for piece in tensor.data.chunks(PIECE_BYTES) {
                frame.clear();
                encoder.encode(piece, &mut frame).map_err(encode_error)?;
                write_varint(&mut header, frame.len() as u64);
                out.put(&header)?;
                out.put(&frame)?;
                accounting.container += header.len() as u64;
                accounting.payload += frame.len() as u64;
                header.clear();
            }
        }
        // Of a unit without tensors, or whose last one is empty.
        out.put(&header)?;
        accounting.container += header.len() as u64;
        Ok(accounting)
    }

    fn decode(
        &self,
        encoded: &[u8],
        profile: Option<&[u8]>,
        out: &mut dyn Write,
    ) -> Result<(), DecodeError> {
        let mut reader = ByteReader::new(encoded);
        self.read_beginning(profile, &mut reader)?;
        let mut decoder = Decoder::new().map_err(|message| decode_error(message, 0))?;
        let mut data = Vec::new();
        for _ in 0..reader.varint("number of tensors")? {
            let at = reader.at();
            let mut left = reader.varint("bytes of a tensor")?;
            if left % 2 != 0 {
                return Err(DecodeError::Field {
                    what: "bytes of a tensor",
                    at,
                    expected: "those of floats of two bytes",
                    found: left,
                });
            }
            while left > 0 {
                let piece = left.min(PIECE_BYTES as u64);
                let length = reader.varint("length of a frame")?;
                let at = reader.at();
                let frame = reader.take(length, "frame")?;
                decode_frame(&mut decoder, frame, at, piece as usize, &mut data)?;
                put_decoded(out, &data)?;
                left -= piece;
            }
        }
        reader.finish()
    }

    fn takes(&self, dtype: Dtype) -> bool {
        self.takes.contains(&dtype)
    }

    fn encode_memory(&self, _bytes: u64) -> u64 {
        MEMORY
    }

    fn decode_memory(&self, _bytes: u64) -> u64 {
        MEMORY
    }
}

/// Decodes a frame, which lies at `at` and must be of so many bytes.
fn decode_frame(
    decoder: &mut Decoder,
    frame: &[u8],
    at: u64,
    bytes: usize,
    data: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    let refuse = |message| decode_error(message, at);
    let length = |found: usize| DecodeError::Length {
        what: "frame",
        at,
        expected: bytes as u64,
        found: found as u64,
    };
    let declared = ffi::declared_bytes(frame).map_err(refuse)?;
    if declared != bytes {
        return Err(length(declared));
    }
    let whole = ffi::frame_bytes(frame).map_err(refuse)?;
    if whole != frame.len() {
        return Err(refuse(format!(
            "a frame of {whole} bytes in place of {}",
            frame.len()
        )));
    }
    data.resize(bytes, 0);
    match decoder.decode(frame, data).map_err(refuse)? {
        found if found == bytes => Ok(()),
        found => Err(length(found)),
    }
}

/// Tells a profile from another: FNV-1a of 32 bits.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| {
        (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

fn encode_error(message: Message) -> EncodeError {
    EncodeError::Backend {
        library: LIBRARY,
        message,
    }
}

fn decode_error(message: Message, at: u64) -> DecodeError {
    DecodeError::Backend {
        library: LIBRARY,
        at,
        message,
    }
}

//! Units of methods that work in chunks: what a container has of a tensor, in a row.
//!
//! | field | |
//! | --- | --- |
//! | version | 1 byte |
//! | number of tensors | variable-length integer |
//! | bytes of all tensors | variable-length integer |
//! | per tensor: type | its length as a variable-length integer, and its name |
//! | … number of axes, and the length of each | variable-length integers |
//! | … what its chunks share | its length, and it |
//! | … each chunk | its length, and it |
//!
//! How many chunks there are follows from the size of the tensor. The number of all bytes guards those of the tensors, on
//! which nothing else need depend where blocks repeat themselves.

use std::io::Write;

use crate::accounting::Accounting;
use crate::bytes::{ByteReader, CountingWriter, put_decoded, write_varint};
use crate::chunked::ChunkedMethod;
use crate::error::{DecodeError, EncodeError};
use crate::formats;
use crate::method::Method;
use crate::tensor::{Dtype, TensorView};
use crate::unit::{check_tensors, refuse_profile, refuse_profile_to_decode};

/// The most axes of a tensor. The formats that there are have far fewer.
const MOST_AXES: u64 = 64;
/// Working memory of a chunk, which has 8 MiB at most: itself, its symbols with their classes and words, tables.
const MEMORY: u64 = 64 << 20;

/// A method made of one that works in chunks.
pub(crate) struct ChunkedUnit {
    method: Box<dyn ChunkedMethod>,
    /// Whether tensors of bytes are looked into as files.
    files: bool,
}

impl ChunkedUnit {
    /// Makes one. The method needs no profile.
    pub(crate) fn of(method: Box<dyn ChunkedMethod>) -> ChunkedUnit {
        ChunkedUnit {
            method,
            files: false,
        }
    }

    /// Makes one that takes a tensor of bytes for a file, of whose tensors and other parts each is one of the unit. The
    /// method takes all types.
    pub(crate) fn of_files(method: Box<dyn ChunkedMethod>) -> ChunkedUnit {
        ChunkedUnit {
            method,
            files: true,
        }
    }

    /// The tensors that are coded, in place of those that are given: all of their bytes, in order.
    fn tensors<'a>(&self, given: &[TensorView<'a>]) -> Vec<OwnedView<'a>> {
        let mut tensors = Vec::new();
        for view in given {
            if !(self.files && view.dtype == Dtype::U8) {
                tensors.push(OwnedView {
                    name: view.name.to_owned(),
                    dtype: view.dtype,
                    shape: view.shape.to_vec(),
                    data: view.data,
                });
                continue;
            }
            let (parts, _) = formats::parts(view.data);
            tensors.extend(parts.into_iter().map(|part| {
                let data = view.data.get(part.range).unwrap_or(&[]);
                match part.tensor {
                    Some(tensor) => OwnedView {
                        name: format!("{} of {}", tensor.name, view.name),
                        dtype: tensor.dtype,
                        shape: tensor.shape,
                        data,
                    },
                    None => OwnedView {
                        name: view.name.to_owned(),
                        dtype: Dtype::U8,
                        shape: vec![data.len() as u64],
                        data,
                    },
                }
            }));
        }
        tensors
    }
}

/// A tensor whose description is its own.
struct OwnedView<'a> {
    name: String,
    dtype: Dtype,
    shape: Vec<u64>,
    data: &'a [u8],
}

impl Method for ChunkedUnit {
    fn name(&self) -> String {
        self.method.name()
    }

    fn encode(
        &self,
        tensors: &[TensorView<'_>],
        profile: Option<&[u8]>,
        out: &mut dyn Write,
    ) -> Result<Accounting, EncodeError> {
        refuse_profile(self, profile)?;
        let total = check_tensors(self, tensors)?;
        let mut out = CountingWriter::new(out);
        let mut accounting = Accounting::default();
        let mut bytes = vec![self.method.version()];
        let tensors = self.tensors(tensors);
        write_varint(&mut bytes, tensors.len() as u64);
        write_varint(&mut bytes, total);
        let mut encoded = Vec::new();
        for tensor in &tensors {
            let view = TensorView {
                name: &tensor.name,
                dtype: tensor.dtype,
                shape: &tensor.shape,
                data: tensor.data,
            };
            let chunks = self.method.fit(&view)?;
            let name = view.dtype.name();
            write_varint(&mut bytes, name.len() as u64);
            bytes.extend_from_slice(name.as_bytes());
            write_varint(&mut bytes, view.shape.len() as u64);
            for &length in view.shape {
                write_varint(&mut bytes, length);
            }
            write_varint(&mut bytes, chunks.tables().len() as u64);
            bytes.extend_from_slice(chunks.tables());
            accounting.tables += chunks.tables().len() as u64;
            let length = usize::try_from(chunks.chunk_bytes()).unwrap_or(usize::MAX);
            let mut first = 0;
            for data in view.data.chunks(length) {
                encoded.clear();
                chunks.encode(first, data, &mut encoded)?;
                first += data.len() as u64;
                write_varint(&mut bytes, encoded.len() as u64);
                out.put(&bytes)?;
                bytes.clear();
                out.put(&encoded)?;
                accounting.payload += encoded.len() as u64;
            }
        }
        out.put(&bytes)?;
        accounting.container = out.written() - accounting.payload - accounting.tables;
        Ok(accounting)
    }

    fn decode(
        &self,
        encoded: &[u8],
        profile: Option<&[u8]>,
        out: &mut dyn Write,
    ) -> Result<(), DecodeError> {
        refuse_profile_to_decode(self, profile)?;
        let mut reader = ByteReader::new(encoded);
        let version = reader.byte("version")?;
        if version != self.method.version() {
            return Err(DecodeError::Field {
                what: "version",
                at: 0,
                expected: "the one that this method writes",
                found: version.into(),
            });
        }
        let tensors = reader.varint("number of tensors")?;
        let at = reader.at();
        let total = reader.varint("bytes of all tensors")?;
        let refuse = DecodeError::Field {
            what: "bytes of all tensors",
            at,
            expected: "the sum of the tensors'",
            found: total,
        };
        let mut left = total;
        let mut data = Vec::new();
        for _ in 0..tensors {
            let (dtype, shape) = read_type(&mut reader)?;
            let tables = reader.varint("bytes of tables")?;
            let tables = reader.take(tables, "tables")?;
            let bytes = dtype.bytes_for(&shape);
            let Some((bytes, after)) = bytes.zip(bytes.and_then(|bytes| left.checked_sub(bytes)))
            else {
                return Err(refuse);
            };
            left = after;
            let chunks = self.method.open(dtype, &shape, tables)?;
            let mut first = 0;
            while first < bytes {
                let length = chunks.chunk_bytes().clamp(1, bytes - first);
                let encoded = reader.varint("bytes of a chunk")?;
                let encoded = reader.take(encoded, "chunk")?;
                // Chunks are of 8 MiB at most.
                data.resize(usize::try_from(length).unwrap_or(0), 0);
                chunks.decode(first, encoded, &mut data)?;
                put_decoded(out, &data)?;
                first += length;
            }
        }
        if left > 0 {
            return Err(refuse);
        }
        reader.finish()
    }

    fn takes(&self, dtype: Dtype) -> bool {
        self.method.takes(dtype)
    }

    fn encode_memory(&self, _bytes: u64) -> u64 {
        MEMORY
    }

    fn decode_memory(&self, _bytes: u64) -> u64 {
        MEMORY
    }
}

/// Takes the type and the shape of a tensor.
fn read_type(reader: &mut ByteReader<'_>) -> Result<(Dtype, Vec<u64>), DecodeError> {
    let at = reader.at();
    let length = reader.varint("length of a type")?;
    let name = reader.take(length, "type of a tensor")?;
    let dtype = std::str::from_utf8(name).ok().and_then(Dtype::from_name);
    let dtype = dtype.ok_or(DecodeError::Field {
        what: "type of a tensor",
        at,
        expected: "the name of one",
        found: length,
    })?;
    let at = reader.at();
    let axes = reader.varint("number of axes")?;
    if axes > MOST_AXES {
        return Err(DecodeError::Field {
            what: "number of axes",
            at,
            expected: "64 at most",
            found: axes,
        });
    }
    let mut shape = Vec::new();
    for _ in 0..axes {
        shape.push(reader.varint("length of an axis")?);
    }
    Ok((dtype, shape))
}

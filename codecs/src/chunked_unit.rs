//! Units of methods that work in chunks: what a container has of a tensor, in a row.
//!
//! | field | |
//! | --- | --- |
//! | version | 1 byte |
//! | number of tensors | variable-length integer |
//! | bytes of all tensors | variable-length integer |
//! | per tensor: type | its length as a variable-length integer, and its name |
//! | … number of axes, and the length of each | variable-length integers |
//! | … which tensor of the same shape it is given, 0 for none, 1 for the first | variable-length integer |
//! | … what its chunks share | its length, and it |
//! | … each chunk | its length, and it |
//!
//! How many chunks there are follows from the size of the tensor. The number of all bytes guards those of the tensors, on
//! which nothing else need depend where blocks repeat themselves.

use std::io::Write;

use crate::accounting::Accounting;
use crate::bytes::{ByteReader, CountingWriter, put_decoded, write_varint};
use crate::chunked::{ChunkedMethod, Chunks, same_elements};
use crate::error::{DecodeError, EncodeError};
use crate::formats;
use crate::method::Method;
use crate::pairs::pairs;
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

impl<'a> OwnedView<'a> {
    fn view(&self) -> TensorView<'_> {
        TensorView {
            name: &self.name,
            dtype: self.dtype,
            shape: &self.shape,
            data: self.data,
        }
    }
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
        let views: Vec<TensorView<'_>> = tensors.iter().map(OwnedView::view).collect();
        let pairs = pairs(self.method.as_ref(), &views);
        write_varint(&mut bytes, tensors.len() as u64);
        write_varint(&mut bytes, total);
        let mut encoded = Vec::new();
        for (view, pair) in views.iter().zip(&pairs) {
            let given = pair.and_then(|number| views.get(number));
            let chunks = self.method.fit(view, given)?;
            let own = chunks.chunk_bytes();
            let mut of_given = given.map(|given| {
                let length = same_elements(own, view.dtype, given.dtype);
                given.data.chunks(length)
            });
            let name = view.dtype.name();
            write_varint(&mut bytes, name.len() as u64);
            bytes.extend_from_slice(name.as_bytes());
            write_varint(&mut bytes, view.shape.len() as u64);
            for &length in view.shape {
                write_varint(&mut bytes, length);
            }
            write_varint(&mut bytes, pair.map_or(0, |number| number as u64 + 1));
            write_varint(&mut bytes, chunks.tables().len() as u64);
            bytes.extend_from_slice(chunks.tables());
            accounting.tables += chunks.tables().len() as u64;
            let length = usize::try_from(own).unwrap_or(usize::MAX);
            let mut first = 0;
            for data in view.data.chunks(length) {
                encoded.clear();
                let given = of_given.as_mut().and_then(Iterator::next);
                chunks.encode(first, data, given.unwrap_or(&[]), &mut encoded)?;
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
        let mut parts: Vec<Part<'_>> = Vec::new();
        for _ in 0..tensors {
            let part = Part::read(self.method.as_ref(), &mut reader, tensors)?;
            let Some(after) = left.checked_sub(part.bytes) else {
                return Err(refuse);
            };
            left = after;
            parts.push(part);
        }
        if left > 0 {
            return Err(refuse);
        }
        reader.finish()?;
        let (mut data, mut of_given) = (Vec::new(), Vec::new());
        for part in &parts {
            let chunks = part.open(self.method.as_ref(), &parts)?;
            let given = part.given(&parts)?;
            let finer = match given {
                Some(given) => Some((given, given.open(self.method.as_ref(), &parts)?)),
                None => None,
            };
            for number in 0..part.chunks.len() {
                of_given.clear();
                if let Some((given, chunks)) = &finer {
                    given.decode(&**chunks, number, &[], &mut of_given)?;
                }
                part.decode(&*chunks, number, &of_given, &mut data)?;
                put_decoded(out, &data)?;
            }
        }
        Ok(())
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

/// A tensor of a unit, and where its chunks are.
struct Part<'a> {
    dtype: Dtype,
    shape: Vec<u64>,
    bytes: u64,
    /// The number of the tensor that it is given.
    given: Option<usize>,
    tables: &'a [u8],
    chunks: Vec<&'a [u8]>,
    /// Where its description begins.
    at: u64,
}

impl<'a> Part<'a> {
    fn read(
        method: &dyn ChunkedMethod,
        reader: &mut ByteReader<'a>,
        tensors: u64,
    ) -> Result<Part<'a>, DecodeError> {
        let at = reader.at();
        let (dtype, shape) = read_type(reader)?;
        let bytes = dtype.bytes_for(&shape).ok_or(DecodeError::Field {
            what: "shape of a tensor",
            at,
            expected: "one that elements of its type can have",
            found: shape.last().copied().unwrap_or(0),
        })?;
        let place = reader.at();
        let number = reader.varint("number of the given tensor")?;
        if number > tensors {
            return Err(DecodeError::Field {
                what: "number of the given tensor",
                at: place,
                expected: "0, or the number of a tensor",
                found: number,
            });
        }
        let tables = reader.varint("bytes of tables")?;
        let mut part = Part {
            dtype,
            shape,
            bytes,
            // No more than there are, each of which takes a byte.
            given: number.checked_sub(1).map(|number| number as usize),
            tables: reader.take(tables, "tables")?,
            chunks: Vec::new(),
            at,
        };
        // Without its tables: what is shared does not change how long chunks are.
        let opened = method.open(dtype, &part.shape, None, &[])?;
        for _ in 0..bytes.div_ceil(opened.chunk_bytes().max(1)) {
            let length = reader.varint("bytes of a chunk")?;
            part.chunks.push(reader.take(length, "chunk")?);
        }
        Ok(part)
    }

    /// The tensor that it is given, which is of its shape and a finer type, and has none itself.
    fn given<'p>(&self, parts: &'p [Part<'a>]) -> Result<Option<&'p Part<'a>>, DecodeError> {
        let Some(number) = self.given else {
            return Ok(None);
        };
        let given = parts.get(number);
        let given = given.filter(|given| given.shape == self.shape && given.given.is_none());
        given.map(Some).ok_or(DecodeError::Field {
            what: "given tensor",
            at: self.at,
            expected: "one of the same shape that is given none itself",
            found: number as u64,
        })
    }

    fn open(
        &self,
        method: &dyn ChunkedMethod,
        parts: &[Part<'a>],
    ) -> Result<Box<dyn Chunks>, DecodeError> {
        let given = self.given(parts)?.map(|given| given.dtype);
        if let Some(given) = given
            && !method.takes_given(self.dtype, given)
        {
            return Err(DecodeError::Field {
                what: "given tensor",
                at: self.at,
                expected: "one of a type that this one can be given",
                found: given.block().bytes.into(),
            });
        }
        method.open(self.dtype, &self.shape, given, self.tables)
    }

    /// Decodes a chunk into `data`, given the same one of another tensor.
    fn decode(
        &self,
        chunks: &dyn Chunks,
        number: usize,
        given: &[u8],
        data: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        let first = (number as u64).saturating_mul(chunks.chunk_bytes());
        let length = chunks.chunk_bytes().min(self.bytes.saturating_sub(first));
        // Chunks are of 8 MiB at most.
        data.resize(usize::try_from(length).unwrap_or(0), 0);
        let encoded = self.chunks.get(number).copied().unwrap_or(&[]);
        chunks.decode(first, encoded, given, data)
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

//! GGUF, versions 2 and 3, little-endian.
//!
//! Numbers are little-endian throughout. A text is a `u64` length and that many bytes.
//!
//! | field | type |
//! | --- | --- |
//! | `GGUF` | 4 bytes |
//! | version | `u32` |
//! | number of tensors | `u64` |
//! | number of entries of the metadata | `u64` |
//! | per entry: key | text |
//! | … type of the value (below) | `u32` |
//! | … value | |
//! | per tensor: name | text |
//! | … number of dimensions | `u32` |
//! | … dimensions, the fastest first | `u64` each |
//! | … type, see `types.rs` | `u32` |
//! | … where its data begins, from the start of the data | `u64` |
//! | padding up to a multiple of the alignment, from where on the data is | bytes |
//! | data of the tensors, each from a multiple of the alignment on | bytes |
//!
//! Types of values: 0 U8, 1 I8, 2 U16, 3 I16, 4 U32, 5 I32, 6 F32, 7 truth value in a byte, 8 text, 9 array, 10 U64,
//! 11 I64, 12 F64. An array is the type of its elements, a `u32`, their number, a `u64`, and the elements. The
//! alignment is `general.alignment` of the metadata, 32 where that is missing. Version 3 differs from 2 in that it may
//! be big-endian.
//!
//! **Shapes.** The file gives the dimensions of a tensor with the fastest first, `[columns, rows]`; here they are
//! turned round, `[rows, columns]`, as in all other formats. The last one is that of a row, which blocks lie along.
//!
//! **Every byte is told.** The format lets writers leave gaps, and many pad what follows the last tensor.
//! [`Gguf::sections`] cuts the file into what it consists of, without a gap, so that a file can be put together again
//! byte for byte.

mod error;
mod fields;
pub mod split;
mod types;
mod value;

use std::collections::HashSet;
use std::ops::Range;

pub use error::GgufError;
pub use types::{dtype_of, number_of};
pub use value::{ARRAY_MAX_DEPTH, Array, MetadataEntry, Value, ValueType};

use self::fields::Fields;
use super::TensorEntry;
use crate::tensor::Dtype;

/// Longest key and longest name of a tensor that is read, in bytes: what the format allows for keys.
pub const NAME_MAX_BYTES: u64 = 65_535;
/// The most dimensions of a tensor: as many as ggml has.
pub const DIMENSIONS_MAX: u32 = 4;

const MAGIC: [u8; 4] = *b"GGUF";
const ALIGNMENT: &str = "general.alignment";
const ALIGNMENT_DEFAULT: u64 = 32;
/// The fewest bytes of an entry: the length of its key, its type, and a byte.
const ENTRY_LEAST_BYTES: u64 = 13;
/// The fewest bytes that describe a tensor: the length of its name, its number of dimensions, its type and its offset.
const TENSOR_LEAST_BYTES: u64 = 24;

/// What a GGUF file holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Gguf<'a> {
    /// Version of the file's layout, 2 or 3.
    pub version: u32,
    /// Its metadata, in file order.
    pub metadata: Vec<MetadataEntry<'a>>,
    /// What tensors begin at multiples of, counted from the start of the data.
    pub alignment: u64,
    /// Its tensors, in the order of their data.
    pub tensors: Vec<GgufTensor<'a>>,
    /// Offset of the first byte of data, or the end of a file without tensors.
    pub data_offset: u64,
    /// The parts of the file, each with its end.
    ends: Vec<(Part, u64)>,
}

/// A tensor of a GGUF file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GgufTensor<'a> {
    /// Its name, unique in the file.
    pub name: &'a str,
    /// The number of its type.
    pub type_number: u32,
    /// Its type, if the number is known.
    pub dtype: Option<Dtype>,
    /// Its dimensions, outermost first; empty for a scalar.
    pub shape: Vec<u64>,
    /// Offset of its first byte from the start of the file.
    pub offset: u64,
    /// Bytes of its data. Where the type is not known, all up to the next tensor or the end of the file.
    pub bytes: u64,
}

/// What a stretch of a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The first 24 bytes: magic, version and counts.
    Header,
    /// The entries of the metadata.
    Metadata,
    /// What describes the tensors.
    TensorInfos,
    /// The data of the tensor at this place in [`Gguf::tensors`].
    Tensor(usize),
    /// What belongs to nothing: the bytes up to the next multiple of the alignment, gaps, and what follows the end. It
    /// is zeros as a rule, and not by any.
    Padding,
}

/// A stretch of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// What it is.
    pub part: Part,
    /// Where it is in the file; never empty.
    pub range: Range<u64>,
}

impl<'a> Gguf<'a> {
    /// The value of a key.
    pub fn value(&self, key: &str) -> Option<Value<'a>> {
        let entry = self.metadata.iter().find(|entry| entry.key == key);
        entry.map(|entry| entry.value)
    }

    /// The whole file, stretch by stretch, without gaps.
    pub fn sections(&self) -> impl Iterator<Item = Section> {
        let starts = [0].into_iter().chain(self.ends.iter().map(|(_, end)| *end));
        starts
            .zip(&self.ends)
            .filter(|(start, (_, end))| start < end)
            .map(|(start, (part, end))| Section {
                part: *part,
                range: start..*end,
            })
    }

    /// The tensors as entries of a file of any format, see [`GgufTensor::entry`].
    pub fn entries(&self) -> Vec<TensorEntry> {
        self.tensors.iter().map(GgufTensor::entry).collect()
    }
}

impl GgufTensor<'_> {
    /// The tensor as an entry of a file of any format. One whose type is not known is a row of plain bytes, of
    /// [`Dtype::U8`], which GGUF has no tensors of otherwise.
    pub fn entry(&self) -> TensorEntry {
        let (dtype, shape) = match self.dtype {
            Some(dtype) => (dtype, self.shape.clone()),
            None => (Dtype::U8, vec![self.bytes]),
        };
        TensorEntry {
            name: self.name.to_owned(),
            dtype,
            shape,
            offset: self.offset,
            bytes: self.bytes,
        }
    }
}

/// Whether a file begins as GGUF files do.
pub fn looks_like(file: &[u8]) -> bool {
    file.starts_with(&MAGIC)
}

/// Reads all that describes the tensors of `file`, and checks it against the file's length. Their data is not touched.
///
/// # Errors
///
/// One for each way in which a file can be unsound, see [`GgufError`].
pub fn read(file: &[u8]) -> Result<Gguf<'_>, GgufError> {
    let mut fields = Fields::new(file);
    let version = read_version(&mut fields)?;
    let counts_at = fields.at();
    let tensor_count = fields.u64("number of tensors")?;
    let entry_count = fields.u64("number of metadata entries")?;
    let header_end = fields.at();
    let what = "number of metadata entries";
    fields.check_count(entry_count, ENTRY_LEAST_BYTES, counts_at + 8, what)?;
    let what = "number of tensors";
    fields.check_count(tensor_count, TENSOR_LEAST_BYTES, counts_at, what)?;

    let metadata = read_metadata(&mut fields, entry_count)?;
    let metadata_end = fields.at();
    let alignment = alignment(&metadata)?;
    fields.check_count(tensor_count, TENSOR_LEAST_BYTES, counts_at, what)?;
    let infos = read_infos(&mut fields, tensor_count, alignment)?;
    let infos_end = fields.at();

    let length = file.len() as u64;
    let data_offset = match infos.as_slice() {
        // There is nothing to align, and some writers end the file here.
        [] => length.min(infos_end.saturating_add(padding(infos_end, alignment))),
        _ => infos_end.saturating_add(padding(infos_end, alignment)),
    };
    let tensors = place(infos, data_offset, length)?;

    let mut ends = vec![
        (Part::Header, header_end),
        (Part::Metadata, metadata_end),
        (Part::TensorInfos, infos_end),
    ];
    for (index, tensor) in tensors.iter().enumerate() {
        ends.push((Part::Padding, tensor.offset));
        ends.push((Part::Tensor(index), tensor.offset + tensor.bytes));
    }
    ends.push((Part::Padding, length));
    Ok(Gguf {
        version,
        metadata,
        alignment,
        tensors,
        data_offset,
        ends,
    })
}

/// Bytes from `at` to the next multiple of `alignment`.
fn padding(at: u64, alignment: u64) -> u64 {
    (alignment - at % alignment) % alignment
}

fn read_version(fields: &mut Fields<'_>) -> Result<u32, GgufError> {
    let found: [u8; 4] = fields.array("`GGUF`")?;
    if found != MAGIC {
        return Err(GgufError::Magic { found });
    }
    let version = fields.u32("version")?;
    match (version, version.swap_bytes()) {
        (2 | 3, _) => Ok(version),
        (1, _) => Err(GgufError::Version1),
        // Swapped, a small number has its lower half empty.
        (_, version @ 1..=0xffff) => Err(GgufError::BigEndian { version }),
        _ => Err(GgufError::Version { found: version }),
    }
}

fn read_metadata<'a>(
    fields: &mut Fields<'a>,
    count: u64,
) -> Result<Vec<MetadataEntry<'a>>, GgufError> {
    let mut keys = HashSet::new();
    let mut metadata = Vec::new();
    for _ in 0..count {
        let offset = fields.at();
        let key = fields.name("key")?;
        if !keys.insert(key) {
            return Err(GgufError::DuplicateKey {
                key: key.to_owned(),
                at: offset,
            });
        }
        let value = value::typed_value(fields)?;
        metadata.push(MetadataEntry { key, value, offset });
    }
    Ok(metadata)
}

fn alignment(metadata: &[MetadataEntry<'_>]) -> Result<u64, GgufError> {
    let Some(entry) = metadata.iter().find(|entry| entry.key == ALIGNMENT) else {
        return Ok(ALIGNMENT_DEFAULT);
    };
    match entry.value {
        Value::U32(alignment) if alignment.is_power_of_two() => Ok(alignment.into()),
        value => Err(GgufError::Alignment {
            at: entry.offset,
            found: match value {
                Value::U32(number) => number.to_string(),
                Value::Text(_) => "a text".to_owned(),
                Value::Array(_) => "an array".to_owned(),
                number => format!("{number:?}"),
            },
        }),
    }
}

/// A tensor as the file describes it, all but its place checked.
struct Info<'a> {
    name: &'a str,
    type_number: u32,
    dtype: Option<Dtype>,
    shape: Vec<u64>,
    /// From the start of the data.
    offset: u64,
    /// `None` if the type is not known.
    bytes: Option<u64>,
}

fn read_infos<'a>(
    fields: &mut Fields<'a>,
    count: u64,
    alignment: u64,
) -> Result<Vec<Info<'a>>, GgufError> {
    let mut names = HashSet::new();
    let mut infos = Vec::new();
    for _ in 0..count {
        let at = fields.at();
        let info = read_info(fields, alignment)?;
        if !names.insert(info.name) {
            return Err(GgufError::DuplicateTensor {
                tensor: info.name.to_owned(),
                at,
            });
        }
        infos.push(info);
    }
    Ok(infos)
}

fn read_info<'a>(fields: &mut Fields<'a>, alignment: u64) -> Result<Info<'a>, GgufError> {
    let at = fields.at();
    let name = fields.name("name of a tensor")?;
    let rank = fields.u32("number of dimensions")?;
    let tensor = || name.to_owned();
    if rank > DIMENSIONS_MAX {
        return Err(GgufError::Dimensions {
            tensor: tensor(),
            at,
            found: rank,
            most: DIMENSIONS_MAX,
        });
    }
    let mut shape = (0..rank)
        .map(|_| fields.u64("dimension"))
        .collect::<Result<Vec<u64>, GgufError>>()?;
    shape.reverse();
    let type_number = fields.u32("type of a tensor")?;
    let offset = fields.u64("offset of a tensor")?;

    if shape.contains(&0) {
        return Err(GgufError::EmptyDimension {
            tensor: tensor(),
            at,
            shape,
        });
    }
    let dtype = dtype_of(type_number);
    let bytes = match dtype {
        Some(dtype) => {
            let block = dtype.block();
            let row = shape.last().copied().unwrap_or(1);
            if !row.is_multiple_of(block.elements.into()) {
                return Err(GgufError::RowLength {
                    tensor: tensor(),
                    at,
                    dtype,
                    block,
                    found: row,
                });
            }
            dtype.bytes_for(&shape)
        }
        // Of the size nothing is known but that it is one.
        None => Dtype::U8.bytes_for(&shape),
    };
    if bytes.is_none() {
        return Err(GgufError::ShapeSize {
            tensor: tensor(),
            at,
            shape,
        });
    }
    if !offset.is_multiple_of(alignment) {
        return Err(GgufError::Unaligned {
            tensor: tensor(),
            at,
            found: offset,
            alignment,
        });
    }
    Ok(Info {
        name,
        type_number,
        bytes: bytes.filter(|_| dtype.is_some()),
        dtype,
        shape,
        offset,
    })
}

/// Puts the tensors into the order of their data and checks that they lie in the file and none in another.
fn place(
    mut infos: Vec<Info<'_>>,
    data_offset: u64,
    length: u64,
) -> Result<Vec<GgufTensor<'_>>, GgufError> {
    infos.sort_by_key(|info| info.offset);
    let mut tensors: Vec<GgufTensor<'_>> = Vec::new();
    let mut rest = infos.into_iter().peekable();
    while let Some(info) = rest.next() {
        let offset = data_offset.saturating_add(info.offset);
        if let Some(before) = tensors.last() {
            let end = before.offset + before.bytes;
            // A tensor of an unknown type may have been left with nothing.
            if offset < end || before.bytes == 0 {
                return Err(GgufError::Overlap {
                    tensor: info.name.to_owned(),
                    offset,
                    other: before.name.to_owned(),
                    end,
                });
            }
        }
        let left = length.saturating_sub(offset);
        let bytes = info.bytes.unwrap_or_else(|| match rest.peek() {
            Some(next) => next.offset - info.offset,
            None => left.max(1),
        });
        if bytes > left {
            return Err(GgufError::Outside {
                tensor: info.name.to_owned(),
                offset,
                expected: bytes,
                end: length,
            });
        }
        tensors.push(GgufTensor {
            name: info.name,
            type_number: info.type_number,
            dtype: info.dtype,
            shape: info.shape,
            offset,
            bytes,
        });
    }
    Ok(tensors)
}

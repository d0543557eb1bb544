//! safetensors: a length, a JSON header, and the tensors' data without gaps.
//!
//! Layout: a little-endian `u64` N; N bytes of JSON, from `{` to `}` and then spaces; the data. The header maps each
//! name to `{"dtype", "shape", "data_offsets": [begin, end]}`, offsets counting from the end of the header, and
//! `__metadata__`, where present, to a map of texts. See <https://github.com/huggingface/safetensors#format>.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use thiserror::Error;

use super::TensorEntry;
use crate::tensor::Dtype;

/// Longest header that is read, in bytes: what the format's own implementation allows.
pub const HEADER_MAX_BYTES: u64 = 100_000_000;

const METADATA: &str = "__metadata__";
const LENGTH_BYTES: u64 = 8;

/// What a safetensors file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Safetensors {
    /// Its free-form metadata, in the header's order.
    pub metadata: Vec<(String, String)>,
    /// Its tensors, in the order of their data. Offsets count from the start of the file.
    pub tensors: Vec<TensorEntry>,
    /// Offset of the first byte of data: the header and its length come before.
    pub data_offset: u64,
}

/// Why a file is not a safetensors file, or not a sound one.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SafetensorsError {
    /// The file ends within the header's length.
    #[error("the header's length takes 8 bytes, the file has {found}")]
    TooShort {
        /// Bytes of the file.
        found: u64,
    },
    /// The header is longer than is sensible.
    #[error("the header is {found} bytes long, at most {limit} are read")]
    HeaderTooLong {
        /// The length that the file gives.
        found: u64,
        /// The limit, [`HEADER_MAX_BYTES`].
        limit: u64,
    },
    /// The file ends within the header.
    #[error("the header takes {expected} bytes from byte 8 on, {found} are left")]
    HeaderTruncated {
        /// The length that the file gives.
        expected: u64,
        /// Bytes after the length.
        found: u64,
    },
    /// The header does not begin with `{`, which the format demands so that the file is nothing else as well.
    #[error("the header must begin with {{ at byte 8, found byte {found:?}")]
    HeaderStart {
        /// The first byte; `None` if the header is empty.
        found: Option<u8>,
    },
    /// The header is not UTF-8.
    #[error("the header is not UTF-8 at byte {at}")]
    HeaderUtf8 {
        /// Offset in the file of the first byte that is not.
        at: u64,
    },
    /// The header is not JSON, or not of the right form.
    #[error("the header's JSON, column {column} of line {line}")]
    HeaderJson {
        /// Line in the header, from 1.
        line: usize,
        /// Column in that line, from 1.
        column: usize,
        /// What the JSON reader said.
        source: serde_json::Error,
    },
    /// Two tensors, or two entries of the metadata, share a name.
    #[error("the name `{name}` occurs twice in the header")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A tensor's type is none that the format knows.
    #[error("tensor `{tensor}` has the unknown dtype `{found}`")]
    UnknownDtype {
        /// The tensor.
        tensor: String,
        /// The type that the header names.
        found: String,
    },
    /// A tensor's size does not fit 64 bits, or is no whole number of bytes.
    #[error("tensor `{tensor}`: {dtype} of shape {shape:?} takes no number of bytes")]
    ShapeSize {
        /// The tensor.
        tensor: String,
        /// Its type.
        dtype: Dtype,
        /// Its shape.
        shape: Vec<u64>,
    },
    /// A tensor ends before it begins.
    #[error("tensor `{tensor}` begins at {begin} and ends at {end} of the data")]
    SpanReversed {
        /// The tensor.
        tensor: String,
        /// Where it begins, from the start of the data.
        begin: u64,
        /// Where it ends.
        end: u64,
    },
    /// A tensor's span is not as long as its type and shape say.
    #[error("tensor `{tensor}` spans {found} bytes, its dtype and shape take {expected}")]
    SpanLength {
        /// The tensor.
        tensor: String,
        /// Bytes that dtype and shape take.
        expected: u64,
        /// Bytes between its offsets.
        found: u64,
    },
    /// There is data before a tensor that belongs to none.
    #[error("tensor `{tensor}` begins at {found} of the data, with a hole from {expected} on")]
    Hole {
        /// The tensor after the hole.
        tensor: String,
        /// Where the one before ends.
        expected: u64,
        /// Where it begins.
        found: u64,
    },
    /// A tensor begins within another.
    #[error("tensor `{tensor}` begins at {found} of the data, within one that ends at {expected}")]
    Overlap {
        /// The tensor that begins too early.
        tensor: String,
        /// Where the one before ends.
        expected: u64,
        /// Where it begins.
        found: u64,
    },
    /// The file ends within the data of the tensors.
    #[error("the tensors take {expected} bytes from byte {at} on, {found} are left")]
    DataTruncated {
        /// Where the data begins.
        at: u64,
        /// Bytes that the tensors take.
        expected: u64,
        /// Bytes that are left.
        found: u64,
    },
    /// Bytes follow the last tensor.
    #[error("{found} bytes follow the last tensor at byte {at}")]
    Trailing {
        /// Where the last tensor ends.
        at: u64,
        /// Bytes that follow.
        found: u64,
    },
}

/// Whether the first bytes look like safetensors: a plausible length, and then `{`.
pub fn looks_like(file: &[u8]) -> bool {
    match file.split_first_chunk() {
        Some((length, rest)) => {
            let length = u64::from_le_bytes(*length);
            (2..=HEADER_MAX_BYTES).contains(&length) && rest.first() == Some(&b'{')
        }
        None => false,
    }
}

/// Reads the header of `file` and checks it against the file's length. The data is not touched.
///
/// # Errors
///
/// One for each way in which a file can be unsound, see [`SafetensorsError`].
pub fn read(file: &[u8]) -> Result<Safetensors, SafetensorsError> {
    let header = header(file)?;
    let raw = parse(header)?;
    let data_offset = LENGTH_BYTES + header.len() as u64;
    let data_bytes = file.len() as u64 - data_offset;

    let mut names = HashSet::new();
    let mut spans = Vec::new();
    for (name, tensor) in raw.tensors {
        if !names.insert(name.clone()) {
            return Err(SafetensorsError::DuplicateName { name });
        }
        spans.push(Span::new(name, tensor)?);
    }
    // Stable, so that empty tensors at the same place stay in the header's order.
    spans.sort_by_key(|span| (span.begin, span.end));

    let mut expected = 0;
    let mut tensors = Vec::new();
    for span in spans {
        let (tensor, found) = (span.name, span.begin);
        if found > expected {
            return Err(SafetensorsError::Hole {
                tensor,
                expected,
                found,
            });
        }
        if found < expected {
            return Err(SafetensorsError::Overlap {
                tensor,
                expected,
                found,
            });
        }
        if span.end > data_bytes {
            return Err(SafetensorsError::DataTruncated {
                at: data_offset,
                expected: span.end,
                found: data_bytes,
            });
        }
        expected = span.end;
        tensors.push(TensorEntry {
            name: tensor,
            dtype: span.dtype,
            shape: span.shape,
            offset: data_offset + span.begin,
            bytes: span.end - span.begin,
        });
    }
    if expected != data_bytes {
        return Err(SafetensorsError::Trailing {
            at: data_offset + expected,
            found: data_bytes - expected,
        });
    }
    Ok(Safetensors {
        metadata: raw.metadata,
        tensors,
        data_offset,
    })
}

fn header(file: &[u8]) -> Result<&str, SafetensorsError> {
    let Some((length, rest)) = file.split_first_chunk() else {
        return Err(SafetensorsError::TooShort {
            found: file.len() as u64,
        });
    };
    let length = u64::from_le_bytes(*length);
    if length > HEADER_MAX_BYTES {
        return Err(SafetensorsError::HeaderTooLong {
            found: length,
            limit: HEADER_MAX_BYTES,
        });
    }
    let header = usize::try_from(length)
        .ok()
        .and_then(|length| rest.get(..length))
        .ok_or(SafetensorsError::HeaderTruncated {
            expected: length,
            found: rest.len() as u64,
        })?;
    if header.first() != Some(&b'{') {
        return Err(SafetensorsError::HeaderStart {
            found: header.first().copied(),
        });
    }
    std::str::from_utf8(header).map_err(|error| SafetensorsError::HeaderUtf8 {
        at: LENGTH_BYTES + error.valid_up_to() as u64,
    })
}

fn parse(header: &str) -> Result<RawHeader, SafetensorsError> {
    let raw: RawHeader =
        serde_json::from_str(header).map_err(|source| SafetensorsError::HeaderJson {
            line: source.line(),
            column: source.column(),
            source,
        })?;
    match raw.duplicate {
        Some(name) => Err(SafetensorsError::DuplicateName { name }),
        None => Ok(raw),
    }
}

/// A tensor as the header gives it, its size checked.
struct Span {
    name: String,
    dtype: Dtype,
    shape: Vec<u64>,
    begin: u64,
    end: u64,
}

impl Span {
    fn new(name: String, raw: RawTensor) -> Result<Self, SafetensorsError> {
        let dtype = Dtype::from_name(&raw.dtype);
        let Some(dtype) = dtype.filter(|dtype| !dtype.is_block_quantised()) else {
            return Err(SafetensorsError::UnknownDtype {
                tensor: name,
                found: raw.dtype,
            });
        };
        let (begin, end) = raw.data_offsets;
        let Some(found) = end.checked_sub(begin) else {
            return Err(SafetensorsError::SpanReversed {
                tensor: name,
                begin,
                end,
            });
        };
        let Some(expected) = dtype.bytes_for(&raw.shape) else {
            return Err(SafetensorsError::ShapeSize {
                tensor: name,
                dtype,
                shape: raw.shape,
            });
        };
        if expected != found {
            return Err(SafetensorsError::SpanLength {
                tensor: name,
                expected,
                found,
            });
        }
        Ok(Span {
            name,
            dtype,
            shape: raw.shape,
            begin,
            end,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTensor {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// The header in its own order. A JSON map would swallow names that occur twice.
#[derive(Default)]
struct RawHeader {
    metadata: Vec<(String, String)>,
    tensors: Vec<(String, RawTensor)>,
    /// The first name to occur twice among the metadata's, or `__metadata__` itself.
    duplicate: Option<String>,
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RawHeaderVisitor)
    }
}

struct RawHeaderVisitor;

impl<'de> Visitor<'de> for RawHeaderVisitor {
    type Value = RawHeader;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader, A::Error> {
        let mut header = RawHeader::default();
        let mut has_metadata = false;
        while let Some(name) = map.next_key::<String>()? {
            if name != METADATA {
                header.tensors.push((name, map.next_value()?));
                continue;
            }
            let Texts(texts) = map.next_value()?;
            let mut seen = HashSet::new();
            let repeated = texts.iter().find(|(key, _)| !seen.insert(key.clone()));
            if let Some((key, _)) = repeated {
                header.duplicate.get_or_insert_with(|| key.clone());
            }
            if has_metadata {
                header.duplicate.get_or_insert_with(|| METADATA.to_owned());
            }
            has_metadata = true;
            header.metadata = texts;
        }
        Ok(header)
    }
}

/// A map of texts in its own order.
struct Texts(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TextsVisitor)
    }
}

struct TextsVisitor;

impl<'de> Visitor<'de> for TextsVisitor {
    type Value = Texts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of texts to texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
        let mut texts = Vec::new();
        while let Some(entry) = map.next_entry()? {
            texts.push(entry);
        }
        Ok(Texts(texts))
    }
}

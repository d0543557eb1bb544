//! The formats of files that hold tensors.
//!
//! Readers trust nothing in a file. What they yield is checked: every tensor lies within the file, none overlap, and
//! the length of each is what its type and shape say.

pub mod ctranslate2;
mod fields;
pub mod gguf;
mod parts;
pub mod safetensors;
pub mod sharded;

pub use parts::{Part, parts};

use crate::tensor::{Dtype, TensorView};

/// A tensor of a file, and where its data is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorEntry {
    /// Its name, unique in the file.
    pub name: String,
    /// Type of its elements.
    pub dtype: Dtype,
    /// Its dimensions, outermost first; empty for a scalar.
    pub shape: Vec<u64>,
    /// Offset of its first byte from the start of the file.
    pub offset: u64,
    /// Bytes of its data.
    pub bytes: u64,
}

impl TensorEntry {
    /// The tensor's data and description, out of the file that the entry was read from.
    ///
    /// `None` where the file is shorter than the one that was read.
    pub fn view<'a>(&'a self, file: &'a [u8]) -> Option<TensorView<'a>> {
        let start = usize::try_from(self.offset).ok()?;
        let end = usize::try_from(self.offset.checked_add(self.bytes)?).ok()?;
        Some(TensorView {
            name: &self.name,
            dtype: self.dtype,
            shape: &self.shape,
            data: file.get(start..end)?,
        })
    }

    /// Number of elements; `None` if it does not fit.
    pub fn elements(&self) -> Option<u64> {
        if self.shape.contains(&0) {
            return Some(0);
        }
        self.shape
            .iter()
            .try_fold(1u64, |count, &dim| count.checked_mul(dim))
    }
}

/// A format that this library reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// See [`safetensors`].
    Safetensors,
    /// See [`ctranslate2`].
    Ctranslate2,
    /// See [`gguf`].
    Gguf,
}

/// The format that the first bytes of a file look like. Reading it may still fail.
///
/// Version 1 of CTranslate2 has nothing to know it by and is not detected.
pub fn detect(file: &[u8]) -> Option<Format> {
    if safetensors::looks_like(file) {
        Some(Format::Safetensors)
    } else if ctranslate2::looks_like(file) {
        Some(Format::Ctranslate2)
    } else if gguf::looks_like(file) {
        Some(Format::Gguf)
    } else {
        None
    }
}

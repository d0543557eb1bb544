//! What of a file is a tensor, and what is not.

use std::ops::Range;

use super::{Format, TensorEntry, ctranslate2, detect, gguf, safetensors};

/// A part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The tensor that it is; `None` for other bytes.
    pub tensor: Option<TensorEntry>,
    /// Where it begins and ends in the file.
    pub range: Range<usize>,
}

/// The parts of a file, in order; they are all of it. The second is why a file that looks like one with tensors is
/// taken for plain bytes.
///
/// Tensors of types that are not known are other bytes.
pub fn parts(data: &[u8]) -> (Vec<Part>, Option<String>) {
    let tensors = match detect(data) {
        Some(Format::Safetensors) => safetensors::read(data)
            .map(|file| file.tensors)
            .map_err(|error| error.to_string()),
        Some(Format::Ctranslate2) => ctranslate2::read(data)
            .map(|file| file.tensors)
            .map_err(|error| error.to_string()),
        Some(Format::Gguf) => gguf::read(data)
            .map(|file| file.entries())
            .map_err(|error| error.to_string()),
        None => Ok(Vec::new()),
    };
    match tensors {
        Ok(mut tensors) => {
            tensors.sort_by_key(|tensor| (tensor.offset, tensor.bytes));
            (between(data.len(), tensors), None)
        }
        Err(problem) => (between(data.len(), Vec::new()), Some(problem)),
    }
}

/// Tensors, which are sorted and do not overlap, and what is between them.
fn between(length: usize, tensors: Vec<TensorEntry>) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut at = 0;
    let bytes = |range: Range<usize>| Part {
        tensor: None,
        range,
    };
    for tensor in tensors {
        let start = tensor.offset as usize;
        if start > at {
            parts.push(bytes(at..start));
        }
        at = start + tensor.bytes as usize;
        parts.push(Part {
            tensor: Some(tensor),
            range: start..at,
        });
    }
    if length > at {
        parts.push(bytes(at..length));
    }
    parts
}

//! What of a file is a tensor.

use llmcl_codecs::formats::{self, Format, TensorEntry, ctranslate2, gguf, safetensors};

use crate::index::TensorInfo;

/// A part of a file, before it is coded.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) tensor: Option<TensorInfo>,
    /// Where it begins and ends in the file.
    pub(crate) range: std::ops::Range<usize>,
}

/// The parts of a file, in order; they are all of it. The second is why a file that looks like one with tensors is
/// taken for plain bytes.
pub(crate) fn parts(data: &[u8]) -> (Vec<Part>, Option<String>) {
    let tensors = match formats::detect(data) {
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
            (between(data.len(), &tensors), None)
        }
        Err(problem) => (between(data.len(), &[]), Some(problem)),
    }
}

/// Tensors, which are sorted and do not overlap, and what is between them.
fn between(length: usize, tensors: &[TensorEntry]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut at = 0;
    for tensor in tensors {
        let start = tensor.offset as usize;
        if start > at {
            parts.push(Part {
                tensor: None,
                range: at..start,
            });
        }
        at = start + tensor.bytes as usize;
        parts.push(Part {
            tensor: Some(TensorInfo {
                name: tensor.name.clone(),
                dtype: tensor.dtype,
                shape: tensor.shape.clone(),
            }),
            range: start..at,
        });
    }
    if length > at {
        parts.push(Part {
            tensor: None,
            range: at..length,
        });
    }
    parts
}

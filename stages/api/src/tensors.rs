//! The artifact that names tensors without copying them.

use serde::{Deserialize, Serialize};

use crate::artifact::{Artifact, ArtifactFile, BlobRef, hex};

/// The name of the file in the artifact.
pub const FILE: &str = "tensors.json";

/// A tensor set: `tensors.json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorSet {
    /// The version of this form; now 1.
    pub version: u32,
    /// The tensors, in the order of their file.
    pub tensors: Vec<Tensor>,
}

/// A tensor: what it is, and where its bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tensor {
    /// Its name in the checkpoint.
    pub name: String,
    /// Its dtype, as safetensors writes it (`BF16`, `F16`, `F32`, …) or GGUF (`Q4_K`, …).
    pub dtype: String,
    /// Its dimensions, the slowest first.
    pub shape: Vec<u64>,
    /// What kind of weight it is: embedding, attention, mlp, norm, head, other.
    pub category: String,
    /// Which part of its category: q, k, v, o, gate, up, down, …
    pub part: Option<String>,
    /// The layer that it belongs to, counted from 0.
    pub layer: Option<u32>,
    /// The digest of its bytes.
    #[serde(with = "hex")]
    pub digest: blake3::Hash,
    /// The blob that holds them.
    pub blob: BlobRef,
    /// Where they start in the blob, in bytes.
    pub offset: u64,
    /// How many bytes they are.
    pub bytes: u64,
}

impl Tensor {
    /// The number of elements; saturates.
    #[must_use]
    pub fn numel(&self) -> u64 {
        self.shape
            .iter()
            .fold(1u64, |product, dim| product.saturating_mul(*dim))
    }
}

impl TensorSet {
    /// Makes a set of the current version.
    #[must_use]
    pub fn new(tensors: Vec<Tensor>) -> Self {
        Self {
            version: 1,
            tensors,
        }
    }

    /// The bytes of all tensors.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.bytes).sum()
    }

    /// Makes the artifact, whose one file has been stored as `file`.
    #[must_use]
    pub fn artifact(&self, file: BlobRef) -> Artifact {
        let files = vec![ArtifactFile {
            name: FILE.to_owned(),
            blob: file,
        }];
        Artifact::new(
            files,
            self.tensors.iter().map(|tensor| tensor.blob).collect(),
        )
    }
}

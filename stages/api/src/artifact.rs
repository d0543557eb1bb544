//! Artifacts: what a task puts out at a port.

use blake3::{Hash, Hasher};
use serde::{Deserialize, Serialize};

/// A blob of the store: its content's BLAKE3 digest and its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobRef {
    /// The digest of the content.
    #[serde(with = "hex")]
    pub digest: Hash,
    /// The length in bytes.
    pub bytes: u64,
}

/// A file of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactFile {
    /// Its path inside the artifact, with `/` between parts; never absolute, never with `..`.
    pub name: String,
    /// Its content.
    pub blob: BlobRef,
}

/// What a task puts out at a port: named files, known by the digest of names and contents.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Artifact {
    files: Vec<ArtifactFile>,
    /// Blobs that the files point into without being part of them, as a tensor set points into a checkpoint.
    referents: Vec<BlobRef>,
}

impl Artifact {
    /// Makes an artifact. Files are put in the order of their names; referents in the order of their digests.
    #[must_use]
    pub fn new(mut files: Vec<ArtifactFile>, mut referents: Vec<BlobRef>) -> Self {
        files.sort_by(|a, b| a.name.cmp(&b.name));
        referents.sort_by_key(|blob| *blob.digest.as_bytes());
        referents.dedup();
        Self { files, referents }
    }

    /// Makes an artifact of one file.
    #[must_use]
    pub fn single(name: impl Into<String>, blob: BlobRef) -> Self {
        let name = name.into();
        Self::new(vec![ArtifactFile { name, blob }], Vec::new())
    }

    /// The files, in the order of their names.
    #[must_use]
    pub fn files(&self) -> &[ArtifactFile] {
        &self.files
    }

    /// The file of that name.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<BlobRef> {
        self.files
            .iter()
            .find(|file| file.name == name)
            .map(|file| file.blob)
    }

    /// The blobs that the files point into.
    #[must_use]
    pub fn referents(&self) -> &[BlobRef] {
        &self.referents
    }

    /// Every blob that must be there for the artifact to be whole.
    pub fn blobs(&self) -> impl Iterator<Item = BlobRef> + '_ {
        self.files
            .iter()
            .map(|file| file.blob)
            .chain(self.referents.iter().copied())
    }

    /// The bytes of files and referents together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.blobs().map(|blob| blob.bytes).sum()
    }

    /// The digest of names and contents. Referents are left out: the files name them.
    #[must_use]
    pub fn digest(&self) -> Hash {
        let mut hasher = Hasher::new_derive_key("llmcl 2026 artifact v1");
        hasher.update(&(self.files.len() as u64).to_le_bytes());
        for file in &self.files {
            hasher.update(&(file.name.len() as u64).to_le_bytes());
            hasher.update(file.name.as_bytes());
            hasher.update(&file.blob.bytes.to_le_bytes());
            hasher.update(file.blob.digest.as_bytes());
        }
        hasher.finalize()
    }
}

/// Digests as hexadecimal text in JSON.
pub mod hex {
    use blake3::Hash;
    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Writes a digest as 64 hexadecimal digits.
    ///
    /// # Errors
    /// Whatever the serializer reports.
    pub fn serialize<S: Serializer>(digest: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(digest.to_hex().as_str())
    }

    /// Reads a digest of 64 hexadecimal digits.
    ///
    /// # Errors
    /// If the text is no such digest.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
        let text = String::deserialize(deserializer)?;
        Hash::from_hex(text.as_bytes()).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(byte: u8) -> BlobRef {
        BlobRef {
            digest: blake3::hash(&[byte]),
            bytes: 1,
        }
    }

    #[test]
    fn the_digest_knows_names_and_contents_but_not_order_or_referents() {
        let file = |name: &str, byte| ArtifactFile {
            name: name.into(),
            blob: blob(byte),
        };
        let one = Artifact::new(vec![file("a", 1), file("b", 2)], vec![]);
        let turned = Artifact::new(vec![file("b", 2), file("a", 1)], vec![blob(9)]);
        assert_eq!(one.digest(), turned.digest());
        let other_name = Artifact::new(vec![file("a", 1), file("c", 2)], vec![]);
        let other_content = Artifact::new(vec![file("a", 1), file("b", 3)], vec![]);
        assert_ne!(one.digest(), other_name.digest());
        assert_ne!(one.digest(), other_content.digest());
    }
}

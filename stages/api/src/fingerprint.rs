//! Fingerprints: the digests of the code that a stage kind or a method runs.
//!
//! Every source file of the codecs, the stage kinds and this contract is either *shared* or part of a *leaf*,
//! the file or folder of exactly one kind or method. A fingerprint covers all shared files, the kind's or
//! method's own leaf, the leaves that it names, and the outside crates. So a change in one leaf touches what
//! uses that leaf, a change in shared code touches all, and nothing else touches anything.

use std::collections::BTreeMap;

use blake3::Hash;

/// The digests of the sources that a program was built from.
#[derive(Debug, Clone, Default)]
pub struct Fingerprints {
    /// The digest of all shared files and of the outside crates.
    pub shared: Option<Hash>,
    /// The digest of each leaf, by its path in the workspace.
    pub leaves: BTreeMap<String, Hash>,
}

impl Fingerprints {
    /// Makes them from what the build script found: the shared digest and a digest for each leaf, in
    /// hexadecimal.
    #[must_use]
    pub fn from_build(shared: &str, leaves: &[(&str, &str)]) -> Self {
        Self {
            shared: Hash::from_hex(shared).ok(),
            leaves: leaves
                .iter()
                .filter_map(|(path, digest)| {
                    Some(((*path).to_owned(), Hash::from_hex(digest).ok()?))
                })
                .collect(),
        }
    }
}

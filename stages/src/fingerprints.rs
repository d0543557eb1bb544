//! The digests of the sources that this program was built from; the build script takes them.

use llmcl_stages_api::fingerprint::Fingerprints;

include!(concat!(env!("OUT_DIR"), "/fingerprints.rs"));

/// The digests of the sources that this program was built from.
#[must_use]
pub fn of_build() -> Fingerprints {
    Fingerprints::from_build(SHARED, LEAVES)
}

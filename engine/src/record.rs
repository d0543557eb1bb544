//! The body of a store record: what a task put out, what its key was made of, and how it went.
//!
//! ```text
//! version      1 byte, now 1
//! outputs      section: count, then for each port: name, count of files (name, blob), count of referents (blob)
//! labels       section: experiment, task, kind as texts, duration in nanoseconds as 64 bits
//! parts        section: count, then for each part: its component's tag, name, value as JSON text
//! how          section: JSON
//! ```
//!
//! A section is a 32-bit length and that many bytes, a text likewise, a count has 32 bits, a blob is a digest and a
//! 64-bit length; all little-endian. Outputs come first and can be read without the rest, because a plan reads
//! those of all tasks. A body of another version is a miss.

use std::time::Duration;

use llmcl_stages_api::artifact::{Artifact, ArtifactFile};
use llmcl_stages_api::task::Outputs;
use llmcl_stages_api::value::Value;
use serde::{Deserialize, Serialize};

use crate::bytes::{self, Reader};
use crate::key::{Component, Part};

const VERSION: u8 = 1;

/// What a record says besides the outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The experiment that the task first ran in.
    pub experiment: String,
    /// The task's name there.
    pub task: String,
    /// Its stage kind.
    pub kind: String,
    /// How long it took, without waiting and failed attempts.
    pub duration: Duration,
    /// What its key was made of.
    pub parts: Vec<Part>,
    /// How it went.
    pub how: How,
}

/// How an execution went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct How {
    /// When it began, in milliseconds since 1970 (UTC).
    pub started: u64,
    /// How many attempts it took.
    pub attempts: u32,
    /// The program that ran it.
    pub build: Build,
}

/// How a program was built. It is recorded, but outputs must not depend on it, so it is in no key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// The version of the program.
    pub version: String,
    /// The compiler and its version.
    pub compiler: String,
    /// `debug` or `release`.
    pub profile: String,
    /// The SIMD level that is used on this machine.
    pub simd: String,
}

/// What a plan needs of a manifest, without its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Labels<'a> {
    pub(crate) experiment: &'a str,
    pub(crate) task: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) duration: Duration,
}

/// Encodes the body of a record.
#[must_use]
pub(crate) fn encode(outputs: &Outputs, manifest: &Manifest) -> Vec<u8> {
    let mut out = vec![VERSION];
    bytes::section(&mut out, |out| {
        bytes::count(out, outputs.len());
        for (port, artifact) in outputs {
            bytes::text(out, port);
            bytes::count(out, artifact.files().len());
            for file in artifact.files() {
                bytes::text(out, &file.name);
                bytes::blob(out, file.blob);
            }
            bytes::count(out, artifact.referents().len());
            for referent in artifact.referents() {
                bytes::blob(out, *referent);
            }
        }
    });
    bytes::section(&mut out, |out| {
        bytes::text(out, &manifest.experiment);
        bytes::text(out, &manifest.task);
        bytes::text(out, &manifest.kind);
        let nanoseconds = u64::try_from(manifest.duration.as_nanos()).unwrap_or(u64::MAX);
        bytes::u64(out, nanoseconds);
    });
    bytes::section(&mut out, |out| {
        bytes::count(out, manifest.parts.len());
        for part in &manifest.parts {
            out.push(part.component.tag());
            bytes::text(out, &part.name);
            bytes::text(out, &part.value.to_json().to_string());
        }
    });
    bytes::section(&mut out, |out| {
        // Texts and numbers always have a JSON form.
        out.extend_from_slice(&serde_json::to_vec(&manifest.how).unwrap_or_default());
    });
    out
}

/// Reads the outputs of a body; nothing if it has another version or is no body.
#[must_use]
pub fn outputs(body: &[u8]) -> Option<Outputs> {
    let mut bytes = Reader(sections(body)?[0]);
    let outputs = bytes.list(|bytes| {
        let port = bytes.text()?.to_owned();
        let files = bytes.list(|bytes| {
            Some(ArtifactFile {
                name: bytes.text()?.to_owned(),
                blob: bytes.blob()?,
            })
        })?;
        let referents = bytes.list(Reader::blob)?;
        Some((port, Artifact::new(files, referents)))
    })?;
    bytes.0.is_empty().then(|| outputs.into_iter().collect())
}

/// Reads what a body says besides the outputs; nothing if it has another version or is no body.
#[must_use]
pub fn manifest(body: &[u8]) -> Option<Manifest> {
    let [_, _, parts, how] = sections(body)?;
    let labels = labels(body)?;
    let mut bytes = Reader(parts);
    let parts = bytes.list(|bytes| {
        let tag = bytes.take(1)?[0];
        let component = Component::ALL.into_iter().find(|c| c.tag() == tag)?;
        let name = bytes.text()?.to_owned();
        let json = serde_json::from_str(bytes.text()?).ok()?;
        Some(Part {
            component,
            name,
            value: Value::from_json(&json),
        })
    })?;
    Some(Manifest {
        experiment: labels.experiment.to_owned(),
        task: labels.task.to_owned(),
        kind: labels.kind.to_owned(),
        duration: labels.duration,
        parts,
        how: serde_json::from_slice(how).ok()?,
    })
}

/// Reads the labels of a body; nothing if it has another version or is no body.
pub(crate) fn labels(body: &[u8]) -> Option<Labels<'_>> {
    let mut bytes = Reader(sections(body)?[1]);
    Some(Labels {
        experiment: bytes.text()?,
        task: bytes.text()?,
        kind: bytes.text()?,
        duration: Duration::from_nanos(bytes.u64()?),
    })
}

fn sections(body: &[u8]) -> Option<[&[u8]; 4]> {
    let (version, rest) = body.split_first()?;
    let mut bytes = Reader(rest);
    let sections = [
        bytes.section()?,
        bytes.section()?,
        bytes.section()?,
        bytes.section()?,
    ];
    (*version == VERSION && bytes.0.is_empty()).then_some(sections)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use llmcl_stages_api::artifact::BlobRef;

    use super::*;

    fn example() -> (Outputs, Manifest) {
        let blob = |byte: u8| BlobRef {
            digest: blake3::hash(&[byte]),
            bytes: u64::from(byte),
        };
        let outputs = BTreeMap::from([
            ("a".to_owned(), Artifact::single("x.json", blob(1))),
            (
                "b".to_owned(),
                Artifact::new(vec![], vec![blob(2), blob(3)]),
            ),
        ]);
        let part = |component, name: &str, value| Part {
            component,
            name: name.to_owned(),
            value,
        };
        let manifest = Manifest {
            experiment: "iter5".into(),
            task: "bench/a/b".into(),
            kind: "bench".into(),
            duration: Duration::from_millis(12),
            parts: vec![
                part(Component::Kind, "kind", Value::Text("bench".into())),
                part(Component::Parameter, "level", Value::Float(1.0)),
                part(
                    Component::Content,
                    "tensors[0]",
                    Value::List(vec![Value::Int(1)]),
                ),
            ],
            how: How {
                started: 1,
                attempts: 2,
                build: Build::default(),
            },
        };
        (outputs, manifest)
    }

    #[test]
    fn what_is_encoded_is_read() {
        let (expected, expected_manifest) = example();
        let body = encode(&expected, &expected_manifest);
        assert_eq!(outputs(&body), Some(expected));
        let read = manifest(&body).unwrap();
        assert_eq!(
            crate::key::key(&read.parts),
            crate::key::key(&expected_manifest.parts)
        );
        assert_eq!(read, expected_manifest);
    }

    #[test]
    fn another_version_and_every_truncation_is_nothing() {
        let (expected, expected_manifest) = example();
        let mut body = encode(&expected, &expected_manifest);
        for length in 0..body.len() {
            assert_eq!(outputs(&body[..length]), None, "{length}");
            assert_eq!(manifest(&body[..length]), None, "{length}");
        }
        body[0] = VERSION + 1;
        assert_eq!(outputs(&body), None);
        assert_eq!(manifest(&body), None);
    }

    #[test]
    fn no_flipped_bit_panics_or_asks_for_much_memory() {
        let (expected, expected_manifest) = example();
        let body = encode(&expected, &expected_manifest);
        for index in 0..body.len() {
            for bit in 0..8 {
                let mut flipped = body.clone();
                flipped[index] ^= 1 << bit;
                let _ = (outputs(&flipped), manifest(&flipped));
            }
        }
    }
}

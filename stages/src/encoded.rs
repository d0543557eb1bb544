//! The artifact at an encoded port: what a method made of tensors or of a file.
//!
//! Two files. [`DATA`] holds the encodings, one after the other, and nothing else. [`INDEX`] says which method
//! made them and where each one is; the rest of it tells what was encoded. A decoder gets the bytes of one
//! encoding, the profile, and the method with its parameters, which are the program.

use std::collections::BTreeMap;

use blake3::Hash;
use llmcl_stages_api::artifact::{Artifact, BlobRef, hex};
use llmcl_stages_api::task::{TaskContext, TaskError};
use llmcl_stages_api::value::Value;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::failure;
use crate::weights::Unit;

/// The file that holds the encodings.
pub const DATA: &str = "encoded.bin";
/// The file that says what is in the other.
pub const INDEX: &str = "encoded.json";
/// The version of the index that is written and read.
const VERSION: u32 = 1;

/// `encoded.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// The version of this form; now 1.
    pub version: u32,
    /// The method.
    pub method: MethodId,
    /// What was encoded together.
    pub unit: Unit,
    /// The encodings, in the order in which they lie in `encoded.bin`, without gaps.
    pub encodings: Vec<Encoding>,
}

/// A method: all that a decoder is told beside the bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MethodId {
    /// Its name.
    pub name: String,
    /// Its parameters.
    pub parameters: BTreeMap<String, Json>,
}

/// One encoding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encoding {
    /// The tensors in it, in order; the name of the file where it is one.
    pub tensors: Vec<String>,
    /// Where it begins in `encoded.bin`.
    pub offset: u64,
    /// How many bytes it has.
    pub bytes: u64,
    /// The SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// How many bytes it is to decode to.
    pub decoded_bytes: u64,
    /// The BLAKE3 digest of what it is to decode to.
    #[serde(with = "hex")]
    pub decoded_blake3: Hash,
    /// Why there is no encoding: a program of somebody else's failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl Index {
    /// Makes an index of the current version. `method` is the parameter of the task.
    #[must_use]
    pub fn new(method: &Value, unit: Unit, encodings: Vec<Encoding>) -> Self {
        Self {
            version: VERSION,
            method: MethodId::of_value(method),
            unit,
            encodings,
        }
    }

    /// Reads the index of an artifact and holds it against the length of the data.
    ///
    /// # Errors
    /// If it cannot be read, or does not describe the data.
    pub fn read(task: &TaskContext<'_>, artifact: &Artifact) -> Result<Self, TaskError> {
        let blob = task.open(artifact, INDEX)?;
        let index: Self =
            serde_json::from_slice(blob.bytes()).map_err(|error| failure::input(INDEX, &error))?;
        if index.version != VERSION {
            return Err(TaskError::input(format!(
                "{INDEX} has version {}, this program reads version {VERSION}",
                index.version
            )));
        }
        let bytes = artifact.file(DATA).map_or(0, |blob| blob.bytes);
        let end = index.encodings.iter().try_fold(0u64, |at, encoding| {
            (encoding.offset == at)
                .then(|| at.checked_add(encoding.bytes))
                .flatten()
        });
        if end != Some(bytes) {
            return Err(TaskError::input(format!(
                "the encodings that {INDEX} lists do not fill the {bytes} bytes of {DATA}"
            )));
        }
        Ok(index)
    }

    /// Stores the index and makes the artifact, whose data has been stored as `data`.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn store(&self, task: &TaskContext<'_>, data: BlobRef) -> Result<Artifact, TaskError> {
        let data = llmcl_stages_api::artifact::ArtifactFile {
            name: DATA.to_owned(),
            blob: data,
        };
        let index = task.put_json(INDEX, self)?;
        Ok(Artifact::new(vec![data, index], Vec::new()))
    }
}

impl MethodId {
    /// Takes a method out of the parameter of a task: a record of its name and its parameters.
    #[must_use]
    pub fn of_value(method: &Value) -> Self {
        let mut parameters: BTreeMap<String, Json> = method
            .as_record()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.clone(), value.to_json()))
            .collect();
        parameters.remove("name");
        Self {
            name: method
                .field("name")
                .as_text()
                .unwrap_or_default()
                .to_owned(),
            parameters,
        }
    }

    /// The parameter of a task that describes the method.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut record: BTreeMap<String, Value> = self
            .parameters
            .iter()
            .map(|(name, value)| (name.clone(), Value::from_json(value)))
            .collect();
        record.insert("name".to_owned(), Value::Text(self.name.clone()));
        Value::Record(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_comes_back_from_its_index() {
        let method = Value::Record(BTreeMap::from([
            ("name".to_owned(), Value::Text("bf16_split_ctx".to_owned())),
            ("k".to_owned(), Value::Int(8)),
        ]));
        let index = Index::new(&method, Unit::File, Vec::new());
        let text = serde_json::to_string(&index).unwrap();
        assert_eq!(
            text,
            r#"{"version":1,"method":{"name":"bf16_split_ctx","parameters":{"k":8}},"unit":"file","encodings":[]}"#
        );
        let read: Index = serde_json::from_str(&text).unwrap();
        assert_eq!(read, index);
        assert_eq!(read.method.to_value(), method);
    }
}

//! The committed list of digests.

use std::collections::{BTreeMap, BTreeSet};

use llmcl_stages_api::task::TaskError;
use llmcl_stages_api::value::Value;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::failure;

/// The version of the list's form that is read and written.
const VERSION: u32 = 1;

/// The list: which bytes each encoding is expected to have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    schema_version: u32,
    checks: Vec<Entry>,
}

/// One encoding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// The label on each axis of the stage that encoded it.
    pub(super) labels: BTreeMap<String, Json>,
    /// The tensor; none where a whole file or a whole set of tensors was encoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tensor: Option<String>,
    /// The bytes before encoding.
    pub(super) input_bytes: u64,
    /// The bytes after.
    pub(super) compressed_bytes: u64,
    /// The SHA-256 of the encoding, 64 lower-case hexadecimal digits.
    pub(super) sha256: String,
}

/// What tells one encoding from another: the labels and the tensor, in the canonical encoding of values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity(Vec<u8>);

impl Identity {
    /// Makes one.
    pub(super) fn new(labels: BTreeMap<String, Value>, tensor: Option<&str>) -> Self {
        let tensor = tensor.map_or(Value::None, |tensor| Value::Text(tensor.to_owned()));
        let mut bytes = Vec::new();
        Value::List(vec![Value::Record(labels), tensor]).encode(&mut bytes);
        Self(bytes)
    }
}

impl Entry {
    /// The labels as values.
    pub(super) fn labels(&self) -> BTreeMap<String, Value> {
        let labels = self.labels.iter();
        labels
            .map(|(axis, label)| (axis.clone(), Value::from_json(label)))
            .collect()
    }

    /// What tells it from the others.
    pub(super) fn identity(&self) -> Identity {
        Identity::new(self.labels(), self.tensor.as_deref())
    }

    /// What it is, for messages.
    pub(super) fn describe(&self) -> String {
        describe(&self.labels(), self.tensor.as_deref())
    }
}

/// Writes labels and tensor for messages: `method = 'zstd_19', tensor = 'a.weight'`.
pub(super) fn describe(labels: &BTreeMap<String, Value>, tensor: Option<&str>) -> String {
    let labels = labels.iter();
    let mut parts: Vec<String> = labels
        .map(|(axis, label)| format!("{axis} = {label}"))
        .collect();
    parts.extend(tensor.map(|tensor| format!("tensor = '{tensor}'")));
    if parts.is_empty() {
        "no label and no tensor".to_owned()
    } else {
        parts.join(", ")
    }
}

impl List {
    /// Makes a list of the current version.
    pub(super) fn new(checks: Vec<Entry>) -> Self {
        Self {
            schema_version: VERSION,
            checks,
        }
    }

    /// Reads a list.
    pub(super) fn read(name: &str, bytes: &[u8]) -> Result<Self, TaskError> {
        let list: Self =
            serde_json::from_slice(bytes).map_err(|error| failure::input(name, &error))?;
        let wrong = |what: String| Err(TaskError::input(format!("{name}: {what}")));
        if list.schema_version != VERSION {
            return wrong(format!(
                "schema_version is {}, this program reads {VERSION}",
                list.schema_version
            ));
        }
        let mut seen = BTreeSet::new();
        for entry in &list.checks {
            if !is_sha256(&entry.sha256) {
                return wrong(format!(
                    "`{}` is no SHA-256 of 64 lower-case hexadecimal digits ({})",
                    entry.sha256,
                    entry.describe()
                ));
            }
            if !seen.insert(entry.identity()) {
                return wrong(format!("two entries have {}", entry.describe()));
            }
        }
        Ok(list)
    }

    /// The entries, in the order of the file.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.checks
    }
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

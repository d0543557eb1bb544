//! The artifact at a profile port: what a method has learnt, and from what.

use std::collections::{BTreeMap, BTreeSet};

use blake3::Hash;
use llmcl_stages_api::artifact::{Artifact, ArtifactFile};
use llmcl_stages_api::task::{Blob, TaskContext, TaskError};
use llmcl_stages_api::value::Value;
use serde::{Deserialize, Serialize};

use crate::encoded::MethodId;
use crate::failure;

/// The file of the artifact that a method needs to encode and decode. Its bytes, and no others of the artifact,
/// are given to the method and charged to what it encodes.
pub const FILE: &str = "profile.bin";
/// The file that says how the other came to be.
pub const ORIGIN: &str = "profile.json";
/// The version of that which is written and read.
const VERSION: u32 = 1;

/// The longest profile. What is longer is no profile but data.
pub const MAX_BYTES: u64 = 16 << 20;

/// `profile.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The version of this form; now 1.
    pub version: u32,
    /// The method that learnt it; none where a file was taken as it is.
    pub method: Option<MethodId>,
    /// What it was trained on.
    pub trained_on: Vec<TrainedOn>,
}

/// One set of tensors that a profile was trained on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainedOn {
    /// The values on the axes of the stage that it came from: which model, and what else told it from others.
    pub labels: BTreeMap<String, String>,
    /// The families of its models.
    pub families: BTreeSet<String>,
    /// How many tensors there were.
    pub tensors: u64,
    /// How many bytes they had.
    pub bytes: u64,
    /// The digest of the tensor set; none where it is not known.
    #[serde(with = "optional_hex")]
    pub digest: Option<Hash>,
}

impl TrainedOn {
    /// Of families alone is it known.
    #[must_use]
    pub fn families(families: BTreeSet<String>) -> Self {
        Self {
            families,
            ..Self::default()
        }
    }
}

impl Origin {
    /// How a profile came to be that a method has just learnt. `method` is the parameter of the task.
    #[must_use]
    pub fn trained(method: &Value, trained_on: Vec<TrainedOn>) -> Self {
        Self {
            version: VERSION,
            method: Some(MethodId::of_value(method)),
            trained_on,
        }
    }

    /// How a profile came to be that was made elsewhere.
    #[must_use]
    pub fn loaded(trained_on: TrainedOn) -> Self {
        Self {
            version: VERSION,
            method: None,
            trained_on: vec![trained_on],
        }
    }

    /// Stores a profile with its origin.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn store(&self, task: &TaskContext<'_>, profile: &[u8]) -> Result<Artifact, TaskError> {
        let file = ArtifactFile {
            name: FILE.to_owned(),
            blob: task.host.put(profile)?,
        };
        Ok(Artifact::new(
            vec![file, task.put_json(ORIGIN, self)?],
            Vec::new(),
        ))
    }
}

/// Opens the profile at a port, if one came in, for a method: the parameter of the task.
///
/// # Errors
/// If the artifact is no profile, it cannot be opened, or another method learnt it.
pub fn open(task: &TaskContext<'_>, port: &str, method: &Value) -> Result<Option<Blob>, TaskError> {
    let Some(artifact) = task.optional_artifact(port) else {
        return Ok(None);
    };
    if artifact.file(ORIGIN).is_some() {
        let origin = task.open(artifact, ORIGIN)?;
        let origin: Origin = serde_json::from_slice(origin.bytes())
            .map_err(|error| failure::input(ORIGIN, &error))?;
        if origin.version != VERSION {
            return Err(TaskError::input(format!(
                "{ORIGIN} has version {}, this program reads version {VERSION}",
                origin.version
            )));
        }
        let own = MethodId::of_value(method);
        if let Some(learnt) = origin.method.filter(|learnt| *learnt != own) {
            return Err(TaskError::input(format!(
                "the profile was learnt by {}, and is to be used with {}",
                learnt.to_value(),
                own.to_value()
            ))
            .with_hint("join the profile on the axis of the methods"));
        }
    }
    task.open(artifact, FILE).map(Some)
}

/// A digest that may be missing, in hexadecimal.
mod optional_hex {
    use blake3::Hash;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        digest: &Option<Hash>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        digest
            .as_ref()
            .map(|digest| digest.to_hex().to_string())
            .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Hash>, D::Error> {
        Option::<String>::deserialize(deserializer)?
            .map(|text| Hash::from_hex(text.as_bytes()).map_err(de::Error::custom))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_comes_back() {
        let method = Value::Record(BTreeMap::from([(
            "name".to_owned(),
            Value::Text("m".to_owned()),
        )]));
        let on = TrainedOn {
            labels: BTreeMap::from([("model".to_owned(), "a".to_owned())]),
            families: BTreeSet::from(["f".to_owned()]),
            tensors: 3,
            bytes: 12,
            digest: Some(blake3::hash(b"a")),
        };
        for origin in [
            Origin::trained(&method, vec![on]),
            Origin::loaded(TrainedOn::families(BTreeSet::from(["f".to_owned()]))),
        ] {
            let text = serde_json::to_string(&origin).unwrap();
            assert_eq!(serde_json::from_str::<Origin>(&text).unwrap(), origin);
        }
    }
}

//! The outputs of a task, and finding them in the store.

use blake3::Hash;
use llmcl_cache::{BlobError, Record, Store};
use llmcl_stages_api::artifact::{Artifact, BlobRef};
use llmcl_stages_api::outcome::{self, Outcome};
use llmcl_stages_api::port::PortType;
use llmcl_stages_api::task::Outputs;

use crate::model::Stage;
use crate::record;

/// An artifact and its digest.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// The artifact.
    pub artifact: Artifact,
    /// The digest of names and contents.
    pub digest: Hash,
}

/// What a task put out.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    outputs: Box<[(String, Output)]>,
    outcome: Option<Outcome>,
}

/// Why outputs cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    /// An output that the stage has is not among them.
    #[error("nothing was put out at the port `{0}`")]
    Absent(String),
    /// There is an output that the stage does not have.
    #[error("there is no port `{0}` to put anything out at")]
    Unknown(String),
    /// What a gate put out is no outcome.
    #[error("what was put out at the port `{port}` is no outcome: {reason}")]
    NoOutcome { port: String, reason: String },
    /// The outcome is not in the store.
    #[error(transparent)]
    Blob(BlobError),
}

impl Done {
    /// Takes a task's outputs and reads the outcome, if there is one, with `read`.
    pub(crate) fn of(
        stage: &Stage,
        outputs: Outputs,
        read: impl Fn(BlobRef) -> Result<Vec<u8>, BlobError>,
    ) -> Result<Self, Unusable> {
        let declared = |name: &str| stage.outputs.iter().any(|output| output.name == name);
        if let Some(port) = outputs.keys().find(|port| !declared(port)) {
            return Err(Unusable::Unknown(port.clone()));
        }
        let mut outcome = None;
        for output in &stage.outputs {
            let Some(artifact) = outputs.get(&output.name) else {
                return Err(Unusable::Absent(output.name.clone()));
            };
            if output.ty == PortType::Outcome && outcome.is_none() {
                outcome = Some(read_outcome(&output.name, artifact, &read)?);
            }
        }
        let outputs = outputs
            .into_iter()
            .map(|(port, artifact)| {
                let digest = artifact.digest();
                (port, Output { artifact, digest })
            })
            .collect();
        Ok(Self { outputs, outcome })
    }

    /// The output at a port.
    #[must_use]
    pub fn output(&self, port: &str) -> Option<&Output> {
        let (_, output) = self.outputs.iter().find(|(name, _)| name == port)?;
        Some(output)
    }

    /// All outputs with their ports, ordered by port.
    #[must_use]
    pub fn outputs(&self) -> &[(String, Output)] {
        &self.outputs
    }

    /// What a gate found; none for tasks that are no gates.
    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// Whether the content of a file of the outputs is this blob.
    pub(crate) fn holds(&self, blob: BlobRef) -> bool {
        self.outputs
            .iter()
            .flat_map(|(_, output)| output.artifact.files())
            .any(|file| file.blob == blob)
    }
}

/// What the store has under a key.
pub(crate) enum Found {
    /// Usable outputs.
    Outputs(Done),
    /// A record, but not all blobs that it names.
    Incomplete(Vec<BlobRef>),
    /// No record, or none that this program can use.
    Nothing,
}

/// Looks for a task's outputs. Damage is a miss.
pub(crate) fn find(store: &Store, stage: &Stage, key: &Hash) -> Found {
    match store.record(key) {
        Some(record) => usable(store, stage, &record),
        None => Found::Nothing,
    }
}

fn usable(store: &Store, stage: &Stage, record: &Record) -> Found {
    let Some(outputs) = record::outputs(record.body()) else {
        return Found::Nothing;
    };
    let missing = store.missing(record);
    if !missing.is_empty() {
        return Found::Incomplete(missing.into_iter().map(from_store).collect());
    }
    let read = |blob: BlobRef| Ok(store.blob(&blob.digest, blob.bytes)?.to_vec());
    match Done::of(stage, outputs, read) {
        Ok(done) => Found::Outputs(done),
        Err(Unusable::Blob(BlobError::Missing { digest } | BlobError::Damaged { digest, .. })) => {
            let lost = record.blobs().filter(|blob| blob.digest == digest);
            Found::Incomplete(lost.map(from_store).collect())
        }
        Err(_) => Found::Nothing,
    }
}

fn read_outcome(
    port: &str,
    artifact: &Artifact,
    read: impl Fn(BlobRef) -> Result<Vec<u8>, BlobError>,
) -> Result<Outcome, Unusable> {
    let wrong = |reason: String| Unusable::NoOutcome {
        port: port.to_owned(),
        reason,
    };
    let blob = artifact
        .file(outcome::FILE)
        .ok_or_else(|| wrong(format!("it has no file `{}`", outcome::FILE)))?;
    let content = read(blob).map_err(Unusable::Blob)?;
    serde_json::from_slice(&content).map_err(|error| wrong(error.to_string()))
}

/// The contract's name of a blob.
pub(crate) fn from_store(blob: llmcl_cache::BlobRef) -> BlobRef {
    BlobRef {
        digest: blob.digest,
        bytes: blob.bytes,
    }
}

/// The store's name of a blob.
pub(crate) fn to_store(blob: BlobRef) -> llmcl_cache::BlobRef {
    llmcl_cache::BlobRef {
        digest: blob.digest,
        bytes: blob.bytes,
    }
}

//! The artifact at a profile port.

use llmcl_stages_api::task::{Blob, TaskContext, TaskError};

/// The file of the artifact that a method needs to encode and decode. Its bytes, and no others of the artifact,
/// are given to the method and charged to what it encodes; other files may tell how they came to be.
pub const FILE: &str = "profile.bin";

/// Opens the profile at a port, if one came in.
///
/// # Errors
/// If the artifact is no profile, or it cannot be opened.
pub fn open(task: &TaskContext<'_>, port: &str) -> Result<Option<Blob>, TaskError> {
    task.optional_artifact(port)
        .map(|artifact| task.open(artifact, FILE))
        .transpose()
}

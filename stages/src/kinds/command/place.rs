//! Puts the inputs into the working folder.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use llmcl_stages_api::artifact::{Artifact, BlobRef};
use llmcl_stages_api::task::{Member, MemberState, TaskContext, TaskError};
use llmcl_stages_api::value::Value;

use super::spec::Spec;
use crate::workplace::put;

/// The folder of the blobs that a tensor set points into, below the set's own.
const BLOBS: &str = "blobs";

/// Puts every input into the folder of its port, and returns the files that there are now.
///
/// Files are copies: a program that runs as root may write to a read-only file, and must never reach the store's
/// own. Where the file system can share blocks between files, a copy costs next to nothing.
pub(super) fn inputs(
    task: &TaskContext<'_>,
    work: &Path,
    spec: &Spec,
) -> Result<BTreeSet<PathBuf>, TaskError> {
    let program = spec.argv.first().map(|program| work.join(program));
    let mut placed = BTreeSet::new();
    for (port, members) in task.inputs {
        for (folder, artifact) in member_folders(&work.join(port), members) {
            for (path, blob) in files(&folder, artifact) {
                task.host.checkpoint()?;
                let mode = if Some(&path) == program.as_ref() {
                    0o555
                } else {
                    0o444
                };
                put(task.host, &path, blob, mode)?;
                placed.insert(path);
            }
        }
    }
    Ok(placed)
}

/// Returns the folder of each member that is there: the port's own for a single one, else one below it that is
/// named after the values that the member has on its axes.
fn member_folders<'m>(port: &Path, members: &'m [Member]) -> Vec<(PathBuf, &'m Artifact)> {
    if let [Member { state, .. }] = members {
        return match state {
            MemberState::Present(artifact) => vec![(port.to_owned(), artifact)],
            MemberState::Pruned(_) => Vec::new(),
        };
    }
    let mut taken = BTreeSet::new();
    let mut folders = Vec::new();
    for (index, member) in members.iter().enumerate() {
        let labels: Vec<String> = member.labels.iter().map(|(_, label)| word(label)).collect();
        let mut name = labels.join(",");
        // Members of several stages may have the same labels, or none.
        if name.is_empty() || taken.contains(&name) {
            name = format!("{name}#{index}");
        }
        if let MemberState::Present(artifact) = &member.state {
            folders.push((port.join(&name), artifact));
        }
        taken.insert(name);
    }
    folders
}

/// Writes a label so that it can be a part of a file name.
fn word(label: &Value) -> String {
    let text = match label {
        Value::Text(text) => text.clone(),
        other => other.to_string(),
    };
    let word: String = text
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || "._-+=".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    if word.starts_with('.') {
        format!("_{word}")
    } else {
        word
    }
}

/// The files of an artifact, and the blobs that it points into.
fn files(folder: &Path, artifact: &Artifact) -> Vec<(PathBuf, BlobRef)> {
    let own = artifact
        .files()
        .iter()
        .map(|file| (folder.join(&file.name), file.blob));
    let blobs = artifact.referents().iter().map(|blob| {
        let name = blob.digest.to_hex();
        (folder.join(BLOBS).join(name.as_str()), *blob)
    });
    own.chain(blobs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(labels: &[(&str, Value)]) -> Member {
        Member {
            title: String::new(),
            labels: labels
                .iter()
                .map(|(axis, label)| ((*axis).to_owned(), label.clone()))
                .collect(),
            state: MemberState::Present(Artifact::default()),
        }
    }

    #[test]
    fn gathered_members_get_folders_of_their_own() {
        let text = |text: &str| Value::Text(text.to_owned());
        let members = [
            member(&[("model", text("a/b")), ("layer_gap", Value::Int(1))]),
            member(&[("model", text("a b")), ("layer_gap", Value::Int(1))]),
            member(&[("model", text(".."))]),
            member(&[]),
        ];
        let folders = member_folders(Path::new("in"), &members);
        let names: Vec<_> = folders
            .iter()
            .map(|(path, _)| path.to_str().unwrap())
            .collect();
        assert_eq!(names, ["in/a_b,1", "in/a_b,1#1", "in/_..", "in/#3"]);
    }

    #[test]
    fn a_single_member_is_in_the_folder_of_its_port() {
        let members = [member(&[("model", Value::Int(1))])];
        assert_eq!(
            member_folders(Path::new("in"), &members)[0].0,
            Path::new("in")
        );
    }
}

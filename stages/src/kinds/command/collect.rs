//! Takes the outputs out of the working folder.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use llmcl_stages_api::artifact::{Artifact, ArtifactFile};
use llmcl_stages_api::port::PortType;
use llmcl_stages_api::task::{Outputs, TaskContext, TaskError};

use super::spec::{Output, Spec};
use super::{outside, table};
use crate::workplace::disk;

/// How many undeclared files a message names.
const NAMED: usize = 5;

/// Makes sure that there is nothing but inputs and declared outputs.
pub(super) fn check_undeclared(
    work: &Path,
    placed: &BTreeSet<PathBuf>,
    spec: &Spec,
) -> Result<(), TaskError> {
    let outputs: Vec<PathBuf> = spec
        .outputs
        .iter()
        .map(|output| work.join(&output.path))
        .collect();
    let mut undeclared = Vec::new();
    walk(work, &mut |path, _| {
        let declared = outputs.iter().any(|output| path.starts_with(output));
        if !declared && !placed.contains(path) {
            undeclared.push(format!("`{}`", inner(work, path).display()));
        }
        Ok(())
    })?;
    if undeclared.is_empty() {
        return Ok(());
    }
    let more = match undeclared.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    undeclared.truncate(NAMED);
    Err(outside(format!(
        "the program left files that are not declared: {}{more}",
        undeclared.join(", ")
    ))
    .with_hint("declare them under `outputs`, or have it write them below $TMPDIR"))
}

/// Stores every declared output.
pub(super) fn outputs(
    task: &TaskContext<'_>,
    work: &Path,
    spec: &Spec,
) -> Result<Outputs, TaskError> {
    spec.outputs
        .iter()
        .map(|output| Ok((output.port.clone(), take(task, work, output)?)))
        .collect()
}

fn take(task: &TaskContext<'_>, work: &Path, output: &Output) -> Result<Artifact, TaskError> {
    let path = work.join(&output.path);
    let wrong = |problem: &str| {
        outside(format!(
            "the output `{}` {problem}: `{}`",
            output.port, output.path
        ))
    };
    let meta = match fs::symlink_metadata(&path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(wrong("is not there"));
        }
        Err(error) => return Err(disk(&path, &error)),
    };
    let empty = || wrong("is empty").with_hint("if it may be, say `may_be_empty = true`");
    if output.ty == PortType::Table {
        if !meta.is_file() {
            return Err(wrong("is no file"));
        }
        let rows = table::read(&path, output).map_err(|problem| wrong(&problem))?;
        if rows.is_empty() && !output.may_be_empty {
            return Err(empty());
        }
        return task.put_table(&output.port, &rows);
    }
    if meta.is_file() {
        if meta.len() == 0 && !output.may_be_empty {
            return Err(empty());
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        return Ok(Artifact::single(name, task.host.take_file(&path)?));
    }
    if !meta.is_dir() {
        return Err(wrong("is neither a file nor a folder"));
    }
    let mut files = Vec::new();
    walk(&path, &mut |file, meta| {
        let name = inner(&path, file);
        if !meta.is_file() {
            return Err(wrong(&format!(
                "holds `{}`, which is no file",
                name.display()
            )));
        }
        let Some(name) = name.to_str() else {
            return Err(wrong(&format!(
                "holds a file whose name is no UTF-8, {name:?}"
            )));
        };
        files.push(ArtifactFile {
            name: name.to_owned(),
            blob: task.host.take_file(file)?,
        });
        Ok(())
    })?;
    if files.iter().all(|file| file.blob.bytes == 0) && !output.may_be_empty {
        return Err(empty());
    }
    Ok(Artifact::new(files, Vec::new()))
}

/// Visits everything below a folder that is not a folder, in the order of the names; links are not followed.
fn walk(
    folder: &Path,
    visit: &mut dyn FnMut(&Path, &Metadata) -> Result<(), TaskError>,
) -> Result<(), TaskError> {
    let failed = |error| disk(folder, &error);
    let mut paths = fs::read_dir(folder)
        .and_then(|entries| {
            entries
                .map(|entry| Ok(entry?.path()))
                .collect::<io::Result<Vec<_>>>()
        })
        .map_err(failed)?;
    paths.sort();
    for path in paths {
        let meta = fs::symlink_metadata(&path).map_err(|error| disk(&path, &error))?;
        if meta.is_dir() {
            walk(&path, visit)?;
        } else {
            visit(&path, &meta)?;
        }
    }
    Ok(())
}

fn inner<'p>(folder: &Path, path: &'p Path) -> &'p Path {
    path.strip_prefix(folder).unwrap_or(path)
}

//! `llmcl show`: what a task put out.

use std::fs;
use std::io;
use std::path::Path;

use llmcl_cache::Store;
use llmcl_engine::model::Experiment;
use llmcl_engine::plan::{self, State};
use llmcl_engine::resolve::Choices;
use llmcl_stages::api::artifact::{Artifact, ArtifactFile};
use llmcl_stages::api::table::{self, Table};

use crate::args::{ExperimentArgs, ShowArgs};
use crate::exit::Exit;
use crate::text::{print, tell};
use crate::{explain, session, size};

pub(crate) fn show(arguments: &ShowArgs) -> Result<(), Exit> {
    let registry = llmcl_stages::registry();
    let experiment_arguments = ExperimentArgs {
        file: arguments.file.clone(),
        settings: arguments.settings.clone(),
    };
    let loaded = session::load(&experiment_arguments, &registry)?;
    let store = session::open(&arguments.store, &arguments.file)?;
    let experiment = &loaded.experiment;
    let task = explain::find(experiment, &arguments.task)?;
    let plan = plan::plan(experiment, &store, &registry, &Choices::default());
    let Some(done) = plan.outputs(task) else {
        if let State::Pruned(pruning) = &plan.tasks[task].state {
            tell(&format!(
                "error: {} is pruned: {} is {}",
                arguments.task,
                experiment.task_name(pruning.gate),
                pruning.reason.outcome
            ));
        } else {
            tell(&format!("error: {} has not run", arguments.task));
            tell("hint: `llmcl run` runs it, `llmcl plan` says why it has not");
        }
        return Err(Exit::NotReady);
    };
    let port = port(experiment, task, arguments)?;
    let Some(output) = done.output(&port) else {
        tell(&format!(
            "error: {} has nothing at the port `{port}`",
            arguments.task
        ));
        return Err(Exit::Store);
    };
    match &arguments.output {
        Some(folder) => copy_out(&store, &output.artifact, folder),
        None => print_all(&store, &output.artifact, arguments.markdown),
    }
}

fn port(experiment: &Experiment, task: usize, arguments: &ShowArgs) -> Result<String, Exit> {
    let stage = &experiment.stages[experiment.tasks[task].stage];
    let names: Vec<&str> = stage
        .outputs
        .iter()
        .map(|port| port.name.as_str())
        .collect();
    let wanted = arguments
        .port
        .as_deref()
        .or(names.first().copied())
        .unwrap_or_default();
    if names.contains(&wanted) {
        return Ok(wanted.to_owned());
    }
    tell(&format!(
        "error: there is no port `{wanted}`; the ports are {}",
        names.join(", ")
    ));
    Err(Exit::Usage)
}

fn print_all(store: &Store, artifact: &Artifact, markdown: bool) -> Result<(), Exit> {
    for file in artifact.files() {
        if file.name.ends_with(table::EXTENSION) {
            let table = Table::read(open(store, file)?.as_ref()).map_err(|error| {
                tell(&format!("error: {}: {error}", file.name));
                Exit::Store
            })?;
            print(&if markdown {
                table::render(&table, table::Style::Markdown)
            } else {
                lines(&table)
            })?;
        } else if let Some(text) = text_of(open(store, file)?.as_ref()) {
            print(text)?;
        } else {
            tell(&format!(
                "{}: {}, not a text; `-o FOLDER` copies it out",
                file.name,
                size::bytes(file.blob.bytes)
            ));
        }
    }
    Ok(())
}

/// The content, if it is a text that a terminal can show.
fn text_of(bytes: &[u8]) -> Option<&str> {
    const SHOWN: usize = 64 << 20;
    let text = std::str::from_utf8(bytes.get(..bytes.len().min(SHOWN))?).ok()?;
    (text.len() == bytes.len() && !text.contains('\0')).then_some(text)
}

/// A table as lines of JSON, the columns in their order.
fn lines(table: &Table) -> String {
    let names: Vec<String> = table
        .schema()
        .columns()
        .iter()
        .map(|column| serde_json::Value::from(column.name.as_str()).to_string())
        .collect();
    let mut text = String::new();
    for row in table.rows() {
        let cells: Vec<String> = names
            .iter()
            .zip(row)
            .map(|(name, cell)| format!("{name}:{}", cell.to_json()))
            .collect();
        text.push_str(&format!("{{{}}}\n", cells.join(",")));
    }
    text
}

fn copy_out(store: &Store, artifact: &Artifact, folder: &Path) -> Result<(), Exit> {
    for file in artifact.files() {
        let path = folder.join(&file.name);
        let result = path
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| copy(store, file, &path));
        match result {
            Ok(bytes) => tell(&format!("{}: {}", path.display(), size::bytes(bytes))),
            Err(error) => {
                tell(&format!("error: {}: {error}", path.display()));
                return Err(Exit::Store);
            }
        }
    }
    Ok(())
}

/// Copies a blob into a new file; nothing is left behind if that fails.
fn copy(store: &Store, file: &ArtifactFile, path: &Path) -> io::Result<u64> {
    let blob = store
        .blob(&file.blob.digest, file.blob.bytes)
        .map_err(io::Error::other)?;
    // Nothing of the user's is overwritten.
    let mut out = fs::File::create_new(path)?;
    let copied = io::copy(&mut blob.as_ref(), &mut out);
    if copied.is_err() {
        // The error that led here says more than one about the clean-up.
        let _ = fs::remove_file(path);
    }
    copied
}

fn open(store: &Store, file: &ArtifactFile) -> Result<llmcl_cache::Blob, Exit> {
    store
        .blob(&file.blob.digest, file.blob.bytes)
        .map_err(|error| {
            tell(&format!("error: {}: {error}", file.name));
            Exit::Store
        })
}

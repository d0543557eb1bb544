//! `llmcl explain`.

use std::fmt::Write;
use std::path::Path;

use llmcl_cache::Store;
use llmcl_engine::explain::{self, Explained, Nearness};
use llmcl_engine::model::{Experiment, TaskId};
use llmcl_engine::plan::{self, State};
use llmcl_engine::record::Manifest;
use llmcl_engine::resolve::Choices;
use llmcl_engine::story::{Story, TaskStory};
use llmcl_stages::api::suggest::closest;

use crate::args::{ExperimentArgs, ExplainArgs};
use crate::diff::story;
use crate::exit::Exit;
use crate::log::damaged;
use crate::plan::{describe, pair, value};
use crate::session;
use crate::text::{print, tell};

/// Finds a task by its name.
pub(crate) fn find(experiment: &Experiment, name: &str) -> Result<TaskId, Exit> {
    if let Some(task) = experiment.find_task(name) {
        return Ok(task);
    }
    let names: Vec<String> = (0..experiment.tasks.len())
        .map(|task| experiment.task_name(task))
        .collect();
    Err(no_task(
        name,
        names.iter().map(String::as_str),
        "llmcl plan",
    ))
}

fn no_task<'a>(name: &str, names: impl Iterator<Item = &'a str>, lister: &str) -> Exit {
    let hint = match closest(name, names) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("`{lister}` lists the tasks"),
    };
    tell(&format!("error: there is no task `{name}`\nhint: {hint}"));
    Exit::Usage
}

pub(crate) fn explain(arguments: &ExplainArgs) -> Result<(), Exit> {
    match (&arguments.run, &arguments.file) {
        (None, Some(file)) => present(arguments, file),
        (Some(run), file) => {
            let place = file.as_deref().unwrap_or(Path::new("."));
            let store = session::open(&arguments.store, place)?;
            recorded(arguments, &store, run)
        }
        // The parser of the command line asks for one of the two.
        (None, None) => Err(Exit::Usage),
    }
}

/// Explains a task as it is now.
fn present(arguments: &ExplainArgs, file: &Path) -> Result<(), Exit> {
    let registry = llmcl_stages::registry();
    let experiment_arguments = ExperimentArgs {
        file: file.to_owned(),
        settings: arguments.settings.clone(),
    };
    let loaded = session::load(&experiment_arguments, &registry)?;
    let store = session::open(&arguments.store, file)?;
    let experiment = &loaded.experiment;
    let task = find(experiment, &arguments.task)?;
    let choices = Choices::default();
    let explanation = match &arguments.against {
        None => explain::explain(experiment, &store, &registry, &choices, task),
        Some(run) => {
            let runs = session::runs(&store)?;
            let manifest = recorded_task(&store, &story(&runs, run)?, &arguments.task)?.1;
            explain::explain_against(experiment, &store, &registry, &choices, task, manifest)
        }
    };
    let explanation = explanation.map_err(|trouble| {
        tell(&format!("error: {}: {trouble}", arguments.task));
        if let Some(hint) = trouble.hint() {
            tell(&format!("hint: {hint}"));
        }
        Exit::NotReady
    })?;
    let plan = plan::plan(experiment, &store, &registry, &choices);
    let (state, reason) = describe(experiment, &plan, task);
    let mut text = match (&explanation.planned.state, reason.is_empty()) {
        (State::Cached { .. }, true) => format!("{}: cached\n", arguments.task),
        (_, true) => format!("{}: {state}\n", arguments.task),
        _ => format!("{}: {state}: {reason}\n", arguments.task),
    };
    if let Some(against) = &explanation.against {
        let which = match against.nearness {
            Nearness::SameTask => "its last record".to_owned(),
            Nearness::SameKey => format!(
                "a record under the same key, of `{}` in `{}`",
                against.manifest.task, against.manifest.experiment
            ),
            Nearness::SameShape => format!(
                "a record of the same shape, of `{}` in `{}`",
                against.manifest.task, against.manifest.experiment
            ),
            Nearness::SameKind => format!(
                "the nearest record of its kind, of `{}` in `{}`",
                against.manifest.task, against.manifest.experiment
            ),
            Nearness::Chosen => format!(
                "the run {}",
                arguments.against.as_deref().unwrap_or_default()
            ),
        };
        let _ = writeln!(text, "held against {which}");
    } else {
        text.push_str("nothing like it was ever recorded\n");
    }
    lines(&mut text, &explanation.parts, |task| {
        experiment.task_name(task)
    });
    if let Some(key) = explanation.planned.key {
        let _ = writeln!(text, "key {}", key.to_hex());
    }
    print(&text)
}

/// Explains a task as it was in a recorded run, from records alone.
fn recorded(arguments: &ExplainArgs, store: &Store, run: &str) -> Result<(), Exit> {
    let runs = session::runs(store)?;
    let new = story(&runs, run)?;
    let (task, manifest) = recorded_task(store, &new, &arguments.task)?;
    let mut text = format!("{}: {} in {}\n", task.task, task.fate.name(), new.name);
    let old = match &arguments.against {
        Some(run) => {
            let old = story(&runs, run)?;
            let (other, manifest) = recorded_task(store, &old, &arguments.task)?;
            let _ = writeln!(
                text,
                "held against {}, where it was {}",
                old.name,
                other.fate.name()
            );
            if other.key == task.key && other.outputs != task.outputs && !task.outputs.is_empty() {
                text.push_str("NOT REPEATABLE: the key is the same, and the outputs are not\n");
            }
            Some(manifest)
        }
        None => {
            let before = new.began.as_ref().and_then(|began| {
                explain::recorded_before(store, &began.experiment, &task.task, began.at)
            });
            text.push_str(match before {
                Some(_) => "held against its last record before that run\n",
                None => "nothing of its name was recorded before that run, or it is gone\n",
            });
            before
        }
    };
    let parts = explain::between(old.as_ref(), manifest);
    lines(&mut text, &parts, |_| String::new());
    if let Some(key) = task.key {
        let _ = writeln!(text, "key {}", key.to_hex());
    }
    print(&text)
}

/// What became of a task in a run, and the record under its key.
fn recorded_task<'a>(
    store: &Store,
    run: &'a Story,
    name: &str,
) -> Result<(&'a TaskStory, Manifest), Exit> {
    damaged(run);
    let Some(task) = run.task(name) else {
        let names = run.tasks.iter().map(|task| task.task.as_str());
        tell(&format!("error: {} tells of no such task", run.name));
        return Err(no_task(name, names, &format!("llmcl log {}", run.name)));
    };
    let reason = match task.key {
        None => format!("it was {} there, so it had no key", task.fate.name()),
        Some(key) => match explain::recorded(store, &key) {
            Some(manifest) => return Ok((task, manifest)),
            None => "the store has no record of it any more".to_owned(),
        },
    };
    tell(&format!("error: {name} in {}: {reason}", run.name));
    Err(Exit::NotReady)
}

/// A line for each part; `name` names the tasks that are not known yet.
fn lines(text: &mut String, parts: &[Explained], name: impl Fn(TaskId) -> String) {
    for part in parts {
        let _ = match part {
            Explained::Same(part) => writeln!(
                text,
                "  same     {} {}  {}",
                part.component.name(),
                part.name,
                value(&part.value)
            ),
            Explained::Changed(change) => {
                let show = |side: &Option<_>| side.as_ref().map_or("–".to_owned(), value);
                let (old, new) = match (&change.old, &change.new) {
                    (Some(old), Some(new)) => pair(old, new),
                    (old, new) => (show(old), show(new)),
                };
                let (component, name) = (change.component.name(), &change.name);
                writeln!(text, "  changed  {component} {name}  {old} → {new}")
            }
            Explained::Unknown { member, until } => writeln!(
                text,
                "  unknown  content {member}  until {} has run",
                name(*until)
            ),
        };
    }
}

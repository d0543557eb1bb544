//! `llmcl explain`.

use std::fmt::Write;

use llmcl_engine::explain::{self, Explained, Nearness};
use llmcl_engine::model::{Experiment, TaskId};
use llmcl_engine::plan::{self, State};
use llmcl_engine::resolve::Choices;
use llmcl_stages::api::suggest::closest;

use crate::args::{ExperimentArgs, ExplainArgs};
use crate::exit::Exit;
use crate::plan::{describe, value};
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
    let hint = match closest(name, names.iter().map(String::as_str)) {
        Some(name) => format!("did you mean `{name}`?"),
        None => "`llmcl plan` lists the tasks".to_owned(),
    };
    tell(&format!("error: there is no task `{name}`\nhint: {hint}"));
    Err(Exit::Usage)
}

pub(crate) fn explain(arguments: &ExplainArgs) -> Result<(), Exit> {
    let registry = llmcl_stages::registry();
    let experiment_arguments = ExperimentArgs {
        file: arguments.file.clone(),
        settings: arguments.settings.clone(),
    };
    let loaded = session::load(&experiment_arguments, &registry)?;
    let store = session::open(&arguments.store, &arguments.file)?;
    let experiment = &loaded.experiment;
    let task = find(experiment, &arguments.task)?;
    let choices = Choices::default();
    let explanation =
        explain::explain(experiment, &store, &registry, &choices, task).map_err(|trouble| {
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
        };
        let _ = writeln!(text, "held against {which}");
    } else {
        text.push_str("nothing like it was ever recorded\n");
    }
    for part in &explanation.parts {
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
                writeln!(
                    text,
                    "  changed  {} {}  {} → {}",
                    change.component.name(),
                    change.name,
                    show(&change.old),
                    show(&change.new)
                )
            }
            Explained::Unknown { member, until } => writeln!(
                text,
                "  unknown  content {member}  until {} has run",
                experiment.task_name(*until)
            ),
        };
    }
    if let Some(key) = explanation.planned.key {
        let _ = writeln!(text, "key {}", key.to_hex());
    }
    print(&text)
}

//! `llmcl plan` and `llmcl status`.

use std::fmt::Write;

use llmcl_engine::diff::Change;
use llmcl_engine::model::{Experiment, TaskId};
use llmcl_engine::plan::{self, Counts, MaybeReason, Plan, RunReason, State};
use llmcl_engine::resolve::Choices;
use llmcl_engine::status;
use llmcl_stages::api::value::Value;
use serde_json::json;

use crate::args::PlanArgs;
use crate::exit::Exit;
use crate::text::{print, tell};
use crate::{session, size};

pub(crate) fn plan(arguments: &PlanArgs) -> Result<(), Exit> {
    let registry = llmcl_stages::registry();
    let loaded = session::load(&arguments.experiment, &registry)?;
    let store = session::open(&arguments.store, &arguments.experiment.file)?;
    let experiment = &loaded.experiment;
    let plan = plan::plan(experiment, &store, &registry, &Choices::default());
    if arguments.json {
        let tasks: Vec<_> = (0..plan.tasks.len())
            .map(|task| {
                let (state, reason) = describe(experiment, &plan, task);
                let key = plan.tasks[task].key.map(|key| key.to_hex().to_string());
                json!({ "task": experiment.task_name(task), "state": state, "reason": reason, "key": key })
            })
            .collect();
        let document = json!({ "v": 1, "experiment": experiment.name, "tasks": tasks });
        print(&format!("{document}\n"))?;
    } else {
        print(&render(experiment, &plan))?;
    }
    not_ready(&plan.problems)
}

/// Tells what keeps a run from starting, if anything does.
pub(crate) fn not_ready(problems: &[plan::Problem]) -> Result<(), Exit> {
    for problem in problems {
        tell(&format!("error: {}: {}", problem.name, problem.trouble));
        if let Some(hint) = problem.trouble.hint() {
            tell(&format!("hint: {hint}"));
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Exit::NotReady)
    }
}

/// All tasks, stage by stage. Neighbours of a stage that share state and reason make one line.
fn render(experiment: &Experiment, plan: &Plan) -> String {
    let mut text = String::new();
    let width = experiment
        .stages
        .iter()
        .map(|stage| stage.name.len())
        .max()
        .unwrap_or_default();
    for stage in &experiment.stages {
        let mut tasks = stage.tasks.clone().peekable();
        while let Some(first) = tasks.next() {
            let (state, reason) = describe(experiment, plan, first);
            let mut names = vec![labels(experiment, first)];
            while let Some(&next) = tasks.peek() {
                if describe(experiment, plan, next) != (state, reason.clone()) {
                    break;
                }
                names.push(labels(experiment, next));
                tasks.next();
            }
            let shown = match &names[..] {
                [one] => one.clone(),
                [one, .., last] => format!("{one} … {last} ({} tasks)", names.len()),
                [] => String::new(),
            };
            let line = format!("{state:>8}  {:width$}  {shown}", stage.name);
            let reason = if reason.is_empty() {
                reason
            } else {
                format!("  {reason}")
            };
            let _ = writeln!(text, "{}{reason}", line.trim_end());
        }
    }
    let _ = writeln!(text, "{}", counts(plan.counts()));
    text
}

fn labels(experiment: &Experiment, task: TaskId) -> String {
    let name = experiment.task_name(task);
    name.split_once('/')
        .map_or(String::new(), |(_, labels)| labels.to_owned())
}

/// The state of a task as a word, and why it is so.
pub(crate) fn describe(
    experiment: &Experiment,
    plan: &Plan,
    task: TaskId,
) -> (&'static str, String) {
    let name = |task: TaskId| experiment.task_name(task);
    match &plan.tasks[task].state {
        State::Run(reason) => ("run", run_reason(reason)),
        State::Cached { same_as: None } => ("cached", String::new()),
        State::Cached {
            same_as: Some(other),
        } => ("cached", format!("the same as {}", name(*other))),
        State::Maybe(MaybeReason::Gate(gate)) => {
            ("maybe", format!("waits for the outcome of {}", name(*gate)))
        }
        State::Maybe(MaybeReason::Input(input)) => (
            "maybe",
            format!("only if {} comes out differently", name(*input)),
        ),
        State::Maybe(MaybeReason::SameAs(other)) => (
            "maybe",
            format!("may turn out to be the same as {}", name(*other)),
        ),
        State::Pruned(pruning) => (
            "pruned",
            format!("{} is {}", name(pruning.gate), pruning.reason.outcome),
        ),
    }
}

fn run_reason(reason: &RunReason) -> String {
    match reason {
        RunReason::New => "never ran".to_owned(),
        RunReason::Changed(changes) => {
            let mut shown: Vec<String> = changes.iter().take(3).map(change).collect();
            if changes.len() > 3 {
                shown.push(format!("and {} more", changes.len() - 3));
            }
            shown.join(", ")
        }
        RunReason::OutputsMissing(blobs) => {
            format!("{} of its blobs are missing from the store", blobs.len())
        }
        RunReason::NotRecorded => "not recorded with these inputs".to_owned(),
        RunReason::Forced => "asked for".to_owned(),
        RunReason::Unready => "cannot run as it is".to_owned(),
    }
}

/// One changed part of a key, in a few words.
pub(crate) fn change(change: &Change) -> String {
    let what = format!("{} {}", change.component.name(), change.name);
    match (&change.old, &change.new) {
        (Some(old), Some(new)) => {
            let (old, new) = pair(old, new);
            format!("{what} changed: {old} → {new}")
        }
        (None, Some(new)) => format!("{what} is new: {}", value(new)),
        (Some(old), None) => format!("{what} is gone: {}", value(old)),
        (None, None) => what,
    }
}

/// So many characters are shown of a value.
const SHOWN: usize = 60;

/// A value of a key part; digests are cut short.
pub(crate) fn value(value: &Value) -> String {
    match value {
        Value::Text(text) if text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) => {
            format!("{}…", &text[..12])
        }
        other => cut(&other.to_string()),
    }
}

/// Two values of which one became the other; of long ones the places where they differ.
pub(crate) fn pair(old: &Value, new: &Value) -> (String, String) {
    /// So much of what they have in common is shown before that.
    const BEFORE: usize = 20;
    let (shown, other) = (value(old), value(new));
    if shown != other {
        return (shown, other);
    }
    let (old, new) = (old.to_string(), new.to_string());
    let common = old
        .chars()
        .zip(new.chars())
        .take_while(|(a, b)| a == b)
        .count();
    let from =
        |text: &str| -> String { text.chars().skip(common.saturating_sub(BEFORE)).collect() };
    (
        format!("…{}", cut(&from(&old))),
        format!("…{}", cut(&from(&new))),
    )
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The number of tasks in each state, in a sentence.
pub(crate) fn counts(counts: Counts) -> String {
    format!(
        "{} to run, {} maybe, {} cached, {} pruned",
        counts.run, counts.maybe, counts.cached, counts.pruned
    )
}

pub(crate) fn status(arguments: &PlanArgs) -> Result<(), Exit> {
    let registry = llmcl_stages::registry();
    let loaded = session::load(&arguments.experiment, &registry)?;
    let store = session::open(&arguments.store, &arguments.experiment.file)?;
    let experiment = &loaded.experiment;
    let plan = plan::plan(experiment, &store, &registry, &Choices::default());
    let stages = status::status(experiment, &store, &plan);
    if arguments.json {
        let stages: Vec<_> = stages
            .iter()
            .map(|status| {
                let milliseconds = status.last_duration.map(|duration| duration.as_millis());
                json!({
                    "stage": experiment.stages[status.stage].name,
                    "run": status.counts.run,
                    "maybe": status.counts.maybe,
                    "cached": status.counts.cached,
                    "pruned": status.counts.pruned,
                    "last_duration_ms": milliseconds,
                })
            })
            .collect();
        let document = json!({ "v": 1, "experiment": experiment.name, "stages": stages });
        return print(&format!("{document}\n"));
    }
    let width = experiment
        .stages
        .iter()
        .map(|stage| stage.name.len())
        .max()
        .unwrap_or_default()
        .max("stage".len());
    let mut text = format!(
        "{:width$}  {:>6}  {:>6}  {:>6}  {:>6}  last took\n",
        "stage", "cached", "run", "maybe", "pruned"
    );
    for status in &stages {
        let counts = status.counts;
        let took = status.last_duration.map_or(String::new(), size::duration);
        let line = format!(
            "{:width$}  {:>6}  {:>6}  {:>6}  {:>6}  {took}",
            experiment.stages[status.stage].name,
            counts.cached,
            counts.run,
            counts.maybe,
            counts.pruned
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let _ = writeln!(text, "{}", counts(plan.counts()));
    print(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_long_values_the_difference_is_shown() {
        let text = |end: &str| Value::Text(format!("{}{end}", "x".repeat(100)));
        assert_eq!(
            pair(&text("one"), &text("two")),
            (
                format!("…{}one'", "x".repeat(20)),
                format!("…{}two'", "x".repeat(20))
            )
        );
        let (short, other) = (Value::Int(1), Value::Int(2));
        assert_eq!(pair(&short, &other), ("1".to_owned(), "2".to_owned()));
        let digest = |byte: &str| Value::Text(byte.repeat(32));
        assert_eq!(pair(&digest("0a"), &digest("0b")).0, "0a0a0a0a0a0a…");
    }
}

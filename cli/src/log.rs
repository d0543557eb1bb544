//! `llmcl log`: the recorded runs, and what became of the tasks of one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use llmcl_cache::{Store, StoreError};
use llmcl_engine::check;
use llmcl_engine::clock::readable;
use llmcl_engine::events::{Failure, Finish, Summary};
use llmcl_engine::runs::{Outline, RecordedRun, Runs};
use llmcl_engine::story::{Fate, Story, TaskStory};
use llmcl_engine::timings::Timings;
use llmcl_engine::trace::Trace;
use serde_json::{Value, json};

use crate::args::LogArgs;
use crate::diagnostics;
use crate::exit::Exit;
use crate::progress::figure;
use crate::text::{print, tell};
use crate::{session, timings};

pub(crate) fn log(arguments: &LogArgs) -> Result<(), Exit> {
    let file = arguments
        .what
        .as_deref()
        .filter(|what| what.ends_with(".toml"));
    let store = session::open(&arguments.store, Path::new(file.unwrap_or(".")))?;
    let runs = session::runs(&store)?;
    match (&arguments.what, file) {
        (_, Some(file)) => {
            let name = check::name(Path::new(file)).map_err(|mistakes| {
                tell(diagnostics::render(&mistakes).trim_end());
                Exit::Mistakes
            })?;
            list(arguments, &store, &runs, Some(&name))
        }
        (None, None) => list(arguments, &store, &runs, None),
        (Some(which), None) => one(arguments, session::find_run(&runs, which)?),
    }
}

fn list(
    arguments: &LogArgs,
    store: &Store,
    runs: &Runs,
    experiment: Option<&str>,
) -> Result<(), Exit> {
    if arguments.timings || arguments.trace.is_some() {
        tell("error: --timings and --trace are of one run; name it in place of the experiment");
        return Err(Exit::Usage);
    }
    let mut outlines = Vec::new();
    for run in runs.iter() {
        if outlines.len() == arguments.number {
            break;
        }
        match run.outline() {
            Ok(outline)
                if experiment.is_none_or(|name| outline.experiment.as_deref() == Some(name)) =>
            {
                outlines.push(outline);
            }
            Ok(_) => {}
            Err(error) => tell(&format!("warning: {}: {}", run.name(), with_source(&error))),
        }
    }
    if arguments.json {
        let runs: Vec<Value> = outlines.iter().map(outline_json).collect();
        return print(&format!("{}\n", json!({ "v": 1, "runs": runs })));
    }
    if outlines.is_empty() {
        let of = experiment.map_or(String::new(), |name| format!(" of `{name}`"));
        tell(&format!(
            "no run{of} is recorded in {}",
            store.root().display()
        ));
        return Ok(());
    }
    print(&table(&outlines))
}

fn table(outlines: &[Outline]) -> String {
    let mut rows =
        vec![["run", "experiment", "began (UTC)", "took", "ended", "tasks"].map(str::to_owned)];
    rows.extend(outlines.iter().map(|outline| {
        [
            outline.name.clone(),
            outline.experiment.clone().unwrap_or("?".to_owned()),
            outline.began.map_or("?".to_owned(), readable),
            outline.took_us.map_or("?".to_owned(), timings::time),
            outline.ending.name().to_owned(),
            counts(&outline.summary),
        ]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..6)
        .map(|column| width(column).unwrap_or_default())
        .collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = match column {
                3 => write!(line, "{cell:>width$}  "),
                _ => write!(line, "{cell:width$}  "),
            };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// How many tasks ended in which way, in a sentence.
pub(crate) fn counts(summary: &Summary) -> String {
    let counts = [
        (summary.executed, "done"),
        (summary.cached, "cached"),
        (summary.pruned, "pruned"),
        (summary.failed, "failed"),
        (summary.not_run, "not run"),
        (summary.left, "left"),
    ];
    let shown: Vec<String> = counts
        .iter()
        .enumerate()
        .filter(|(index, (count, _))| *index < 2 || *count > 0)
        .map(|(_, (count, word))| format!("{count} {word}"))
        .collect();
    shown.join(", ")
}

fn one(arguments: &LogArgs, run: &RecordedRun) -> Result<(), Exit> {
    if let Some(path) = &arguments.trace {
        return trace(run, path);
    }
    if arguments.timings {
        let mut times = Timings::default();
        let events = run.events().map_err(|error| session::unreadable(&error))?;
        for event in events.filter_map(|event| event.map_err(|damage| warn(run, &damage)).ok()) {
            times.add(&event);
        }
        let report = times.report(timings::LONGEST);
        return print(&if arguments.json {
            format!(
                "{}\n",
                json!({ "v": 1, "run": run.name(), "timings": timings::json(&report) })
            )
        } else {
            timings::render(&report, None)
        });
    }
    let story = Story::of(run).map_err(|error| session::unreadable(&error))?;
    if arguments.json {
        return print(&format!("{}\n", story_json(&story)));
    }
    print(&render(&story))?;
    damaged(&story);
    Ok(())
}

/// Tells what of a run's log could not be read.
pub(crate) fn damaged(story: &Story) {
    for damage in &story.damage.first {
        tell(&format!("warning: the log of {}: {damage}", story.name));
    }
    let more = story.damage.count - story.damage.first.len();
    if more > 0 {
        tell(&format!(
            "warning: the log of {}: and {more} more lines",
            story.name
        ));
    }
}

fn warn(run: &RecordedRun, damage: &llmcl_engine::runs::Damage) {
    tell(&format!("warning: the log of {}: {damage}", run.name()));
}

fn with_source(error: &StoreError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn trace(run: &RecordedRun, path: &Path) -> Result<(), Exit> {
    let failed = |error: std::io::Error| {
        tell(&format!("error: cannot write {}: {error}", path.display()));
        Exit::Store
    };
    let events = run.events().map_err(|error| session::unreadable(&error))?;
    // Nothing of the user's is overwritten.
    let file = File::create_new(path).map_err(failed)?;
    let mut trace = Trace::begin(BufWriter::new(file)).map_err(failed)?;
    for event in events.filter_map(|event| event.map_err(|damage| warn(run, &damage)).ok()) {
        trace.add(&event).map_err(failed)?;
    }
    trace.finish().map_err(failed)?;
    tell(&format!(
        "{}: open it in ui.perfetto.dev or chrome://tracing",
        path.display()
    ));
    Ok(())
}

fn render(story: &Story) -> String {
    let mut text = story.name.clone();
    if let Some(began) = &story.began {
        let _ = write!(
            text,
            ": {}, {} UTC, {} at a time",
            began.experiment,
            readable(began.at),
            began.jobs
        );
    }
    text.push('\n');
    for task in &story.tasks {
        text.push_str(&task_lines(task));
    }
    for notice in &story.notices.first {
        let _ = writeln!(text, " warning  {notice}");
    }
    let more = story.notices.count - story.notices.first.len();
    if more > 0 {
        let _ = writeln!(text, " warning  and {more} more");
    }
    let summary = story.told();
    let took = story.began.as_ref().zip(story.last);
    let took = took.map_or(String::new(), |(began, last)| {
        format!(" after {}", timings::time(last.saturating_sub(began.at)))
    });
    let _ = writeln!(text, "{}: {}{took}", story.ending.name(), counts(&summary));
    text
}

fn task_lines(task: &TaskStory) -> String {
    let mut text = String::new();
    for (attempt, failure) in &task.retries {
        let why = indented(&failure.message);
        let _ = writeln!(
            text,
            "   again  {}: attempt {attempt} failed: {why}",
            task.task
        );
    }
    let mut facts = Vec::new();
    match &task.fate {
        Fate::Pruned { gate, outcome } => facts.push(format!("{gate} is {outcome}")),
        Fate::NotRun { because } => facts.push(format!("{because} failed")),
        Fate::Open => facts.push("had not ended".to_owned()),
        _ => {}
    }
    if let Some(spent) = &task.spent {
        facts.push(timings::time(spent.work_us));
        if task.waited {
            facts.push(format!(
                "waited {} for another process",
                timings::time(spent.lock_us)
            ));
        }
    }
    if task.redone > 0 {
        facts.push("made again: its output was gone or damaged".to_owned());
    }
    if let Some(gate) = &task.gate {
        let note = gate
            .note
            .as_ref()
            .map_or(String::new(), |note| format!(" ({note})"));
        let figures = gate.statistics.iter();
        let figures: Vec<_> = figures
            .map(|(name, value)| format!("{name} = {}", figure(*value)))
            .collect();
        facts.push(format!("{}{note}: {}", gate.outcome, figures.join(", ")));
    }
    let word = task.fate.name();
    match &task.fate {
        Fate::Failed { failure, attempts } => {
            let times = if *attempts > 1 {
                format!(" ({attempts} attempts)")
            } else {
                String::new()
            };
            let facts: String = facts.iter().map(|fact| format!("  {fact}")).collect();
            let _ = writeln!(
                text,
                "{word:>8}  {}{times}{facts}: {}",
                task.task,
                indented(&failure.message)
            );
            if let Some(hint) = &failure.hint {
                let _ = writeln!(text, "          hint: {}", indented(hint));
            }
        }
        _ => {
            let line = format!("{word:>8}  {}  {}", task.task, facts.join(", "));
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }
    text
}

/// A message of several lines, so that it stands under its first.
pub(crate) fn indented(message: &str) -> String {
    message.trim_end().replace('\n', "\n          ")
}

fn outline_json(outline: &Outline) -> Value {
    json!({
        "run": outline.name,
        "experiment": outline.experiment,
        "began": outline.began,
        "took_us": outline.took_us,
        "ended": outline.ending.name(),
        "tasks": summary_json(&outline.summary),
    })
}

fn summary_json(summary: &Summary) -> Value {
    json!({
        "executed": summary.executed,
        "cached": summary.cached,
        "pruned": summary.pruned,
        "failed": summary.failed,
        "not_run": summary.not_run,
        "left": summary.left,
    })
}

fn story_json(story: &Story) -> Value {
    let tasks: Vec<Value> = story.tasks.iter().map(task_json).collect();
    let damage: Vec<String> = story.damage.first.iter().map(ToString::to_string).collect();
    let took = story.began.as_ref().zip(story.last);
    json!({
        "v": 1,
        "run": story.name,
        "experiment": story.began.as_ref().map(|began| &began.experiment),
        "began": story.began.as_ref().map(|began| began.at),
        "took_us": took.map(|(began, last)| last.saturating_sub(began.at)),
        "ended": story.ending.name(),
        "counts": summary_json(&story.told()),
        "tasks": tasks,
        "notices": story.notices.first,
        "damaged_lines": story.damage.count,
        "damage": damage,
    })
}

fn task_json(task: &TaskStory) -> Value {
    let (mut why, mut attempts) = (Value::Null, Value::Null);
    match &task.fate {
        Fate::Pruned { gate, outcome } => why = json!({ "gate": gate, "outcome": outcome }),
        Fate::NotRun { because } => why = json!({ "because": because }),
        Fate::Failed {
            failure,
            attempts: made,
        } => {
            why = failure_json(failure);
            attempts = (*made).into();
        }
        Fate::Open
        | Fate::Finished(Finish::Executed | Finish::Cached | Finish::Taken | Finish::Shared) => {}
    }
    let gate = task.gate.as_ref().map(
        |gate| json!({ "outcome": gate.outcome, "note": gate.note, "statistics": gate.statistics }),
    );
    let retries: Vec<Value> = task
        .retries
        .iter()
        .map(|(attempt, failure)| json!({ "attempt": attempt, "failure": failure_json(failure) }))
        .collect();
    let outputs: BTreeMap<_, _> = task
        .outputs
        .iter()
        .map(|(port, output)| (port, output))
        .collect();
    json!({
        "task": task.task,
        "ended": task.fate.name(),
        "key": task.key.map(|key| key.to_hex().to_string()),
        "why": why,
        "attempts": attempts,
        "retries": retries,
        "gate": gate,
        "outputs": outputs,
        "waited": task.waited,
        "redone": task.redone,
        "spent": task.spent,
    })
}

fn failure_json(failure: &Failure) -> Value {
    json!({ "kind": failure.kind, "message": failure.message, "hint": failure.hint })
}

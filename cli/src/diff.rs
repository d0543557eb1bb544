//! `llmcl diff`: what two recorded runs differ in.

use std::fmt::Write as _;
use std::path::Path;

use llmcl_engine::clock::readable;
use llmcl_engine::compare::{Cause, Comparison, OtherGate, Reason, base, compare};
use llmcl_engine::runs::{Ending, Runs};
use llmcl_engine::story::{Fate, Story};
use serde_json::{Value, json};

use crate::args::DiffArgs;
use crate::exit::Exit;
use crate::log::{counts, damaged, indented};
use crate::plan::change;
use crate::progress::figure;
use crate::text::print;
use crate::{session, timings};

/// So many names stand for those of a longer list.
const SOME: usize = 3;
/// So many durations are shown.
const DURATIONS: usize = 20;

pub(crate) fn diff(arguments: &DiffArgs) -> Result<(), Exit> {
    let store = session::open(&arguments.store, Path::new("."))?;
    let runs = session::runs(&store)?;
    let (a, b) = (story(&runs, &arguments.a)?, story(&runs, &arguments.b)?);
    let comparison = compare(&a, &b, &store);
    if arguments.json {
        print(&format!("{}\n", document(&a, &b, &comparison)))?;
    } else {
        print(&render(&a, &b, &comparison, arguments.durations))?;
    }
    damaged(&a);
    damaged(&b);
    Ok(())
}

/// Reads the log of the run that is meant.
pub(crate) fn story(runs: &Runs, which: &str) -> Result<Story, Exit> {
    let run = session::find_run(runs, which)?;
    Story::of(run).map_err(|error| session::unreadable(&error))
}

fn render(a: &Story, b: &Story, comparison: &Comparison, durations: bool) -> String {
    let mut text = format!("{}\n{}\n", heading("a", a), heading("b", b));
    text.push_str(&summary(comparison));
    unrepeatable(&mut text, comparison);
    only(&mut text, "a", &comparison.only_a, b);
    only(&mut text, "b", &comparison.only_b, a);
    for other in &comparison.fates {
        let _ = writeln!(
            text,
            "ended    {}: {} → {}",
            other.task,
            fate(&other.a),
            fate(&other.b)
        );
    }
    for gate in &comparison.gates {
        let _ = writeln!(text, "gate     {}", gate_line(gate));
    }
    for cause in &comparison.causes {
        cause_lines(&mut text, cause);
    }
    for (mine, other, which) in [
        (true, false, "a"),
        (false, true, "b"),
        (true, true, "a and b"),
    ] {
        let gone = comparison
            .gone
            .iter()
            .filter(|gone| (gone.a, gone.b) == (mine, other));
        let tasks: Vec<String> = gone.map(|gone| gone.task.clone()).collect();
        if !tasks.is_empty() {
            let _ = writeln!(
                text,
                "key      {}: the store has no record any more of {which}, so what differs is not known",
                some(&tasks)
            );
        }
    }
    if durations {
        for task in comparison.durations.iter().take(DURATIONS) {
            let (a, b) = (timings::time(task.a_us), timings::time(task.b_us));
            let _ = writeln!(text, "took     {}: {a} → {b}", task.task);
        }
        if comparison.durations.is_empty() {
            text.push_str("took     no task ran in both\n");
        }
    }
    text
}

fn heading(letter: &str, story: &Story) -> String {
    let summary = story.told();
    let began = story.began.as_ref();
    let began = began.map_or(String::new(), |began| {
        format!("  {}, {} UTC", began.experiment, readable(began.at))
    });
    let (ending, counts) = (story.ending.name(), counts(&summary));
    format!("{letter}  {}{began}, {ending}: {counts}", story.name)
}

fn summary(comparison: &Comparison) -> String {
    let keys = comparison
        .causes
        .iter()
        .map(|cause| cause.tasks.len())
        .sum::<usize>();
    let counts = [
        (comparison.unrepeatable.len(), "NOT REPEATABLE"),
        (comparison.only_a.len(), "only in a"),
        (comparison.only_b.len(), "only in b"),
        (comparison.fates.len(), "ended in another way"),
        (comparison.gates.len(), "with other findings"),
        (keys + comparison.gone.len(), "with another key"),
        (comparison.same, "the same"),
    ];
    let shown: Vec<String> = counts
        .iter()
        .filter(|(count, word)| *count > 0 || *word == "the same")
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    format!("{}\n", shown.join(", "))
}

fn unrepeatable(text: &mut String, comparison: &Comparison) {
    if comparison.unrepeatable.is_empty() {
        return;
    }
    text.push_str(
        "NOT REPEATABLE: these tasks put out other things under the same key. A key holds all that outputs may\n\
         depend on, so a stage kind is wrong, or a program that it calls; nothing built on them can be trusted.\n",
    );
    for task in &comparison.unrepeatable {
        let _ = writeln!(text, "  {}  key {}", task.task, task.key.to_hex());
        for (port, a, b) in &task.outputs {
            let side = |output: &Option<llmcl_engine::events::OutputDigest>| {
                output.map_or("nothing".to_owned(), |output| {
                    format!(
                        "{}… of {} bytes",
                        &output.digest.to_hex()[..12],
                        output.bytes
                    )
                })
            };
            let _ = writeln!(text, "    {port}: {} → {}", side(a), side(b));
        }
    }
}

fn only(text: &mut String, which: &str, tasks: &[String], other: &Story) {
    if tasks.is_empty() {
        return;
    }
    let why = match other.ending {
        Ending::Complete => "",
        Ending::Failed | Ending::Interrupted | Ending::Running | Ending::Silent => {
            "; the other run did not come to all of its tasks"
        }
    };
    let _ = writeln!(text, "only {which}   {}{why}", some(tasks));
}

fn cause_lines(text: &mut String, cause: &Cause) {
    let tasks = some(&cause.tasks);
    let same = match cause.same_outputs {
        0 => String::new(),
        same if same == cause.tasks.len() => "; the outputs are the same".to_owned(),
        same => format!("; the outputs of {same} are the same"),
    };
    if cause.reasons.is_empty() {
        let inputs = cause.inputs.join(", ");
        let _ = writeln!(
            text,
            "follows  {tasks}: only the content of {inputs} differs{same}"
        );
        return;
    }
    let _ = writeln!(text, "key      {tasks}{same}");
    for reason in &cause.reasons {
        let more = match reason.members {
            1 => String::new(),
            members => format!(", and {} more of {}", members - 1, base(&reason.example)),
        };
        let example = if reason.everywhere { "" } else { "such as " };
        let _ = writeln!(
            text,
            "           {example}{}{more}",
            change(&reason.example)
        );
    }
}

fn gate_line(gate: &OtherGate) -> String {
    let [a, b] = &gate.outcomes;
    let outcome = if a == b {
        a.clone()
    } else {
        format!("{a} → {b}")
    };
    let side = |value: &Option<f64>| value.map_or("–".to_owned(), figure);
    let figures: Vec<String> = gate
        .statistics
        .iter()
        .map(|(name, a, b)| format!("{name} {} → {}", side(a), side(b)))
        .collect();
    format!("{}: {outcome}  {}", gate.task, figures.join(", "))
        .trim_end()
        .to_owned()
}

fn fate(fate: &Fate) -> String {
    match fate {
        Fate::Failed { failure, .. } => format!("failed ({})", indented(&failure.message)),
        Fate::Pruned { gate, outcome } => format!("pruned ({gate} is {outcome})"),
        Fate::NotRun { because } => format!("not run ({because} failed)"),
        Fate::Open => "not ended".to_owned(),
        Fate::Finished(_) => fate.name().to_owned(),
    }
}

/// The names of a few tasks, or how many they are and some of their names.
fn some(tasks: &[String]) -> String {
    match tasks.len() {
        0..=SOME => tasks.join(", "),
        many => format!("{many} tasks: {}, …", tasks[..SOME].join(", ")),
    }
}

fn document(a: &Story, b: &Story, comparison: &Comparison) -> Value {
    let run = |story: &Story| {
        json!({
            "run": story.name,
            "experiment": story.began.as_ref().map(|began| &began.experiment),
            "ended": story.ending.name(),
            "damaged_lines": story.damage.count,
        })
    };
    let unrepeatable: Vec<Value> = comparison
        .unrepeatable
        .iter()
        .map(|task| {
            let outputs: Vec<Value> = task
                .outputs
                .iter()
                .map(|(port, a, b)| json!({ "port": port, "a": a, "b": b }))
                .collect();
            json!({ "task": task.task, "key": task.key.to_hex().to_string(), "outputs": outputs })
        })
        .collect();
    let fates: Vec<Value> = comparison
        .fates
        .iter()
        .map(|task| json!({ "task": task.task, "a": task.a.name(), "b": task.b.name() }))
        .collect();
    let gates: Vec<Value> = comparison.gates.iter().map(gate_json).collect();
    let causes: Vec<Value> = comparison.causes.iter().map(cause_json).collect();
    let gone: Vec<Value> = comparison
        .gone
        .iter()
        .map(|task| json!({ "task": task.task, "a": task.a, "b": task.b }))
        .collect();
    let durations: Vec<Value> = comparison
        .durations
        .iter()
        .map(|task| json!({ "task": task.task, "a_us": task.a_us, "b_us": task.b_us }))
        .collect();
    json!({
        "v": 1,
        "a": run(a),
        "b": run(b),
        "same": comparison.is_same(),
        "same_tasks": comparison.same,
        "not_repeatable": unrepeatable,
        "only_a": comparison.only_a,
        "only_b": comparison.only_b,
        "ended": fates,
        "gates": gates,
        "keys": causes,
        "records_gone": gone,
        "durations": durations,
    })
}

fn gate_json(gate: &OtherGate) -> Value {
    let statistics: Vec<Value> = gate
        .statistics
        .iter()
        .map(|(name, a, b)| json!({ "name": name, "a": a, "b": b }))
        .collect();
    json!({
        "task": gate.task,
        "a": gate.outcomes[0],
        "b": gate.outcomes[1],
        "statistics": statistics,
    })
}

fn cause_json(cause: &Cause) -> Value {
    let reasons: Vec<Value> = cause.reasons.iter().map(reason_json).collect();
    json!({
        "reasons": reasons,
        "inputs": cause.inputs,
        "tasks": cause.tasks,
        "same_outputs": cause.same_outputs,
    })
}

fn reason_json(reason: &Reason) -> Value {
    let change = &reason.example;
    let side = |value: &Option<_>| value.as_ref().map(llmcl_stages::api::value::Value::to_json);
    json!({
        "component": change.component.name(),
        "name": change.name,
        "a": side(&change.old),
        "b": side(&change.new),
        "members": reason.members,
        "everywhere": reason.everywhere,
    })
}

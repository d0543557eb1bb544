//! `llmcl cache repair`.

use std::collections::BTreeSet;

use llmcl_cache::{RepairReport, Repaired};
use llmcl_engine::roots;
use serde_json::{Value, json};

use super::args::RepairArgs;
use super::{failed, finding, line, on_wait, open, print_json, progress, task, with_cause};
use crate::exit::Exit;
use crate::text::{print, tell};

pub(crate) fn repair(arguments: &RepairArgs) -> Result<(), Exit> {
    let store = open(&arguments.common.store)?;
    let mut on_wait = on_wait();
    let collector = store
        .collector(&mut on_wait)
        .map_err(|error| failed(&error))?;
    let report = collector
        .repair(&roots::log_line, &mut progress(), &mut on_wait)
        .map_err(|error| failed(&error))?;
    for error in &report.failures {
        tell(&format!("error: {}", with_cause(error)));
    }
    for finding in &report.left {
        tell(&format!("error: still wrong: {}", line(finding)));
    }
    match arguments.common.json {
        true => print_json(&to_json(&report))?,
        false => print(&to_text(&report))?,
    }
    match report.failures.is_empty() && report.left.is_empty() {
        true => Ok(()),
        false => Err(Exit::Store),
    }
}

fn say(repaired: &Repaired) -> String {
    match repaired {
        Repaired::Blob {
            digest,
            is_healed: true,
        } => format!("blob {digest} was set aside; a record holds its content"),
        Repaired::Blob { digest, .. } => format!("blob {digest} was set aside"),
        Repaired::Record(record) => {
            let task = task(record).unwrap_or_else(|| "a task".to_owned());
            format!("the record of {task} was dropped (key {})", record.key())
        }
        Repaired::Segment { path, moved_to } => format!(
            "{}: what is intact was written anew; the damaged file is {}",
            path.display(),
            moved_to.display()
        ),
        Repaired::Log { path, moved_to } => format!(
            "{}: what is intact was kept; the damaged file is {}",
            path.display(),
            moved_to.display()
        ),
    }
}

/// The tasks whose records were dropped.
fn tasks(report: &RepairReport) -> BTreeSet<String> {
    let records = report
        .repaired
        .iter()
        .filter_map(|repaired| match repaired {
            Repaired::Record(record) => task(record),
            _ => None,
        });
    records.collect()
}

fn to_text(report: &RepairReport) -> String {
    let mut text = String::new();
    for repaired in &report.repaired {
        text.push_str(&say(repaired));
        text.push('\n');
    }
    if report.repaired.is_empty() && report.left.is_empty() && report.failures.is_empty() {
        text.push_str("nothing is wrong\n");
    }
    let tasks = tasks(report);
    if !tasks.is_empty() {
        text.push_str("the next run makes again what it needs of\n");
    }
    for task in tasks {
        text.push_str(&format!("  {task}\n"));
    }
    text
}

fn to_json(report: &RepairReport) -> Value {
    json!({
        "repaired": report.repaired.iter().map(say).collect::<Vec<_>>(),
        "tasks": tasks(report),
        "left": report.left.iter().map(finding).collect::<Vec<_>>(),
        "failures": report.failures.iter().map(with_cause).collect::<Vec<_>>(),
    })
}

//! `llmcl cache gc`.

use llmcl_cache::{Freed, GcOptions, GcReport};
use serde_json::{Value, json};

use super::args::GcArgs;
use super::{amount, failed, on_wait, open, print_json, run_roots, with_cause};
use crate::exit::Exit;
use crate::size;
use crate::text::{print, tell};

pub(crate) fn gc(arguments: &GcArgs) -> Result<(), Exit> {
    let store = open(&arguments.common.store)?;
    let mut on_wait = on_wait();
    // Before the logs are read: of processes that end after this, the collection knows what they used.
    let collector = match arguments.dry_run {
        true => None,
        false => Some(
            store
                .collector(&mut on_wait)
                .map_err(|error| failed(&error))?,
        ),
    };
    let runs = run_roots(&store, arguments.keep_runs)?;
    let options = GcOptions {
        roots: &runs.roots,
        max_bytes: arguments.max_size.map(|size| size.0),
        quarantine: arguments.quarantine,
        logs: if arguments.logs { &runs.not_kept } else { &[] },
    };
    let report = match &collector {
        None => store.plan_collection(&options),
        Some(collector) => collector.collect(&options, &mut on_wait),
    };
    let report = report.map_err(|error| failed(&error))?;
    for path in &report.unseen {
        tell(&format!(
            "warning: {} cannot be read by this program, and may name any blob: no blob is removed",
            path.display()
        ));
    }
    for error in &report.failures {
        tell(&format!("error: {}", with_cause(error)));
    }
    match arguments.common.json {
        true => print_json(&to_json(&report, arguments))?,
        false => print(&to_text(&report, arguments))?,
    }
    match report.failures.is_empty() {
        true => Ok(()),
        false => Err(Exit::Store),
    }
}

/// What was removed, by kind; what there was none of is left out.
fn freed(freed: &Freed) -> Vec<(&'static str, u64, u64)> {
    let kinds = [
        ("records", freed.records),
        ("replaced records", freed.superseded),
        ("blobs", freed.blobs),
        ("blobs without a record", freed.unnamed),
        ("left by killed processes", freed.unfinished),
        ("work not taken up again", freed.resumable),
        ("old snapshots of runs", freed.snapshots),
        ("set aside as damaged", freed.quarantine),
        ("logs", freed.logs),
    ];
    let holes = ("holes in segments", 0, freed.holes);
    kinds
        .into_iter()
        .map(|(kind, amount)| (kind, amount.count, amount.bytes))
        .chain([holes])
        .filter(|(_, count, bytes)| count + bytes > 0)
        .collect()
}

fn to_text(report: &GcReport, arguments: &GcArgs) -> String {
    let verb = if arguments.dry_run {
        "would free"
    } else {
        "freed"
    };
    let mut text = format!(
        "{verb} {} of {}\n",
        size::bytes(report.before.saturating_sub(report.after)),
        size::bytes(report.before)
    );
    for (kind, count, bytes) in freed(&report.freed) {
        let count = if count == 0 {
            String::new()
        } else {
            count.to_string()
        };
        text.push_str(&format!(
            "  {kind:<26} {count:>8} {:>12}\n",
            size::bytes(bytes)
        ));
    }
    if !report.kept.is_empty() {
        text.push_str("kept, for the first of these reasons\n");
    }
    for kept in &report.kept {
        text.push_str(&format!(
            "  {}: {} records, {}\n",
            kept.reason,
            kept.records,
            size::bytes(kept.bytes)
        ));
    }
    if let Some(over) = over(report, arguments) {
        let would = if arguments.dry_run {
            "would still be"
        } else {
            "is still"
        };
        text.push_str(&format!(
            "the store {would} {} over the size asked for, because of what is kept\n",
            size::bytes(over)
        ));
    }
    text
}

/// By how many bytes the store is larger than asked for.
fn over(report: &GcReport, arguments: &GcArgs) -> Option<u64> {
    let over = report.after.checked_sub(arguments.max_size?.0)?;
    (over > 0).then_some(over)
}

fn to_json(report: &GcReport, arguments: &GcArgs) -> Value {
    let kept: Vec<Value> = report
        .kept
        .iter()
        .map(|kept| json!({ "reason": kept.reason, "records": kept.records, "bytes": kept.bytes }))
        .collect();
    let freed = report.freed;
    json!({
        "dry_run": arguments.dry_run,
        "bytes_before": report.before,
        "bytes_after": report.after,
        "freed": {
            "records": amount(freed.records),
            "superseded": amount(freed.superseded),
            "blobs": amount(freed.blobs),
            "unnamed": amount(freed.unnamed),
            "unfinished": amount(freed.unfinished),
            "resumable": amount(freed.resumable),
            "snapshots": amount(freed.snapshots),
            "quarantine": amount(freed.quarantine),
            "logs": amount(freed.logs),
            "holes_bytes": freed.holes,
        },
        "kept": kept,
        "bytes_over": over(report, arguments).unwrap_or(0),
        "failures": report.failures.iter().map(with_cause).collect::<Vec<_>>(),
    })
}

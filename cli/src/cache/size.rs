//! `llmcl cache size`.

use llmcl_cache::{Amount, GcOptions, SizeReport};
use serde_json::{Value, json};

use super::args::{SizeArgs, kept_runs};
use super::{amount, failed, open, print_json, run_roots};
use crate::exit::Exit;
use crate::size::bytes;
use crate::text::print;

pub(crate) fn size(arguments: &SizeArgs) -> Result<(), Exit> {
    let store = open(&arguments.common.store)?;
    let report = store.size();
    let runs = run_roots(&store, kept_runs())?;
    let options = GcOptions {
        roots: &runs.roots,
        ..GcOptions::default()
    };
    let plan = store
        .plan_collection(&options)
        .map_err(|error| failed(&error))?;
    let collectable = plan.freed.bytes();
    match arguments.common.json {
        true => print_json(&to_json(&report, collectable)),
        false => print(&to_text(&report, collectable)),
    }
}

fn to_text(report: &SizeReport, collectable: u64) -> String {
    let row = |name: &str, amount: Amount| {
        format!(
            "{name:<26} {:>8} {:>12}\n",
            amount.count,
            bytes(amount.bytes)
        )
    };
    let mut text = String::new();
    for (name, amount) in [
        ("blobs", report.blobs),
        ("segments of records", report.segments),
        ("  records", report.live),
        ("  replaced records", report.superseded),
        ("logs of runs", report.logs),
        ("work to be taken up again", report.resumable),
        ("snapshots of runs", report.snapshots),
        ("set aside as damaged", report.quarantine),
        ("unfinished", report.unfinished),
    ] {
        text.push_str(&row(name, amount));
    }
    text.push_str(&format!(
        "{:<26} {:>8} {:>12}\n",
        "all",
        "",
        bytes(report.total)
    ));
    text.push_str(&format!(
        "`llmcl cache gc` would free {}\n",
        bytes(collectable)
    ));
    text
}

fn to_json(report: &SizeReport, collectable: u64) -> Value {
    json!({
        "blobs": amount(report.blobs),
        "segments": amount(report.segments),
        "records": amount(report.live),
        "superseded": amount(report.superseded),
        "logs": amount(report.logs),
        "resumable": amount(report.resumable),
        "snapshots": amount(report.snapshots),
        "quarantine": amount(report.quarantine),
        "unfinished": amount(report.unfinished),
        "bytes": report.total,
        "collectable_bytes": collectable,
    })
}

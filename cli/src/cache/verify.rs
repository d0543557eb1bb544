//! `llmcl cache verify`.

use llmcl_cache::{VerifyOptions, VerifyReport};
use llmcl_engine::roots;
use serde_json::{Value, json};

use super::args::VerifyArgs;
use super::{amount, failed, finding, line, open, print_json, progress};
use crate::exit::Exit;
use crate::size;
use crate::text::{print, tell};

pub(crate) fn verify(arguments: &VerifyArgs) -> Result<(), Exit> {
    let store = open(&arguments.common.store)?;
    let options = VerifyOptions {
        quick: arguments.quick,
        log_line: &roots::log_line,
    };
    let report = store
        .verify(&options, &mut progress())
        .map_err(|error| failed(&error))?;
    if arguments.common.json {
        print_json(&to_json(&report))?;
    } else {
        for note in &report.notes {
            tell(&format!("note: {}", line(note)));
        }
        print(&to_text(&report))?;
    }
    match report.findings.is_empty() {
        true => Ok(()),
        false => {
            tell("hint: `llmcl cache repair` sets it aside, and the next run makes it again");
            Err(Exit::Store)
        }
    }
}

fn to_text(report: &VerifyReport) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        text.push_str(&line(finding));
        text.push('\n');
    }
    let result = match report.findings.len() {
        0 => "nothing is wrong".to_owned(),
        1 => "1 thing is wrong".to_owned(),
        count => format!("{count} things are wrong"),
    };
    text.push_str(&format!(
        "{result}: {} blobs ({}), {} records, {} logs\n",
        report.blobs.count,
        size::bytes(report.blobs.bytes),
        report.records,
        report.logs.count
    ));
    text
}

fn to_json(report: &VerifyReport) -> Value {
    json!({
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "notes": report.notes.iter().map(finding).collect::<Vec<_>>(),
        "blobs": amount(report.blobs),
        "records": report.records,
        "segments": amount(report.segments),
        "logs": amount(report.logs),
    })
}

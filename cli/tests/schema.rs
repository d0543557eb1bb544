//! The published schema is the one that the program has. `experiments/checks/schema.py` holds experiments against it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod support;

use std::fs;
use std::process::Command;

use support::repository;

#[test]
fn the_checked_in_schema_is_fresh() {
    let output = Command::new(env!("CARGO_BIN_EXE_llmcl"))
        .arg("schema")
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let path = repository().join("docs/experiment.schema.json");
    let committed = fs::read_to_string(&path).unwrap();
    assert!(
        printed == committed,
        "docs/experiment.schema.json is not what `llmcl schema` prints; write it anew with\n    \
         cargo run -- schema > docs/experiment.schema.json"
    );
}

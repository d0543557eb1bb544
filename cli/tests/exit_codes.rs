//! Exit codes are an interface: what `docs/cli.md` says of them holds.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod support;

use std::fs;

use support::{EXPERIMENT, Space};

const FAILING: &str = r#"
[experiment]
name = "failing"

[stages.fail]
kind    = "command"
argv    = ["sh", "-c", "echo the reason >&2; exit 3"]
outputs = { out = { path = "out" } }
"#;

#[test]
fn a_failed_task_is_ten_even_if_nobody_reads() {
    let space = Space::new();
    space.write("failing.toml", FAILING);
    let run = space.run("failing.toml", &[]);
    assert_eq!(run.code, Some(10), "{}", run.messages);
    // Somebody who has gone away: the pipe is closed before anything is written to it.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = space
        .command(&["run", "failing.toml", "--json"])
        .stdout(writer)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(10));
    let output = space.call(&["run", "failing.toml"]);
    let messages = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(messages.contains("the reason"), "{messages}");
}

#[test]
fn a_store_that_cannot_be_written_is_twenty_one() {
    let space = Space::new();
    space.write("small.toml", EXPERIMENT);
    fs::create_dir(space.store()).unwrap();
    fs::write(space.store().join("blobs"), "not a folder").unwrap();
    let run = space.run("small.toml", &[]);
    assert_eq!(run.code, Some(21), "{}", run.messages);
    fs::remove_dir_all(space.store()).unwrap();
    fs::write(space.store(), "not a folder").unwrap();
    let run = space.run("small.toml", &[]);
    assert_eq!(run.code, Some(21), "{}", run.messages);
}

#[test]
fn a_model_that_is_not_pinned_is_twenty_and_runs_nothing() {
    let space = Space::new();
    space.write("small.toml", EXPERIMENT);
    space.write(
        "paper.toml",
        "[corpus]\nname = \"paper\"\n[[model]]\nname = \"gpt2\"\nfamily = \"gpt2\"\nrole = \"test\"\n\
         format = \"safetensors\"\npinned = false\nhf = { repo = \"openai-community/gpt2\", files = [\"model.safetensors\"] }\n",
    );
    let run = space.run("small.toml", &["--set", "axes.model.corpus=paper.toml"]);
    assert_eq!(run.code, Some(20), "{}", run.messages);
    assert!(run.messages.contains("gpt2"), "{}", run.messages);
    assert!(!space.store().exists());
}

#[test]
fn usage_is_two_and_mistakes_are_three() {
    let space = Space::new();
    assert_eq!(space.call(&["fly"]).status.code(), Some(2));
    assert_eq!(space.call(&["help", "E0999"]).status.code(), Some(2));
    assert_eq!(
        space.call(&["check", "nowhere.toml"]).status.code(),
        Some(3)
    );
    assert_eq!(space.call(&["help", "e0103"]).status.code(), Some(0));
}

#[test]
fn show_prints_tables_and_says_why_there_is_nothing() {
    let space = Space::new();
    space.write("small.toml", EXPERIMENT);
    let early = space.call(&["show", "small.toml", "methods"]);
    assert_eq!(early.status.code(), Some(20));
    let red = ["--set", "stages.precheck.outcomes.0.if=headroom >= 15.0"];
    space.run_well("small.toml", &red);
    let pruned = space.call(&["show", "small.toml", "methods", red[0], red[1]]);
    assert_eq!(pruned.status.code(), Some(20));
    assert!(String::from_utf8_lossy(&pruned.stderr).contains("methods is pruned: precheck is RED"));
    space.run_well("small.toml", &[]);
    let shown = space.call(&["show", "small.toml", "methods"]);
    let rows: Vec<serde_json::Value> = String::from_utf8(shown.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[1]["method"], "exponent_static");
    assert!(rows[1]["ratio"].as_f64().unwrap() > 1.4);
    let folder = space.path("out");
    let copied = space.call(&[
        "show",
        "small.toml",
        "verdict",
        "-o",
        folder.to_str().unwrap(),
    ]);
    assert!(copied.status.success());
    assert!(folder.join("verdict.md").is_file() && folder.join("verdict.json").is_file());
}

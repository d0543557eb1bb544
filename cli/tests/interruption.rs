//! Runs that are killed, interrupted, or not alone.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod support;

use std::process::Command;
use std::time::Duration;

use support::{EXPERIMENT, Space, finished};

#[test]
fn a_killed_run_goes_on_where_it_was() {
    let whole = Space::new();
    whole.write("small.toml", EXPERIMENT);
    let expected = whole.run_well("small.toml", &[]).outputs;
    let space = Space::new();
    space.write("small.toml", EXPERIMENT);
    let mut executed = 0;
    for delay in [5, 20, 40, 80, 160, 320] {
        let mut child = space.start("small.toml", &["-j", "1"]);
        std::thread::sleep(Duration::from_millis(delay));
        child.kill().unwrap();
        executed += finished(child).executed.len();
    }
    let last = space.run_well("small.toml", &[]);
    assert_eq!(last.outputs, expected);
    // What had been announced as finished was not done again.
    assert!(
        last.executed.len() + executed <= 16,
        "{executed} and {:?}",
        last.executed
    );
    let second = space.run_well("small.toml", &[]);
    assert!(second.executed.is_empty());
}

#[test]
fn an_interrupted_run_says_so_and_goes_on_later() {
    let space = Space::new();
    space.write(
        "slow.toml",
        r#"
[experiment]
name = "slow"

[axes]
number = [1, 2, 3]

[stages.wait]
kind    = "command"
each    = ["number"]
argv    = ["sh", "-c", "sleep 30; echo done > out"]
env     = { NUMBER = "x" }
outputs = { out = { path = "out" } }
"#,
    );
    let child = space.start("slow.toml", &["-j", "1"]);
    std::thread::sleep(Duration::from_millis(500));
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
    let run = finished(child);
    assert_eq!(run.code, Some(130), "{}", run.messages);
    assert!(run.executed.is_empty());
    assert!(run.messages.contains("interrupted"), "{}", run.messages);
}

#[test]
fn several_processes_share_one_store() {
    let space = Space::new();
    space.write("small.toml", EXPERIMENT);
    let children: Vec<_> = (0..3)
        .map(|_| space.start("small.toml", &["-j", "2"]))
        .collect();
    let runs: Vec<_> = children.into_iter().map(finished).collect();
    let mut executed = 0;
    for run in &runs {
        assert_eq!(run.code, Some(0), "{}", run.messages);
        executed += run.executed.len();
    }
    assert_eq!(executed, 16, "each task ran once");
    assert!(
        runs.windows(2)
            .all(|pair| pair[0].outputs == pair[1].outputs)
    );
}

#[test]
fn jobs_do_not_change_results() {
    let outputs: Vec<_> = ["1", "2", "8"]
        .iter()
        .map(|jobs| {
            let space = Space::new();
            space.write("small.toml", EXPERIMENT);
            space.run_well("small.toml", &["-j", jobs]).outputs
        })
        .collect();
    assert!(outputs.windows(2).all(|pair| pair[0] == pair[1]));
}

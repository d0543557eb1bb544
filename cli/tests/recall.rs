//! A run that has nothing to do recalls what the last one saw. It must never recall what is not so any more.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Output;

use support::{EXPERIMENT, Space};

const TOOLS: &str = r#"
[experiment]
name = "tools"

[axes]
who = { corpus = "who.toml" }

[stages.each]
kind    = "command"
each    = ["who"]
argv    = ["tool", { axis = "who.name" }]
env     = { SETTING = "one" }
inputs  = { in = { path = "input.txt" } }
outputs = { out = { path = "out" } }
"#;

const CORPUS: &str = r#"
[corpus]
name = "who"

[[model]]
name = "a"
family = "x"
[[model]]
name = "b"
family = "y"
"#;

/// Longer than what a record holds, so that there is a file to lose.
const TOOL: &str = "#!/bin/sh\ncat in/input.txt > out\nyes \"$1 $SETTING\" | head -c 5000 >> out\n";

/// A space in which the tasks of [`TOOLS`] are done.
fn done() -> Space {
    let space = Space::bare();
    space.write("tools.toml", TOOLS);
    space.write("who.toml", CORPUS);
    space.write("input.txt", "input\n");
    tool(&space, "bin", TOOL);
    fs::create_dir(space.path("first")).unwrap();
    assert_eq!(quiet(&space, &[]), (2, 0, false));
    space
}

fn tool(space: &Space, folder: &str, text: &str) {
    fs::create_dir_all(space.path(folder)).unwrap();
    // A new file, as whoever installs a program makes one.
    let path = space.path(folder).join("tool");
    let _ = fs::remove_file(&path);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
}

fn call(space: &Space, file: &str, more: &[&str]) -> Output {
    let mut arguments = vec!["run", file, "-q", "--timings"];
    arguments.extend(more);
    let search = format!(
        "{}:{}:{}",
        space.path("first").display(),
        space.path("bin").display(),
        std::env::var("PATH").unwrap()
    );
    let mut command = space.command(&arguments);
    command.env("PATH", search).output().unwrap()
}

/// Runs without a stream. How many tasks were done, how many were there, and whether that was recalled.
fn quiet(space: &Space, more: &[&str]) -> (usize, usize, bool) {
    read(&call(space, "tools.toml", more))
}

fn read(output: &Output) -> (usize, usize, bool) {
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    let (done, rest) = told.split_once(" done, ").unwrap();
    let (cached, _) = rest.split_once(" cached").unwrap();
    let recalled = !told.contains("  check ");
    let done = done.rsplit('\n').next().unwrap();
    (done.parse().unwrap(), cached.parse().unwrap(), recalled)
}

fn blobs(space: &Space) -> Vec<PathBuf> {
    let folders = fs::read_dir(space.store().join("blobs")).unwrap();
    let mut blobs = Vec::new();
    for folder in folders {
        let files = fs::read_dir(folder.unwrap().path()).unwrap();
        blobs.extend(files.map(|file| file.unwrap().path()));
    }
    blobs
}

#[test]
fn what_is_as_it_was_is_recalled() {
    let space = done();
    assert_eq!(quiet(&space, &[]), (0, 2, true));
    // Other times, and another file of the same content.
    let copy = fs::read(space.path("input.txt")).unwrap();
    fs::remove_file(space.path("input.txt")).unwrap();
    fs::write(space.path("input.txt"), copy).unwrap();
    tool(&space, "bin", TOOL);
    assert_eq!(quiet(&space, &[]), (0, 2, true));
    // The stream says of each task what became of it.
    let output = call(&space, "tools.toml", &["--json"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text.matches("\"task_finished\"").count(), 2);
}

#[test]
fn a_changed_file_is_not_recalled() {
    let space = done();
    space.write("input.txt", "INPUT\n");
    assert_eq!(quiet(&space, &[]), (2, 0, false));
    assert_eq!(quiet(&space, &[]), (0, 2, true));
    fs::remove_file(space.path("input.txt")).unwrap();
    assert_eq!(call(&space, "tools.toml", &[]).status.code(), Some(3));
}

#[test]
fn a_changed_program_is_not_recalled() {
    let space = done();
    tool(&space, "bin", &TOOL.replace("yes", "yes yes"));
    assert_eq!(quiet(&space, &[]), (2, 0, false));
    assert_eq!(quiet(&space, &[]), (0, 2, true));
    // Another of its name that is found before it.
    tool(&space, "first", &TOOL.replace("yes", "yes no"));
    assert_eq!(quiet(&space, &[]), (2, 0, false));
    assert_eq!(quiet(&space, &[]), (0, 2, true));
}

#[test]
fn a_changed_experiment_corpus_or_setting_is_not_recalled() {
    let space = done();
    space.write("tools.toml", &format!("# about tools\n{TOOLS}"));
    assert_eq!(quiet(&space, &[]), (0, 2, false));
    space.write("tools.toml", &TOOLS.replace("\"one\"", "\"two\""));
    assert_eq!(quiet(&space, &[]), (2, 0, false));
    assert_eq!(quiet(&space, &[]), (0, 2, true));
    space.write("who.toml", &CORPUS.replace("\"b\"", "\"c\""));
    assert_eq!(quiet(&space, &[]), (1, 1, false));
    let set = ["--set", "stages.each.env.SETTING=three"];
    assert_eq!(quiet(&space, &set), (2, 0, false));
    assert_eq!(quiet(&space, &set), (0, 2, true));
    assert_eq!(quiet(&space, &[]), (0, 2, true));
    // A mistake is told, whatever was there before.
    space.write("tools.toml", &TOOLS.replace("argv", "argw"));
    assert_eq!(call(&space, "tools.toml", &[]).status.code(), Some(3));
}

#[test]
fn what_the_store_has_lost_is_not_recalled() {
    let space = done();
    // The input and two outputs; the next run misses an output and makes the one that is gone.
    assert_eq!(blobs(&space).len(), 3);
    let output = blobs(&space)
        .into_iter()
        .find(|blob| fs::metadata(blob).unwrap().len() > 5000);
    fs::remove_file(output.unwrap()).unwrap();
    assert_eq!(quiet(&space, &[]), (1, 1, false));
    assert_eq!(quiet(&space, &[]), (0, 2, true));
    fs::remove_dir_all(space.store().join("records")).unwrap();
    assert_eq!(quiet(&space, &[]), (2, 0, false));
    assert_eq!(quiet(&space, &[]), (0, 2, true));
}

#[test]
fn what_another_run_has_recorded_since_is_not_recalled() {
    let space = done();
    for blob in blobs(&space) {
        fs::remove_file(blob).unwrap();
    }
    space.write("other.toml", TOOLS);
    assert_eq!(read(&call(&space, "other.toml", &[])), (2, 0, false));
    assert_eq!(quiet(&space, &[]), (0, 2, false));
}

#[test]
fn what_a_killed_run_left_is_swept_all_the_same() {
    let space = done();
    let tmp = space.path("store/tmp");
    fs::create_dir(tmp.join("killed")).unwrap();
    fs::write(tmp.join("killed.lock"), "").unwrap();
    assert_eq!(quiet(&space, &[]), (0, 2, true));
    assert_eq!(fs::read_dir(&tmp).unwrap().count(), 0);
    // Also where the run is planned.
    fs::write(tmp.join("another.lock"), "").unwrap();
    assert!(call(&space, "tools.toml", &["--json"]).status.success());
    assert_eq!(fs::read_dir(&tmp).unwrap().count(), 0);
}

#[test]
fn a_damaged_snapshot_is_none() {
    let space = done();
    let snapshots: Vec<_> = fs::read_dir(space.store().join("snapshots"))
        .unwrap()
        .collect();
    let [snapshot] = &snapshots[..] else {
        panic!("{snapshots:?}");
    };
    let path = snapshot.as_ref().unwrap().path();
    let mut bytes = fs::read(&path).unwrap();
    bytes[10] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_eq!(quiet(&space, &[]), (0, 2, false));
}

#[test]
fn a_run_that_left_something_to_do_is_not_recalled() {
    let space = done();
    let fails = TOOL.replace("cat", "test $1 = a || exit 1\ncat");
    tool(&space, "bin", &fails);
    for expected in ["1 done, 0 cached, 1 failed", "0 done, 1 cached, 1 failed"] {
        let output = call(&space, "tools.toml", &["-k"]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains(expected), "{told}");
        assert_eq!(output.status.code(), Some(10));
    }
}

#[test]
fn gates_and_reports_are_shown_as_by_the_run_that_made_them() {
    let space = Space::new();
    space.write("small.toml", EXPERIMENT);
    let run = |more: &[&str]| {
        let output = space.call(&[&["run", "small.toml", "--timings"], more].concat());
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let gates: Vec<String> = told
            .lines()
            .filter(|line| line.starts_with("    gate  "))
            .map(str::to_owned)
            .collect();
        let recalled = !told.contains("  check ");
        let pruned = told.contains(" 6 pruned in ");
        (output.stdout, gates, recalled, pruned)
    };
    for (set, pruned) in [(&[][..], false), (&["--set", PRUNES][..], true)] {
        let first = run(set);
        assert!(!first.0.is_empty() && !first.1.is_empty() && !first.2);
        let second = run(set);
        assert!(second.2, "{set:?}");
        assert_eq!((second.0, second.1), (first.0, first.1));
        assert_eq!((first.3, second.3), (pruned, pruned));
    }
}

/// A setting with which a gate rules tasks out.
const PRUNES: &str = "stages.precheck.outcomes.0.if=headroom >= 15.0";

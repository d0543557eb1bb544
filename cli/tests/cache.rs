//! `llmcl cache`: the real binary on stores that real runs have made.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use llmcl_cache::{COLLECTION_CRASH_POINTS, CRASH_VARIABLE};
use serde_json::Value;
use support::{EXPERIMENT, Space, names};

/// Runs `llmcl cache` and reads its JSON.
fn cache(space: &Space, arguments: &[&str], code: i32) -> Value {
    let mut words = vec!["cache"];
    words.extend(arguments);
    words.push("--json");
    let output = space.call(&words);
    let messages = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        output.status.code(),
        Some(code),
        "{arguments:?}: {messages}"
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A setting under which some tasks put out something else.
const OTHER: [&str; 2] = ["--set", "stages.weights.tensors=rank == 2"];

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

fn overwrite(path: &Path, content: &[u8]) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, content).unwrap();
}

#[test]
fn gc_keeps_the_last_runs_and_frees_what_only_older_ones_used() {
    let space = Space::new();
    space.write("small.toml", EXPERIMENT);
    space.run_well("small.toml", &OTHER);
    space.run_well("small.toml", &[]);
    // Both are among the last three.
    assert_eq!(cache(&space, &["gc"], 0)["freed"]["blobs"]["count"], 0);
    let before = space.snapshot();
    let planned = cache(&space, &["gc", "--keep-runs", "1", "--dry-run"], 0);
    assert_eq!(space.snapshot(), before);
    let done = cache(&space, &["gc", "--keep-runs", "1"], 0);
    for part in ["freed", "kept", "bytes_before", "bytes_after"] {
        assert_eq!(done[part], planned[part], "{part}");
    }
    assert!(done["freed"]["blobs"]["count"].as_u64() > Some(0));
    let kept = done["kept"].as_array().unwrap();
    assert!(kept.len() == 1 && kept[0]["records"] == 16, "{kept:?}");
    assert!(kept[0]["reason"].as_str().unwrap().starts_with("run "));
    assert_eq!(cache(&space, &["size"], 0)["bytes"], done["bytes_after"]);
    assert_eq!(
        cache(&space, &["verify"], 0)["findings"],
        Value::Array(vec![])
    );
    assert_eq!(space.run_well("small.toml", &[]).executed, names(&[]));
    assert!(!space.run_well("small.toml", &OTHER).executed.is_empty());
}

#[test]
fn a_killed_run_keeps_what_it_came_to_do_and_the_last_complete_one_too() {
    let space = Space::new();
    space.write("small.toml", EXPERIMENT);
    space.run_well("small.toml", &[]);
    let mut child = space.start("small.toml", &["-j", "1", OTHER[0], OTHER[1]]);
    let runs = space.store().join("runs");
    let start = Instant::now();
    while !files(&runs).iter().any(|log| {
        let text = fs::read_to_string(log).unwrap();
        text.contains("\"executed\"") && !text.contains("run_finished")
    }) {
        assert!(start.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    let killed = support::finished(child);
    cache(&space, &["gc", "--keep-runs", "1"], 0);
    assert_eq!(space.run_well("small.toml", &[]).executed, names(&[]));
    let again = space.run_well("small.toml", &OTHER).executed;
    assert!(
        again.is_disjoint(&killed.executed),
        "{again:?} and {:?}",
        killed.executed
    );
}

#[test]
fn gc_beside_a_run_takes_nothing_from_it() {
    let space = Space::new();
    space.write(
        "slow.toml",
        r#"
[experiment]
name = "slow"

[stages.first]
kind    = "command"
argv    = ["sh", "-c", "head -c 100000 /dev/zero > out"]
outputs = { out = { path = "out" } }

[stages.second]
kind    = "command"
argv    = ["sh", "-c", "touch \"$MARK\"; while [ ! -e \"$GO\" ]; do sleep 0.02; done; wc -c < in/out > out"]
inputs  = { in = "first" }
env     = { MARK = "@MARK@", GO = "@GO@" }
outputs = { out = { path = "out" } }
"#
        .replace("@MARK@", space.path("mark").to_str().unwrap())
        .replace("@GO@", space.path("go").to_str().unwrap())
        .as_str(),
    );
    let child = space.start("slow.toml", &[]);
    let start = Instant::now();
    while !space.path("mark").exists() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "the second task has not begun"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    let report = cache(&space, &["gc", "--keep-runs", "0"], 0);
    assert_eq!(report["freed"]["records"]["count"], 0);
    assert_eq!(report["kept"][0]["reason"], "in use by a process");
    fs::write(space.path("go"), "").unwrap();
    let run = support::finished(child);
    assert_eq!(run.code, Some(0), "{}", run.messages);
    assert_eq!(run.executed, names(&["first", "second"]));
    assert_eq!(space.run_well("slow.toml", &[]).executed, names(&[]));
    // Now nobody uses it.
    cache(&space, &["gc", "--keep-runs", "0"], 0);
    assert_eq!(space.run_well("slow.toml", &[]).executed.len(), 2);
}

#[test]
fn gc_killed_anywhere_leaves_a_kept_run_whole() {
    let space = Space::new();
    space.write("small.toml", EXPERIMENT);
    // Holes are made only beside a writer; the store's own tests do that.
    let points = COLLECTION_CRASH_POINTS.iter();
    for point in points.filter(|point| !point.contains("hole")) {
        space.run_well("small.toml", &OTHER);
        space.run_well("small.toml", &[]);
        let killed = space
            .command(&["cache", "gc", "--keep-runs", "1"])
            .env(CRASH_VARIABLE, format!("{point}:1"))
            .output()
            .unwrap();
        assert_eq!(killed.status.code(), None, "{point} was not passed");
        let run = space.run_well("small.toml", &[]);
        assert_eq!(run.executed, names(&[]), "{point}");
        cache(&space, &["gc", "--keep-runs", "1"], 0);
        let run = space.run_well("small.toml", &[]);
        assert_eq!(run.executed, names(&[]), "{point}");
        let nothing = cache(&space, &["gc", "--keep-runs", "1", "--dry-run"], 0);
        assert_eq!(nothing["bytes_before"], nothing["bytes_after"], "{point}");
        cache(&space, &["verify"], 0);
        assert_eq!(
            files(&space.store().join("tmp")),
            [""; 0].map(PathBuf::from)
        );
        fs::remove_dir_all(space.store()).unwrap();
    }
}

#[test]
fn what_is_damaged_is_named_repaired_and_made_again_as_it_was() {
    let space = Space::new();
    space.write("small.toml", EXPERIMENT);
    let first = space.run_well("small.toml", &[]);
    let whole = cache(&space, &["verify"], 0);
    assert_eq!(whole["records"], 16);
    let blobs = files(&space.store().join("blobs"));
    overwrite(&blobs[0], b"something else");
    fs::remove_file(&blobs[1]).unwrap();
    let segment = files(&space.store().join("records")).remove(0);
    let mut bytes = fs::read(&segment).unwrap();
    bytes[48 + 100] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let log = files(&space.store().join("runs")).remove(0);
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.replacen('{', "", 1) + "torn").unwrap();

    let before = space.snapshot();
    let found = cache(&space, &["verify"], 21);
    assert_eq!(space.snapshot(), before);
    let findings = found["findings"].as_array().unwrap();
    for path in [&blobs[0], &segment, &log] {
        let path = path.to_str().unwrap();
        assert!(
            findings.iter().any(|finding| finding["path"] == path),
            "{path}: {findings:?}"
        );
    }
    let damaged_task = findings.iter().find_map(|finding| finding["task"].as_str());
    assert!(damaged_task.unwrap().starts_with("small: "));
    cache(&space, &["verify", "--quick"], 21);

    let repaired = cache(&space, &["repair"], 0);
    assert!(!repaired["tasks"].as_array().unwrap().is_empty());
    assert_eq!(
        cache(&space, &["verify"], 0)["findings"],
        Value::Array(vec![])
    );
    let again = space.run_well("small.toml", &[]);
    assert!(!again.executed.is_empty());
    assert_eq!(again.outputs, first.outputs);
    cache(&space, &["verify"], 0);
    assert_eq!(space.run_well("small.toml", &[]).executed, names(&[]));
    let text = String::from_utf8(space.call(&["cache", "repair"]).stdout).unwrap();
    assert_eq!(text, "nothing is wrong\n");
}

#[test]
fn a_limit_that_cannot_be_kept_says_by_how_much_and_why() {
    let space = Space::new();
    space.write("small.toml", EXPERIMENT);
    space.run_well("small.toml", &[]);
    let size = cache(&space, &["size"], 0);
    let report = cache(&space, &["gc", "--max-size", "1K"], 0);
    let left = report["bytes_after"].as_u64().unwrap();
    assert_eq!(report["bytes_over"], left - 1024);
    assert_eq!(report["bytes_before"], size["bytes"]);
    let output = space.call(&["cache", "gc", "--max-size", "1K"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("over the size asked for") && text.contains("run 2"),
        "{text}"
    );
    let enough = cache(&space, &["gc", "--keep-runs", "0", "--max-size", "1G"], 0);
    assert_eq!(enough["bytes_before"], enough["bytes_after"]);
    assert_eq!(space.run_well("small.toml", &[]).executed, names(&[]));
}

#[test]
fn logs_go_only_if_that_is_asked_for() {
    let space = Space::new();
    space.write("small.toml", EXPERIMENT);
    space.run_well("small.toml", &OTHER);
    space.run_well("small.toml", &[]);
    let logs = || files(&space.store().join("runs")).len();
    cache(&space, &["gc", "--keep-runs", "1"], 0);
    assert_eq!(logs(), 2);
    let report = cache(&space, &["gc", "--keep-runs", "1", "--logs"], 0);
    assert_eq!(report["freed"]["logs"]["count"], 1);
    assert_eq!(logs(), 1);
}

#[test]
fn where_there_is_no_store_that_is_said_and_none_is_made() {
    let space = Space::new();
    for command in ["verify", "gc", "size", "repair"] {
        let output = space.call(&["cache", command]);
        assert_eq!(output.status.code(), Some(21), "{command}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("there is no store at"));
        assert!(!space.store().exists());
    }
}

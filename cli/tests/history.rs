//! Recorded runs, after the fact: `log`, `diff`, `explain --run`, timings and traces, by the real binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Output;

use serde_json::Value;
use support::{EXPERIMENT, Space, names};

/// What was printed, with times replaced by T, dates by D and the names of runs by RUN.
fn golden(output: &Output) -> String {
    let words = |line: &str| -> String {
        let words: Vec<String> = line.split(' ').map(word).collect();
        words.join(" ")
    };
    let text = text(output);
    text.lines().map(|line| words(line) + "\n").collect()
}

fn word(word: &str) -> String {
    let bare = word.trim_end_matches([',', ':', ';']);
    let end = &word[bare.len()..];
    let is_time = ["µs", "ms", "s"].iter().any(|unit| {
        bare.strip_suffix(unit)
            .is_some_and(|number| number.parse::<f64>().is_ok())
    });
    let is_date = bare.len() == 10 && bare.starts_with("20") && bare.matches('-').count() == 2;
    let is_clock = bare.len() == 8 && bare.matches(':').count() == 2;
    let is_run = bare.starts_with("20") && bare.contains("Z-");
    let new = match (is_run, is_time || is_clock, is_date) {
        (true, ..) => "RUN",
        (_, true, _) => "T",
        (.., true) => "D",
        _ => bare,
    };
    format!("{new}{end}")
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn messages(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Calls the binary, which must be content, and reads its JSON.
fn json(space: &Space, arguments: &[&str]) -> Value {
    let output = space.call(arguments);
    assert!(output.status.success(), "{}", messages(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Lines without blanks at their ends and with single blanks.
fn squeezed(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

/// A command that is quick, two that hang on it, and one beside.
const COMMANDS: &str = r#"
[experiment]
name = "commands"

[stages.first]
kind    = "command"
argv    = ["sh", "-c", "echo one > out"]
outputs = { out = { path = "out" } }

[stages.second]
kind    = "command"
argv    = ["sh", "-c", "cat in/* > out"]
env     = { NUMBER = "x" }
inputs  = { in = "first" }
outputs = { out = { path = "out" } }

[stages.third]
kind    = "command"
argv    = ["sh", "-c", "cat in/* in/* > out"]
env     = { NUMBER = "x" }
inputs  = { in = "first" }
outputs = { out = { path = "out" } }

[stages.beside]
kind    = "command"
argv    = ["sh", "-c", "echo beside > out"]
outputs = { out = { path = "out" } }
"#;

#[test]
fn runs_are_listed_newest_first_and_each_task_has_a_line() {
    let space = Space::new();
    space.write("small.toml", EXPERIMENT);
    assert_eq!(text(&space.call(&["log"])), "");
    assert!(messages(&space.call(&["log"])).contains("no run is recorded"));
    space.run_well("small.toml", &["-j", "1"]);
    // It has nothing to do, so it is not recorded.
    space.run_well("small.toml", &[]);
    let red = ["--set", "stages.precheck.outcomes.0.if=headroom >= 15.0"];
    space.run_well("small.toml", &["-j", "1", red[0], red[1]]);
    let list = space.call(&["log"]);
    assert_eq!(
        squeezed(&golden(&list)),
        [
            "run experiment began (UTC) took ended tasks",
            "RUN small D T T complete 2 done, 8 cached, 6 pruned",
            "RUN small D T T complete 16 done, 0 cached",
        ]
    );
    let one = space.call(&["log", "last"]);
    let lines = squeezed(&golden(&one));
    assert_eq!(lines[0], "RUN: small, D T UTC, 1 at a time");
    let told: BTreeSet<&str> = lines[1..].iter().map(String::as_str).collect();
    let expected = [
        "cached fetch/minilm_attention",
        "done precheck T, RED: headroom = 9.76345",
        "pruned bench/minilm_attention/zstd_1 precheck is RED",
        "pruned methods precheck is RED",
        "done verdict T",
    ];
    for line in expected {
        let known = |known: &&str| {
            *known == line
                || line.starts_with("done precheck")
                    && known.starts_with("done precheck T, RED: headroom = ")
        };
        assert!(told.iter().any(known), "{line} is not in {lines:#?}");
    }
    assert_eq!(lines.len(), 1 + 16 + 1);
    assert_eq!(lines[17], "complete: 2 done, 8 cached, 6 pruned after T");
    // By name, by file, and for programs.
    let listed = json(&space, &["log", "--json"]);
    let name = listed["runs"][1]["run"].as_str().unwrap();
    assert!(text(&space.call(&["log", name])).contains("done  fetch/minilm_attention"));
    assert!(text(&space.call(&["log", &name[..name.len() - 1]])).starts_with(name));
    let of_file = json(&space, &["log", "small.toml", "-n", "1", "--json"]);
    assert_eq!(of_file["runs"].as_array().unwrap().len(), 1);
    space.write(
        "other.toml",
        "[experiment]\nname = \"other\"\n[stages.x]\nkind = 3\n",
    );
    assert!(messages(&space.call(&["log", "other.toml"])).contains("no run of `other`"));
    assert_eq!(space.call(&["log", "nowhere.toml"]).status.code(), Some(3));
    assert_eq!(space.call(&["log", "last-2"]).status.code(), Some(2));
    let story = json(&space, &["log", "last", "--json"]);
    assert_eq!(story["tasks"].as_array().unwrap().len(), 16);
    assert_eq!(story["ended"], "complete");
}

#[test]
fn a_failure_and_its_message_are_in_the_log() {
    let space = Space::new();
    let failing = COMMANDS.replace("cat in/* > out", "echo the reason >&2; exit 3");
    space.write("commands.toml", &failing);
    assert_eq!(space.run("commands.toml", &["-k"]).code, Some(10));
    let output = space.call(&["log", "last"]);
    let lines = squeezed(&golden(&output));
    let failed: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("failed second"))
        .collect();
    assert_eq!(failed.len(), 1, "{lines:#?}");
    assert!(text(&output).contains("the reason"));
    assert_eq!(
        lines.last().unwrap(),
        "failed: 3 done, 0 cached, 1 failed after T"
    );
}

#[test]
fn a_killed_run_is_cut_off_and_one_that_runs_is_in_progress() {
    let space = Space::new();
    space.write("slow.toml", &COMMANDS.replace("cat in/* > out", "sleep 60"));
    let mut child = space.start("slow.toml", &["-j", "1"]);
    let ended = |name: &str| {
        let runs = json(&space, &["log", "--json"]);
        runs["runs"][0]["ended"] == name
    };
    let second_runs = || {
        let output = space.call(&["log", "last"]);
        text(&output).contains("second")
    };
    let mut patience = 0;
    while !(ended("in progress") && second_runs()) {
        std::thread::sleep(std::time::Duration::from_millis(50));
        patience += 1;
        assert!(patience < 1200, "the run does not get on");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(ended("cut off"));
    let lines = squeezed(&golden(&space.call(&["log", "last"])));
    assert!(
        lines.contains(&"open second had not ended".to_owned()),
        "{lines:#?}"
    );
    assert!(lines.last().unwrap().starts_with("cut off: "), "{lines:#?}");
    // Neither has an end, and both have a trace.
    let path = space.path("trace.json");
    assert!(
        space
            .call(&["log", "last", "--trace", path.to_str().unwrap()])
            .status
            .success()
    );
    check_trace(&path);
}

#[test]
fn damaged_lines_are_told_and_the_rest_is_shown() {
    let space = Space::new();
    space.write("commands.toml", COMMANDS);
    space.run_well("commands.toml", &[]);
    let log = fs::read_dir(space.store().join("runs"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let whole = fs::read_to_string(&log).unwrap();
    let mut lines: Vec<String> = whole.lines().map(str::to_owned).collect();
    lines.insert(1, "{\"v\":77,\"at\":1,\"what\":\"from_the_future\"}".into());
    lines.insert(2, "\u{0}\u{0}\u{0}".into());
    fs::write(&log, lines.join("\n") + "\n{\"v\":2,").unwrap();
    let output = space.call(&["log", "last"]);
    assert!(output.status.success());
    let told = messages(&output);
    for expected in [
        "line 2 is of version 77",
        "line 3 is no event",
        "was not completely written",
    ] {
        assert!(told.contains(expected), "{told}");
    }
    assert!(text(&output).contains("complete: 4 done"));
    for arguments in [
        &["log"][..],
        &["log", "last", "--timings"],
        &["diff", "last", "last"],
    ] {
        assert!(space.call(arguments).status.success(), "{arguments:?}");
    }
    // Whatever is there is no panic.
    for text in ["", "\n", "null\n", "{}", "[[[[", &"[".repeat(100_000)] {
        fs::write(&log, text).unwrap();
        for arguments in [
            &["log"][..],
            &["log", "last"],
            &["log", "last", "--timings"],
        ] {
            let output = space.call(arguments);
            assert_eq!(output.status.code(), Some(0), "{}", messages(&output));
        }
    }
}

#[test]
fn a_diff_says_what_differs_and_explain_why() {
    let space = Space::new();
    space.write("commands.toml", COMMANDS);
    space.run_well("commands.toml", &["-j", "1"]);
    space.write(
        "commands.toml",
        &COMMANDS
            .replace("echo one", "echo two")
            .replace("NUMBER = \"x\"", "NUMBER = \"y\""),
    );
    space.run_well("commands.toml", &["-j", "1"]);
    let lines = squeezed(&golden(&space.call(&["diff", "last-1", "last"])));
    assert_eq!(
        lines,
        [
            "a RUN commands, D T UTC, complete: 4 done, 0 cached",
            "b RUN commands, D T UTC, complete: 3 done, 1 cached",
            "3 with another key, 1 the same",
            "key second, third",
            "parameter env changed: { NUMBER = 'x' } → { NUMBER = 'y' }",
            "key first",
            "parameter argv changed: ['sh', '-c', 'echo one > out'] → ['sh', '-c', 'echo two > out']",
        ]
    );
    let diff = json(&space, &["diff", "last-1", "last", "--json"]);
    assert_eq!(diff["same"], false);
    assert_eq!(diff["keys"][0]["tasks"].as_array().unwrap().len(), 2);
    assert_eq!(
        json(&space, &["diff", "last", "last", "--json"])["same"],
        true
    );
    // What follows from others is told as such.
    space.write(
        "commands.toml",
        &COMMANDS
            .replace("echo one", "echo three")
            .replace("NUMBER = \"x\"", "NUMBER = \"y\""),
    );
    space.run_well("commands.toml", &["-j", "1"]);
    let lines = squeezed(&golden(&space.call(&["diff", "last-1", "last"])));
    assert!(
        lines.contains(&"follows second, third: only the content of in differs".to_owned()),
        "{lines:#?}"
    );
    let took = text(&space.call(&["diff", "last-1", "last", "--durations"]));
    assert_eq!(took.matches("\ntook ").count(), 3, "{took}");

    let explain = |arguments: &[&str]| {
        let output = space.call(&[&["explain"], arguments].concat());
        assert!(output.status.success(), "{}", messages(&output));
        squeezed(&golden(&output))
    };
    let lines = explain(&["first", "--run", "last-1", "--against", "last-2"]);
    assert_eq!(lines[0], "first: done in RUN");
    assert_eq!(lines[1], "held against RUN, where it was done");
    assert!(
        lines.iter().any(
            |line| line.starts_with("changed parameter argv ['sh', '-c', 'echo one > out'] → ")
        ),
        "{lines:#?}"
    );
    assert!(lines.iter().any(|line| line.starts_with("same kind kind")));
    // Alone, against what was recorded before.
    assert!(explain(&["first", "--run", "last-1"])[1].contains("its last record before that run"));
    assert!(
        explain(&["first", "--run", "last-1"])
            .iter()
            .any(|line| line.contains("echo one"))
    );
    assert!(explain(&["first", "--run", "last-2"])[1].contains("nothing of its name"));
    // As it is now, against a run.
    let lines = explain(&["commands.toml", "first", "--against", "last-2"]);
    assert!(
        lines
            .iter()
            .any(|line| line.contains("echo one") && line.contains("echo three"))
    );
    let unknown = space.call(&["explain", "frist", "--run", "last"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(messages(&unknown).contains("did you mean `first`?"));
}

#[test]
fn outputs_that_differ_under_one_key_are_told_loudly() {
    let space = Space::new();
    // A program that does not repeat what it did.
    space.write(
        "commands.toml",
        &COMMANDS.replace("echo one > out", "date +%N > out"),
    );
    space.run_well("commands.toml", &[]);
    fs::remove_dir_all(space.store().join("records")).unwrap();
    space.run_well("commands.toml", &[]);
    let output = text(&space.call(&["diff", "last-1", "last"]));
    assert!(output.contains("1 NOT REPEATABLE"), "{output}");
    assert!(output.contains("\nNOT REPEATABLE: "), "{output}");
    let diff = json(&space, &["diff", "last-1", "last", "--json"]);
    assert_eq!(diff["not_repeatable"][0]["task"], "first");
    // The records of the first run went with the folder.
    let gone: BTreeSet<_> = diff["records_gone"]
        .as_array()
        .unwrap()
        .iter()
        .map(|gone| gone["task"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(gone, names(&["second", "third"]));
    assert!(output.contains("no record any more of a"), "{output}");
    let explained = space.call(&["explain", "first", "--run", "last", "--against", "last-1"]);
    assert!(
        text(&explained).contains("NOT REPEATABLE"),
        "{}",
        text(&explained)
    );
    let explained = space.call(&["explain", "second", "--run", "last-1"]);
    assert_eq!(explained.status.code(), Some(20));
    assert!(messages(&explained).contains("no record of it any more"));
}

#[test]
fn timings_account_for_the_whole_run() {
    let space = Space::new();
    space.write("commands.toml", COMMANDS);
    let output = space.call(&["run", "commands.toml", "-q", "-j", "2", "--timings"]);
    let told = messages(&output);
    assert!(output.status.success(), "{told}");
    for expected in [
        " in all\n",
        "  check ",
        "  tasks ",
        "2 slots of ",
        "  second ",
        "the critical path, of 2 tasks",
    ] {
        assert!(told.contains(expected), "{expected} is not in {told}");
    }
    let timings = json(&space, &["log", "last", "--timings", "--json"]);
    let timings = &timings["timings"];
    let number = |value: &Value| value.as_u64().unwrap();
    let phases: u64 = timings["phases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|phase| number(&phase["took_us"]))
        .sum();
    assert_eq!(
        number(&timings["whole_us"]),
        phases + number(&timings["other_us"])
    );
    assert_eq!(timings["phases"].as_array().unwrap().len(), 7);
    let all = &timings["all"];
    let parts = [
        "prepare", "lock", "look", "import", "retries", "work", "record", "tell",
    ];
    let parts: u64 = parts
        .iter()
        .map(|part| number(&all[format!("{part}_us")]))
        .sum();
    assert_eq!(number(&all["slot_us"]), parts);
    assert_eq!(number(&all["tasks"]), 4);
    let critical: Vec<_> = timings["critical"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["task"].as_str().unwrap())
        .collect();
    assert_eq!(critical[0], "first");
    assert!(["second", "third"].contains(&critical[1]));
    // A run with nothing to do has no log, and its times all the same.
    let output = space.call(&["run", "commands.toml", "-q", "--timings"]);
    let told = messages(&output);
    assert!(
        told.contains("  recall ") && !told.contains("  plan "),
        "{told}"
    );
}

/// Reads a trace and holds it to the format: fields, nesting, times.
fn check_trace(path: &std::path::Path) -> Vec<Value> {
    let document: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let events = document["traceEvents"].as_array().unwrap().clone();
    let mut rows: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
    let mut named = BTreeSet::new();
    let mut flows: BTreeMap<u64, Vec<(String, u64, u64)>> = BTreeMap::new();
    for event in &events {
        assert!(event["name"].is_string() && event["pid"] == 1, "{event}");
        let row = event["tid"].as_u64().unwrap();
        let begin = event["ts"].as_u64().unwrap();
        match event["ph"].as_str().unwrap() {
            "X" => rows
                .entry(row)
                .or_default()
                .push((begin, begin + event["dur"].as_u64().unwrap())),
            "i" => assert_eq!(event["s"], "t"),
            "M" if event["name"] == "thread_name" => {
                named.insert(row);
            }
            "M" => assert!(event["args"].is_object()),
            ph @ ("s" | "f") => {
                let id = event["id"].as_u64().unwrap();
                flows
                    .entry(id)
                    .or_default()
                    .push((ph.to_owned(), row, begin));
            }
            other => panic!("{other} is no event of the format that is used here"),
        }
    }
    let end = rows.values().flatten().map(|(_, end)| *end).max().unwrap();
    for (row, bars) in &mut rows {
        assert!(named.contains(row), "row {row} has no name");
        // The longer one of those that begin together is around the others.
        bars.sort_by_key(|(begin, end)| (*begin, u64::MAX - end));
        let mut around: Vec<u64> = Vec::new();
        for &(begin, end) in bars.iter() {
            while around.last().is_some_and(|outer| *outer <= begin) {
                around.pop();
            }
            assert!(
                around.last().is_none_or(|outer| end <= *outer),
                "row {row}: a bar sticks out"
            );
            around.push(end);
        }
    }
    for (id, flow) in flows {
        let [(from, row, begin), (to, _, target)] = &flow[..] else {
            panic!("flow {id} has not two ends: {flow:?}");
        };
        assert_eq!((from.as_str(), to.as_str()), ("s", "f"));
        assert!(begin <= target && *target <= end);
        let inside = |&(from, to): &(u64, u64)| from <= *begin && *begin <= to;
        assert!(rows[row].iter().any(inside), "flow {id} begins at no bar");
    }
    events
}

#[test]
fn a_trace_is_what_its_readers_need() {
    let space = Space::new();
    space.write("small.toml", EXPERIMENT);
    space.run_well("small.toml", &["-j", "3"]);
    let path = space.path("trace.json");
    let output = space.call(&["log", "last", "--trace", path.to_str().unwrap()]);
    assert!(output.status.success(), "{}", messages(&output));
    let events = check_trace(&path);
    let of = |category: &str| {
        events
            .iter()
            .filter(|event| event["cat"] == category && event["ph"] == "X")
            .count()
    };
    assert_eq!(of("phase"), 6);
    assert_eq!(of("task"), 16);
    assert!(of("part") >= 16);
    assert!(events.iter().any(|event| event["ph"] == "s"));
    // Times are within the run.
    let took = json(&space, &["log", "--json"])["runs"][0]["took_us"]
        .as_u64()
        .unwrap();
    for event in &events {
        let end = event["ts"].as_u64().unwrap() + event["dur"].as_u64().unwrap_or_default();
        assert!(end <= took, "{event} ends after {took}");
    }
    // Nothing is overwritten.
    let again = space.call(&["log", "last", "--trace", path.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(21));
}

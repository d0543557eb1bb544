//! A small world for tests of the real binary: an experiment, its inputs, a store.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::SystemTime;

use tempfile::TempDir;

/// A folder with an experiment and a store, gone when it is dropped.
pub(crate) struct Space {
    folder: TempDir,
    binary: PathBuf,
}

/// What a run did.
#[derive(Debug)]
pub(crate) struct Run {
    /// The exit code.
    pub(crate) code: Option<i32>,
    /// The tasks whose work was done.
    pub(crate) executed: BTreeSet<String>,
    /// The tasks that a gate ruled out.
    pub(crate) pruned: BTreeSet<String>,
    /// The tasks that failed.
    pub(crate) failed: BTreeSet<String>,
    /// The digest of each output, as `task:port`.
    pub(crate) outputs: BTreeMap<String, String>,
    /// What was said to standard error.
    pub(crate) messages: String,
}

/// The root of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A set of names.
pub(crate) fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

impl Space {
    /// Makes a space with nothing in it.
    pub(crate) fn bare() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
            binary: PathBuf::from(env!("CARGO_BIN_EXE_llmcl")),
        }
    }

    /// Makes a space with the fixtures in it.
    pub(crate) fn new() -> Self {
        let space = Self::bare();
        fs::create_dir(space.path("fixtures")).unwrap();
        for entry in fs::read_dir(repository().join("fixtures")).unwrap() {
            let from = entry.unwrap().path();
            fs::copy(
                &from,
                space.path("fixtures").join(from.file_name().unwrap()),
            )
            .unwrap();
        }
        space
    }

    /// The same with another binary.
    pub(crate) fn with_binary(binary: &Path) -> Self {
        Self {
            binary: binary.to_owned(),
            ..Self::new()
        }
    }

    /// Changes the binary.
    pub(crate) fn set_binary(&mut self, binary: &Path) {
        binary.clone_into(&mut self.binary);
    }

    /// A path in the space.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// The store.
    pub(crate) fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// Writes a file.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A command of the binary in this space.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("LLMCL_STORE", self.store())
            // Tests run beside each other.
            .env("LLMCL_MACHINE_LOCK", self.path("machine.lock"))
            .env("NO_COLOR", "1")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the binary to its end.
    pub(crate) fn call(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Starts a run.
    pub(crate) fn start(&self, file: &str, more: &[&str]) -> Child {
        let mut arguments = vec!["run", file, "--json"];
        arguments.extend(more);
        self.command(&arguments).spawn().unwrap()
    }

    /// Runs an experiment and reads its events.
    pub(crate) fn run(&self, file: &str, more: &[&str]) -> Run {
        finished(self.start(file, more))
    }

    /// Runs an experiment that must be good.
    pub(crate) fn run_well(&self, file: &str, more: &[&str]) -> Run {
        let run = self.run(file, more);
        assert_eq!(run.code, Some(0), "{}", run.messages);
        run
    }

    /// The state of each task by `llmcl plan`.
    pub(crate) fn plan(&self, file: &str, more: &[&str]) -> BTreeMap<String, String> {
        let mut arguments = vec!["plan", file, "--json"];
        arguments.extend(more);
        let output = self.call(&arguments);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        plan["tasks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|task| {
                let text = |key: &str| task[key].as_str().unwrap().to_owned();
                (text("task"), text("state"))
            })
            .collect()
    }

    /// Every file of the store with its length and time of change: equal if nothing was written.
    pub(crate) fn snapshot(&self) -> BTreeMap<PathBuf, (u64, SystemTime)> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.store()];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(&folder) else {
                continue;
            };
            for entry in entries {
                let path = entry.unwrap().path();
                let metadata = fs::symlink_metadata(&path).unwrap();
                if metadata.is_dir() {
                    folders.push(path.clone());
                }
                files.insert(path, (metadata.len(), metadata.modified().unwrap()));
            }
        }
        files
    }
}

/// Waits for a run and reads its events.
pub(crate) fn finished(child: Child) -> Run {
    let output = child.wait_with_output().unwrap();
    let mut run = Run {
        code: output.status.code(),
        executed: BTreeSet::new(),
        pruned: BTreeSet::new(),
        failed: BTreeSet::new(),
        outputs: BTreeMap::new(),
        messages: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        // A killed run may leave half a line.
        let Ok(event) = serde_json::from_str::<serde_json::Value>(line) else {
            continue;
        };
        let (what, event) = event["what"]
            .as_object()
            .and_then(|what| what.iter().next())
            .map_or_else(
                || (String::new(), serde_json::Value::Null),
                |(what, event)| (what.clone(), event.clone()),
            );
        let task = event["task"].as_str().unwrap_or_default().to_owned();
        match what.as_str() {
            "task_finished" => {
                if event["how"] == "executed" {
                    run.executed.insert(task.clone());
                }
                for (port, output) in event["outputs"].as_object().unwrap() {
                    let digest = output["digest"].as_str().unwrap().to_owned();
                    run.outputs.insert(format!("{task}:{port}"), digest);
                }
            }
            "task_pruned" => {
                run.pruned.insert(task);
            }
            "task_failed" => {
                run.failed.insert(task);
            }
            _ => {}
        }
    }
    run
}

/// An experiment on the fixtures that takes a second: two models, two methods, a gate, a table, a verdict.
pub(crate) const EXPERIMENT: &str = r#"
[experiment]
name = "small"

[axes]
model = { corpus = "fixtures/manifest.toml", where = "model.format == 'safetensors'" }
[[axes.method]]
name = "zstd_1"
by   = "general"
[[axes.method]]
name = "exponent_static"
by   = "ours"

[stages.fetch]
kind  = "fetch"
each  = ["model"]
model = { axis = "model" }

[stages.weights]
kind    = "select"
each    = ["model"]
inputs  = { file = "fetch" }
tensors = "rank == 2 && layer == 0"

[stages.bf16]
kind   = "cast"
each   = ["model"]
inputs = { tensors = "weights" }
dtype  = "BF16"

[stages.atlas]
kind   = "atlas"
each   = ["model"]
inputs = { tensors = "bf16" }
layout = "BF16"

[stages.precheck]
kind       = "gate"
title      = "headroom"
inputs     = { atlas = "atlas" }
statistics = { headroom = "median(16 - h_high - h_low)" }
outcomes   = [{ name = "GREEN", if = "headroom >= 1.0" }, { name = "RED" }]

[stages.bench]
kind   = "bench"
each   = ["model", "method"]
when   = "precheck != 'RED'"
method = { axis = "method" }
unit   = "tensor"
inputs = { tensors = "bf16" }

[stages.methods]
kind      = "table"
title     = "methods"
inputs    = { rows = "bench" }
group_by  = ["method"]
aggregate = { ratio = "byte_weighted(bytes_in, bytes_out)" }

[stages.ours]
kind       = "gate"
title      = "ours"
inputs     = { rows = "methods" }
statistics = { best = "max(ratio, method.by == 'ours')" }
outcomes   = [{ name = "ABOVE", if = "best > 1.4" }, { name = "BELOW" }]

[stages.verdict]
kind   = "verdict"
inputs = { outcomes = ["precheck", "ours"], tables = "methods" }
pruned = "report"
"#;

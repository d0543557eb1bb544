//! The small experiment that is run under fire: outside programs, files of the repository, a corpus, and kinds that
//! run inside the engine. One part of it differs from another in a few bytes, so that runs take a moment.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::engine::{Engine, Told};
use crate::ledger::Truth;
use crate::support::Space;

/// The experiment's file.
pub(crate) const FILE: &str = "fault.toml";

/// The tasks of the experiment.
pub(crate) const TASKS: usize = 10;

const EXPERIMENT: &str = r#"
[experiment]
name = "fault"

[axes]
part = { corpus = "parts.toml" }

[stages.fetch]
kind  = "fetch"
each  = ["part"]
model = { axis = "part" }

[stages.work]
kind   = "command"
each   = ["part"]
argv   = ["sh", "tool/tool.sh", "REPEATS"]
inputs = { file = "fetch", tool = { path = "tool.sh" } }
[stages.work.outputs]
out  = { path = "out" }
rows = { path = "rows.jsonl", type = "table", columns = { bytes = "int" } }

[stages.total]
kind      = "table"
inputs    = { rows = { from = "work", port = "rows" } }
aggregate = { bytes = "sum(bytes)", n = "count()" }

[stages.enough]
kind       = "gate"
inputs     = { rows = "total" }
statistics = { bytes = "max(bytes)" }
outcomes   = [{ name = "GREEN", if = "bytes >= 1000" }, { name = "RED" }]

[stages.join]
kind   = "command"
when   = "enough == 'GREEN'"
argv   = ["sh", "-c", "cat seed/* parts/*/* > out && cksum out > sum"]
inputs = { parts = { from = "work", port = "out" }, seed = { path = "seed.txt" } }
[stages.join.outputs]
out = { path = "out" }
sum = { path = "sum" }

[stages.verdict]
kind   = "verdict"
inputs = { outcomes = "enough", tables = "total" }
"#;

// It fails when a write of its own does: a program that hides that from the engine is not what is tested.
const TOOL: &str = r#"
set -e
i=0
while [ $i -lt "$1" ]; do
  for file in file/*; do cat "$file"; cksum < "$file"; done
  i=$((i + 1))
done > out
echo "{\"bytes\": $(wc -c < out)}" > rows.jsonl
"#;

/// A folder with the experiment, and a store that is alone in the folder `disk`.
pub(crate) struct Lab {
    space: Space,
}

impl Lab {
    /// A lab with the experiment as it stands, and no store yet.
    pub(crate) fn new() -> Self {
        let lab = Self {
            space: Space::bare(),
        };
        lab.write_experiment(2);
        lab.write_tool("");
        lab.write_seed("seed");
        lab.write_parts(&["a", "b", "c"]);
        fs::create_dir(lab.disk()).unwrap();
        lab
    }

    /// Writes the experiment; `repeats` is a parameter of each task of `work`.
    pub(crate) fn write_experiment(&self, repeats: usize) {
        self.put(FILE, &EXPERIMENT.replace("REPEATS", &repeats.to_string()));
    }

    /// Writes the script that `work` runs, with a line at its end.
    pub(crate) fn write_tool(&self, end: &str) {
        self.put("tool.sh", &format!("{TOOL}{end}\n"));
    }

    /// Writes the file that `join` reads.
    pub(crate) fn write_seed(&self, text: &str) {
        self.put("seed.txt", text);
    }

    /// Writes the corpus: three parts, each with a content that follows from its word.
    pub(crate) fn write_parts(&self, words: &[&str; 3]) {
        let mut corpus = "[corpus]\nname = \"parts\"\n".to_owned();
        for (number, word) in words.iter().enumerate() {
            // Beyond what a record holds inside, so that there are files of blobs.
            let content: String = (0..1000).map(|line| format!("{word} {line}\n")).collect();
            let name = format!("part-{word}.bin");
            // What is there stays: an engine may be reading it.
            if fs::read_to_string(self.path(&name)).ok().as_ref() != Some(&content) {
                self.put(&name, &content);
            }
            corpus += &format!(
                "[[model]]\nname = \"part_{number}\"\nfamily = \"part\"\nrole = \"test\"\n\
                 [[model.file]]\nname = \"part.bin\"\nbytes = {}\nsha256 = \"{}\"\npath = \"{name}\"\n",
                content.len(),
                sha256(&self.path(&name)),
            );
        }
        self.put("parts.toml", &corpus);
    }

    /// Writes a file so that no reader sees half of it.
    pub(crate) fn put(&self, path: &str, text: &str) {
        let new = self.path(&format!("{path}.new"));
        fs::write(&new, text).unwrap();
        fs::rename(new, self.path(path)).unwrap();
    }

    /// A path in the lab.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.space.path(path)
    }

    /// The folder that holds the store and nothing else.
    pub(crate) fn disk(&self) -> PathBuf {
        self.path("disk")
    }

    /// The store.
    pub(crate) fn store(&self) -> PathBuf {
        self.disk().join("store")
    }

    /// A command of the binary on the lab's store.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.space.command(arguments);
        command.env("LLMCL_STORE", self.store());
        command
    }

    /// A command that runs an experiment and tells its events.
    pub(crate) fn run_command(&self, file: &str, more: &[&str]) -> Command {
        self.command(&[&["run", file, "--json"], more].concat())
    }

    /// Starts a command.
    pub(crate) fn start(&self, command: &Command) -> Engine {
        Engine::start(command, self.path("told"))
    }

    /// Runs the lab's experiment to its end.
    pub(crate) fn run(&self) -> Told {
        self.run_file(FILE, &[])
    }

    /// Runs an experiment to its end.
    pub(crate) fn run_file(&self, file: &str, more: &[&str]) -> Told {
        self.start(&self.run_command(file, more)).finish()
    }

    /// The state of each task by `llmcl plan`.
    pub(crate) fn plan(&self, file: &str) -> BTreeMap<String, String> {
        let output = self.command(&["plan", file, "--json"]).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{message}");
        let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let tasks = plan["tasks"].as_array().unwrap().iter();
        tasks
            .map(|task| (text(&task["task"]), text(&task["state"])))
            .collect()
    }
}

/// What an undisturbed run of the experiment tells.
pub(crate) fn truth() -> &'static Truth {
    static TRUTH: OnceLock<Truth> = OnceLock::new();
    TRUTH.get_or_init(|| {
        let told = Lab::new().run().well();
        assert_eq!(told.executed().len(), TASKS, "{told:#?}");
        Truth::of(&told)
    })
}

fn sha256(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..64].to_owned()
}

//! Programs of others as methods: the real binary, and scripts in place of what a network would bring.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod support;

use std::fs;
use std::process::Command;

use support::{Space, names};

/// Two methods that are commands, one of which loses a byte, beside one of ours.
const EXPERIMENT: &str = r#"
[experiment]
name = "peers"

[axes]
model = { corpus = "fixtures/manifest.toml", where = "model.name == 'minilm_attention'" }
[[axes.method]]
name = "zstd_1"
by   = "general"
[[axes.method]]
name       = "copier"
use        = "command"
by         = "peer"
compress   = ["sh", "copier.sh", "input", "encoded"]
decompress = ["sh", "copier.sh", "encoded", "decoded"]
helpers    = [{ path = "tools/copier.sh" }, { path = "tools/common.sh" }]
[[axes.method]]
name       = "loser"
use        = "command"
by         = "peer"
compress   = ["sh", "loser.sh", "input", "encoded"]
decompress = ["sh", "loser.sh", "encoded", "decoded"]
helpers    = [{ path = "tools/loser.sh" }]

[stages.fetch]
kind  = "fetch"
each  = ["model"]
model = { axis = "model" }

[stages.weights]
kind    = "select"
each    = ["model"]
inputs  = { file = "fetch" }
tensors = "rank == 2 && layer == 0"

[stages.bench]
kind   = "bench"
each   = ["model", "method"]
method = { axis = "method" }
unit   = "file"
inputs = { tensors = "weights", helpers = { axis = "method.helpers" } }

[stages.verify]
kind   = "verify"
title  = "decoded in a fresh process"
each   = ["model", "method"]
method = { axis = "method" }
inputs = { encoded = { from = "bench", port = "encoded" }, tensors = "weights", helpers = { axis = "method.helpers" } }

[stages.time]
kind        = "time"
each        = ["model", "method"]
method      = { axis = "method" }
warmup      = 0
repetitions = 1
inputs      = { tensors = "weights", helpers = { axis = "method.helpers" } }

[stages.ratios]
kind      = "table"
title     = "ratios"
inputs    = { rows = "bench" }
filter    = "roundtrip"
group_by  = ["method"]
aggregate = { ratio = "byte_weighted(bytes_in, bytes_out)" }

[stages.lost]
kind       = "gate"
title      = "does anybody lose anything?"
inputs     = { rows = "bench" }
statistics = { lost = "count(!roundtrip)", ours = "count(!roundtrip && method.by != 'peer')" }
outcomes   = [{ name = "OURS", if = "ours > 0" }, { name = "THEIRS", if = "lost > 0" }, { name = "NOBODY" }]

[stages.speed]
kind      = "table"
title     = "speed"
inputs    = { rows = { from = "time", port = "speeds" } }
group_by  = ["method", "measures"]
aggregate = { n = "count()" }

[stages.verdict]
kind   = "verdict"
inputs = { outcomes = "lost", tables = "ratios", checks = "verify", speeds = "speed" }
"#;

fn ready() -> Space {
    let space = Space::new();
    space.write("tools/common.sh", "copy() { cp \"$1\" \"$2\"; }\n");
    space.write("tools/copier.sh", ". ./common.sh\ncopy \"$1\" \"$2\"\n");
    space.write("tools/loser.sh", "head -c -1 \"$1\" > \"$2\"\n");
    space.write("peers.toml", EXPERIMENT);
    space
}

fn report(space: &Space) -> String {
    let output = space.call(&["run", "peers.toml"]);
    assert!(output.status.success());
    format!(
        "{}{}",
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap()
    )
}

#[test]
fn a_program_is_a_method_by_toml_alone_and_a_lost_byte_a_finding() {
    let space = ready();
    let first = space.run_well("peers.toml", &[]);
    for task in ["bench", "verify", "time"] {
        for method in ["zstd_1", "copier", "loser"] {
            let task = format!("{task}/minilm_attention/{method}");
            assert!(first.executed.contains(&task), "{task}");
        }
    }
    let report = report(&space);
    for part in [
        "THEIRS",
        "2 of 3 match",
        "What does not match in decoded in a fresh process",
        "| copier ",
        "processes",
        "memory",
    ] {
        assert!(report.contains(part), "no `{part}` in\n{report}");
    }
    let lines: Vec<&str> = report
        .lines()
        .filter(|line| line.contains("| loser "))
        .collect();
    // In what does not match, with the place, and in no table of ratios or speeds. It loses one byte each way.
    assert_eq!(lines.len(), 1, "{report}");
    let again = space.run_well("peers.toml", &[]);
    assert_eq!(again.executed, names(&[]));
}

#[test]
fn a_changed_helper_runs_its_method_and_no_other() {
    let space = ready();
    space.run_well("peers.toml", &[]);
    space.write("tools/common.sh", "copy() { cat \"$1\" > \"$2\"; }\n");
    let run = space.run_well("peers.toml", &[]);
    // What it puts out is the same, so that nothing else runs but the table of speeds.
    let (bench, verify, time) = (
        "bench/minilm_attention/copier",
        "verify/minilm_attention/copier",
        "time/minilm_attention/copier",
    );
    for task in [bench, verify, time] {
        assert!(run.executed.contains(task), "{:?}", run.executed);
    }
    assert!(
        !run.executed
            .iter()
            .any(|task| task.ends_with("zstd_1") || task.ends_with("loser")),
        "{:?}",
        run.executed
    );
    assert!(!run.executed.contains("ratios"));
}

#[test]
fn mistakes_in_a_command_are_told_where_they_are() {
    let space = ready();
    let told = |from: &str, to: &str| {
        assert!(EXPERIMENT.contains(from), "{from}");
        space.write("wrong.toml", &EXPERIMENT.replacen(from, to, 1));
        let output = space.call(&["check", "wrong.toml"]);
        assert!(!output.status.success(), "{to}");
        String::from_utf8(output.stderr).unwrap()
    };
    let text = told(
        "decompress = [\"sh\", \"copier",
        "decompres = [\"sh\", \"copier",
    );
    assert!(text.contains("did you mean `decompress`?"), "{text}");
    assert!(text.contains("wrong.toml:15:"), "{text}");
    let text = told(
        "compress   = [\"sh\", \"loser.sh\", \"input\", \"encoded\"]\n",
        "",
    );
    assert!(text.contains("needs `compress`"), "{text}");
    let text = told(
        "compress   = [\"sh\", \"loser.sh\", \"input\", \"encoded\"]",
        "compress = []",
    );
    assert!(text.contains("the program and its arguments"), "{text}");
    let text = told(
        "{ path = \"tools/common.sh\" }",
        "{ path = \"tools/none.sh\" }",
    );
    assert!(text.contains("there is no such file"), "{text}");
    let text = told(
        "{ path = \"tools/common.sh\" }",
        "{ file = \"tools/common.sh\" }",
    );
    assert!(text.contains("a file, written { path = \"…\" }"), "{text}");
    let text = told("warmup      = 0", "warmup = 0\nthreads = \"all\"");
    assert!(text.contains("not divided among threads"), "{text}");
}

#[test]
fn a_program_that_hangs_fails_its_task_and_leaves_nothing() {
    let space = ready();
    let mark = "31557.5";
    space.write("tools/loser.sh", &format!("sleep {mark} & sleep {mark}\n"));
    let hanging = EXPERIMENT.replacen(
        "helpers    = [{ path = \"tools/loser.sh\" }]",
        "helpers    = [{ path = \"tools/loser.sh\" }]\ntime_limit = 1",
        1,
    );
    space.write("hanging.toml", &hanging);
    let run = space.run("hanging.toml", &["--keep-going"]);
    assert_ne!(run.code, Some(0));
    assert!(
        run.failed.contains("bench/minilm_attention/loser"),
        "{:?}",
        run.failed
    );
    assert!(run.executed.contains("verify/minilm_attention/copier"));
    let output = space.call(&["run", "hanging.toml"]);
    let messages = String::from_utf8(output.stderr).unwrap();
    assert!(
        messages.contains("took longer than 1 s for one unit"),
        "{messages}"
    );
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let left = processes
        .filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok())
        .filter(|line| line.starts_with("sleep") && line.contains(mark))
        .count();
    assert_eq!(left, 0);
}

/// Makes a wheel of a package that turns bytes around, and returns its SHA-256.
fn make_wheel(space: &Space) -> String {
    fs::create_dir(space.path("index")).unwrap();
    let script = r#"
import hashlib, zipfile
path = "index/turner-1.0-py3-none-any.whl"
with zipfile.ZipFile(path, "w") as wheel:
    def put(name, text):
        wheel.writestr(zipfile.ZipInfo(name), text)
    put("turner.py", """
import pathlib, sys
def main(source, target):
    pathlib.Path(target).write_bytes(pathlib.Path(source).read_bytes()[::-1])
main(*sys.argv[1:])
""")
    put("turner-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: turner\nVersion: 1.0\n")
    put("turner-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    put("turner-1.0.dist-info/RECORD", "")
print(hashlib.sha256(open(path, "rb").read()).hexdigest())
"#;
    let output = Command::new("python3")
        .args(["-c", script])
        .current_dir(space.path("."))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn installed_packages_reach_the_methods_that_have_them() {
    let space = ready();
    let digest = make_wheel(&space);
    let (head, tail) = EXPERIMENT
        .split_once("[[axes.method]]\nname       = \"loser\"")
        .unwrap();
    let (_, stages) = tail.split_once("[stages.fetch]").unwrap();
    let turner = format!(
        r#"[[axes.method]]
name       = "turner"
use        = "command"
by         = "peer"
compress   = ["python3", "-m", "turner", "input", "encoded"]
decompress = ["python3", "-m", "turner", "encoded", "decoded"]
pip        = [{{ package = "turner==1.0", sha256 = "{digest}" }}]

[stages.install]
kind     = "install"
each     = ["method"]
where    = "has(method.pip)"
packages = {{ axis = "method.pip" }}

"#
    );
    let stages = stages.replace(
        "helpers = { axis = \"method.helpers\" }",
        "helpers = { axis = \"method.helpers\" }, packages = \"install\"",
    );
    let text = format!("{head}{turner}[stages.fetch]{stages}");
    space.write("packages.toml", &text);
    let command = |text: &str, more: &[&str]| {
        space.write("packages.toml", text);
        let mut command = space.command(&[&["run", "packages.toml"], more].concat());
        command
            .env("PIP_NO_INDEX", "1")
            .env("PIP_FIND_LINKS", space.path("index"));
        command
    };
    let run = |text: &str| support::finished(command(text, &["--json"]).spawn().unwrap());
    let first = run(&text);
    assert_eq!(first.code, Some(0), "{}", first.messages);
    assert!(first.executed.contains("install/turner"));
    assert!(!first.executed.contains("install/copier"));
    assert!(first.executed.contains("bench/minilm_attention/turner"));
    assert_eq!(run(&text).executed, names(&[]));
    let wrong = text.replace(&digest, &"0".repeat(64));
    assert!(run(&wrong).failed.contains("install/turner"));
    let output = command(&wrong, &[]).output().unwrap();
    let messages = String::from_utf8(output.stderr).unwrap();
    assert!(messages.contains("is not what is pinned"), "{messages}");
}

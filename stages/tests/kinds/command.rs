//! `command`: what a program finds, what it may leave, and how it fails.

use std::collections::BTreeMap;
use std::path::Path;

use llmcl_stages::kinds::command::KIND;
use llmcl_stages_api::artifact::{Artifact, ArtifactFile};
use llmcl_stages_api::kind::{InputSchema, StageKind};
use llmcl_stages_api::machine::Machine;
use llmcl_stages_api::port::PortType;
use llmcl_stages_api::table::{Schema, Table};
use llmcl_stages_api::task::{Host, Member, Outputs, TaskError, TaskErrorKind};
use llmcl_stages_api::tensors::{Tensor, TensorSet};
use llmcl_stages_api::value::Type;
use serde_json::{Value as Json, json};

use crate::support::host::TestHost;
use crate::support::{check, member, params, problems, run_with};

type Inputs = BTreeMap<String, Vec<Member>>;

fn sh(script: &str, outputs: &Json) -> Json {
    json!({ "argv": ["sh", "-ec", script], "outputs": outputs })
}

fn run(host: &TestHost, command: &Json, inputs: &Inputs) -> Result<Outputs, TaskError> {
    let result = run_with(&KIND, host, command, inputs);
    assert_eq!(host.scratches(), 0);
    result
}

/// Runs a script whose only output is `out`, and returns what is in it.
fn out(host: &TestHost, script: &str, inputs: &Inputs) -> String {
    let outputs = run(
        host,
        &sh(script, &json!({ "o": { "path": "out" } })),
        inputs,
    )
    .unwrap();
    String::from_utf8(host.read(&outputs["o"], "out")).unwrap()
}

fn failure(command: &Json) -> TaskError {
    let host = TestHost::new();
    let error = run(&host, command, &Inputs::new()).expect_err("a failure");
    host.blobs();
    error
}

#[test]
fn inputs_lie_in_folders_of_their_ports() {
    let host = TestHost::new();
    let two = Artifact::new(
        vec![
            ArtifactFile {
                name: "a.txt".into(),
                blob: host.put(b"a").unwrap(),
            },
            ArtifactFile {
                name: "deep/b.txt".into(),
                blob: host.put(b"b").unwrap(),
            },
        ],
        vec![],
    );
    let inputs = Inputs::from([
        ("one".into(), vec![member(&[], host.store("x.txt", b"x"))]),
        ("two".into(), vec![member(&[("model", "m")], two)]),
        (
            "many".into(),
            vec![
                member(
                    &[("model", "m"), ("method", "zstd_19")],
                    host.store("r", b"1"),
                ),
                member(
                    &[("model", "n"), ("method", "zstd_19")],
                    host.store("r", b"2"),
                ),
            ],
        ),
    ]);
    let found = out(
        &host,
        "find . -type f | LC_ALL=C sort > $TMPDIR/list; mv $TMPDIR/list out",
        &inputs,
    );
    assert_eq!(
        found,
        "./many/m,zstd_19/r\n./many/n,zstd_19/r\n./one/x.txt\n./two/a.txt\n./two/deep/b.txt\n"
    );
}

#[test]
fn a_program_cannot_reach_the_store_through_its_inputs() {
    let host = TestHost::new();
    let input = host.store("x", b"precious");
    let inputs = Inputs::from([("in".into(), vec![member(&[], input.clone())])]);
    let mode = out(
        &host,
        "stat -c %a in/x > out; chmod u+w in/x; echo overwritten > in/x",
        &inputs,
    );
    assert_eq!(mode, "444\n");
    assert_eq!(host.read(&input, "x"), b"precious");
}

#[test]
fn tensor_sets_come_with_the_blobs_that_they_point_into() {
    let host = TestHost::new();
    let blob = host.put(b"....weights").unwrap();
    let set = TensorSet::new(vec![Tensor {
        name: "w".into(),
        dtype: "BF16".into(),
        shape: vec![7],
        category: "other".into(),
        part: None,
        layer: None,
        digest: blake3::hash(b"weights"),
        blob,
        offset: 4,
        bytes: 7,
    }]);
    let file = host.put(&serde_json::to_vec(&set).unwrap()).unwrap();
    let inputs = Inputs::from([("tensors".into(), vec![member(&[], set.artifact(file))])]);
    let found = out(
        &host,
        "cat tensors/blobs/* > out; ls tensors >> out",
        &inputs,
    );
    assert_eq!(found, "....weightsblobs\ntensors.json\n");
}

#[test]
fn the_environment_is_what_is_declared_and_little_more() {
    let command = json!({
        "argv": ["sh", "-c", "env | cut -d= -f1 | grep -v -e ^PWD -e ^SHLVL -e ^_ | sort > out; echo $LANG $X >> out"],
        "env": { "X": "y z", "LANG": "C" },
        "outputs": { "o": { "path": "out" } },
    });
    let host = TestHost::new();
    let outputs = run(&host, &command, &Inputs::new()).unwrap();
    assert_eq!(
        String::from_utf8(host.read(&outputs["o"], "out")).unwrap(),
        "HOME\nLANG\nPATH\nTMPDIR\nTZ\nX\nC y z\n"
    );
}

#[test]
fn an_input_can_be_the_program() {
    let host = TestHost::new();
    let script = host.store("run.sh", b"#!/bin/sh\necho \"$0 $1\" > out\n");
    let inputs = Inputs::from([("tool".into(), vec![member(&[], script)])]);
    let command = json!({ "argv": ["tool/run.sh", "x"], "outputs": { "o": { "path": "out" } } });
    let outputs = run(&host, &command, &inputs).unwrap();
    let said = String::from_utf8(host.read(&outputs["o"], "out")).unwrap();
    let place = Path::new("work").join("tool/run.sh");
    let named = Path::new(said.trim_end().strip_suffix(" x").unwrap());
    assert!(named.is_absolute() && named.ends_with(place), "{said}");
    // Its content is in the key as an input's, so that there is no program to name.
    assert!(KIND.facts(&params(&command)).is_empty());
}

#[test]
fn outputs_are_files_folders_and_tables() {
    let script = r#"
        echo report > deep/report.md
        mkdir -p all/in; echo 1 > all/a; echo 2 > all/in/b
        echo '{"name": "x", "ratio": 2, "ok": true}' > rows.jsonl
        echo '{"ratio": 0.5, "name": null}' >> rows.jsonl
    "#;
    let outputs = json!({
        "text": { "path": "deep/report.md", "type": "report" },
        "all": { "path": "all" },
        "rows": { "path": "rows.jsonl", "type": "table",
                  "columns": { "name": "text", "ratio": "float", "ok": "bool" } },
    });
    let command = sh(script, &outputs);
    let declared = check(&KIND, &command, &BTreeMap::new());
    assert!(problems(&declared).is_empty());
    let ports: Vec<_> = declared
        .outputs
        .iter()
        .map(|port| (port.name.as_str(), port.ty))
        .collect();
    assert_eq!(
        ports,
        [
            ("all", PortType::File),
            ("rows", PortType::Table),
            ("text", PortType::Report)
        ]
    );
    assert_eq!(
        declared.outputs[1]
            .schema
            .column("ratio")
            .map(|column| &column.ty),
        Some(&Type::Float)
    );

    let host = TestHost::new();
    let outputs = run(&host, &command, &Inputs::new()).unwrap();
    assert_eq!(host.read(&outputs["text"], "report.md"), b"report\n");
    assert_eq!(host.read(&outputs["all"], "in/b"), b"2\n");
    let table = Table::read(&host.read(&outputs["rows"], "rows.jsonl.zst")[..]).unwrap();
    assert_eq!(table.len(), 2);
    assert_eq!(table.column("ratio").unwrap()[0].as_number(), Some(2.0));
    assert!(table.column("name").unwrap()[1].is_none());
}

#[test]
fn tables_are_held_against_their_columns() {
    let rows = json!({ "rows": { "path": "r", "type": "table", "columns": { "n": "int" } } });
    for (line, problem) in [
        ("{\"m\": 1}", "there is no column `m`"),
        (
            "{\"n\": 1.5}",
            "the column `n` holds a whole number, not `1.5`",
        ),
        ("[1]", "which is no JSON object"),
        ("{", "which is no JSON object"),
    ] {
        let error = failure(&sh(
            &format!("echo '{{\"n\": 1}}' > r; echo '{line}' >> r"),
            &rows,
        ));
        assert_eq!(error.kind, TaskErrorKind::Outside);
        assert!(
            error
                .message
                .starts_with("the output `rows` is wrong in line 2, ")
                && error.message.contains(problem),
            "{error}"
        );
    }
    assert_eq!(
        failure(&sh(": > r", &rows)).message,
        "the output `rows` is empty: `r`"
    );
}

#[test]
fn what_a_program_leaves_must_be_what_it_declares() {
    let one = json!({ "o": { "path": "out" } });
    for (script, message) in [
        (":", "the output `o` is not there: `out`"),
        (": > out", "the output `o` is empty: `out`"),
        ("mkdir out", "the output `o` is empty: `out`"),
        (
            "ln -s /etc/passwd out",
            "the output `o` is neither a file nor a folder: `out`",
        ),
        (
            "mkdir out; ln -s /etc/passwd out/x",
            "the output `o` holds `x`, which is no file: `out`",
        ),
        (
            "echo > out; touch b; mkdir d; touch d/c",
            "the program left files that are not declared: `b`, `d/c`",
        ),
        (
            "echo > out; touch 1 2 3 4 5 6 7",
            "the program left files that are not declared: `1`, `2`, `3`, `4`, `5` and 2 more",
        ),
    ] {
        let error = failure(&sh(script, &one));
        assert_eq!(
            (error.kind, error.message.as_str()),
            (TaskErrorKind::Outside, message)
        );
    }
    let host = TestHost::new();
    let may = json!({ "o": { "path": "out", "may_be_empty": true } });
    assert!(run(&host, &sh(": > out", &may), &Inputs::new()).is_ok());
}

#[test]
fn failures_show_the_last_lines() {
    let outputs = json!({ "o": { "path": "out" } });
    let error = failure(&sh("echo first >&2; echo last >&2; exit 7", &outputs));
    assert_eq!(error.kind, TaskErrorKind::Outside);
    assert_eq!(
        error.message,
        "`sh` exited with code 7; the last it wrote to its standard error:\nfirst\nlast"
    );
    let error = failure(&sh("kill -KILL $$", &outputs));
    assert_eq!(
        error.message,
        "`sh` was ended by SIGKILL and wrote nothing to its standard error"
    );
    let mut retried = sh("exit 1", &outputs);
    retried["retries"] = json!(2);
    assert_eq!(failure(&retried).kind, TaskErrorKind::Passing);
    assert_eq!(KIND.needs(&params(&retried), 0).outside.unwrap().retries, 2);
}

#[test]
fn left_behind_children_are_an_error() {
    let error = failure(&sh(
        "echo > out; sleep 1000 & exit 0",
        &json!({ "o": { "path": "out" } }),
    ));
    assert_eq!(error.kind, TaskErrorKind::Outside);
    assert!(
        error
            .message
            .starts_with("`sh` exited with code 0 and left processes running: sleep ("),
        "{error}"
    );
}

#[test]
fn a_stop_reaches_the_program() {
    let host = TestHost::new();
    host.stop();
    let command = sh("sleep 1000", &json!({ "o": { "path": "out" } }));
    let error = run(&host, &command, &Inputs::new()).expect_err("a stop");
    assert_eq!(error.kind, TaskErrorKind::Cancelled);
    assert_eq!(error.message, "`sh` was stopped: the run was stopped");
}

#[test]
fn programs_are_in_the_key_by_their_content() {
    let folder = tempfile::tempdir().unwrap();
    let tool = folder.path().join("tool");
    let write = |text: &str| {
        std::fs::write(&tool, text).unwrap();
        std::fs::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
    };
    let command = params(&json!({
        "argv": [tool], "programs": ["sh"], "outputs": { "o": { "path": "out" } },
    }));
    write("#!/bin/sh\n");
    let environment = |command| Machine::default().environment(&KIND.facts(command));
    let first = environment(&command).unwrap();
    assert_eq!(first.len(), 2);
    assert!(first.contains_key("program sh"));
    assert_eq!(environment(&command).unwrap(), first);
    write("#!/bin/sh\nexit 1\n");
    assert_ne!(environment(&command).unwrap(), first);

    let missing = params(&json!({ "argv": ["no-such-program"], "outputs": {} }));
    let error = environment(&missing).expect_err("no program");
    assert_eq!(error.message, "there is no program `no-such-program`");
}

#[test]
fn mistakes_are_found_before_the_run() {
    let input = InputSchema {
        ty: PortType::File,
        schema: Schema::default(),
        volatile: false,
    };
    let inputs = BTreeMap::from([
        ("model".to_owned(), input.clone()),
        ("a/b".to_owned(), input),
    ]);
    let command = json!({
        "argv": ["scripts/run.sh"],
        "env": { "A=B": "x" },
        "outputs": {
            "a": { "path": "../up" },
            "b": { "path": "model/x" },
            "c": { "path": "same/x", "type": "table" },
            "d": { "path": "same", "columns": { "n": "int" } },
        },
    });
    assert_eq!(
        problems(&check(&KIND, &command, &inputs)),
        [
            "argv: `scripts/run.sh` lies in no input",
            "env.A=B: is no environment variable",
            "inputs.a/b: `a/b` cannot be the name of a folder",
            "outputs.a.path: `../up` is no path inside of the working folder",
            "outputs.b.path: `model/x` is where the input `model` is",
            "outputs.c: is a table and has no `columns`",
            "outputs.d.path: `same` is also a path of `c`",
            "outputs.d.columns: is for tables",
        ]
    );
    let none = check(
        &KIND,
        &json!({ "argv": [], "outputs": {} }),
        &BTreeMap::new(),
    );
    assert_eq!(
        problems(&none),
        ["argv: names no program", "outputs: names no output"]
    );
}

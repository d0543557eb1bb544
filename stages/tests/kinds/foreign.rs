//! Methods that are commands, in `bench`, `verify` and `time`: what a program finds, and what becomes of what it does.

use std::collections::BTreeMap;

use llmcl_stages::encoded;
use llmcl_stages::kinds::{bench, time, verify};
use llmcl_stages_api::artifact::{Artifact, ArtifactFile};
use llmcl_stages_api::kind::{InputSchema, StageKind};
use llmcl_stages_api::port::PortType;
use llmcl_stages_api::table::{Schema, Table};
use llmcl_stages_api::task::{Host, Member, Outputs, TaskError, TaskErrorKind};
use llmcl_stages_api::value::Value;
use serde_json::{Value as Json, json};

use crate::support::host::TestHost;
use crate::support::weights::{bf16_weights, cell, int, read_table, set_of};
use crate::support::wheel::sha256;
use crate::support::{check, member, params, problems, run_with};

type Inputs = BTreeMap<String, Vec<Member>>;

/// A method whose programs are shell scripts.
fn method(compress: &str, decompress: &str) -> Json {
    json!({
        "name": "command",
        "compress": ["sh", "-ec", compress],
        "decompress": ["sh", "-ec", decompress],
        "time_limit": 60,
    })
}

/// Two bf16 tensors.
fn tensors(host: &TestHost) -> Artifact {
    let (first, second) = (bf16_weights(3000, 1), bf16_weights(64, 2));
    set_of(
        host,
        &[
            ("first.weight", "BF16", &[100, 30], &first),
            ("second.weight", "BF16", &[64], &second),
        ],
    )
}

fn inputs(ports: &[(&str, &[&Artifact])]) -> Inputs {
    let members = |artifacts: &[&Artifact]| {
        let members = artifacts.iter();
        members.map(|&one| member(&[], one.clone())).collect()
    };
    ports
        .iter()
        .map(|(port, artifacts)| ((*port).to_owned(), members(artifacts)))
        .collect()
}

fn run(
    kind: &dyn StageKind,
    host: &TestHost,
    json: &Json,
    inputs: &Inputs,
) -> Result<Outputs, TaskError> {
    let result = run_with(kind, host, json, inputs);
    assert_eq!(host.scratches(), 0);
    result
}

/// Runs `bench` over two tensors.
fn benched(host: &TestHost, method: &Json) -> Result<Outputs, TaskError> {
    let set = tensors(host);
    let inputs = inputs(&[("tensors", &[&set])]);
    run(&bench::KIND, host, &json!({ "method": method }), &inputs)
}

/// Runs `bench` and `verify` over two tensors, and returns their tables.
fn tables(method: &Json) -> (Table, Table) {
    let host = TestHost::new();
    let outputs = benched(&host, method).unwrap();
    let set = tensors(&host);
    let inputs = inputs(&[("encoded", &[&outputs["encoded"]]), ("tensors", &[&set])]);
    let checks = run(&verify::KIND, &host, &json!({ "method": method }), &inputs).unwrap();
    let parts = read_table(&host, &outputs["parts"]).len();
    assert!(parts.is_multiple_of(3), "{parts}");
    (
        read_table(&host, &outputs["results"]),
        read_table(&host, &checks["checks"]),
    )
}

fn text(table: &Table, row: usize, column: &str) -> String {
    cell(table, row, column)
        .as_text()
        .unwrap_or_default()
        .to_owned()
}

/// What was encoded, as text: what a program has written there.
fn encoded_text(host: &TestHost, outputs: &Outputs) -> String {
    String::from_utf8(host.read(&outputs["encoded"], encoded::DATA)).unwrap()
}

#[test]
fn what_comes_back_is_counted_to_the_byte() {
    let method = method(
        "printf head > encoded; cat input >> encoded",
        "tail -c +5 encoded > decoded",
    );
    let (results, checks) = tables(&method);
    for (row, bytes) in [(0, 6000), (1, 128)] {
        assert_eq!(int(&results, row, "bytes_in"), bytes);
        for column in ["bytes_out", "bytes_payload"] {
            assert_eq!(int(&results, row, column), bytes + 4, "{column}");
        }
        for column in ["tables", "container", "profile", "recipe"] {
            assert_eq!(int(&results, row, &format!("bytes_{column}")), 0);
        }
        assert_eq!(cell(&results, row, "roundtrip"), &Value::Bool(true));
        assert_eq!(cell(&checks, row, "matches"), &Value::Bool(true));
        for table in [&results, &checks] {
            assert_eq!(cell(table, row, "first_difference"), &Value::None);
            assert_eq!(cell(table, row, "failure"), &Value::None);
        }
    }
    let original = bf16_weights(3000, 1);
    let encoded = [&b"head"[..], &original].concat();
    assert_eq!(text(&results, 0, "encoded_sha256"), sha256(&encoded));
    let digest = blake3::hash(&original).to_hex();
    assert_eq!(text(&checks, 0, "blake3"), digest.as_str());
}

#[test]
fn all_tensors_are_one_unit_where_that_is_asked_for() {
    let host = TestHost::new();
    let set = tensors(&host);
    let method = method("cp input encoded", "cp encoded decoded");
    let json = json!({ "method": method, "unit": "file" });
    let inputs = inputs(&[("tensors", &[&set])]);
    let outputs = run(&bench::KIND, &host, &json, &inputs).unwrap();
    let results = read_table(&host, &outputs["results"]);
    assert_eq!(results.len(), 1);
    assert_eq!(int(&results, 0, "bytes_out"), 6128);
    assert_eq!(cell(&results, 0, "roundtrip"), &Value::Bool(true));
}

#[test]
fn a_program_finds_the_input_and_what_it_is() {
    let host = TestHost::new();
    let lists = method("ls > encoded; cat input.json >> encoded", "ls > decoded");
    let outputs = benched(&host, &lists).unwrap();
    let listing = encoded_text(&host, &outputs);
    let first = concat!(
        "encoded\ninput\ninput.json\n",
        r#"{"version":1,"bytes":6000,"tensors":[{"name":"first.weight","dtype":"BF16","#,
        r#""shape":[100,30],"offset":0,"bytes":6000}]}"#
    );
    assert!(listing.starts_with(first), "{listing}");

    // A file has no tensors.
    let file = host.store("notes.bin", b"some bytes");
    let json = json!({ "method": lists, "unit": "file" });
    let outputs = run(&bench::KIND, &host, &json, &inputs(&[("file", &[&file])])).unwrap();
    let listing = encoded_text(&host, &outputs);
    assert!(
        listing.ends_with(r#"{"version":1,"bytes":10,"tensors":[]}"#),
        "{listing}"
    );
}

#[test]
fn what_decodes_is_given_the_encoding_and_nothing_else() {
    // What encodes hides the input wherever it can.
    let hide = "cp input encoded; for place in . $HOME $TMPDIR; do cp input $place/hidden; done";
    let look = "ls -A . $HOME $TMPDIR > found; grep -q hidden found && exit 9; \
                test \"$(ls)\" = \"$(printf 'encoded\\nfound')\"; cp encoded decoded";
    let (results, checks) = tables(&method(hide, look));
    for row in 0..2 {
        assert_eq!(text(&results, row, "failure"), "");
        assert_eq!(cell(&checks, row, "matches"), &Value::Bool(true));
    }
}

#[test]
fn a_program_that_loses_a_byte_is_a_row_that_says_where() {
    for (decompress, offset) in [
        ("head -c -1 encoded > decoded", 5999),
        ("cp encoded decoded; printf x >> decoded", 6000),
        (": > decoded", 0),
        (
            "head -c 4000 encoded > decoded; printf '\\377\\377' >> decoded; tail -c +4003 encoded >> decoded",
            4000,
        ),
    ] {
        let (results, checks) = tables(&method("cp input encoded", decompress));
        assert_eq!(cell(&results, 0, "roundtrip"), &Value::Bool(false));
        assert_eq!(int(&results, 0, "first_difference"), offset, "{decompress}");
        assert_eq!(cell(&results, 0, "failure"), &Value::None);
        // What it wrote is told, and is no size that could be held against others.
        assert_eq!(int(&results, 0, "bytes_payload"), 6000);
        for column in ["bytes_out", "ratio", "bits_per_weight"] {
            assert_eq!(cell(&results, 0, column), &Value::None, "{column}");
        }
        assert_eq!(cell(&checks, 0, "matches"), &Value::Bool(false));
        assert_eq!(int(&checks, 0, "first_difference"), offset);
        assert_eq!(cell(&checks, 0, "blake3"), &Value::None);
    }
}

#[test]
fn a_program_that_fails_is_a_row_that_says_why() {
    let cases = [
        (
            "echo first >&2; echo 'no  such thing' >&2; exit 3",
            "`sh` exited with code 3: no such thing",
        ),
        ("kill -SEGV $$", "`sh` was ended by SIGSEGV"),
        ("true", "`sh` left no file `encoded`"),
        ("mkdir encoded", "`sh` left no file `encoded`"),
        ("ln -s input encoded", "`sh` left no file `encoded`"),
        (
            "cp input encoded; sleep 600 & exit 0",
            "`sh` exited with code 0 and left processes running",
        ),
        (
            "echo \"cannot open ${PWD%/*}/nothing\" >&2; exit 1",
            "`sh` exited with code 1: cannot open …/nothing",
        ),
    ];
    for (compress, failure) in cases {
        let (results, checks) = tables(&method(compress, "cp encoded decoded"));
        for row in 0..2 {
            assert_eq!(cell(&results, row, "roundtrip"), &Value::Bool(false));
            assert_eq!(text(&results, row, "failure"), failure);
            assert_eq!(text(&checks, row, "failure"), failure);
            assert_eq!(cell(&checks, row, "matches"), &Value::Bool(false));
            for column in ["bytes_out", "bytes_payload", "ratio", "encoded_sha256"] {
                assert_eq!(cell(&results, row, column), &Value::None, "{column}");
            }
        }
    }
    // What fails while it decodes has encoded all the same.
    let (results, checks) = tables(&method("cp input encoded", "exit 7"));
    assert_eq!(text(&results, 0, "failure"), "`sh` exited with code 7");
    assert_eq!(int(&results, 0, "bytes_payload"), 6000);
    assert_eq!(text(&checks, 0, "failure"), "`sh` exited with code 7");
}

#[test]
fn one_unit_that_fails_leaves_the_others() {
    let compress = "test $(wc -c < input) -gt 1000; cp input encoded";
    let (results, checks) = tables(&method(compress, "cp encoded decoded"));
    for (row, good) in [(0, true), (1, false)] {
        assert_eq!(cell(&results, row, "roundtrip"), &Value::Bool(good));
        assert_eq!(cell(&checks, row, "matches"), &Value::Bool(good));
    }
}

#[test]
fn a_program_that_hangs_fails_the_task_when_its_time_is_up() {
    let host = TestHost::new();
    let mut hangs = method("sleep 600", "true");
    hangs["time_limit"] = json!(1);
    let error = benched(&host, &hangs).expect_err("too late");
    assert_eq!(error.kind, TaskErrorKind::TimedOut);
    assert_eq!(error.message, "`sh` took longer than 1 s for one unit");
    assert!(error.hint.unwrap().contains("time_limit"));
    assert_eq!(host.scratches(), 0);
}

#[test]
fn what_is_no_fault_of_the_programs_fails_the_task() {
    let error = benched(&TestHost::new(), &method("kill -KILL $$", "true")).expect_err("killed");
    assert_eq!(error.kind, TaskErrorKind::Outside);
    assert!(error.hint.unwrap().contains("memory"));
    let mut missing = method("true", "true");
    missing["compress"] = json!(["no-such-program"]);
    let error = benched(&TestHost::new(), &missing).expect_err("not there");
    assert_eq!(error.message, "there is no program `no-such-program`");
    let stopped = benched(
        &TestHost::new().stop_after(20),
        &method("sleep 600", "true"),
    );
    assert_eq!(stopped.unwrap_err().kind, TaskErrorKind::Cancelled);
}

#[test]
fn helpers_lie_beside_the_input_and_may_be_the_program() {
    let host = TestHost::new();
    let set = tensors(&host);
    let tool = host.store(
        "tool.sh",
        b"#!/bin/sh\nset -e\ncase $1 in encode) cp input encoded ;; *) cp encoded decoded ;; esac\n",
    );
    let other = host.store("other.txt", b"other");
    let method = json!({
        "name": "command",
        "compress": ["./tool.sh", "encode"],
        "decompress": ["sh", "-ec", "test -f other.txt; ./tool.sh decode"],
    });
    let json = json!({ "method": method });
    let with = |helpers: &[&Artifact]| {
        let inputs = inputs(&[("tensors", &[&set]), ("helpers", helpers)]);
        run(&bench::KIND, &host, &json, &inputs)
    };
    let outputs = with(&[&tool, &other]).unwrap();
    let results = read_table(&host, &outputs["results"]);
    assert_eq!(cell(&results, 0, "failure"), &Value::None);
    assert_eq!(cell(&results, 0, "roundtrip"), &Value::Bool(true));
    // Names that get into each other's way.
    let input = host.store("input", b"");
    for helpers in [&[&tool, &tool][..], &[&input]] {
        let error = with(helpers).expect_err("taken");
        assert!(error.message.contains("has a name that something else"));
    }
}

#[test]
fn packages_can_be_imported_and_what_is_left_there_is_not_passed_on() {
    let host = TestHost::new();
    let set = tensors(&host);
    let file = |name: &str, content: &[u8]| ArtifactFile {
        name: name.to_owned(),
        blob: host.put(content).unwrap(),
    };
    let packages = Artifact::new(
        vec![
            file("peer/__init__.py", b"from peer.deep.code import code\n"),
            file("peer/deep/code.py", b"def code(data): return data[::-1]\n"),
        ],
        Vec::new(),
    );
    let script = "import os, pathlib, sys, peer\n\
        left = pathlib.Path(os.environ['PYTHONPATH'], 'left')\n\
        if sys.argv[1] == 'decode' and left.exists(): sys.exit('it is still there')\n\
        left.write_text('x') if sys.argv[1] == 'encode' else None\n\
        pathlib.Path(sys.argv[3]).write_bytes(peer.code(pathlib.Path(sys.argv[2]).read_bytes()))\n";
    let method = json!({
        "name": "command",
        "compress": ["python3", "-c", script, "encode", "input", "encoded"],
        "decompress": ["python3", "-c", script, "decode", "encoded", "decoded"],
        "env": { "MINE": "1" },
    });
    let json = json!({ "method": method });
    let inputs = inputs(&[("tensors", &[&set]), ("packages", &[&packages])]);
    let outputs = run(&bench::KIND, &host, &json, &inputs).unwrap();
    let results = read_table(&host, &outputs["results"]);
    assert_eq!(cell(&results, 0, "failure"), &Value::None);
    assert_eq!(cell(&results, 0, "roundtrip"), &Value::Bool(true));
    let facts = bench::KIND.facts(&params(&json));
    let facts: Vec<_> = facts.iter().map(|fact| fact.sort.name).collect();
    assert_eq!(facts, ["program", "python"]);
}

#[test]
fn the_environment_is_the_declared_one() {
    let host = TestHost::new();
    let mut tells = method("env | sort > encoded", "true");
    tells["env"] = json!({ "MINE": "1", "LANG": "C" });
    let outputs = benched(&host, &tells).unwrap();
    let told = encoded_text(&host, &outputs);
    let names: Vec<&str> = told
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name)
        .collect();
    let once = [
        "HOME",
        "LANG",
        "MINE",
        "PATH",
        "PWD",
        "PYTHONHASHSEED",
        "TMPDIR",
        "TZ",
    ];
    let of_shell = ["_", "OLDPWD", "SHLVL"];
    let own: Vec<&str> = names
        .iter()
        .copied()
        .filter(|name| !of_shell.contains(name))
        .take(once.len())
        .collect();
    assert_eq!(own, once);
    assert!(told.contains("LANG=C\n"));
}

#[test]
fn methods_of_ours_take_no_helpers() {
    let host = TestHost::new();
    let set = tensors(&host);
    let helper = host.store("tool.sh", b"");
    let inputs = inputs(&[("tensors", &[&set]), ("helpers", &[&helper])]);
    let json = json!({ "method": { "name": "zstd_1" } });
    for kind in [&bench::KIND as &dyn StageKind, &time::KIND] {
        let json = json!({ "method": json["method"], "warmup": 0, "repetitions": 1 });
        let error = run(kind, &host, &json, &inputs).expect_err("not for it");
        assert!(error.message.contains("no command"), "{error}");
    }
    // Where no method is a command, this shows before anything runs.
    let file = InputSchema {
        ty: PortType::File,
        schema: Schema::default(),
        volatile: false,
    };
    let ports = BTreeMap::from([("helpers".to_owned(), file)]);
    for kind in [&bench::KIND as &dyn StageKind, &verify::KIND, &time::KIND] {
        assert_eq!(
            problems(&check(kind, &json, &ports)),
            ["inputs.helpers: `helpers` is for methods that are commands, and none is one"]
        );
    }
}

#[test]
fn whole_processes_are_timed_and_said_to_be() {
    let host = TestHost::new();
    let set = tensors(&host);
    let ports = inputs(&[("tensors", &[&set])]);
    let json =
        |method: Json| json!({ "method": method, "threads": "one", "warmup": 1, "repetitions": 2 });
    let good = json(method("sleep 0.05; cp input encoded", "cp encoded decoded"));
    let outputs = run(&time::KIND, &host, &good, &ports).unwrap();
    let speeds = read_table(&host, &outputs["speeds"]);
    assert_eq!(speeds.len(), 2);
    for row in 0..2 {
        assert_eq!(text(&speeds, row, "measures"), "processes");
        assert_eq!(int(&speeds, row, "bytes"), 6128);
        assert_eq!(cell(&speeds, row, "threads_used"), &Value::None);
        let seconds = cell(&speeds, row, "encode_s").as_number().unwrap();
        assert!(seconds >= 0.1, "two processes, {seconds} s");
    }
    // What does not come back has no speed.
    for (compress, decompress) in [("exit 1", "true"), ("cp input encoded", ": > decoded")] {
        let bad = json(method(compress, decompress));
        let outputs = run(&time::KIND, &host, &bad, &ports).unwrap();
        assert!(read_table(&host, &outputs["speeds"]).is_empty());
    }
    let mut divided = good;
    divided["threads"] = json!("all");
    assert_eq!(
        problems(&check(&time::KIND, &divided, &BTreeMap::new())),
        ["threads: a method that is a command is not divided among threads"]
    );
}

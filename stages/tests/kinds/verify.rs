//! `verify`: a fresh process decodes, and whatever it does is told.

use std::io::{self, Cursor};

use llmcl_stages::encoded;
use llmcl_stages::kinds::bench;
use llmcl_stages::kinds::verify::{KIND, decode_worker};
use llmcl_stages_api::artifact::{Artifact, ArtifactFile};
use llmcl_stages_api::table::Table;
use llmcl_stages_api::task::{Host, TaskError, TaskErrorKind};
use llmcl_stages_api::value::Value;
use serde_json::json;

use crate::support::check;
use crate::support::host::{TestHost, WORKER_NAME};
use crate::support::tables::names;
use crate::support::weights::{bf16_weights, cell, int, output, read_table, set_of};

/// The worker process of the other tests, which start it by the variable. Else there is nothing to do.
#[test]
fn worker() {
    let Ok(name) = std::env::var(WORKER_NAME) else {
        return;
    };
    let mut answers = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/fd/3")
        .unwrap();
    llmcl_stages::work(&name, &mut io::stdin().lock(), &mut answers).unwrap();
}

const METHOD: &str = "byte_split_zstd_3";

/// Tensors, the second larger than any pipe.
fn tensors(host: &TestHost, seed: u32) -> Artifact {
    let (small, large) = (bf16_weights(50, seed), bf16_weights(200_000, seed + 1));
    set_of(
        host,
        &[
            ("small", "BF16", &[50], &small),
            ("large", "BF16", &[1000, 200], &large),
            ("empty", "BF16", &[0], &[]),
        ],
    )
}

fn encode(host: &TestHost, port: &str, input: &Artifact, unit: &str) -> Artifact {
    let json = json!({ "method": { "name": METHOD }, "unit": unit });
    output(&bench::KIND, host, &json, &[(port, input)], "encoded").unwrap()
}

fn verify(
    host: &TestHost,
    encoded: &Artifact,
    port: &str,
    input: &Artifact,
) -> Result<Table, TaskError> {
    let json = json!({ "method": { "name": METHOD } });
    let ports = [("encoded", encoded), (port, input)];
    let checks = output(&KIND, host, &json, &ports, "checks")?;
    Ok(read_table(host, &checks))
}

fn failure(host: &TestHost, encoded: &Artifact, input: &Artifact) -> (TaskErrorKind, String) {
    let error = verify(host, encoded, "tensors", input).unwrap_err();
    (error.kind, error.message)
}

#[test]
fn what_was_encoded_comes_back_in_a_fresh_process() {
    let host = TestHost::new();
    let set = tensors(&host, 1);
    let checks = verify(
        &host,
        &encode(&host, "tensors", &set, "tensor"),
        "tensors",
        &set,
    )
    .unwrap();
    assert_eq!(checks.len(), 3);
    let digest = blake3::hash(&bf16_weights(200_000, 2)).to_hex();
    assert_eq!(cell(&checks, 1, "tensor").as_text(), Some("large"));
    assert_eq!(cell(&checks, 1, "blake3").as_text(), Some(digest.as_str()));
    assert_eq!(cell(&checks, 1, "matches"), &Value::Bool(true));
    assert_eq!(int(&checks, 1, "bytes"), 400_000);
    assert_eq!(int(&checks, 2, "bytes"), 0);
    let promised = check(
        &KIND,
        &json!({ "method": { "name": METHOD } }),
        &Default::default(),
    );
    assert_eq!(names(checks.schema()), names(&promised.outputs[0].schema));
}

#[test]
fn all_tensors_as_one_and_whole_files_come_back_too() {
    let host = TestHost::new();
    let set = tensors(&host, 1);
    let checks = verify(
        &host,
        &encode(&host, "tensors", &set, "file"),
        "tensors",
        &set,
    )
    .unwrap();
    assert_eq!((checks.len(), int(&checks, 0, "bytes")), (1, 400_100));
    assert_eq!(cell(&checks, 0, "tensor"), &Value::None);

    let file = host.store("model.gguf", &bf16_weights(10_000, 3));
    let json = json!({ "method": { "name": "zstd_3" }, "unit": "file" });
    let encoded = output(&bench::KIND, &host, &json, &[("file", &file)], "encoded").unwrap();
    let json = json!({ "method": { "name": "zstd_3" } });
    let ports = [("encoded", &encoded), ("file", &file)];
    let checks = output(&KIND, &host, &json, &ports, "checks").unwrap();
    assert_eq!(int(&read_table(&host, &checks), 0, "bytes"), 20_000);
}

/// The artifact with other data in place of its own.
fn with_data(host: &TestHost, artifact: &Artifact, data: &[u8]) -> Artifact {
    let files = [
        ArtifactFile {
            name: encoded::DATA.to_owned(),
            blob: host.put(data).unwrap(),
        },
        ArtifactFile {
            name: encoded::INDEX.to_owned(),
            blob: artifact.file(encoded::INDEX).unwrap(),
        },
    ];
    Artifact::new(files.to_vec(), Vec::new())
}

#[test]
fn one_wrong_bit_in_the_encoded_bytes_is_found() {
    let host = TestHost::new();
    let set = tensors(&host, 1);
    let sound = encode(&host, "tensors", &set, "tensor");
    let data = host.read(&sound, encoded::DATA);
    for at in [0, data.len() / 3, data.len() / 2, data.len() - 1] {
        let mut wrong = data.clone();
        wrong[at] ^= 0x10;
        let (kind, message) = failure(&host, &with_data(&host, &sound, &wrong), &set);
        assert_eq!(kind, TaskErrorKind::Mismatch, "byte {at}: {message}");
        assert!(
            message.contains(METHOD) && message.starts_with("tensor `"),
            "{message}"
        );
    }
    let (kind, message) = failure(&host, &with_data(&host, &sound, &data[1..]), &set);
    assert_eq!(kind, TaskErrorKind::Input);
    assert!(message.contains("do not fill"), "{message}");
}

#[test]
fn other_weights_of_the_same_names_do_not_match() {
    let host = TestHost::new();
    let sound = encode(&host, "tensors", &tensors(&host, 1), "tensor");
    let (kind, message) = failure(&host, &sound, &tensors(&host, 9));
    assert_eq!(kind, TaskErrorKind::Mismatch);
    assert_eq!(
        message,
        "tensor `small` with `byte_split_zstd_3`: the decoded bytes differ from the original from byte 0 on"
    );
}

#[test]
fn what_does_not_belong_together_is_told() {
    let host = TestHost::new();
    let set = tensors(&host, 1);
    let sound = encode(&host, "tensors", &set, "tensor");
    let other = set_of(&host, &[("small", "BF16", &[50], &bf16_weights(50, 1))]);
    assert_eq!(failure(&host, &sound, &other).0, TaskErrorKind::Input);
    let json = json!({ "method": { "name": "zstd_3" } });
    let ports = [("encoded", &sound), ("tensors", &set)];
    let error = output(&KIND, &host, &json, &ports, "checks").unwrap_err();
    assert_eq!(
        error.message,
        "the bytes were encoded with { name = 'byte_split_zstd_3' }, and are to be decoded with { name = 'zstd_3' }"
    );
}

#[test]
fn a_profile_reaches_the_worker() {
    let host = TestHost::new();
    let set = tensors(&host, 1);
    let sound = encode(&host, "tensors", &set, "tensor");
    let profile = host.store("profile.bin", b"learnt");
    let json = json!({ "method": { "name": METHOD } });
    let ports = [
        ("encoded", &sound),
        ("tensors", &set),
        ("profile", &profile),
    ];
    let error = output(&KIND, &host, &json, &ports, "checks").unwrap_err();
    assert!(
        error.message.contains("uses no profile"),
        "{}",
        error.message
    );
}

/// What `verify` says of a worker that is this script.
fn with_worker(script: &str) -> (TaskErrorKind, String) {
    let host = TestHost::new().with_worker(script);
    let set = tensors(&host, 1);
    failure(&host, &encode(&host, "tensors", &set, "tensor"), &set)
}

#[test]
fn a_worker_that_breaks_off_or_talks_garbage_is_told() {
    for (script, told) in [
        (
            "echo no memory >&2; exit 3",
            "exited with code 3; it said: no memory",
        ),
        ("kill -SEGV $$", "was ended by SIGSEGV"),
        ("cat >/dev/null", "did not answer as it should: "),
        (
            "head -c 100 /dev/zero; cat >/dev/null",
            "did not answer as it should: this is no answer",
        ),
        (
            "printf 'LLMCLDA\\001\\377\\377\\377\\377'; cat >/dev/null",
            "did not answer as it should: a piece of 4294967295 bytes",
        ),
        ("exec 1>&-; cat >/dev/null; exit 1", "exited with code 1"),
    ] {
        let (kind, message) = with_worker(script);
        assert_eq!(kind, TaskErrorKind::Outside, "{script}: {message}");
        assert!(message.contains(told), "{script}: {message}");
        assert!(message.starts_with("the process that decodes `byte_split_zstd_3` "));
    }
}

#[test]
fn more_than_was_asked_for_is_garbage() {
    let own =
        "exec 4>&1; { \"$0\" --exact verify::worker --nocapture 3>&4 1>/dev/null; }; echo more";
    let (kind, message) = with_worker(own);
    assert_eq!(kind, TaskErrorKind::Outside);
    assert!(
        message.contains("there is more than was asked for"),
        "{message}"
    );
}

#[test]
fn right_answers_of_a_worker_that_fails_are_not_believed() {
    let own = "exec 4>&1; { \"$0\" --exact verify::worker --nocapture 3>&4 1>/dev/null; }; exit 5";
    let (kind, message) = with_worker(own);
    assert_eq!(kind, TaskErrorKind::Outside);
    assert!(message.contains("exited with code 5"), "{message}");
}

#[test]
fn a_stop_ends_a_worker_that_says_nothing() {
    let host = TestHost::new().with_worker("exec sleep 600");
    let set = tensors(&host, 1);
    let sound = encode(&host, "tensors", &set, "tensor");
    host.stop();
    let error = verify(&host, &sound, "tensors", &set).unwrap_err();
    assert_eq!(error.kind, TaskErrorKind::Cancelled);
}

#[test]
fn a_worker_refuses_what_is_no_request() {
    let said = |request: &[u8]| {
        let mut answer = Vec::new();
        let error = decode_worker(&mut Cursor::new(request), &mut answer).unwrap_err();
        (error.kind(), error.to_string(), answer)
    };
    let program = |json: &str| {
        let mut request = b"LLMCLDR\x01".to_vec();
        request.extend_from_slice(&(json.len() as u32).to_le_bytes());
        request.extend_from_slice(json.as_bytes());
        request
    };
    use io::ErrorKind::{InvalidData, UnexpectedEof};
    assert_eq!(said(b"").0, UnexpectedEof);
    assert_eq!(said(b"GET / HTTP/1.1\r\n\r\n").0, InvalidData);
    assert_eq!(
        said(b"LLMCLDR\x01\xff\xff\xff\xff").1,
        "a method of 4294967295 bytes"
    );
    let unknown = program(r#"{"name":"brotli","parameters":{}}"#);
    assert_eq!(said(&unknown).1, "there is no method `brotli`");
    assert_eq!(said(&program("[]")).0, InvalidData);

    let zstd = program(r#"{"name":"zstd_3","parameters":{}}"#);
    let with = |rest: &[u8]| said(&[&zstd, rest].concat());
    assert_eq!(with(b"").0, UnexpectedEof);
    assert_eq!(with(b"\x02").1, "a profile cannot begin with 2");
    // An encoding of 2^60 bytes, and one that ends early.
    let huge = [b"\x00\x01".as_slice(), &(1u64 << 60).to_le_bytes()].concat();
    assert_eq!(with(&huge).0, InvalidData);
    let cut = [b"\x00\x01".as_slice(), &5u64.to_le_bytes(), b"abc"].concat();
    assert_eq!(with(&cut).0, UnexpectedEof);
}

#[test]
fn a_worker_answers_what_cannot_be_decoded() {
    let json = br#"{"name":"zstd_3","parameters":{}}"#;
    let request = [
        b"LLMCLDR\x01".as_slice(),
        &(json.len() as u32).to_le_bytes(),
        json,
        b"\x00\x01",
        &3u64.to_le_bytes(),
        b"abc\x00",
    ]
    .concat();
    let mut answer = Vec::new();
    decode_worker(&mut Cursor::new(request), &mut answer).unwrap();
    assert_eq!(&answer[..13], b"LLMCLDA\x01\0\0\0\0\x01");
    let message = String::from_utf8(answer[17..].to_vec()).unwrap();
    assert_eq!(answer[13..17], (message.len() as u32).to_le_bytes());
    assert!(!message.is_empty());
}

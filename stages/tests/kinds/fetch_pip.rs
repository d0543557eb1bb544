//! `fetch` through pip, from wheels in a folder.

use std::fs;
use std::path::Path;

use llmcl_stages::kinds::fetch::{Fetch, Surroundings};
use llmcl_stages_api::artifact::Artifact;
use llmcl_stages_api::task::{TaskError, TaskErrorKind};
use serde_json::{Value as Json, json};

use crate::support::host::TestHost;
use crate::support::run;
use crate::support::wheel::{sha256, wheel, zip};

/// An index that consists of a folder.
fn surroundings(wheels: &Path) -> Surroundings {
    Surroundings {
        pip_env: vec![
            ("PIP_NO_INDEX".to_owned(), "1".to_owned()),
            ("PIP_FIND_LINKS".to_owned(), wheels.display().to_string()),
        ],
        ..Surroundings::of_process()
    }
}

fn fetch(
    host: &TestHost,
    surroundings: Surroundings,
    content: &[u8],
    source: &Json,
) -> Result<Artifact, TaskError> {
    let mut file =
        json!({ "name": "model.bin", "bytes": content.len(), "sha256": sha256(content) });
    file.as_object_mut()
        .unwrap()
        .extend(source.as_object().unwrap().clone());
    let model = json!({ "model": { "name": "a_model", "file": [file] } });
    run(&Fetch::within(surroundings), host, &model).map(|outputs| outputs["file"].clone())
}

fn content() -> Vec<u8> {
    (0..2_500_000_u32).map(|i| (i / 777) as u8).collect()
}

#[test]
fn a_member_of_a_wheel() {
    let wheels = tempfile::tempdir().unwrap();
    let content = content();
    let digest = wheel(
        wheels.path(),
        "one_model",
        &[("one_model/model.bin", &content)],
    );
    let host = TestHost::new();
    let source = json!({ "pip": [
        { "package": "one-model==1.0", "member": "one_model/model.bin", "wheel_sha256": digest },
    ] });
    let artifact = fetch(&host, surroundings(wheels.path()), &content, &source).unwrap();
    assert_eq!(host.read(&artifact, "model.bin"), content);
    assert_eq!(host.blobs(), 1);
    assert_eq!(host.scratches(), 0);

    // The wheel of a failed attempt is used again, without pip.
    let mut without = surroundings(wheels.path());
    without.python = "/no/such/python".to_owned();
    fetch(&host, without.clone(), &content, &source).unwrap();
    // Not so if it is not the right one any more.
    let kept = host.kept().join("0/0/one_model-1.0-py3-none-any.whl");
    fs::write(&kept, "damaged").unwrap();
    let error = fetch(&host, without, &content, &source).expect_err("no python");
    assert_eq!(error.kind, TaskErrorKind::Outside);
    assert!(error.message.contains("could not be started"), "{error}");
    fetch(&host, surroundings(wheels.path()), &content, &source).unwrap();
}

#[test]
fn parts_are_joined_in_order() {
    let wheels = tempfile::tempdir().unwrap();
    let content = content();
    let (first, second) = content.split_at(1_100_000);
    let digests = [
        wheel(wheels.path(), "part_a", &[("d/part1", second)]),
        wheel(wheels.path(), "part_b", &[("d/part0", first)]),
    ];
    let source = json!({ "pip": [
        { "package": "part-b==1.0", "member": "d/part0", "wheel_sha256": digests[1] },
        { "package": "part-a==1.0", "member": "d/part1", "wheel_sha256": digests[0] },
    ] });
    let host = TestHost::new();
    let artifact = fetch(&host, surroundings(wheels.path()), &content, &source).unwrap();
    assert_eq!(host.read(&artifact, "model.bin"), content);
}

#[test]
fn parts_that_make_an_archive() {
    let wheels = tempfile::tempdir().unwrap();
    let content = content();
    let archive = zip(&[("readme", b"x"), ("deep/model.bin", &content)]);
    let (first, second) = archive.split_at(archive.len() / 2);
    let digests = [
        wheel(wheels.path(), "zip_a", &[("a.zip.001", first)]),
        wheel(wheels.path(), "zip_b", &[("a.zip.002", second)]),
    ];
    let source = json!({
        "pip": [
            { "package": "zip-a==1.0", "member": "a.zip.001", "wheel_sha256": digests[0] },
            { "package": "zip-b==1.0", "member": "a.zip.002", "wheel_sha256": digests[1] },
        ],
        "archive": { "format": "zip", "member": "deep/model.bin" },
    });
    let host = TestHost::new();
    let artifact = fetch(&host, surroundings(wheels.path()), &content, &source).unwrap();
    assert_eq!(host.read(&artifact, "model.bin"), content);
    assert_eq!(host.scratches(), 0);
}

#[test]
fn a_wheel_with_another_digest_is_not_kept() {
    let wheels = tempfile::tempdir().unwrap();
    let found = wheel(wheels.path(), "other_build", &[("m", b"abc")]);
    let expected = "00".repeat(32);
    let source = json!({ "pip": [
        { "package": "other-build==1.0", "member": "m", "wheel_sha256": expected },
    ] });
    let host = TestHost::new();
    let error =
        fetch(&host, surroundings(wheels.path()), b"abc", &source).expect_err("another digest");
    assert_eq!(error.kind, TaskErrorKind::Outside);
    assert_eq!(
        error.message,
        format!(
            "the wheel of `other-build==1.0` is not what the corpus file says: expected SHA-256 {expected}, found \
             {found}"
        )
    );
    assert!(!host.kept().join("0/0").exists());
}

#[test]
fn a_version_that_is_not_there() {
    let wheels = tempfile::tempdir().unwrap();
    wheel(wheels.path(), "old_one", &[("m", b"abc")]);
    let source = json!({ "pip": [
        { "package": "old-one==2.0", "member": "m", "wheel_sha256": "00".repeat(32) },
    ] });
    let error = fetch(
        &TestHost::new(),
        surroundings(wheels.path()),
        b"abc",
        &source,
    )
    .expect_err("no version");
    assert_eq!(error.kind, TaskErrorKind::Outside);
    assert!(
        error
            .message
            .starts_with("pip finds no wheel for `old-one==2.0`"),
        "{error}"
    );
}

#[test]
fn an_index_that_cannot_be_reached_may_pass() {
    let mut surroundings = Surroundings::of_process();
    // Nothing listens on this port, and pip need not try for long.
    for (name, value) in [
        ("PIP_INDEX_URL", "http://127.0.0.1:9/simple"),
        ("PIP_RETRIES", "1"),
        ("PIP_TIMEOUT", "5"),
        ("NO_PROXY", "127.0.0.1"),
    ] {
        surroundings
            .pip_env
            .push((name.to_owned(), value.to_owned()));
    }
    let source = json!({ "pip": [
        { "package": "no-such-model==1.0", "member": "m", "wheel_sha256": "00".repeat(32) },
    ] });
    let error = fetch(&TestHost::new(), surroundings, b"abc", &source).expect_err("no index");
    assert_eq!(error.kind, TaskErrorKind::Passing, "{error}");
}

#[test]
fn a_python_without_pip() {
    let folder = tempfile::tempdir().unwrap();
    let python = folder.path().join("python");
    fs::write(
        &python,
        "#!/bin/sh\necho \"$0: No module named pip\" >&2\nexit 1\n",
    )
    .unwrap();
    fs::set_permissions(&python, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let surroundings = Surroundings {
        python: python.display().to_string(),
        ..Surroundings::of_process()
    };
    let source = json!({ "pip": [
        { "package": "a==1.0", "member": "m", "wheel_sha256": "00".repeat(32) },
    ] });
    let error = fetch(&TestHost::new(), surroundings, b"abc", &source).expect_err("no pip");
    assert!(error.message.ends_with("has no pip"), "{error}");
    assert!(error.hint.unwrap().starts_with("install pip"));
}

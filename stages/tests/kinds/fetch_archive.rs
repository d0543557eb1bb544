//! `fetch` of members of archives, and from local files.

use std::fs;

use llmcl_stages::kinds::fetch::{Fetch, Surroundings};
use llmcl_stages_api::artifact::Artifact;
use llmcl_stages_api::task::{TaskError, TaskErrorKind};
use serde_json::json;

use crate::support::host::TestHost;
use crate::support::run;
use crate::support::wheel::{sha256, zip};

fn fetch(
    host: &TestHost,
    path: &std::path::Path,
    content: &[u8],
    more: &serde_json::Value,
) -> Result<Artifact, TaskError> {
    let mut file = json!({
        "name": "in/model.bin", "bytes": content.len(), "sha256": sha256(content), "path": path,
    });
    file.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let model = json!({ "model": { "file": [file] } });
    run(&Fetch::within(Surroundings::of_process()), host, &model)
        .map(|outputs| outputs["file"].clone())
}

fn member(name: &str) -> serde_json::Value {
    json!({ "archive": { "format": "zip", "member": name } })
}

#[test]
fn a_local_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("local");
    let content = vec![7; 2_500_000];
    fs::write(&path, &content).unwrap();
    let host = TestHost::new();
    let artifact = fetch(&host, &path, &content, &json!({})).unwrap();
    assert_eq!(host.read(&artifact, "in/model.bin"), content);

    let host = TestHost::new();
    let error = fetch(&host, &path, &content[1..], &json!({})).expect_err("one byte more");
    assert_eq!(error.kind, TaskErrorKind::Outside);
    assert!(
        error.message.ends_with("found more than 2499999 bytes"),
        "{error}"
    );
    assert_eq!(host.blobs(), 0);

    let error = fetch(&host, &folder.path().join("none"), b"x", &json!({})).expect_err("no file");
    assert_eq!(error.kind, TaskErrorKind::Input);
}

#[test]
fn a_local_file_that_changes_while_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("local");
    let content = vec![7; 2_500_000];
    fs::write(&path, &content).unwrap();
    let changed = path.clone();
    let host = TestHost::new().on_progress(move |_| fs::write(&changed, "other").unwrap());
    let error = fetch(&host, &path, &content, &json!({})).expect_err("a change");
    assert_eq!(error.kind, TaskErrorKind::Input);
    assert!(
        error.message.ends_with("changed while it was read"),
        "{error}"
    );
    assert_eq!(host.blobs(), 0);
}

#[test]
fn a_member_of_an_archive() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive.zip");
    let content: Vec<u8> = (0..2_500_000_u32).map(|i| (i / 1000) as u8).collect();
    fs::write(&path, zip(&[("other", b"x"), ("dir/model.bin", &content)])).unwrap();
    let host = TestHost::new();
    let artifact = fetch(&host, &path, &content, &member("dir/model.bin")).unwrap();
    assert_eq!(host.read(&artifact, "in/model.bin"), content);
    assert_eq!(host.blobs(), 1);

    let error = fetch(&host, &path, &content, &member("model.bin")).expect_err("no such member");
    assert_eq!(
        error.message,
        "the member `model.bin` of `archive.zip` is not in the archive"
    );
    let error = fetch(&host, &path, &content, &member("other")).expect_err("another length");
    assert_eq!(
        error.message,
        "expected 2500000 bytes by the corpus file, found 1 in other"
    );
    assert_eq!(host.blobs(), 1);
}

#[test]
fn an_archive_that_lies_about_lengths() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive.zip");
    let bytes = zip(&[("m", &[0; 100_000])]);
    for declared in [10_u32, 200_000] {
        // The length stands in the local header and in the directory at the end.
        let mut lying = bytes.clone();
        let honest = 100_000_u32.to_le_bytes();
        let mut places = 0;
        for at in 0..lying.len() - 4 {
            if lying[at..at + 4] == honest {
                lying[at..at + 4].copy_from_slice(&declared.to_le_bytes());
                places += 1;
            }
        }
        assert_eq!(places, 2);
        fs::write(&path, &lying).unwrap();
        let host = TestHost::new();
        let content = vec![0; declared as usize];
        let error = fetch(&host, &path, &content, &member("m")).expect_err("a lie");
        assert_eq!(error.kind, TaskErrorKind::Outside, "{error}");
        assert_eq!(host.blobs(), 0);
    }
}

#[test]
fn what_is_no_archive() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive.zip");
    fs::write(&path, "<html>not found</html>").unwrap();
    let host = TestHost::new();
    let error = fetch(&host, &path, b"x", &member("m")).expect_err("no archive");
    assert_eq!(error.kind, TaskErrorKind::Outside);
    assert!(error.message.contains("could not be unpacked"), "{error}");
}

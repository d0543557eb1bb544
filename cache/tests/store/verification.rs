//! Verification names every bad thing and writes nothing; repair leaves a store that is good.

use std::collections::HashSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use llmcl_cache::{
    BlobRef, CRASH_VARIABLE, Fault, LogLine, NewRecord, REPAIR_CRASH_POINTS, RepairReport,
    Repaired, Store, VerifyOptions, VerifyReport,
};

use crate::helper::{self, Helper, wait_for_lines};
use crate::support::{Sample, blob_path, check_all, digest, empty_store, segments, snapshot};

/// Good lines begin with `+`, those of a later version with `?`.
pub(crate) fn log_line(line: &str) -> LogLine {
    match line.as_bytes().first() {
        Some(b'+') => LogLine::Good,
        Some(b'?') => LogLine::Unknown,
        _ => LogLine::Bad,
    }
}

fn verify_as(root: &Path, quick: bool) -> VerifyReport {
    let options = VerifyOptions {
        quick,
        log_line: &log_line,
    };
    let store = Store::open(root).unwrap();
    store.verify(&options, &mut |_| {}).unwrap()
}

fn verify(root: &Path) -> VerifyReport {
    verify_as(root, false)
}

fn repair(root: &Path) -> RepairReport {
    let store = Store::open(root).unwrap();
    let collector = store.collector(&mut || {}).unwrap();
    let report = collector
        .repair(&log_line, &mut |_| {}, &mut || {})
        .unwrap();
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    report
}

/// The findings as `folder: fault`, in order.
fn told(report: &VerifyReport) -> Vec<String> {
    let findings = report.findings.iter();
    let mut told: Vec<String> = findings
        .map(|finding| {
            let text = match &finding.fault {
                Fault::RecordBlob { record, .. } | Fault::RecordInside { record, .. } => {
                    format!("record {}", String::from_utf8_lossy(record.body()))
                }
                fault => fault.to_string(),
            };
            let above = finding.path.strip_prefix(root_of(&finding.path)).unwrap();
            format!("{}: {text}", above.iter().next().unwrap().to_string_lossy())
        })
        .collect();
    told.sort();
    told
}

fn root_of(path: &Path) -> &Path {
    path.ancestors()
        .find(|path| path.ends_with("store"))
        .unwrap()
}

/// A store of the samples `0`, `1`, … with a blob each.
fn store_of(count: u32) -> (tempfile::TempDir, std::path::PathBuf) {
    let (folder, store) = empty_store();
    for number in 0..count {
        let sample = Sample::new(number.to_string());
        let stored = store.put(&sample.content()).unwrap();
        sample.append(&store, &[stored]).unwrap();
    }
    (folder, store.root().to_owned())
}

fn path_of(root: &Path, number: u32) -> std::path::PathBuf {
    let content = Sample::new(number.to_string()).content();
    blob_path(&Store::open(root).unwrap(), &BlobRef::of(&content))
}

fn replace(path: &Path, content: &[u8]) {
    fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    fs::write(path, content).unwrap();
}

#[test]
fn a_good_store_has_nothing_wrong_and_neither_has_one_that_is_not_there() {
    let (folder, root) = store_of(3);
    Store::open(&root)
        .unwrap()
        .run_log("run")
        .unwrap()
        .append("+")
        .unwrap();
    let before = snapshot(folder.path());
    let mut last = None;
    let options = VerifyOptions {
        quick: false,
        log_line: &log_line,
    };
    let store = Store::open(&root).unwrap();
    let report = store
        .verify(&options, &mut |progress| last = Some(progress))
        .unwrap();
    assert!(
        report.findings.is_empty() && report.notes.is_empty(),
        "{report:?}"
    );
    assert_eq!(
        (report.blobs.count, report.records, report.logs.count),
        (3, 3, 1)
    );
    assert_eq!(
        last.map(|last| (last.done, last.total)),
        Some((report.blobs.bytes, report.blobs.bytes))
    );
    drop(store);
    assert_eq!(snapshot(folder.path()), before);
    assert!(
        verify(&folder.path().join("nowhere/store"))
            .findings
            .is_empty()
    );
}

#[test]
fn every_kind_of_damage_to_blobs_is_named_and_repaired() {
    let (folder, root) = store_of(8);
    replace(&path_of(&root, 0), b"CONTENT of 0");
    replace(&path_of(&root, 1), b"");
    fs::remove_file(path_of(&root, 2)).unwrap();
    fs::remove_file(path_of(&root, 3)).unwrap();
    fs::create_dir(path_of(&root, 3)).unwrap();
    fs::remove_file(path_of(&root, 4)).unwrap();
    std::os::unix::fs::symlink(path_of(&root, 5), path_of(&root, 4)).unwrap();
    fs::write(root.join("blobs/notes"), "x").unwrap();
    fs::write(root.join("extra"), "x").unwrap();
    let before = snapshot(folder.path());
    let report = verify(&root);
    assert_eq!(snapshot(folder.path()), before);
    let content = "blobs: the content is not what the name stands for";
    assert_eq!(
        told(&report),
        [
            "blobs: it is no file",
            "blobs: it is no file",
            content,
            content,
            "records: record 0",
            "records: record 1",
            "records: record 2",
            "records: record 3",
            "records: record 4",
        ]
    );
    assert_eq!(report.notes.len(), 2);
    // Without looking into blobs, the one of the right length is not found out.
    let quick = verify_as(&root, true);
    let records = told(&quick)
        .iter()
        .filter(|told| told.starts_with("records"))
        .count();
    assert_eq!(records, 4);
    assert!(told(&quick).contains(&"blobs: it has 0 bytes, where records say 12".to_owned()));

    let repaired = repair(&root);
    assert!(repaired.left.is_empty());
    let mut dropped: Vec<String> = repaired
        .repaired
        .iter()
        .filter_map(|repaired| match repaired {
            Repaired::Record(record) => Some(String::from_utf8(record.body().to_vec()).unwrap()),
            _ => None,
        })
        .collect();
    dropped.sort();
    assert_eq!(dropped, ["0", "1", "2", "3", "4"]);
    assert_eq!(fs::read_dir(root.join("quarantine")).unwrap().count(), 4);
    assert_eq!(told(&verify(&root)), [""; 0]);
    let store = Store::open(&root).unwrap();
    check_all(&store);
    assert_eq!(store.records().count(), 3);
    assert!(root.join("extra").exists());
}

#[test]
fn damaged_segments_are_named_and_written_anew() {
    for (name, damage) in [
        (
            "header",
            (|bytes: &mut Vec<u8>| bytes[20] ^= 1) as fn(&mut Vec<u8>),
        ),
        ("body", |bytes| bytes[48 + 60] ^= 1),
        ("end", |bytes| bytes.truncate(bytes.len() - 5)),
        ("more", |bytes| bytes.extend_from_slice(b"more")),
        ("all", |bytes| bytes.fill(0)),
    ] {
        let (folder, root) = store_of(4);
        let segment = segments(&Store::open(&root).unwrap()).remove(0);
        let mut bytes = fs::read(&segment).unwrap();
        damage(&mut bytes);
        fs::write(&segment, &bytes).unwrap();
        let found: Vec<_> = Store::open(&root)
            .unwrap()
            .records()
            .map(|record| record.key())
            .collect();
        let before = snapshot(folder.path());
        let report = verify(&root);
        assert_eq!(snapshot(folder.path()), before);
        assert!(!report.findings.is_empty(), "{name}");
        assert!(
            report
                .findings
                .iter()
                .all(|finding| finding.path == segment),
            "{name}"
        );
        let repaired = repair(&root);
        assert!(repaired.left.is_empty(), "{name}: {:?}", repaired.left);
        let Some(Repaired::Segment { moved_to, .. }) = repaired.repaired.last() else {
            panic!("{name}: {:?}", repaired.repaired);
        };
        assert_eq!(fs::read(moved_to).unwrap(), bytes, "{name}");
        assert_eq!(told(&verify(&root)), [""; 0], "{name}");
        let store = Store::open(&root).unwrap();
        let kept: Vec<_> = store.records().map(|record| record.key()).collect();
        assert_eq!(kept, found, "{name}");
        check_all(&store);
    }
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_still_looked_at() {
    let (_folder, root) = store_of(2);
    let segment = segments(&Store::open(&root).unwrap()).remove(0);
    fs::create_dir(root.join(format!("records/{}.seg", "0".repeat(32)))).unwrap();
    fs::create_dir(root.join("runs")).unwrap();
    fs::create_dir(root.join("runs/folder.jsonl")).unwrap();
    replace(&path_of(&root, 1), b"x");
    assert_eq!(
        told(&verify(&root)),
        [
            "blobs: the content is not what the name stands for",
            "records: could not read it: it is not a file",
            "records: record 1",
            "runs: it is no file",
        ]
    );
    assert!(repair(&root).left.is_empty());
    assert_eq!(told(&verify(&root)), [""; 0]);
    assert!(!segment.exists());
    assert_eq!(Store::open(&root).unwrap().records().count(), 1);
}

#[test]
fn a_blob_that_is_also_inside_a_record_is_healed_from_there() {
    let (_folder, store) = empty_store();
    let root = store.root().to_owned();
    let stored = store.put(b"inline 0").unwrap();
    Sample::new("0").append(&store, &[]).unwrap();
    replace(&blob_path(&store, &stored), b"damaged!");
    drop(store);
    assert_eq!(told(&verify(&root)).len(), 1);
    let repaired = repair(&root);
    assert!(matches!(
        repaired.repaired[..],
        [Repaired::Blob {
            is_healed: true,
            ..
        }]
    ));
    assert_eq!(told(&verify(&root)), [""; 0]);
    let store = Store::open(&root).unwrap();
    assert_eq!(
        store.blob(&stored.digest, stored.bytes).unwrap().as_ref(),
        b"inline 0"
    );
}

#[test]
fn an_older_record_of_the_same_key_takes_the_place_only_if_it_is_whole() {
    let (_folder, store) = empty_store();
    let root = store.root().to_owned();
    let blobs: Vec<BlobRef> = (0..3_u8).map(|byte| store.put(&[byte]).unwrap()).collect();
    for (body, blob) in [
        ("oldest", blobs[0]),
        ("older", blobs[1]),
        ("newest", blobs[2]),
    ] {
        let new = NewRecord {
            key: digest("key"),
            shape: digest("shape"),
            blobs: &[blob],
            inline: &[],
            body: body.as_bytes(),
        };
        store.append(new).unwrap();
    }
    for blob in &blobs[1..] {
        fs::remove_file(blob_path(&store, blob)).unwrap();
    }
    drop(store);
    // What a newer record has replaced may name what is gone.
    assert_eq!(told(&verify(&root)), ["records: record newest"]);
    repair(&root);
    assert_eq!(told(&verify(&root)), [""; 0]);
    let record = Store::open(&root).unwrap().record(&digest("key")).unwrap();
    assert_eq!(record.body(), b"oldest");
}

#[test]
fn damaged_logs_are_named_and_keep_their_good_lines() {
    let (_folder, root) = store_of(1);
    let log = root.join("runs/run.jsonl");
    fs::create_dir(root.join("runs")).unwrap();
    let text = "+ one\n\u{0}bad\n? later\n+ two\n+ torn";
    fs::write(&log, text).unwrap();
    let report = verify(&root);
    assert_eq!(
        told(&report),
        [
            "runs: 1 lines are no events, the first is line 2",
            "runs: the last line has no end"
        ]
    );
    assert_eq!(report.notes.len(), 1);
    let repaired = repair(&root);
    let [Repaired::Log { moved_to, .. }] = &repaired.repaired[..] else {
        panic!("{:?}", repaired.repaired);
    };
    assert_eq!(fs::read_to_string(moved_to).unwrap(), text);
    assert_eq!(fs::read_to_string(&log).unwrap(), "+ one\n? later\n+ two\n");
    assert_eq!(told(&verify(&root)), [""; 0]);
}

#[test]
fn what_is_being_written_is_no_damage() {
    let (folder, root) = store_of(1);
    let said_path = folder.path().join("said");
    let mut writer = Helper::start("write live", &root, &said_path);
    wait_for_lines(&said_path, 1);
    let segment = segments(&Store::open(&root).unwrap()).remove(0);
    let mut bytes = fs::read(&segment).unwrap();
    bytes.extend_from_slice(b"half a record");
    fs::write(&segment, bytes).unwrap();
    assert_eq!(told(&verify(&root)), [""; 0]);
    // A record that must go from there is made a hole.
    fs::remove_file(path_of(&root, 0)).unwrap();
    assert_eq!(told(&verify(&root)), ["records: record 0"]);
    assert!(repair(&root).left.is_empty());
    assert_eq!(told(&verify(&root)), [""; 0]);
    writer.kill();
    assert_eq!(told(&verify(&root)).len(), 1);
    repair(&root);
    assert_eq!(told(&verify(&root)), [""; 0]);
    assert!(Sample::new("live").is_in(&Store::open(&root).unwrap()));
}

#[test]
fn a_repair_killed_anywhere_is_finished_by_the_next() {
    let points = llmcl_cache::COLLECTION_CRASH_POINTS
        .iter()
        .chain(REPAIR_CRASH_POINTS);
    for point in points.filter(|point| {
        !point.contains("hole") && !point.contains("begun") && !point.contains("blobs")
    }) {
        let (folder, root) = store_of(4);
        fs::create_dir(root.join("runs")).unwrap();
        fs::write(root.join("runs/run.jsonl"), "+ good\nbad\n").unwrap();
        replace(&path_of(&root, 1), b"x");
        let segment = segments(&Store::open(&root).unwrap()).remove(0);
        let mut bytes = fs::read(&segment).unwrap();
        bytes[48 + 60] ^= 1;
        fs::write(&segment, bytes).unwrap();
        let said_path = folder.path().join("said");
        let status = helper::command("repair", &root, &said_path)
            .env(CRASH_VARIABLE, format!("{point}:1"))
            .status()
            .unwrap();
        assert!(!status.success(), "{point}");
        for number in [2, 3] {
            assert!(
                Sample::new(number.to_string()).is_in(&Store::open(&root).unwrap()),
                "{point}"
            );
        }
        assert!(
            fs::read_to_string(root.join("runs/run.jsonl"))
                .unwrap()
                .starts_with("+ good\n")
        );
        repair(&root);
        assert_eq!(told(&verify(&root)), [""; 0], "{point}");
        // A record may be there twice, as it was.
        let store = Store::open(&root).unwrap();
        let keys: HashSet<_> = store.records().map(|record| record.key()).collect();
        assert_eq!(keys.len(), 2, "{point}");
    }
}

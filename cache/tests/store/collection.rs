//! Collections: what goes, what stays, beside others, and killed half-way.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use llmcl_cache::{
    Amount, BlobRef, COLLECTION_CRASH_POINTS, CRASH_VARIABLE, GcOptions, GcReport, NewRecord, Root,
    Store,
};

use crate::helper::{self, Helper, said, wait_for_lines};
use crate::support::{
    Sample, blob_path, check_all, digest, empty_store, root_of, segments, snapshot,
};

/// A store with a record and a blob for each name, closed.
fn store_of(names: &[&str]) -> (tempfile::TempDir, std::path::PathBuf) {
    let (folder, store) = empty_store();
    for name in names {
        let sample = Sample::new(*name);
        let stored = store.put(&sample.content()).unwrap();
        sample.append(&store, &[stored]).unwrap();
    }
    (folder, store.root().to_owned())
}

fn collect(root: &Path, options: &GcOptions<'_>) -> GcReport {
    let store = Store::open(root).unwrap();
    let collector = store.collector(&mut || {}).unwrap();
    let report = collector.collect(options, &mut || {}).unwrap();
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    report
}

fn keep(root: &Path, names: &[&str]) -> GcReport {
    let roots = [root_of(names)];
    collect(
        root,
        &GcOptions {
            roots: &roots,
            ..GcOptions::default()
        },
    )
}

/// The names of those samples that are there, each whole.
fn present(root: &Path, names: &[&str]) -> Vec<String> {
    let store = Store::open(root).unwrap();
    check_all(&store);
    let there = names
        .iter()
        .filter(|name| Sample::new(**name).is_in(&store));
    there.map(|name| (*name).to_owned()).collect()
}

fn blob_of(name: &str) -> BlobRef {
    BlobRef::of(&Sample::new(name).content())
}

fn has_file(root: &Path, name: &str) -> bool {
    blob_path(&Store::open(root).unwrap(), &blob_of(name)).exists()
}

#[test]
fn what_nothing_keeps_goes_and_the_rest_stays_as_it_is() {
    let (_folder, root) = store_of(&["a", "b", "c"]);
    let store = Store::open(&root).unwrap();
    store.put(b"named by nothing").unwrap();
    // A newer record of b, which replaces the first.
    Sample::new("b").append(&store, &[blob_of("b")]).unwrap();
    let stamps: Vec<u64> = ["a", "b"]
        .map(|name| store.record(&digest(name)).unwrap().stamp())
        .into();
    drop(store);
    let report = keep(&root, &["a", "b"]);
    assert_eq!(present(&root, &["a", "b", "c"]), ["a", "b"]);
    assert!(has_file(&root, "a") && has_file(&root, "b") && !has_file(&root, "c"));
    let store = Store::open(&root).unwrap();
    assert!(!store.has_blob(&digest("named by nothing"), 16));
    let still: Vec<u64> = ["a", "b"]
        .map(|name| store.record(&digest(name)).unwrap().stamp())
        .into();
    assert_eq!(still, stamps);
    assert_eq!(store.records().count(), 2);
    assert_eq!(segments(&store).len(), 1);
    assert_eq!(report.freed.records.count, 1);
    assert_eq!(report.freed.superseded.count, 1);
    assert_eq!(
        report.freed.blobs,
        Amount {
            count: 1,
            bytes: blob_of("c").bytes
        }
    );
    assert_eq!(
        report.freed.unnamed,
        Amount {
            count: 1,
            bytes: 16
        }
    );
    assert_eq!(report.before - report.after, report.freed.bytes());
    assert_eq!(report.kept.len(), 1);
    assert_eq!(
        (report.kept[0].reason.as_str(), report.kept[0].records),
        ("kept", 2)
    );
    assert_eq!(store.size().total, report.after);
    drop(store);
    assert_eq!(fs::read_dir(root.join("tmp")).unwrap().count(), 0);
    // Nothing is left to do, so nothing is done.
    let before = fs::read(segments(&Store::open(&root).unwrap()).remove(0)).unwrap();
    assert_eq!(keep(&root, &["a", "b"]).freed.bytes(), 0);
    assert_eq!(
        fs::read(segments(&Store::open(&root).unwrap()).remove(0)).unwrap(),
        before
    );
}

#[test]
fn a_plan_says_what_a_collection_does_and_writes_nothing() {
    let (folder, root) = store_of(&["a", "b", "c", "d"]);
    fs::create_dir(root.join("tmp/dead")).unwrap();
    fs::write(root.join("tmp/dead/file"), [0; 100]).unwrap();
    let roots = [root_of(&["b"])];
    for max_bytes in [None, Some(0), Some(700), Some(1 << 40)] {
        let options = GcOptions {
            roots: &roots,
            max_bytes,
            ..GcOptions::default()
        };
        let before = snapshot(folder.path());
        let planned = Store::open(&root)
            .unwrap()
            .plan_collection(&options)
            .unwrap();
        assert_eq!(snapshot(folder.path()), before);
        assert_eq!(planned.before - planned.after, planned.freed.bytes());
        if max_bytes == Some(1 << 40) {
            assert_eq!(planned.freed.bytes(), 0);
        }
        let copy = folder.path().join(format!("{max_bytes:?}"));
        assert!(
            std::process::Command::new("cp")
                .arg("-a")
                .args([&root, &copy])
                .status()
                .unwrap()
                .success()
        );
        let mut done = collect(&copy, &options);
        if max_bytes == Some(1 << 40) {
            // Who begins to write sweeps, whatever there is to collect.
            assert_eq!(done.freed.unfinished.bytes, 100);
            done.freed.unfinished = Amount::default();
            done.after += 100;
        }
        assert_eq!(done.freed, planned.freed, "{max_bytes:?}");
        assert_eq!((done.before, done.after), (planned.before, planned.after));
        assert_eq!(done.kept, planned.kept);
    }
}

#[test]
fn a_blob_inside_a_record_keeps_that_record() {
    let (_folder, store) = empty_store();
    let root = store.root().to_owned();
    Sample::new("holder").append(&store, &[]).unwrap();
    Sample::new("other").append(&store, &[]).unwrap();
    let inside = BlobRef::of(b"inline holder");
    Sample::new("user").append(&store, &[inside]).unwrap();
    drop(store);
    keep(&root, &["user"]);
    assert_eq!(
        present(&root, &["holder", "other", "user"]),
        ["holder", "user"]
    );
    keep(&root, &[]);
    assert_eq!(present(&root, &["holder", "other", "user"]), [""; 0]);
}

#[test]
fn a_limit_takes_the_least_recently_recorded_and_no_more_than_needed() {
    let names = ["a", "b", "c", "d", "e"];
    let (_folder, root) = store_of(&names);
    let total = Store::open(&root).unwrap().size().total;
    let one = (total - 48) / 5;
    let roots = [root_of(&["a"])];
    for (max_bytes, left) in [
        (total, &names[..]),
        (total - 1, &["a", "c", "d", "e"]),
        (total - one, &["a", "c", "d", "e"]),
        (total - one - 1, &["a", "d", "e"]),
        (0, &["a"]),
    ] {
        let options = GcOptions {
            roots: &roots,
            max_bytes: Some(max_bytes),
            ..GcOptions::default()
        };
        let report = collect(&root, &options);
        assert_eq!(present(&root, &names), left, "{max_bytes} of {total}");
        assert_eq!(report.after <= max_bytes, max_bytes > 0);
    }
}

#[test]
fn what_was_set_aside_old_work_and_logs_go_as_asked() {
    let (_folder, root) = store_of(&["a"]);
    let store = Store::open(&root).unwrap();
    for run in ["old", "new", "going"] {
        store.run_log(run).unwrap().append("{}").unwrap();
    }
    for (key, age) in [("fresh", 0), ("stale", 8), ("busy", 8)] {
        let folder = store.resumable(&digest(key)).unwrap();
        fs::write(folder.join("part"), [0; 50]).unwrap();
        let then = SystemTime::now() - Duration::from_secs(age * 24 * 3600);
        for path in [folder.join("part"), folder] {
            File::open(path).unwrap().set_modified(then).unwrap();
        }
    }
    fs::create_dir(root.join("quarantine")).unwrap();
    fs::write(root.join("quarantine/x"), [0; 70]).unwrap();
    let going = store.run_log("going").unwrap();
    let busy = store
        .lock(&digest("busy"), &|| true, &mut || {})
        .unwrap()
        .unwrap();
    let roots = [root_of(&["a"])];
    let report = collect(
        &root,
        &GcOptions {
            roots: &roots,
            ..GcOptions::default()
        },
    );
    assert_eq!(
        report.freed.resumable,
        Amount {
            count: 1,
            bytes: 50
        }
    );
    assert_eq!(fs::read_dir(root.join("resumable")).unwrap().count(), 2);
    assert!(root.join("quarantine/x").exists() && root.join("runs/old.jsonl").exists());
    let logs = ["old".to_owned(), "going".to_owned()];
    let options = GcOptions {
        roots: &roots,
        quarantine: true,
        logs: &logs,
        ..GcOptions::default()
    };
    let report = collect(&root, &options);
    assert_eq!(
        report.freed.quarantine,
        Amount {
            count: 1,
            bytes: 70
        }
    );
    assert_eq!(report.freed.logs.count, 1);
    assert!(!root.join("quarantine/x").exists() && !root.join("runs/old.jsonl").exists());
    assert!(root.join("runs/new.jsonl").exists() && root.join("runs/going.jsonl").exists());
    drop((going, busy));
}

#[test]
fn what_a_live_process_uses_stays_until_it_ends() {
    let (folder, root) = store_of(&["a", "b"]);
    let said_path = folder.path().join("said");
    let mut user = Helper::start("keep a", &root, &said_path);
    wait_for_lines(&said_path, 1);
    let report = keep(&root, &[]);
    assert_eq!(present(&root, &["a", "b"]), ["a"]);
    assert_eq!(report.kept[0].reason, "in use by a process");
    user.kill();
    keep(&root, &[]);
    assert_eq!(present(&root, &["a", "b"]), [""; 0]);
}

#[test]
fn a_reader_keeps_a_collection_waiting() {
    let (_folder, root) = store_of(&["a"]);
    let reader = Store::open(&root).unwrap();
    let store = Store::open(&root).unwrap();
    let collector = store.collector(&mut || {}).unwrap();
    std::thread::scope(|scope| {
        let (sender, waits) = std::sync::mpsc::channel();
        let collection = scope.spawn(move || {
            let mut on_wait = || sender.send(()).unwrap();
            collector
                .collect(&GcOptions::default(), &mut on_wait)
                .unwrap()
        });
        waits.recv().unwrap();
        assert!(Sample::new("a").is_in(&reader));
        Sample::new("a").read_all(&reader);
        drop(reader);
        assert_eq!(collection.join().unwrap().freed.blobs.count, 1);
    });
}

#[test]
fn records_in_a_segment_that_is_being_written_become_holes() {
    let (folder, root) = store_of(&["a", "b", "c"]);
    let said_path = folder.path().join("said");
    let mut writer = Helper::start("write new", &root, &said_path);
    wait_for_lines(&said_path, 1);
    let segment = segments(&Store::open(&root).unwrap()).remove(0);
    let length = fs::metadata(&segment).unwrap().len();
    keep(&root, &["b"]);
    assert_eq!(present(&root, &["a", "b", "c", "new"]), ["b", "new"]);
    assert!(has_file(&root, "b") && !has_file(&root, "a") && !has_file(&root, "c"));
    assert_eq!(fs::metadata(&segment).unwrap().len(), length);
    assert!(Store::open(&root).unwrap().notices().is_empty());
    writer.kill();
    // Now the holes go, too.
    let report = keep(&root, &["b", "new"]);
    assert!(report.freed.holes > 0 && report.freed.records.count == 0);
    assert_eq!(present(&root, &["a", "b", "c", "new"]), ["b", "new"]);
    assert!(!segment.exists());
}

#[test]
fn a_process_that_goes_on_does_not_believe_what_it_read_before() {
    let (_folder, root) = store_of(&["a", "b"]);
    let store = Store::open(&root).unwrap();
    drop(store.scratch(&[]).unwrap());
    keep(&root, &["b"]);
    assert!(!Sample::new("a").is_in(&store));
    assert!(Sample::new("b").is_in(&store));
    assert!(!store.has_blob(&BlobRef::of(b"inline a").digest, 8));
    let named = [BlobRef::of(b"inline a")];
    let new = NewRecord {
        key: digest("x"),
        shape: digest("shape"),
        blobs: &named,
        inline: &[],
        body: b"x",
    };
    store.append(new).unwrap_err();
    Sample::new("a").append(&store, &[]).unwrap();
    keep(&root, &[]);
    assert_eq!(present(&root, &["a", "b"]), ["a", "b"]);
}

#[test]
fn what_was_used_and_recorded_during_a_collection_is_kept_by_it() {
    let (_folder, root) = store_of(&["old", "going"]);
    let user = Store::open(&root).unwrap();
    drop(user.scratch(&[]).unwrap());
    let store = Store::open(&root).unwrap();
    let collector = store.collector(&mut || {}).unwrap();
    // It begins, finds a blob that the collection takes for one that nobody needs, names it, and is gone.
    let stored = user.put(&Sample::new("old").content()).unwrap();
    Sample::new("new").append(&user, &[stored]).unwrap();
    drop(user);
    collector
        .collect(&GcOptions::default(), &mut || {})
        .unwrap();
    drop(collector);
    drop(store);
    assert_eq!(present(&root, &["old", "going", "new"]), ["new"]);
    Sample::new("new").read_all(&Store::open(&root).unwrap());
    assert_eq!(fs::read_dir(root.join("tmp")).unwrap().count(), 0);
}

#[test]
fn a_blob_that_was_put_or_found_stays_until_a_record_names_it() {
    let (_folder, root) = store_of(&["put", "found"]);
    let user = Store::open(&root).unwrap();
    let fresh = user.put(b"fresh").unwrap();
    // The file of this one is there already, and nothing else keeps it.
    let stored = user.put(&Sample::new("put").content()).unwrap();
    let found = blob_of("found");
    assert!(user.has_blob(&found.digest, found.bytes));
    keep(&root, &[]);
    assert_eq!(present(&root, &["put", "found"]), [""; 0]);
    Sample::new("new")
        .append(&user, &[fresh, stored, found])
        .unwrap();
    Sample::new("new").read_all(&user);
}

#[test]
fn where_records_cannot_be_seen_no_blob_goes() {
    let (_folder, root) = store_of(&["a"]);
    let id = "0".repeat(32);
    let mut header = [b"llmclseg".as_slice(), &[2, 0, 0, 0], &[0; 4], &[0; 16]].concat();
    header.extend_from_slice(&blake3::hash(&header).as_bytes()[..16]);
    let future = root.join(format!("records/{id}.seg"));
    fs::write(&future, &header).unwrap();
    let report = keep(&root, &[]);
    assert_eq!(report.unseen, std::slice::from_ref(&future));
    assert_eq!(present(&root, &["a"]), [""; 0]);
    assert!(has_file(&root, "a"));
    assert_eq!(fs::read(&future).unwrap(), header);
}

#[test]
fn a_collection_killed_anywhere_loses_nothing_that_is_kept_and_the_next_one_finishes() {
    for point in COLLECTION_CRASH_POINTS {
        for pass in [1, 2] {
            let (folder, root) = store_of(&["a", "b", "c", "d"]);
            let said_path = folder.path().join("said");
            // Two segments: one that is written anew, one that is made holes in.
            let mut writer = Helper::start("write live", &root, &said_path);
            wait_for_lines(&said_path, 1);
            let store = Store::open(&root).unwrap();
            for name in ["e", "f"] {
                let stored = store.put(&Sample::new(name).content()).unwrap();
                Sample::new(name).append(&store, &[stored]).unwrap();
            }
            assert_eq!(segments(&store).len(), 2);
            drop(store);
            let status = helper::command("collect b f", &root, &said_path)
                .env(CRASH_VARIABLE, format!("{point}:{pass}"))
                .status()
                .unwrap();
            let passes = match *point {
                "collection-removal-counted" | "collection-hole-written" => 2,
                _ => 1,
            };
            assert_eq!(status.success(), pass > passes, "{point}:{pass}");
            let names = ["a", "b", "c", "d", "e", "f"];
            let left = present(&root, &names);
            for name in ["b", "f"] {
                assert!(
                    left.contains(&name.to_owned()),
                    "{name} after {point}:{pass}"
                );
                Sample::new(name).read_all(&Store::open(&root).unwrap());
            }
            keep(&root, &["b", "f"]);
            assert_eq!(present(&root, &names), ["b", "f"], "after {point}:{pass}");
            for name in names {
                assert_eq!(has_file(&root, name), ["b", "f"].contains(&name));
            }
            writer.kill();
            keep(&root, &["b", "f"]);
            assert_eq!(fs::read_dir(root.join("tmp")).unwrap().count(), 0);
        }
    }
}

#[test]
fn collections_beside_processes_at_work_take_nothing_from_them() {
    let (folder, root) = store_of(&["a"]);
    let said_path = folder.path().join("said");
    let mut users =
        ["use x 6", "use x 6", "use y 4"].map(|task| Helper::start(task, &root, &said_path));
    for round in 1..=12 {
        wait_for_lines(&said_path, round * 4);
        let collected = helper::command("collect a", &root, &folder.path().join("collected"))
            .status()
            .unwrap();
        assert!(collected.success());
        for user in &mut users {
            assert!(user.0.try_wait().unwrap().is_none(), "a user has failed");
        }
    }
    for user in &mut users {
        user.kill();
    }
    assert_eq!(said(&folder.path().join("collected")).len(), 12);
    assert_eq!(present(&root, &["a"]), ["a"]);
    let roots: [Root; 0] = [];
    collect(
        &root,
        &GcOptions {
            roots: &roots,
            ..GcOptions::default()
        },
    );
    let size = Store::open(&root).unwrap().size();
    assert_eq!((size.blobs.count, size.live.count), (0, 0));
}

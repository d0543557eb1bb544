//! Several processes on one store, and processes that are killed.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use llmcl_cache::{CRASH_POINTS, CRASH_VARIABLE, Store};

use crate::helper::{self, Helper, said, wait_for_lines, wait_until};
use crate::support::{Sample, blob_path, check_all, digest, empty_store, segments};

/// Holds that a store has every record that was reported as appended, and that all it has is intact.
fn check_against(root: &Path, said_path: &Path) {
    // Read before the store is: others may be appending.
    let appended = said(said_path);
    let store = Store::open(root).unwrap();
    for name in appended {
        assert!(Sample::new(name.clone()).is_in(&store), "{name} is lost");
    }
    check_all(&store);
    let names: Vec<_> = store.records().map(|record| record.key()).collect();
    assert_eq!(names.len(), names.iter().collect::<HashSet<_>>().len());
}

#[test]
fn four_processes_append_at_the_same_time_and_all_records_survive() {
    let (folder, store) = empty_store();
    // A segment that nobody writes, which all four would like to have.
    Sample::new("before")
        .append(&Store::open(store.root()).unwrap(), &[])
        .unwrap();
    let said_path = folder.path().join("said");
    let tasks = ["append a 40", "append b 40", "append c 40", "append d 40"];
    let mut helpers = tasks.map(|task| Helper::start(task, store.root(), &said_path));
    for helper in &mut helpers {
        assert!(helper.0.wait().unwrap().success());
    }
    assert_eq!(said(&said_path).len(), 160);
    check_against(store.root(), &said_path);
    store.refresh().unwrap();
    assert_eq!(store.records().count(), 161);
    // One segment a writer at most, and a fifth writer needs no fifth.
    let before = segments(&store).len();
    assert!(before <= 4);
    Sample::new("fifth").append(&store, &[]).unwrap();
    assert_eq!(segments(&store).len(), before);
}

#[test]
fn writers_killed_at_random_times_lose_nothing_that_was_reported() {
    let (folder, store) = empty_store();
    let root = store.root().to_owned();
    drop(store);
    let said_path = folder.path().join("said");
    for round in 0..30_u64 {
        let task = match round % 2 {
            0 => format!("append {round} 1000"),
            _ => format!("append-threads {round}"),
        };
        let before = said(&said_path).len();
        let mut first = Helper::start(&task, &root, &said_path);
        let mut second = Helper::start(&format!("append {round}x 1000"), &root, &said_path);
        wait_for_lines(&said_path, before + 1);
        std::thread::sleep(Duration::from_micros(round * round * 7919 % 30_000));
        first.kill();
        check_against(&root, &said_path);
        second.kill();
    }
    check_against(&root, &said_path);
    let store = Store::open(&root).unwrap();
    Sample::new("after").append(&store, &[]).unwrap();
    // The dead had two segments at a time, and only this process's session is left.
    assert!(segments(&store).len() <= 3, "{}", segments(&store).len());
    assert_eq!(fs::read_dir(root.join("tmp")).unwrap().count(), 3);
}

#[test]
fn writers_killed_at_each_crash_point_lose_nothing_that_was_reported() {
    for point in CRASH_POINTS {
        for pass in [1, 2, 5] {
            let (folder, store) = empty_store();
            let root = store.root().to_owned();
            let said_path = folder.path().join("said");
            // What the writer will come upon: a damaged blob, and a torn end of a segment.
            let damaged = store.put(&Sample::new("p-0").content()).unwrap();
            fs::remove_file(blob_path(&store, &damaged)).unwrap();
            fs::write(blob_path(&store, &damaged), "damaged").unwrap();
            if *point == "segment-truncated" {
                Sample::new("before").append(&store, &[]).unwrap();
                let segment = segments(&store).remove(0);
                let torn = [fs::read(&segment).unwrap(), vec![1; 70]].concat();
                fs::write(&segment, torn).unwrap();
            }
            drop(store);
            let status = helper::command("append p 10", &root, &said_path)
                .env(CRASH_VARIABLE, format!("{point}:{pass}"))
                .status()
                .unwrap();
            let passes_once = point.starts_with("se") || *point == "blob-set-aside";
            assert_eq!(status.success(), passes_once && pass > 1, "{point}:{pass}");
            check_against(&root, &said_path);

            // The next process accepts what is there, does the same work, and sweeps what was left.
            let said_again = folder.path().join("again");
            let status = helper::command("append p 10", &root, &said_again)
                .status()
                .unwrap();
            assert!(status.success(), "after {point}:{pass}");
            assert_eq!(said(&said_again).len(), 10);
            let store = Store::open(&root).unwrap();
            check_all(&store);
            assert!(store.notices().is_empty());
            for name in said(&said_path).into_iter().chain(said(&said_again)) {
                assert!(Sample::new(name).is_in(&store));
            }
            assert_eq!(segments(&store).len(), 1, "after {point}:{pass}");
            assert_eq!(fs::read_dir(root.join("tmp")).unwrap().count(), 0);
        }
    }
}

#[test]
fn a_lock_excludes_over_processes() {
    let (folder, store) = empty_store();
    let counter = folder.path().join("counter");
    fs::write(&counter, "0").unwrap();
    let task = format!("count {} 50", counter.display());
    let said_path = folder.path().join("said");
    let mut helpers = [(); 4].map(|()| Helper::start(&task, store.root(), &said_path));
    for helper in &mut helpers {
        assert!(helper.0.wait().unwrap().success());
    }
    assert_eq!(fs::read_to_string(&counter).unwrap(), "200");
}

#[test]
fn a_killed_owner_releases_its_lock_and_its_scratch_is_swept_while_a_live_one_is_not() {
    let (folder, store) = empty_store();
    let said_path = folder.path().join("said");
    let mut owner = Helper::start("hold", store.root(), &said_path);
    wait_for_lines(&said_path, 1);
    let scratch = Path::new(&said(&said_path)[0]).to_owned();
    let take = || store.lock(&digest("held"), &|| true, &mut || {}).unwrap();

    // Alive: the lock is held, and a process that begins to write sweeps nothing of it.
    assert!(take().is_none());
    let other = Store::open(store.root()).unwrap();
    drop(other.scratch(&[]).unwrap());
    drop(other);
    assert!(scratch.join("file").exists());

    owner.kill();
    assert!(scratch.join("file").exists());
    let waited = std::cell::Cell::new(false);
    let guard = store.lock(&digest("held"), &|| false, &mut || waited.set(true));
    assert!(guard.unwrap().is_some());
    assert!(!waited.get());
    let later = Store::open(store.root()).unwrap();
    drop(later.scratch(&[]).unwrap());
    assert!(!scratch.exists());
    drop(later);
    drop(store);
    assert_eq!(
        fs::read_dir(folder.path().join("store/tmp"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn a_waiting_process_gets_the_lock_when_the_owner_is_killed() {
    let (folder, store) = empty_store();
    let said_path = folder.path().join("said");
    let mut owner = Helper::start("hold", store.root(), &said_path);
    wait_for_lines(&said_path, 1);
    let mut waiting = Helper::start("hold", store.root(), &said_path);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(said(&said_path).len(), 1);
    owner.kill();
    wait_until(|| said(&said_path).len() == 2);
    waiting.kill();
}

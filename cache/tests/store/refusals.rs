//! A disk that takes no more: the limit on the length of files stands for a full one.

use std::fs;

use llmcl_cache::{Notice, Store};

use crate::helper;
use crate::support::{Sample, check_all, empty_store, segments};

#[test]
fn refused_writes_are_errors_that_name_a_path_and_leave_a_good_store() {
    let (folder, store) = empty_store();
    let root = store.root().to_owned();
    drop(store);
    let said = folder.path().join("said");
    // 64 KiB a file, and an error instead of a signal beyond.
    let setup = "trap '' XFSZ; ulimit -f 128";
    let status = helper::command_after(setup, "fill", &root, &said)
        .status()
        .unwrap();
    assert!(status.success());
    let lines = helper::said(&said);
    assert!(
        lines[0].starts_with("could not write") && lines[0].contains("/tmp/"),
        "{}",
        lines[0]
    );
    let appended: u32 = lines[1].parse().unwrap();
    assert!(appended > 10);
    assert!(lines[2].starts_with("could not append to") && lines[2].contains("/records/"));
    assert_eq!(lines[3], "log full");

    let store = Store::open(&root).unwrap();
    assert_eq!(store.records().count(), appended as usize);
    check_all(&store);
    let log = fs::read_to_string(root.join("runs/fill.jsonl")).unwrap();
    assert!(log.ends_with('\n') && log.lines().all(|line| line.len() == 3000));
    // The failed write was undone, so the next writer has nothing to cut off.
    Sample::new("after").append(&store, &[]).unwrap();
    assert!(
        !store
            .notices()
            .iter()
            .any(|notice| matches!(notice, Notice::TornTail { .. }))
    );
    assert_eq!(segments(&store).len(), 1);
    assert_eq!(fs::read_dir(root.join("tmp")).unwrap().count(), 3);
}

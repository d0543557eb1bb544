//! Reading writes nothing.

use std::fs;

use llmcl_cache::{BlobError, Store};

use crate::support::{Sample, check_all, digest, empty_store, snapshot};

#[test]
fn opening_and_reading_a_store_that_does_not_exist_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("a/b/store")).unwrap();
    assert_eq!(store.records().count(), 0);
    assert!(store.record(&digest("x")).is_none());
    assert!(!store.has_shape(&digest("x")));
    assert!(!store.has_blob(&digest("x"), 1));
    assert!(matches!(
        store.blob(&digest("x"), 1),
        Err(BlobError::Missing { .. })
    ));
    store.refresh().unwrap();
    drop(store);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn opening_and_reading_a_store_changes_nothing_not_even_what_was_left_by_the_dead() {
    let (folder, store) = empty_store();
    for number in 0..20 {
        let sample = Sample::new(format!("{number}"));
        let stored = store.put(&sample.content()).unwrap();
        sample.append(&store, &[stored]).unwrap();
    }
    let segment = crate::support::segments(&store).remove(0);
    let root = store.root().to_owned();
    drop(store);
    // Half a record, and the folder of a dead session.
    let mut bytes = fs::read(&segment).unwrap();
    bytes.extend_from_within(48..100);
    fs::write(&segment, bytes).unwrap();
    fs::create_dir(root.join("tmp/dead")).unwrap();
    let before = snapshot(folder.path());

    let store = Store::open(&root).unwrap();
    assert_eq!(store.records().count(), 20);
    check_all(&store);
    assert!(store.has_shape(&digest("shape")));
    assert!(!store.has_blob(&digest("x"), 1));
    assert!(store.blob(&digest("x"), 1).is_err());
    store.refresh().unwrap();
    assert!(store.notices().is_empty());
    drop(store);
    assert_eq!(snapshot(folder.path()), before);
}

#[test]
fn a_process_that_is_done_leaves_only_what_it_stored() {
    let (_folder, store) = empty_store();
    store.put(b"content").unwrap();
    drop(store.scratch(&[]).unwrap());
    let key = digest("key");
    drop(store.lock(&key, &|| false, &mut || {}).unwrap());
    let resumable = store.resumable(&key).unwrap();
    fs::write(resumable.join("part"), "x").unwrap();
    assert_eq!(store.resumable(&key).unwrap(), resumable);
    assert!(resumable.join("part").exists());
    store.clear_resumable(&key).unwrap();
    store.clear_resumable(&key).unwrap();
    let root = store.root().to_owned();
    drop(store);
    let mut names: Vec<_> = fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["blobs", "locks", "records", "resumable", "tmp"]);
    for name in ["resumable", "tmp"] {
        assert_eq!(fs::read_dir(root.join(name)).unwrap().count(), 0);
    }
}

//! What the store does, in one process and undisturbed. Damage and several processes are tested in `tests/`.

use std::io::Write;
use std::os::unix::fs::MetadataExt;

use super::*;
use crate::disk::tests::{TRACE, take_trace};

fn key(name: &str) -> Hash {
    blake3::hash(name.as_bytes())
}

fn record<'a>(name: &'a str, blobs: &'a [BlobRef], inline: &'a [&'a [u8]]) -> NewRecord<'a> {
    NewRecord {
        key: key(name),
        shape: key("shape"),
        blobs,
        inline,
        body: name.as_bytes(),
    }
}

fn empty() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    (folder, store)
}

#[test]
fn blobs_are_found_by_digest_in_this_and_in_other_openings() {
    let (_folder, store) = empty();
    for content in [b"".as_slice(), b"x", &[7; 300_000]] {
        let stored = store.put(content).unwrap();
        assert_eq!(stored, BlobRef::of(content));
        for store in [&store, &Store::open(store.root()).unwrap()] {
            let blob = store.blob(&stored.digest, stored.bytes).unwrap();
            assert_eq!(blob.as_ref(), content);
            assert_eq!(std::fs::read(blob.path().unwrap()).unwrap(), content);
            assert!(store.has_blob(&stored.digest, stored.bytes));
            assert!(!store.has_blob(&stored.digest, stored.bytes + 1));
        }
    }
    assert!(store.notices().is_empty());
}

#[test]
fn a_blob_written_in_pieces_is_the_whole() {
    let (_folder, store) = empty();
    let mut writer = store.write_blob().unwrap();
    for piece in 0..1000_u32 {
        writer.write_all(&piece.to_le_bytes()).unwrap();
    }
    let stored = writer.finish().unwrap();
    let whole: Vec<u8> = (0..1000_u32).flat_map(u32::to_le_bytes).collect();
    assert_eq!(stored, BlobRef::of(&whole));
    assert_eq!(store.blob(&stored.digest, 4000).unwrap().as_ref(), whole);
}

#[test]
fn a_dropped_writer_leaves_nothing() {
    let (_folder, store) = empty();
    let mut writer = store.write_blob().unwrap();
    let session = writer.path().parent().unwrap().to_owned();
    writer.write_all(&[1; 200_000]).unwrap();
    assert_eq!(std::fs::read_dir(&session).unwrap().count(), 1);
    drop(writer);
    assert_eq!(std::fs::read_dir(&session).unwrap().count(), 0);
}

#[test]
fn a_mistaken_length_is_an_error_and_no_damage() {
    let (_folder, store) = empty();
    let stored = store.put(b"content").unwrap();
    let error = store.blob(&stored.digest, 8).unwrap_err();
    assert!(matches!(
        error,
        BlobError::Length {
            expected: 8,
            actual: 7,
            ..
        }
    ));
    assert!(store.blob(&stored.digest, 7).is_ok());
    assert!(matches!(
        store.blob(&key("else"), 4),
        Err(BlobError::Missing { .. })
    ));
}

#[test]
fn an_intact_blob_is_not_replaced_by_putting_it_again() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let (_folder, store) = empty();
    let stored = store.put(b"content").unwrap();
    let path = store.blob_files().path(&stored.digest).0;
    let before = path.metadata().unwrap();
    assert_eq!(before.permissions().mode() & 0o7777, 0o444);
    assert_eq!(store.put(b"content").unwrap(), stored);
    assert_eq!(path.metadata().unwrap().ino(), before.ino());
}

#[test]
fn records_are_found_and_the_newest_wins() {
    let (_folder, store) = empty();
    assert!(store.record(&key("a")).is_none());
    assert!(!store.has_shape(&key("shape")));
    store.append(record("a", &[], &[])).unwrap();
    store
        .append(NewRecord {
            body: b"newer",
            ..record("a", &[], &[])
        })
        .unwrap();
    store.append(record("b", &[], &[])).unwrap();
    for store in [&store, &Store::open(store.root()).unwrap()] {
        assert_eq!(store.record(&key("a")).unwrap().body(), b"newer");
        assert_eq!(store.record(&key("b")).unwrap().body(), b"b");
        assert!(store.has_shape(&key("shape")));
        let bodies: Vec<_> = store
            .records()
            .map(|record| record.body().to_vec())
            .collect();
        assert_eq!(bodies, [b"a".as_slice(), b"newer", b"b"]);
    }
}

#[test]
fn a_newer_record_in_another_segment_wins_whatever_the_clock() {
    let (_folder, first) = empty();
    first.append(record("a", &[], &[])).unwrap();
    // As if the clock had been ahead by a day.
    let ahead = disk::nanoseconds_now() + 86_400_000_000_000;
    first.0.stamp.store(ahead, Ordering::Relaxed);
    first
        .append(NewRecord {
            body: b"ahead",
            ..record("a", &[], &[])
        })
        .unwrap();
    let second = Store::open(first.root()).unwrap();
    second
        .append(NewRecord {
            body: b"second",
            ..record("a", &[], &[])
        })
        .unwrap();
    assert_eq!(
        std::fs::read_dir(records_folder(first.root()))
            .unwrap()
            .count(),
        2
    );
    first.refresh().unwrap();
    assert_eq!(first.record(&key("a")).unwrap().body(), b"second");
    assert_eq!(second.record(&key("a")).unwrap().body(), b"second");
}

#[test]
fn blobs_inside_records_are_found_like_others() {
    let (_folder, store) = empty();
    let small: [&[u8]; 3] = [b"one", b"", b"three"];
    let stored = store.put(b"in a file").unwrap();
    let blobs: Vec<BlobRef> = small
        .iter()
        .map(|content| BlobRef::of(content))
        .chain([stored])
        .collect();
    store.append(record("a", &blobs, &small)).unwrap();
    for store in [&store, &Store::open(store.root()).unwrap()] {
        let found = store.record(&key("a")).unwrap();
        assert_eq!(found.blobs().collect::<Vec<_>>(), blobs);
        assert_eq!(found.inline().collect::<Vec<_>>(), blobs[..3]);
        assert!(store.missing(&found).is_empty());
        for (content, blob) in small.iter().zip(&blobs) {
            assert!(store.has_blob(&blob.digest, blob.bytes));
            let loaded = store.blob(&blob.digest, blob.bytes).unwrap();
            assert_eq!(loaded.as_ref(), *content);
            assert!(loaded.path().is_none());
        }
    }
    // A later record may name what lives inside an earlier one.
    store.append(record("b", &blobs[..1], &[])).unwrap();
}

#[test]
fn a_record_that_names_a_missing_blob_is_refused() {
    let (_folder, store) = empty();
    let stored = store.put(b"there").unwrap();
    let absent = BlobRef::of(b"absent");
    let wrong = BlobRef { bytes: 6, ..stored };
    for blob in [absent, wrong] {
        let error = store.append(record("a", &[stored, blob], &[])).unwrap_err();
        assert!(matches!(error, StoreError::MissingBlob { digest, .. } if digest == blob.digest));
    }
    assert!(store.record(&key("a")).is_none());
    store.append(record("a", &[stored], &[])).unwrap();
    std::fs::remove_file(store.blob_files().path(&stored.digest).0).unwrap();
    let found = Store::open(store.root())
        .unwrap()
        .record(&key("a"))
        .unwrap();
    assert_eq!(store.missing(&found), [stored]);
}

#[test]
fn a_later_opening_goes_on_in_the_same_segment() {
    let (_folder, store) = empty();
    store.append(record("a", &[], &[])).unwrap();
    let root = store.root().to_owned();
    drop(store);
    for name in ["b", "c"] {
        Store::open(&root)
            .unwrap()
            .append(record(name, &[], &[]))
            .unwrap();
    }
    assert_eq!(std::fs::read_dir(records_folder(&root)).unwrap().count(), 1);
    assert_eq!(Store::open(&root).unwrap().records().count(), 3);
}

#[test]
fn what_others_append_is_seen_after_a_refresh() {
    let (_folder, store) = empty();
    let other = Store::open(store.root()).unwrap();
    for name in ["a", "b", "c"] {
        store.append(record(name, &[], &[])).unwrap();
        assert!(other.record(&key(name)).is_none());
        other.refresh().unwrap();
        assert_eq!(other.record(&key(name)).unwrap().body(), name.as_bytes());
    }
    assert_eq!(other.records().count(), 3);
}

#[test]
fn threads_append_and_put_at_the_same_time() {
    let (_folder, store) = empty();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let store = store.clone();
            scope.spawn(move || {
                for item in 0..10 {
                    // Neighbouring threads put the same content.
                    let stored = store
                        .put(format!("{} {item}", thread / 2).as_bytes())
                        .unwrap();
                    let name = format!("{thread} {item}");
                    store.append(record(&name, &[stored], &[])).unwrap();
                    assert_eq!(store.record(&key(&name)).unwrap().body(), name.as_bytes());
                }
            });
        }
    });
    let store = Store::open(store.root()).unwrap();
    assert_eq!(store.records().count(), 80);
    assert!(
        store
            .records()
            .all(|record| store.missing(&record).is_empty())
    );
}

/// The order on which durability rests: content, name, folder; and a record after its blobs.
#[test]
fn each_step_is_durable_before_the_next() {
    let (_folder, store) = empty();
    store.session().unwrap();
    let top = take_trace(store.root());
    assert_eq!(top.last(), Some(&"sync ".to_owned()));

    let stored = store.put(b"content").unwrap();
    let hex = stored.digest.to_hex();
    let (folder, path) = (
        format!("blobs/{}", &hex[..2]),
        format!("blobs/{}/{hex}", &hex[..2]),
    );
    assert_eq!(
        take_trace(store.root()),
        [
            "sync blobs".to_owned(),
            "sync tmp/SESSION/FILE".to_owned(),
            format!("rename {path}"),
            format!("sync {folder}"),
        ]
    );
    // A process that finds the folder does not know whether whoever made it came to flush it.
    let other = Store::open(store.root()).unwrap();
    other.session().unwrap();
    take_trace(store.root());
    other.put(b"content").unwrap();
    assert_eq!(
        take_trace(store.root()),
        ["sync blobs".to_owned(), format!("sync {folder}")]
    );
    drop(other);

    store.append(record("a", &[stored], &[])).unwrap();
    assert_eq!(
        take_trace(store.root()),
        [
            "sync tmp/SESSION/FILE",
            "rename records/SEGMENT",
            "sync records",
            "sync records/SEGMENT",
        ]
    );
    store.append(record("b", &[stored], &[])).unwrap();
    assert_eq!(take_trace(store.root()), ["sync records/SEGMENT"]);

    // The first writer of the same content may not have come to flush the folder.
    store.put(b"content").unwrap();
    assert_eq!(take_trace(store.root()), [format!("sync {folder}")]);
    TRACE.take();
}

#[test]
fn a_file_is_taken_as_it_is_and_gone_from_where_it_was() {
    let (folder, store) = empty();
    let content = vec![7; 3 << 20];
    let path = folder.path().join("output");
    std::fs::write(&path, &content).unwrap();
    let inode = std::fs::metadata(&path).unwrap().ino();
    let taken = store.take_file(&path, &|| false).unwrap().unwrap();
    assert_eq!(taken, BlobRef::of(&content));
    assert!(!path.exists());
    let blob = store.blob(&taken.digest, taken.bytes).unwrap();
    assert_eq!(blob.as_ref(), content);
    let stored = std::fs::metadata(blob.path().unwrap()).unwrap();
    assert_eq!(stored.ino(), inode, "it was moved");
    assert_eq!(stored.mode() & 0o777, 0o444);

    // The same again: the store has it.
    std::fs::write(&path, &content).unwrap();
    assert_eq!(store.take_file(&path, &|| false).unwrap(), Some(taken));
    assert!(!path.exists());
    assert_eq!(unfinished(&store), 0);
}

#[test]
fn a_file_of_two_names_is_copied() {
    let (folder, store) = empty();
    let [path, other] = ["one", "two"].map(|name| folder.path().join(name));
    std::fs::write(&path, vec![1; 10_000]).unwrap();
    std::fs::hard_link(&path, &other).unwrap();
    let taken = store.take_file(&path, &|| false).unwrap().unwrap();
    std::fs::write(&other, "changed by the other name").unwrap();
    let blob = store.blob(&taken.digest, taken.bytes).unwrap();
    assert_eq!(blob.as_ref(), vec![1; 10_000]);
    assert_eq!(unfinished(&store), 0);
}

#[test]
fn what_is_no_file_is_not_taken() {
    let (folder, store) = empty();
    let path = folder.path().join("a folder");
    std::fs::create_dir(&path).unwrap();
    assert!(store.take_file(&path, &|| false).is_err());
    assert!(store.copy_file(&path, &|| false).is_err());
    assert!(
        store
            .take_file(&folder.path().join("nothing"), &|| false)
            .is_err()
    );
    assert!(path.exists());
}

#[test]
fn a_stop_leaves_nothing_half_done() {
    let (folder, store) = empty();
    let path = folder.path().join("output");
    std::fs::write(&path, vec![1; 10_000]).unwrap();
    assert_eq!(store.copy_file(&path, &|| true).unwrap(), None);
    assert!(path.exists());
    assert_eq!(store.take_file(&path, &|| true).unwrap(), None);
    assert_eq!(unfinished(&store), 0);
    let blobs = std::fs::read_dir(store.root().join("blobs")).unwrap();
    assert_eq!(blobs.count(), 0);
}

/// How many files of this process are unfinished.
fn unfinished(store: &Store) -> usize {
    let writer = store.write_blob().unwrap();
    let folder = writer.path().parent().unwrap().to_owned();
    drop(writer);
    std::fs::read_dir(folder).unwrap().count()
}

//! Damage to blobs: detected at use, named, and healed by putting the content again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::Duration;

use llmcl_cache::{BlobError, BlobRef, Notice, Store};

use crate::helper;
use crate::support::{blob_path, empty_store};

const CONTENT: &[u8] = &[42; 10_000];

/// Stores a blob, damages its file, and holds that the damage is found and healed. `set_aside` says whether there
/// is something to set aside.
fn found_and_healed(damage: impl Fn(&Path), set_aside: bool) {
    // Found by reading or by storing the content again, in a file that this process has verified before or not.
    for (read_first, verified_before) in
        [(true, true), (true, false), (false, true), (false, false)]
    {
        let (_folder, writer) = empty_store();
        let stored = writer.put(CONTENT).unwrap();
        let path = blob_path(&writer, &stored);
        for store in [Store::open(writer.root()).unwrap(), writer] {
            if verified_before {
                store.blob(&stored.digest, stored.bytes).unwrap();
                // Longer than the step of the clock that files are stamped by.
                std::thread::sleep(Duration::from_millis(12));
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            damage(&path);
            if read_first {
                let error = store.blob(&stored.digest, stored.bytes).unwrap_err();
                match &error {
                    BlobError::Damaged { digest, moved_to } => {
                        assert!(set_aside);
                        assert_eq!(*digest, stored.digest);
                        assert!(
                            moved_to
                                .as_ref()
                                .unwrap()
                                .starts_with(store.root().join("quarantine"))
                        );
                        assert!(error.to_string().contains(stored.digest.to_hex().as_str()));
                    }
                    BlobError::Missing { .. } => assert!(!set_aside),
                    error => panic!("{error:?}"),
                }
                assert!(!store.has_blob(&stored.digest, stored.bytes));
            }
            assert_eq!(store.put(CONTENT).unwrap(), stored);
            assert_eq!(
                store.blob(&stored.digest, stored.bytes).unwrap().as_ref(),
                CONTENT
            );
            let notices = store.notices();
            assert_eq!(notices.len(), usize::from(set_aside));
            if let [Notice::DamagedBlob { digest, path }] = &notices[..] {
                assert_eq!(*digest, stored.digest);
                assert!(fs::symlink_metadata(path).is_ok());
            }
        }
    }
}

#[test]
fn a_flipped_bit() {
    for at in [0, 5000, 9999] {
        found_and_healed(
            |path| {
                let mut content = fs::read(path).unwrap();
                content[at] ^= 1;
                fs::write(path, content).unwrap();
            },
            true,
        );
    }
}

#[test]
fn a_truncated_file() {
    found_and_healed(|path| fs::write(path, &CONTENT[..9_999]).unwrap(), true);
}

#[test]
fn a_file_that_is_too_long() {
    found_and_healed(|path| fs::write(path, [42; 10_001]).unwrap(), true);
}

#[test]
fn a_file_of_zeros() {
    found_and_healed(|path| fs::write(path, [0; 10_000]).unwrap(), true);
}

#[test]
fn an_emptied_file() {
    found_and_healed(|path| fs::write(path, []).unwrap(), true);
}

#[test]
fn a_folder_in_its_place() {
    found_and_healed(
        |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
            fs::write(path.join("file"), "x").unwrap();
        },
        true,
    );
}

#[test]
fn a_link_that_leads_nowhere_and_one_that_leads_to_itself() {
    for target in ["nowhere", "."] {
        found_and_healed(
            |path| {
                fs::remove_file(path).unwrap();
                std::os::unix::fs::symlink(target, path).unwrap();
            },
            true,
        );
    }
}

#[test]
fn a_missing_file() {
    found_and_healed(|path| fs::remove_file(path).unwrap(), false);
}

#[test]
fn a_missing_folder() {
    let (_folder, store) = empty_store();
    let stored = store.put(CONTENT).unwrap();
    fs::remove_dir_all(blob_path(&store, &stored).parent().unwrap()).unwrap();
    assert!(matches!(
        store.blob(&stored.digest, stored.bytes),
        Err(BlobError::Missing { .. })
    ));
    let store = Store::open(store.root()).unwrap();
    store.put(CONTENT).unwrap();
    assert!(store.blob(&stored.digest, stored.bytes).is_ok());
}

/// What another user is told who opens a blob that he may not read. The superuser can read everything.
fn told_to_another_user(folders: u32) -> (tempfile::TempDir, Store, BlobRef, String) {
    const NOBODY: u32 = 65_534;
    let (folder, store) = empty_store();
    let stored = store.put(CONTENT).unwrap();
    let path = blob_path(&store, &stored);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    let said = folder.path().join("said");
    let task = format!("read {} {}", stored.digest, stored.bytes);
    let mut command = helper::command(&task, store.root(), &said);
    if fs::read(&path).is_ok() {
        command.uid(NOBODY);
    }
    let set_mode = |mode| {
        for folder in [store.root(), path.parent().unwrap()] {
            fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    set_mode(folders);
    assert!(command.status().unwrap().success());
    set_mode(0o777);
    let line = helper::said(&said).remove(0);
    (folder, store, stored, line)
}

#[test]
fn an_unreadable_file_is_set_aside_like_any_other_damage() {
    let (_folder, store, stored, line) = told_to_another_user(0o777);
    assert!(
        line.starts_with("Damaged") && line.contains("quarantine"),
        "{line}"
    );
    assert!(!store.has_blob(&stored.digest, stored.bytes));
    store.put(CONTENT).unwrap();
    assert!(store.blob(&stored.digest, stored.bytes).is_ok());
}

#[test]
fn damage_in_a_read_only_store_is_told_and_left_where_it_is() {
    let (_folder, store, stored, line) = told_to_another_user(0o555);
    assert!(
        line.starts_with("Damaged") && line.contains("moved_to: None"),
        "{line}"
    );
    assert!(store.has_blob(&stored.digest, stored.bytes));
}

#[test]
fn content_in_use_stays_valid_whatever_happens_to_the_file() {
    let (_folder, store) = empty_store();
    let stored = store.put(CONTENT).unwrap();
    let blob = store.blob(&stored.digest, stored.bytes).unwrap();
    let path = blob_path(&store, &stored);
    let other = path.with_extension("other");
    fs::write(&other, "else").unwrap();
    fs::rename(&other, &path).unwrap();
    assert!(store.blob(&stored.digest, stored.bytes).is_err());
    store.put(CONTENT).unwrap();
    assert_eq!(blob.as_ref(), CONTENT);
    assert_eq!(BlobRef::of(&blob), stored);
}

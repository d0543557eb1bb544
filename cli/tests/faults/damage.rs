//! Blobs and records that are not what they were: found when they are used, set aside, told, and made again.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use llmcl_cache::{Hash, Store};

use crate::dice::Dice;
use crate::engine::Told;
use crate::lab::{Lab, truth};
use crate::ledger::{Tally, Truth};

/// The file of the largest blob of a finished task.
pub(crate) fn blob_of(lab: &Lab, told: &Told, task: &str) -> PathBuf {
    let task = told.finished.iter().find(|finished| finished.task == task);
    let key = Hash::from_hex(&task.unwrap().key).unwrap();
    let record = Store::open(&lab.store()).unwrap().record(&key).unwrap();
    let blob = record.blobs().max_by_key(|blob| blob.bytes).unwrap();
    let name = blob.digest.to_hex();
    lab.store()
        .join("blobs")
        .join(&name[..2])
        .join(name.as_str())
}

fn open_for_writing(path: &Path) -> fs::File {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    OpenOptions::new().write(true).open(path).unwrap()
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    open_for_writing(path).write_all_at(&bytes, 0).unwrap();
}

fn truncate(path: &Path) {
    let length = path.metadata().unwrap().len();
    open_for_writing(path).set_len(length - 1).unwrap();
}

fn zero(path: &Path) {
    let length = path.metadata().unwrap().len() as usize;
    open_for_writing(path)
        .write_all_at(&vec![0; length], 0)
        .unwrap();
}

fn empty(path: &Path) {
    open_for_writing(path).set_len(0).unwrap();
}

fn folder(path: &Path) {
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
    fs::write(path.join("file"), "x").unwrap();
}

fn dangling_link(path: &Path) {
    fs::remove_file(path).unwrap();
    std::os::unix::fs::symlink("nowhere", path).unwrap();
}

fn pipe(path: &Path) {
    fs::remove_file(path).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(path)
        .status()
        .unwrap();
    assert!(made.success());
}

fn missing(path: &Path) {
    fs::remove_file(path).unwrap();
}

/// What damages a file, and what it is called.
type Damage = (&'static str, fn(&Path));

#[test]
fn a_damaged_blob_is_found_told_and_made_again() {
    let damages: [Damage; 8] = [
        ("flip", flip),
        ("truncate", truncate),
        ("zero", zero),
        ("empty", empty),
        ("folder", folder),
        ("link", dangling_link),
        ("pipe", pipe),
        ("missing", missing),
    ];
    let lab = Lab::new();
    // The same without damage.
    let whole = Lab::new();
    lab.run().well();
    let first = whole.run().well();
    let path = blob_of(&lab, &first, "work/part_1");
    let intact = fs::read(&path).unwrap();
    for (name, damage) in damages {
        damage(&path);
        // What reads the blob has to run.
        lab.write_seed(name);
        whole.write_seed(name);
        let told = lab.run().well();
        Truth::of(&whole.run().well()).hold_whole(&told);
        let executed: Vec<_> = told.executed().into_iter().collect();
        assert_eq!(executed, ["join", "work/part_1"], "{name}");
        assert_eq!(fs::read(&path).unwrap(), intact, "{name}");
        // What has another length is a miss when records are looked up; the rest is found when it is read.
        if matches!(name, "flip" | "zero") {
            let digest = path.file_name().unwrap().to_str().unwrap();
            let told_of = |texts: &[String]| texts.iter().any(|text| text.contains(digest));
            assert!(told_of(&told.notices), "{name}: {told:#?}");
            assert_eq!(told.redone, ["work/part_1".to_owned()].into());
        }
        let set_aside = fs::read_dir(lab.store().join("quarantine")).map_or(0, Iterator::count);
        assert!(name == "missing" || set_aside > 0, "{name}");
        let told = lab.run().well();
        assert!(
            told.executed().is_empty() && told.notices.is_empty(),
            "{name}: {told:#?}"
        );
    }
}

#[test]
fn a_damaged_blob_that_cannot_be_made_again_fails_what_needs_it() {
    let lab = Lab::new();
    let told = lab.run().well();
    flip(&blob_of(&lab, &told, "fetch/part_0"));
    fs::remove_file(lab.path("part-a.bin")).unwrap();
    lab.write_experiment(3);
    let told = lab.run_file(crate::lab::FILE, &["-k"]);
    assert_eq!(told.code, Some(10), "{told:#?}");
    assert!(
        told.failed["fetch/part_0"].contains("part-a.bin"),
        "{told:#?}"
    );
    assert!(!told.outputs().contains_key("work/part_0"));
    assert!(told.outputs().contains_key("work/part_1"));
}

/// Random damage to the segments of a finished store, and the two runs after it.
pub(crate) fn round(dice: &mut Dice, tally: &mut Tally) {
    let lab = Lab::new();
    truth().hold_whole(&lab.run().well());
    for _ in 0..3 {
        for entry in fs::read_dir(lab.store().join("records")).unwrap() {
            let path = entry.unwrap().path();
            let mut bytes = fs::read(&path).unwrap();
            for _ in 0..=dice.below(3) {
                let at = dice.below(bytes.len());
                match dice.below(4) {
                    0 => bytes[at] ^= 1 << dice.below(8),
                    1 => bytes.truncate(at + 1),
                    2 => bytes
                        .iter_mut()
                        .skip(at)
                        .take(50)
                        .for_each(|byte| *byte = 0),
                    // A piece of the file once more: frames that stood elsewhere.
                    _ => bytes.extend_from_within(at..),
                }
            }
            fs::write(&path, &bytes).unwrap();
            if dice.chance(30) {
                let double = format!("{:032x}.seg", dice.next());
                fs::write(path.with_file_name(double), &bytes).unwrap();
            }
        }
        truth().hold_whole(&lab.run().well());
        let told = lab.run().well();
        truth().hold_whole(&told);
        assert!(told.executed().is_empty(), "{told:#?}");
        tally.runs += 2;
    }
}

#[test]
fn damaged_records_are_misses_and_never_wrong() {
    let mut dice = Dice::new("damaged records");
    for _ in 0..3 {
        round(&mut dice, &mut Tally::default());
    }
}

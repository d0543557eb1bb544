//! A power cut at every point of a run: what was told as finished is there, and nothing is there that is wrong.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use llmcl_cache::{Hash, Notice, Store};

use crate::dice::Dice;
use crate::lab::{FILE, Lab, truth};
use crate::layer;
use crate::ledger::{Ledger, Tally};
use crate::replay::{Change, Disk, Loss, read_log};

const LOSSES: [Loss; 5] = [
    Loss::All,
    Loss::Content,
    Loss::Zeros,
    Loss::Random,
    Loss::Nothing,
];

/// A run of the lab's experiment with each change written down, and the disk that it began on.
fn recorded(lab: &Lab) -> (Disk, Vec<Change>) {
    let before = Disk::of(&lab.disk());
    let log = lab.path("changes");
    fs::remove_file(&log).ok();
    let mut command = lab.run_command(FILE, &["-j", "3"]);
    layer::log_to(lab, &mut command, &log);
    let told = lab.start(&command).finish().well();
    truth().hold_whole(&told);
    (before, read_log(&log))
}

/// Looks into a store, and holds that every record in it is true, down to the last byte, and that each of these keys
/// is there. Returns what the store noticed when it was opened.
pub(crate) fn inspect(store: &Path, keys: &BTreeSet<String>, cut: &str) -> Vec<Notice> {
    let store = Store::open(store).unwrap();
    let notices = store.notices();
    for record in store.records() {
        for blob in record.blobs() {
            let content = store.blob(&blob.digest, blob.bytes);
            assert!(content.is_ok(), "{cut}: {:?}", content.err());
        }
    }
    for key in keys {
        let record = store.record(&Hash::from_hex(key).unwrap());
        assert!(record.is_some(), "{cut}: lost: {key}");
    }
    // A name in `blobs` is given to what is flushed, so not even what no record names may be damaged.
    for folder in fs::read_dir(store.root().join("blobs"))
        .into_iter()
        .flatten()
    {
        for file in fs::read_dir(folder.unwrap().path()).unwrap() {
            let file = file.unwrap();
            let digest = Hash::from_hex(file.file_name().to_str().unwrap()).unwrap();
            let content = store.blob(&digest, file.metadata().unwrap().len());
            assert!(content.is_ok(), "{cut}: {:?}", content.err());
        }
    }
    notices
}

/// The same, after a cut: what was not flushed may be torn, but a segment has its name only when its header is there
/// for good.
fn inspect_cut(store: &Path, keys: &BTreeSet<String>, cut: &str) {
    let notices = inspect(store, keys, cut);
    let headless = |notice: &Notice| matches!(notice, Notice::DamagedHeader { .. });
    assert!(!notices.iter().any(headless), "{cut}: {notices:?}");
}

/// Has the real binary go on after a cut: what was told is not done again, and all comes out as it must.
fn go_on(lab: &Lab, before: &Disk) {
    let mut ledger = Ledger::default();
    let mut told = before.told();
    // A second process may go on only with what was told, whoever had done it.
    told.finished
        .iter_mut()
        .for_each(|task| task.executed = false);
    ledger.hear_one(&told);
    let plan = lab.plan(FILE);
    for task in &told.finished {
        assert_eq!(plan[&task.task], "cached");
    }
    let told = lab.run().well();
    ledger.hear_one(&told);
    truth().hold_whole(&told);
    assert!(
        told.notices.iter().all(|notice| !notice.contains("blob")),
        "{:?}",
        told.notices
    );
}

#[test]
fn a_power_cut_at_any_point_loses_nothing_that_was_told() {
    let mut dice = Dice::new("power cut");
    let lab = Lab::new();
    let (mut disk, changes) = recorded(&lab);
    let on = Lab::new();
    let mut told = BTreeSet::new();
    // Making the folders of blobs says little; one in a few of those points will do.
    for (number, change) in changes.iter().enumerate() {
        disk.change(change);
        if matches!(change, Change::Said(_)) {
            told = disk
                .told()
                .finished
                .into_iter()
                .map(|task| task.key)
                .collect();
        }
        if matches!(change, Change::MakeFolder(_)) && number % 64 > 0 {
            continue;
        }
        for loss in [Loss::All, Loss::Zeros, Loss::Random] {
            disk.cut(loss, &mut dice, &on.disk());
            inspect_cut(&on.store(), &told, &format!("after {number}, {loss:?}"));
        }
        if dice.below(changes.len()) < 16 {
            disk.cut(*dice.pick(&LOSSES), &mut dice, &on.disk());
            go_on(&on, &disk);
        }
    }
    assert_eq!(told.len(), truth().keys().len(), "all was told in the end");
}

/// One cut after another on one disk, each at a random point of a run that goes on after the last. The runs' events
/// are lost with the rest, but for what was told before the cut.
pub(crate) fn round(dice: &mut Dice, tally: &mut Tally) {
    let lab = Lab::new();
    let next = Lab::new();
    let mut ledger = Ledger::default();
    for _ in 0..3 {
        let (mut disk, changes) = recorded(&lab);
        // A run that finds all done changes nothing.
        let end = dice.below(changes.len() + 1);
        changes[..end].iter().for_each(|change| disk.change(change));
        let loss = *dice.pick(&LOSSES);
        disk.cut(loss, dice, &next.disk());
        ledger.hear_one(&disk.told());
        inspect_cut(&next.store(), &ledger.finished(), &format!("{loss:?}"));
        fs::remove_dir_all(lab.disk()).unwrap();
        fs::rename(next.disk(), lab.disk()).unwrap();
        tally.runs += 1;
        tally.cuts += 1;
    }
    let told = lab.run().well();
    ledger.hear_one(&told);
    truth().hold_whole(&told);
    tally.runs += 1;
}

#[test]
fn power_cuts_one_after_another_lose_nothing_that_was_told() {
    let mut dice = Dice::new("power cuts");
    round(&mut dice, &mut Tally::default());
}

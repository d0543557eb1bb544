//! Damage to segments: at most misses, never a wrong record, never a panic, and it does not come back.

use std::fs;

use llmcl_cache::{Notice, Store};

use crate::support::{Sample, check, check_all, empty_store, segments};

/// A store with one segment of `count` records, its bytes, and where each record ends.
fn segment_of(count: u32) -> (tempfile::TempDir, std::path::PathBuf, Vec<u8>, Vec<usize>) {
    let (folder, store) = empty_store();
    let mut ends = Vec::new();
    for number in 0..count {
        Sample::new(format!("{number}"))
            .append(&store, &[])
            .unwrap();
        ends.push(fs::metadata(&segments(&store)[0]).unwrap().len() as usize);
    }
    let path = segments(&store).remove(0);
    let bytes = fs::read(&path).unwrap();
    (folder, path, bytes, ends)
}

fn open(folder: &tempfile::TempDir) -> Store {
    Store::open(&folder.path().join("store")).unwrap()
}

fn is_in(store: &Store, number: u32) -> bool {
    Sample::new(format!("{number}")).is_in(store)
}

#[test]
fn cut_at_every_length_the_records_before_the_cut_are_there() {
    let (folder, path, bytes, ends) = segment_of(5);
    for length in 0..=bytes.len() {
        fs::write(&path, &bytes[..length]).unwrap();
        let store = open(&folder);
        for (number, end) in ends.iter().enumerate() {
            assert_eq!(
                is_in(&store, number as u32),
                *end <= length,
                "cut to {length}"
            );
        }
        check_all(&store);
    }
}

#[test]
fn after_any_cut_a_writer_goes_on_and_everything_is_found() {
    let (folder, path, bytes, ends) = segment_of(3);
    for length in (0..=bytes.len()).step_by(7).chain(ends.iter().copied()) {
        fs::remove_dir_all(folder.path().join("store/records")).unwrap();
        fs::create_dir(folder.path().join("store/records")).unwrap();
        fs::write(&path, &bytes[..length]).unwrap();
        let store = open(&folder);
        Sample::new("after").append(&store, &[]).unwrap();
        let torn = store
            .notices()
            .iter()
            .any(|notice| matches!(notice, Notice::TornTail { .. }));
        assert_eq!(
            torn,
            length > 48 && !ends.contains(&length),
            "cut to {length}"
        );
        drop(store);
        let store = open(&folder);
        for (number, end) in ends.iter().enumerate() {
            assert_eq!(
                is_in(&store, number as u32),
                *end <= length,
                "cut to {length}"
            );
        }
        assert!(Sample::new("after").is_in(&store));
        // A segment with half a header is left alone; any other is gone on with, and is clean now.
        assert_eq!(segments(&store).len(), if length < 48 { 2 } else { 1 });
        assert_eq!(store.notices().len(), usize::from(length < 48));
    }
}

#[test]
fn a_flipped_byte_loses_one_record_at_most() {
    let (folder, path, bytes, ends) = segment_of(4);
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(&path, &damaged).unwrap();
        let store = open(&folder);
        for number in 0..4 {
            let start = if number == 0 { 48 } else { ends[number - 1] };
            let hit = (start..ends[number]).contains(&at);
            assert_eq!(is_in(&store, number as u32), !hit, "byte {at}");
        }
        check_all(&store);
        // The last record's damage cannot be told from a record that is being written, until someone writes.
        assert_eq!(
            store.notices().len(),
            usize::from(at < ends[2]),
            "byte {at}"
        );
    }
}

/// A small generator, so that a failure can be repeated by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }
}

#[test]
fn random_damage_of_many_kinds_is_survived_and_healed() {
    let (folder, path, bytes, _) = segment_of(20);
    for seed in 0..1000 {
        let mut random = Random(seed);
        let mut damaged = bytes.clone();
        for _ in 0..=random.below(8) {
            let at = random.below(damaged.len());
            let end = damaged.len().min(at + 1 + random.below(300));
            match random.below(5) {
                0 => damaged[at] ^= 1 << random.below(8),
                1 => damaged[at..end].fill(0),
                2 => damaged[at..end].fill_with(|| random.below(256) as u8),
                3 => drop(damaged.drain(at..end)),
                _ => {
                    let copy = damaged[at..end].to_vec();
                    let to = random.below(damaged.len());
                    damaged.splice(to..to, copy);
                }
            }
        }
        fs::write(&path, &damaged).unwrap();
        let store = open(&folder);
        let found: Vec<bool> = (0..20).map(|number| is_in(&store, number)).collect();
        store.records().for_each(|record| check(&record));
        if seed % 10 != 0 {
            continue;
        }
        // Writing goes on, what was found stays, and nothing is noticed a second time.
        Sample::new("after").append(&store, &[]).unwrap();
        drop(store);
        let store = open(&folder);
        assert!(Sample::new("after").is_in(&store), "seed {seed}");
        for (number, found) in found.into_iter().enumerate() {
            assert_eq!(is_in(&store, number as u32), found, "seed {seed}");
        }
        let notices = store.notices();
        let header_only = notices
            .iter()
            .all(|notice| matches!(notice, Notice::DamagedHeader { .. }));
        assert!(
            header_only || segments(&store).len() > 1,
            "seed {seed}: {notices:?}"
        );
        for segment in segments(&store) {
            fs::remove_file(segment).unwrap();
        }
    }
}

#[test]
fn damage_is_told_and_after_the_next_writer_told_no_more() {
    let (folder, path, bytes, ends) = segment_of(4);
    let mut damaged = bytes.clone();
    damaged[ends[0] + 60] ^= 1;
    damaged[ends[1] + 2] ^= 1;
    fs::write(&path, &damaged).unwrap();
    let store = open(&folder);
    let notices = store.notices();
    assert_eq!(notices.len(), 1);
    assert!(matches!(
        notices[0],
        Notice::DamagedRecords { offset, bytes, .. }
            if offset == ends[0] as u64 && bytes == (ends[2] - ends[0]) as u64
    ));
    assert!(store.notices().is_empty());
    Sample::new("after").append(&store, &[]).unwrap();
    drop(store);
    let store = open(&folder);
    assert!(store.notices().is_empty());
    let found: Vec<bool> = (0..4).map(|number| is_in(&store, number)).collect();
    assert_eq!(found, [true, false, false, true]);
    assert!(Sample::new("after").is_in(&store));
    assert_eq!(segments(&store), [path]);
}

#[test]
fn a_torn_end_longer_than_the_next_record_is_gone_altogether() {
    let (folder, path, bytes, _) = segment_of(2);
    let torn = [bytes.as_slice(), &[1; 5000]].concat();
    fs::write(&path, torn).unwrap();
    let store = open(&folder);
    Sample::new("2").append(&store, &[]).unwrap();
    assert!(matches!(
        store.notices()[..],
        [Notice::TornTail { bytes: 5000, .. }]
    ));
    let record_bytes = (bytes.len() as u64 - 48) / 2;
    assert_eq!(fs::metadata(&path).unwrap().len(), 48 + 3 * record_bytes);
}

#[test]
fn a_segment_of_a_later_version_is_ignored_and_kept() {
    let (folder, path, mut bytes, _) = segment_of(2);
    bytes[8..12].copy_from_slice(&2_u32.to_le_bytes());
    let checksum = blake3::hash(&bytes[..32]);
    bytes[32..48].copy_from_slice(&checksum.as_bytes()[..16]);
    bytes.extend_from_slice(b"and what looks like a torn end");
    fs::write(&path, &bytes).unwrap();
    let store = open(&folder);
    assert_eq!(store.records().count(), 0);
    assert!(matches!(
        store.notices()[..],
        [Notice::FutureSegment { version: 2, .. }]
    ));
    Sample::new("new").append(&store, &[]).unwrap();
    store.refresh().unwrap();
    assert!(store.notices().is_empty());
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(segments(&store).len(), 2);
}

#[test]
fn a_segment_that_shrinks_or_goes_is_followed() {
    let (folder, path, bytes, ends) = segment_of(4);
    let store = open(&folder);
    fs::write(&path, &bytes[..ends[1]]).unwrap();
    store.refresh().unwrap();
    let found: Vec<bool> = (0..4).map(|number| is_in(&store, number)).collect();
    assert_eq!(found, [true, true, false, false]);
    fs::remove_file(&path).unwrap();
    store.refresh().unwrap();
    assert_eq!(store.records().count(), 0);
    Sample::new("new").append(&store, &[]).unwrap();
    assert!(Sample::new("new").is_in(&open(&folder)));
}

#[test]
fn what_is_no_segment_is_left_alone() {
    let (folder, path, ..) = segment_of(1);
    let records = path.parent().unwrap();
    fs::write(records.join("notes.txt"), "x").unwrap();
    fs::write(records.join("0123.seg"), "x").unwrap();
    fs::create_dir(records.join(format!("{}.seg", "0".repeat(32)))).unwrap();
    let store = open(&folder);
    assert!(is_in(&store, 0));
    assert!(matches!(
        store.notices()[..],
        [Notice::UnreadableSegment { .. }]
    ));
    Sample::new("new").append(&store, &[]).unwrap();
    assert_eq!(segments(&store).len(), 4);
}

//! What a collection keeps: records by key, with every blob that they name, wherever it is.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use blake3::Hash;

use super::survey::Survey;
use crate::record::{Place, Record};

/// Why something is kept: a number of the caller's.
pub(crate) type Reason = usize;

/// Which records of a key are kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// The one that readers find.
    Newest,
    /// All: whoever uses the key may have found it before a newer one was there.
    All,
}

/// The records of a store and the files of its blobs, and what of both is kept.
pub(crate) struct Mark {
    records: Vec<Record>,
    /// The records of each key, the newest last.
    by_key: HashMap<Hash, Vec<usize>>,
    /// The records that a blob is inside of.
    holders: HashMap<Hash, Vec<usize>>,
    by_place: HashMap<Place, usize>,
    /// The lengths of blobs that have a file.
    files: HashMap<Hash, u64>,
    kept: Vec<Option<Reason>>,
    kept_files: HashMap<Hash, Reason>,
}

/// What was not kept before and is now.
#[derive(Default)]
pub(crate) struct Added {
    records: Vec<usize>,
    files: Vec<Hash>,
    /// The length of all of that.
    pub(crate) bytes: u64,
}

impl Mark {
    /// Nothing is kept yet.
    pub(crate) fn new(records: &[Record], survey: &Survey) -> Mark {
        let mut by_key: HashMap<Hash, Vec<usize>> = HashMap::new();
        let mut holders: HashMap<Hash, Vec<usize>> = HashMap::new();
        let mut by_place = HashMap::new();
        for (index, record) in records.iter().enumerate() {
            by_key.entry(record.key()).or_default().push(index);
            for blob in record.inline() {
                holders.entry(blob.digest).or_default().push(index);
            }
            by_place.insert(record.place(), index);
        }
        for places in by_key.values_mut() {
            places.sort_by_key(|index| records[*index].age());
        }
        let files = survey.blobs.iter().filter(|blob| blob.is_file);
        Mark {
            by_key,
            holders,
            by_place,
            files: files.map(|blob| (blob.digest, blob.bytes)).collect(),
            kept: vec![None; records.len()],
            kept_files: HashMap::new(),
            records: records.to_vec(),
        }
    }

    /// Keeps the records of these keys and the blobs of these digests, as far as they are there. A hash that is
    /// both, or neither, is no mistake.
    pub(crate) fn keep(&mut self, hashes: &[Hash], which: Which, reason: Reason) -> Added {
        let mut added = Added::default();
        // All records first, so that a blob which several of them hold is no reason to keep yet another one.
        for hash in hashes {
            let mut places = self.by_key.get(hash).cloned().unwrap_or_default();
            if which == Which::Newest {
                places.drain(..places.len().saturating_sub(1));
            }
            for index in places {
                self.keep_record(index, reason, &mut added);
            }
        }
        if which == Which::All {
            for hash in hashes {
                self.keep_blob(hash, reason, &mut added);
            }
        }
        self.keep_named(reason, &mut added);
        added
    }

    /// Keeps what the records name that have just been added, which may add more of them.
    fn keep_named(&mut self, reason: Reason, added: &mut Added) {
        let mut next = 0;
        while let Some(&index) = added.records.get(next) {
            let record = self.records[index].clone();
            for blob in record.blobs() {
                self.keep_blob(&blob.digest, reason, added);
            }
            next += 1;
        }
    }

    fn keep_record(&mut self, index: usize, reason: Reason, added: &mut Added) {
        if self.kept[index].is_none() {
            self.kept[index] = Some(reason);
            added.records.push(index);
            added.bytes += self.records[index].place().bytes;
        }
    }

    fn keep_blob(&mut self, digest: &Hash, reason: Reason, added: &mut Added) {
        if let Some(bytes) = self.files.get(digest) {
            if !self.kept_files.contains_key(digest) {
                self.kept_files.insert(*digest, reason);
                added.files.push(*digest);
                added.bytes += bytes;
            }
            return;
        }
        let holders = self.holders.get(digest).map_or(&[][..], Vec::as_slice);
        if let Some(&last) = holders.last()
            && holders.iter().all(|index| self.kept[*index].is_none())
        {
            self.keep_record(last, reason, added);
        }
    }

    /// Keeps these records, and all that they name.
    pub(crate) fn keep_places(&mut self, places: &[Place], reason: Reason) {
        let mut added = Added::default();
        for place in places {
            if let Some(&index) = self.by_place.get(place) {
                self.keep_record(index, reason, &mut added);
            }
        }
        self.keep_named(reason, &mut added);
    }

    /// Keeps the file of a blob.
    pub(crate) fn keep_file(&mut self, digest: &Hash, reason: Reason) {
        self.kept_files.entry(*digest).or_insert(reason);
    }

    /// Keeps the files of all blobs.
    pub(crate) fn keep_all_files(&mut self, reason: Reason) {
        for digest in self.files.keys() {
            self.kept_files.entry(*digest).or_insert(reason);
        }
    }

    /// Takes back what was just kept.
    pub(crate) fn take_back(&mut self, added: &Added) {
        for index in &added.records {
            self.kept[*index] = None;
        }
        for digest in &added.files {
            self.kept_files.remove(digest);
        }
    }

    /// The keys of which nothing is kept, the most recently recorded first.
    pub(crate) fn loose_keys(&self) -> Vec<Hash> {
        let newest = self.by_key.values().filter_map(|places| places.last());
        let mut loose: Vec<&Record> = newest
            .filter(|index| self.kept[**index].is_none())
            .map(|index| &self.records[*index])
            .collect();
        loose.sort_by_key(|record| Reverse(record.age()));
        loose.into_iter().map(Record::key).collect()
    }

    /// Whether a record goes. One that was not there when this was made stays.
    pub(crate) fn drops(&self, place: &Place) -> bool {
        self.by_place
            .get(place)
            .is_some_and(|index| self.kept[*index].is_none())
    }

    /// Whether the file of a blob goes. One that was not there when this was made stays.
    pub(crate) fn drops_file(&self, digest: &Hash) -> bool {
        self.files.contains_key(digest) && !self.kept_files.contains_key(digest)
    }

    /// All records, each with whether it goes.
    pub(crate) fn records(&self) -> impl Iterator<Item = (&Record, bool)> {
        let records = self.records.iter().zip(&self.kept);
        records.map(|(record, kept)| (record, kept.is_none()))
    }

    /// The records that go, each with whether a newer one of its key stood before it.
    pub(crate) fn dropped(&self) -> impl Iterator<Item = (&Record, bool)> {
        self.records
            .iter()
            .zip(&self.kept)
            .enumerate()
            .filter(|(_, (_, kept))| kept.is_none())
            .map(|(index, (record, _))| {
                let newest = self.by_key.get(&record.key()).and_then(|all| all.last());
                (record, newest != Some(&index))
            })
    }

    /// The files of blobs that go: their digests and lengths.
    pub(crate) fn dropped_files(&self) -> impl Iterator<Item = (Hash, u64)> {
        self.files
            .iter()
            .filter(|(digest, _)| !self.kept_files.contains_key(*digest))
            .map(|(digest, bytes)| (*digest, *bytes))
    }

    /// The digests of all blobs that any record names.
    pub(crate) fn named(&self) -> HashSet<Hash> {
        let blobs = self.records.iter().flat_map(Record::blobs);
        blobs.map(|blob| blob.digest).collect()
    }

    /// For each reason up to `count` the number of records and the bytes, files of blobs included, that it is the
    /// first to keep.
    pub(crate) fn kept_for(&self, count: usize) -> Vec<(u64, u64)> {
        let mut kept = vec![(0, 0); count];
        for (record, reason) in self.records.iter().zip(&self.kept) {
            if let Some(reason) = reason {
                kept[*reason].0 += 1;
                kept[*reason].1 += record.place().bytes;
            }
        }
        for (digest, reason) in &self.kept_files {
            kept[*reason].1 += self.files.get(digest).copied().unwrap_or_default();
        }
        kept
    }
}

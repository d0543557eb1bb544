//! Removing what nothing needs.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use blake3::Hash;

use super::Amount;
use super::collector::{Collector, UsesReader};
use super::mark::{Mark, Reason, Which};
use super::removal::{Damage, Verdict, take_out};
use super::survey::{Found, Keyed, Survey, is_locked};
use crate::crash::crash_point;
use crate::disk;
use crate::error::{Context, StoreError};
use crate::frame::{HEADER_BYTES, SegmentId};
use crate::lock::{locks_path, offset_of, try_lock};
use crate::record::Place;
use crate::run_log::EXTENSION;
use crate::session::remove_tree;
use crate::store::Store;

/// Work on a key is taken up again, and a snapshot used or replaced, within this time, or not at all.
const LONGEST_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
/// How many blobs are taken away while nobody may look. A rename takes some microseconds.
const BATCH: usize = 256;

const IN_USE: Reason = 0;
const UNSEEN: Reason = 1;
const FITS: Reason = 2;
const FIRST_ROOT: Reason = 3;

/// Keys whose newest records are kept, with all blobs that these name.
#[derive(Clone, Debug)]
pub struct Root {
    /// Why, for the report.
    pub reason: String,
    /// The keys. Some may have no record.
    pub keys: Vec<Hash>,
}

/// What to remove.
#[derive(Clone, Debug, Default)]
pub struct GcOptions<'a> {
    /// What is kept, besides what processes are using. Of what two of them keep, the first is told as the reason.
    pub roots: &'a [Root],
    /// Removes no more of what is not kept than is needed to come down to this length of the whole store, in bytes;
    /// first what is of no use to anyone, then the least recently recorded.
    pub max_bytes: Option<u64>,
    /// Whether what was set aside goes, too.
    pub quarantine: bool,
    /// The runs whose logs go, too, unless they are being written.
    pub logs: &'a [String],
}

/// What a collection did, or would do.
#[derive(Clone, Debug, Default)]
pub struct GcReport {
    /// Length of all files of the store before, in bytes.
    pub before: u64,
    /// The same afterwards.
    pub after: u64,
    /// What was removed.
    pub freed: Freed,
    /// What was kept, by reason.
    pub kept: Vec<Kept>,
    /// Segments that this program cannot read. Their records may name any blob, so none was removed.
    pub unseen: Vec<PathBuf>,
    /// What could not be removed.
    pub failures: Vec<StoreError>,
}

/// What was removed, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freed {
    /// Records that nothing needs; the blobs inside them count with them.
    pub records: Amount,
    /// Records that newer ones of their key had replaced.
    pub superseded: Amount,
    /// Files of blobs that only such records name.
    pub blobs: Amount,
    /// Files of blobs that no record names.
    pub unnamed: Amount,
    /// What processes left unfinished that are gone.
    pub unfinished: Amount,
    /// Work that could have been taken up again and was not.
    pub resumable: Amount,
    /// Old snapshots.
    pub snapshots: Amount,
    /// What had been set aside.
    pub quarantine: Amount,
    /// Logs of runs.
    pub logs: Amount,
    /// Bytes of segments that held nothing any more.
    pub holes: u64,
}

/// What was kept for a reason, and for none before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The reason.
    pub reason: String,
    /// How many records.
    pub records: u64,
    /// Their length and that of the files of blobs that they name.
    pub bytes: u64,
}

impl Freed {
    /// The bytes of everything.
    pub fn bytes(&self) -> u64 {
        let amounts = [
            self.records,
            self.superseded,
            self.blobs,
            self.unnamed,
            self.unfinished,
            self.resumable,
            self.snapshots,
            self.quarantine,
            self.logs,
        ];
        amounts.iter().map(|amount| amount.bytes).sum::<u64>() + self.holes
    }
}

/// What is to go.
struct Plan<'a> {
    store: &'a Store,
    options: &'a GcOptions<'a>,
    survey: Survey,
    mark: Mark,
    uses: UsesReader,
    unseen: Vec<SegmentId>,
    /// Whether what is of no use to anyone goes; false if the store is small enough as it is.
    goes: bool,
}

impl Store {
    /// Tells what a collection would do, and does nothing.
    pub fn plan_collection(&self, options: &GcOptions<'_>) -> Result<GcReport, StoreError> {
        let mut report = Plan::make(self, options, 0)?.report();
        report.after = report.before.saturating_sub(report.freed.bytes());
        Ok(report)
    }
}

impl Collector {
    /// Removes what is not kept. What has come into use meanwhile stays. What cannot be removed is told and stops
    /// nothing; an error means that it is not known what must be kept.
    pub fn collect(
        &self,
        options: &GcOptions<'_>,
        on_wait: &mut dyn FnMut(),
    ) -> Result<GcReport, StoreError> {
        let mut plan = Plan::make(self.store(), options, self.swept().bytes)?;
        let mut failures = Vec::new();
        let mut others = Freed {
            unfinished: self.swept(),
            holes: plan.freed().holes,
            ..Freed::default()
        };
        crash_point("collection-begun");
        if plan.goes {
            plan.remove_records(self, &mut failures, on_wait)?;
            plan.remove_blobs(self, &mut failures, on_wait)?;
            plan.remove_others(self, &mut others, &mut failures);
        }
        let mut report = plan.report();
        report.freed = Freed {
            records: report.freed.records,
            superseded: report.freed.superseded,
            blobs: report.freed.blobs,
            unnamed: report.freed.unnamed,
            ..others
        };
        report.before += self.swept().bytes;
        report.after = Survey::of(self.store().root()).bytes();
        report.failures = failures;
        Ok(report)
    }
}

impl<'a> Plan<'a> {
    /// Finds out what is kept. `swept` is the length of what was removed before, in bytes.
    fn make(store: &'a Store, options: &'a GcOptions<'a>, swept: u64) -> Result<Self, StoreError> {
        let survey = Survey::of(store.root());
        let (mark, unseen) = {
            let index = store.index();
            (
                Mark::new(index.records(), &survey),
                index.unseen().collect(),
            )
        };
        let mut plan = Plan {
            store,
            options,
            survey,
            mark,
            uses: UsesReader::default(),
            unseen,
            goes: true,
        };
        plan.update()?;
        for (index, root) in options.roots.iter().enumerate() {
            plan.mark
                .keep(&root.keys, Which::Newest, FIRST_ROOT + index);
        }
        if !plan.unseen.is_empty() {
            plan.mark.keep_all_files(UNSEEN);
        }
        if let Some(most) = options.max_bytes {
            let before = plan.survey.bytes() + swept;
            plan.goes = before > most;
            plan.keep_what_fits(before, most);
        }
        Ok(plan)
    }

    /// Keeps as much as the store may hold, the most recently recorded first.
    fn keep_what_fits(&mut self, before: u64, most: u64) {
        let mut bytes = before.saturating_sub(self.freed().bytes());
        for key in self.mark.loose_keys() {
            let added = self.mark.keep(&[key], Which::Newest, FITS);
            bytes += added.bytes;
            if bytes > most && self.goes {
                self.mark.take_back(&added);
                break;
            }
        }
    }

    fn remove_records(
        &mut self,
        collector: &Collector,
        failures: &mut Vec<StoreError>,
        on_wait: &mut dyn FnMut(),
    ) -> Result<(), StoreError> {
        // A newer record may stand in for one that goes, and not be durable yet.
        for found in self.survey.segments.values().filter(|found| found.is_file) {
            let file = File::open(&found.path).context("open", &found.path)?;
            disk::sync_content(&file, &found.path)?;
        }
        let segments: Vec<SegmentId> = self
            .waste()
            .into_iter()
            .filter(|(_, waste)| waste.dropped > 0 || waste.bytes > 0)
            .map(|(id, _)| id)
            .collect();
        for id in segments {
            if let Err(error) = take_out(collector, id, self, Damage::Keep, on_wait) {
                failures.push(error);
            }
        }
        // What is still there, for whatever reason, is still to be found, and so is what it names.
        self.store.refresh()?;
        let left: Vec<Place> = {
            let index = self.store.index();
            let places = index.records().iter().map(|record| record.place());
            places.filter(|place| self.mark.drops(place)).collect()
        };
        self.mark.keep_places(&left, IN_USE);
        Ok(())
    }

    fn remove_blobs(
        &mut self,
        collector: &Collector,
        failures: &mut Vec<StoreError>,
        on_wait: &mut dyn FnMut(),
    ) -> Result<(), StoreError> {
        let going: Vec<Hash> = self
            .mark
            .dropped_files()
            .map(|(digest, _)| digest)
            .collect();
        for batch in going.chunks(BATCH) {
            let mut moved = Vec::new();
            let alone = collector.alone(on_wait)?;
            self.update()?;
            for digest in batch {
                if !self.mark.drops_file(digest) {
                    continue;
                }
                let (path, _) = self.store.blob_files().path(digest);
                let to = collector.session().new_path();
                match fs::rename(&path, &to) {
                    Ok(()) => moved.push(to),
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => {
                        self.mark.keep_file(digest, IN_USE);
                        failures.extend(Err::<(), _>(error).context("remove", &path).err());
                    }
                }
            }
            crash_point("collection-blobs-moved");
            // Removing a large file takes its time; nobody has to wait for that.
            drop(alone);
            for path in moved {
                failures.extend(fs::remove_file(&path).context("remove", &path).err());
            }
            crash_point("collection-blobs-removed");
        }
        Ok(())
    }

    fn remove_others(
        &self,
        collector: &Collector,
        freed: &mut Freed,
        failures: &mut Vec<StoreError>,
    ) {
        for old in self.old_resumable() {
            // Nobody takes it up meanwhile.
            match try_lock(&locks_path(self.store.root()), offset_of(&old.key)) {
                Ok(None) => {}
                Ok(Some(_lock)) => {
                    let to = collector.session().new_path();
                    let removed = fs::rename(&old.path, &to).and_then(|()| remove_tree(&to));
                    match removed.context("remove the folder", &old.path) {
                        Ok(()) => freed.resumable.add(old.bytes),
                        Err(error) => failures.push(error),
                    }
                }
                Err(error) => failures.extend(Err::<(), _>(error).context("lock", &old.path).err()),
            }
        }
        for old in self.old_snapshots() {
            match fs::remove_file(&old.path).context("remove", &old.path) {
                Ok(()) => freed.snapshots.add(old.bytes),
                Err(error) => failures.push(error),
            }
        }
        for found in self.quarantine() {
            let removed = match found.is_file {
                true => fs::remove_file(&found.path),
                false => remove_tree(&found.path),
            };
            match removed.context("remove", &found.path) {
                Ok(()) => freed.quarantine.add(found.bytes),
                Err(error) => failures.push(error),
            }
        }
        for log in self.logs() {
            let removed = File::open(&log.path)
                .and_then(|file| file.try_lock().map_err(Into::into))
                .and_then(|()| fs::remove_file(&log.path));
            match removed.context("remove", &log.path) {
                Ok(()) => freed.logs.add(log.bytes),
                Err(error) => failures.push(error),
            }
        }
    }

    /// What goes according to what is known now.
    fn report(&self) -> GcReport {
        let folder = crate::index::records_folder(self.store.root());
        let names = ["in use by a process", "in doubt", "small enough"];
        let roots = self.options.roots.iter().map(|root| root.reason.as_str());
        let reasons: Vec<&str> = names.into_iter().chain(roots).collect();
        let kept = self.mark.kept_for(reasons.len());
        GcReport {
            before: self.survey.bytes(),
            freed: self.freed(),
            kept: reasons
                .iter()
                .zip(kept)
                .filter(|(_, (records, bytes))| records + bytes > 0)
                .map(|(reason, (records, bytes))| Kept {
                    reason: (*reason).to_owned(),
                    records,
                    bytes,
                })
                .collect(),
            unseen: self
                .unseen
                .iter()
                .map(|id| folder.join(id.file_name()))
                .collect(),
            ..GcReport::default()
        }
    }

    fn freed(&self) -> Freed {
        let mut freed = Freed::default();
        if !self.goes {
            return freed;
        }
        for (record, is_superseded) in self.mark.dropped() {
            match is_superseded {
                true => freed.superseded.add(record.place().bytes),
                false => freed.records.add(record.place().bytes),
            }
        }
        let named = self.mark.named();
        for (digest, bytes) in self.mark.dropped_files() {
            match named.contains(&digest) {
                true => freed.blobs.add(bytes),
                false => freed.unnamed.add(bytes),
            }
        }
        freed.unfinished = self.survey.dead_sessions();
        freed.resumable = Amount::of(self.old_resumable().map(|old| old.bytes));
        freed.snapshots = Amount::of(self.old_snapshots().map(|old| old.bytes));
        freed.quarantine = Amount::of(self.quarantine().map(|found| found.bytes));
        freed.logs = Amount::of(self.logs().map(|log| log.bytes));
        freed.holes = self.waste().values().map(|waste| waste.bytes).sum();
        freed
    }

    /// What of each segment is neither kept nor a record.
    fn waste(&self) -> HashMap<SegmentId, Waste> {
        let mut segments: HashMap<SegmentId, Waste> = HashMap::new();
        for (record, drops) in self.mark.records() {
            let place = record.place();
            let waste = segments.entry(place.segment).or_default();
            waste.records_bytes += place.bytes;
            match drops {
                true => waste.dropped += 1,
                false => waste.kept += 1,
            }
        }
        let index = self.store.index();
        for (id, found) in &self.survey.segments {
            let intact = index
                .segment(*id)
                .is_some_and(|segment| segment.is_intact());
            if !intact || is_locked(&found.path) {
                continue;
            }
            let waste = segments.entry(*id).or_default();
            let header = HEADER_BYTES as u64;
            let other = found.bytes.saturating_sub(waste.records_bytes + header);
            // What was emptied goes with its header.
            waste.bytes = other + if waste.kept == 0 { header } else { 0 };
        }
        segments
    }

    fn old_resumable(&self) -> impl Iterator<Item = &Keyed> {
        old(&self.survey.resumable)
    }

    fn old_snapshots(&self) -> impl Iterator<Item = &Keyed> {
        old(&self.survey.snapshots)
    }

    fn quarantine(&self) -> impl Iterator<Item = &Found> {
        let all = self.survey.quarantine.iter();
        all.filter(|_| self.options.quarantine)
    }

    fn logs(&self) -> impl Iterator<Item = &Found> {
        self.survey.logs.iter().filter(|log| {
            let name = log.path.file_name().and_then(|name| name.to_str());
            let run = name.and_then(|name| name.strip_suffix(EXTENSION));
            run.is_some_and(|run| self.options.logs.iter().any(|old| old == run))
                && !is_locked(&log.path)
        })
    }
}

impl Verdict for Plan<'_> {
    fn update(&mut self) -> Result<(), StoreError> {
        let uses = self.uses.read_on(self.store)?;
        self.mark.keep(&uses, Which::All, IN_USE);
        Ok(())
    }

    fn drops(&self, place: &Place) -> bool {
        self.mark.drops(place)
    }
}

fn old(keyed: &[Keyed]) -> impl Iterator<Item = &Keyed> {
    let now = SystemTime::now();
    keyed.iter().filter(move |found| {
        now.duration_since(found.modified)
            .is_ok_and(|age| age > LONGEST_AGE)
    })
}

/// What of a segment is neither kept nor a record.
#[derive(Default)]
struct Waste {
    kept: u64,
    dropped: u64,
    /// Length of its records.
    records_bytes: u64,
    /// Length of what else there is and goes.
    bytes: u64,
}

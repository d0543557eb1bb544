//! What takes room in a store.

use super::Amount;
use super::survey::Survey;
use crate::record::Record;
use crate::store::Store;

/// What takes room. Lengths are those of files; their names and the rest of the last block are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SizeReport {
    /// The files of blobs.
    pub blobs: Amount,
    /// The segments of records.
    pub segments: Amount,
    /// Records that are found under their key, as part of the segments.
    pub live: Amount,
    /// Records that newer ones have replaced, as part of the segments.
    pub superseded: Amount,
    /// Logs of runs.
    pub logs: Amount,
    /// Folders of work that can be taken up again.
    pub resumable: Amount,
    /// What programs have noted for their next run.
    pub snapshots: Amount,
    /// What has been set aside.
    pub quarantine: Amount,
    /// What processes are writing, or left when they were killed.
    pub unfinished: Amount,
    /// The length of all files, in bytes.
    pub total: u64,
}

impl Store {
    /// Counts what takes room. What cannot be looked at is left out.
    pub fn size(&self) -> SizeReport {
        let survey = Survey::of(self.root());
        let index = self.index();
        let (mut live, mut superseded) = (Amount::default(), Amount::default());
        for record in index.records() {
            let place = record.place();
            match index.newest(&record.key()).map(Record::place) == Some(place) {
                true => live.add(place.bytes),
                false => superseded.add(place.bytes),
            }
        }
        SizeReport {
            blobs: Amount::of(survey.blobs.iter().map(|blob| blob.bytes)),
            segments: Amount::of(survey.segments.values().map(|found| found.bytes)),
            live,
            superseded,
            logs: Amount::of(survey.logs.iter().map(|found| found.bytes)),
            resumable: Amount::of(survey.resumable.iter().map(|found| found.bytes)),
            snapshots: Amount::of(survey.snapshots.iter().map(|found| found.bytes)),
            quarantine: Amount::of(survey.quarantine.iter().map(|found| found.bytes)),
            unfinished: Amount::of(survey.sessions.values().map(|files| files.bytes)),
            total: survey.bytes(),
        }
    }
}

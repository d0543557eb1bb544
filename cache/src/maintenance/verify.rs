//! Reading everything, and naming whatever is wrong.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use blake3::Hash;

use super::Amount;
use super::survey::{BlobFile, Found, Survey, is_locked};
use crate::blob_files::digest_of;
use crate::error::StoreError;
use crate::frame::SegmentId;
use crate::index::{Index, records_folder};
use crate::notice::{Notice, Notices};
use crate::record::{BlobRef, Record};
use crate::store::Store;

/// A longer line is none that this program has written.
const MAX_LINE_BYTES: u64 = 64 << 20;
/// How often progress is told.
const PAUSE: Duration = Duration::from_millis(100);

/// How to verify.
#[derive(Clone, Copy)]
pub struct VerifyOptions<'a> {
    /// Looks at records and at the lengths of blobs only, not into blobs.
    pub quick: bool,
    /// Says what a line of a run's log is; the line break is not given.
    pub log_line: &'a dyn Fn(&str) -> LogLine,
}

/// What a line of a run's log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLine {
    /// What it should be.
    Good,
    /// Well formed, and perhaps of a later version.
    Unknown,
    /// Damaged.
    Bad,
}

/// How far verification is, in bytes of blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Read so far.
    pub done: u64,
    /// To be read in all.
    pub total: u64,
}

/// Something that was found, and where.
#[derive(Debug)]
pub struct Finding {
    /// The file or folder.
    pub path: PathBuf,
    /// What it is.
    pub fault: Fault,
}

/// What was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A blob is something else.
    #[error("the content is not what the name stands for")]
    BlobContent,
    /// A blob does not have the length that a record gives for it.
    #[error("it has {actual} bytes, where records say {expected}")]
    BlobLength {
        /// The length that a record gives, in bytes.
        expected: u64,
        /// The length of the file, in bytes.
        actual: u64,
    },
    /// There is a folder, a link or something else where a file should be.
    #[error("it is no file")]
    NoFile,
    /// It could not be read.
    #[error("could not read it: {0}")]
    Unreadable(io::Error),
    /// The header of a segment is damaged.
    #[error("the header of the segment is damaged")]
    SegmentHeader,
    /// A stretch of a segment holds no intact record.
    #[error("{bytes} bytes at byte {offset} hold no intact record")]
    SegmentDamage {
        /// Where it begins, in bytes.
        offset: u64,
        /// How long it is, in bytes.
        bytes: u64,
    },
    /// A segment ends in something that is no whole record: its writer was killed, or it is damaged.
    #[error("the {bytes} bytes from byte {offset} to the end are no whole record")]
    SegmentEnd {
        /// Where the last intact record ends, in bytes.
        offset: u64,
        /// How long the rest is, in bytes.
        bytes: u64,
    },
    /// A record names a blob that is not there, or not intact.
    #[error("the record of key {} names blob {} of {} bytes, which is not there intact", record.key(), blob.digest, blob.bytes)]
    RecordBlob {
        /// The record.
        record: Record,
        /// The blob.
        blob: BlobRef,
    },
    /// A blob inside a record is something else than the record says.
    #[error("in the record of key {}, the blob {digest} is something else", record.key())]
    RecordInside {
        /// The record.
        record: Record,
        /// The digest that the record gives.
        digest: Hash,
    },
    /// Lines of a run's log are damaged.
    #[error("{count} lines are no events, the first is line {first}")]
    LogLines {
        /// How many.
        count: u64,
        /// The number of the first of them, from 1.
        first: u64,
    },
    /// The last line of a run's log has no end: its writer was killed.
    #[error("the last line has no end")]
    LogEnd,
    /// A segment is of a later version. This is a note and not a finding.
    #[error("it has format version {version}, which this program does not know; it was not read")]
    FutureSegment {
        /// The version.
        version: u32,
    },
    /// Lines of a run's log may be of a later version. This is a note.
    #[error("{count} lines are no events that this program knows")]
    UnknownLines {
        /// How many.
        count: u64,
    },
    /// The store has put nothing of this name there. This is a note.
    #[error("it is no part of the store")]
    Foreign,
}

/// What verification found.
#[derive(Debug, Default)]
pub struct VerifyReport {
    /// What is wrong. Nothing, if the store is good.
    pub findings: Vec<Finding>,
    /// What is no damage, and might be of interest.
    pub notes: Vec<Finding>,
    /// The blobs that were looked at.
    pub blobs: Amount,
    /// How many records were looked at.
    pub records: u64,
    /// The segments that were read.
    pub segments: Amount,
    /// The logs that were read.
    pub logs: Amount,
}

/// What is wrong with what.
#[derive(Default)]
pub(crate) struct Check {
    pub(crate) blobs: Vec<(Hash, Fault)>,
    pub(crate) segments: Vec<(SegmentId, Fault)>,
    pub(crate) records: Vec<Fault>,
    pub(crate) logs: Vec<(Found, Vec<Fault>)>,
    pub(crate) unreadable: Vec<(PathBuf, io::Error)>,
    pub(crate) notes: Vec<Finding>,
    pub(crate) survey: Survey,
}

impl Store {
    /// Reads everything and names what is wrong, and goes on whatever cannot be read. Nothing is written, not even
    /// what other readers set aside.
    pub fn verify(
        &self,
        options: &VerifyOptions<'_>,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<VerifyReport, StoreError> {
        let (check, records) = Check::make(self, options, on_progress)?;
        Ok(check.report(self, records))
    }
}

impl Check {
    /// Checks everything, and gives the number of records.
    pub(crate) fn make(
        store: &Store,
        options: &VerifyOptions<'_>,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<(Check, u64), StoreError> {
        let mut check = Check {
            survey: Survey::of(store.root()),
            ..Check::default()
        };
        check.unreadable = std::mem::take(&mut check.survey.unreadable);
        let foreign = std::mem::take(&mut check.survey.foreign).into_iter();
        check.notes.extend(foreign.map(|path| Finding {
            path,
            fault: Fault::Foreign,
        }));
        let index = check.segments(store)?;
        let intact = check.blobs(store, options, on_progress);
        check.records(&index, &intact, options);
        check.logs(options);
        Ok((check, index.records().len() as u64))
    }

    fn segments(&mut self, store: &Store) -> Result<Index, StoreError> {
        let folder = records_folder(store.root());
        let notices = Notices::default();
        let mut index = Index::default();
        index.refresh(&folder, 0, &notices)?;
        for notice in notices.drain() {
            let (path, fault) = match notice {
                Notice::DamagedRecords {
                    segment,
                    offset,
                    bytes,
                } => (segment, Fault::SegmentDamage { offset, bytes }),
                Notice::DamagedHeader { segment } => (segment, Fault::SegmentHeader),
                Notice::UnreadableSegment { segment, error } => (segment, Fault::Unreadable(error)),
                Notice::FutureSegment { segment, version } => {
                    let fault = Fault::FutureSegment { version };
                    self.notes.push(Finding {
                        path: segment,
                        fault,
                    });
                    continue;
                }
                Notice::TornTail { .. } | Notice::DamagedBlob { .. } => continue,
            };
            if let Some(id) = segment_of(&path) {
                self.segments.push((id, fault));
            }
        }
        let unseen: HashSet<SegmentId> = index.unseen().collect();
        for (id, found) in &self.survey.segments {
            let Some(segment) = index.segment(*id).filter(|_| !unseen.contains(id)) else {
                continue;
            };
            // What is being written is no damage.
            let is_settled = || {
                let now = fs::symlink_metadata(&found.path);
                !is_locked(&found.path) && now.is_ok_and(|now| now.len() == found.bytes)
            };
            if segment.consumed < found.bytes && is_settled() {
                let fault = Fault::SegmentEnd {
                    offset: segment.consumed,
                    bytes: found.bytes - segment.consumed,
                };
                self.segments.push((*id, fault));
            }
        }
        Ok(index)
    }

    /// Checks the files of blobs, and gives the lengths of intact ones.
    fn blobs(
        &mut self,
        store: &Store,
        options: &VerifyOptions<'_>,
        on_progress: &mut dyn FnMut(Progress),
    ) -> HashMap<Hash, u64> {
        let (files, others): (Vec<BlobFile>, _) =
            self.survey.blobs.iter().partition(|blob| blob.is_file);
        let others: Vec<BlobFile> = others;
        self.blobs
            .extend(others.iter().map(|blob| (blob.digest, Fault::NoFile)));
        let mut intact: HashMap<Hash, u64> =
            files.iter().map(|blob| (blob.digest, blob.bytes)).collect();
        if !options.quick {
            for (digest, fault) in read_all(store, &files, on_progress) {
                intact.remove(&digest);
                self.blobs.push((digest, fault));
            }
        }
        intact
    }

    /// Checks whether what records name is there. Of those under one key only the newest counts.
    fn records(&mut self, index: &Index, intact: &HashMap<Hash, u64>, options: &VerifyOptions<'_>) {
        let mut inside: HashSet<BlobRef> = HashSet::new();
        for record in index.records() {
            for (which, blob) in record.inline().enumerate() {
                let content = record.inline_content(which);
                let is_good =
                    |content: &[u8]| options.quick || blake3::hash(content) == blob.digest;
                if content.is_some_and(|content| is_good(content.as_ref())) {
                    inside.insert(blob);
                } else {
                    self.records.push(Fault::RecordInside {
                        record: record.clone(),
                        digest: blob.digest,
                    });
                }
            }
        }
        let mut lengths: HashSet<Hash> = HashSet::new();
        for record in index.records() {
            if index.newest(&record.key()).map(Record::place) != Some(record.place()) {
                continue;
            }
            for blob in record.blobs() {
                let actual = intact.get(&blob.digest).copied();
                if actual == Some(blob.bytes) || inside.contains(&blob) {
                    continue;
                }
                // A file that was read is intact, whatever the record says.
                if let Some(actual) = actual.filter(|_| options.quick)
                    && lengths.insert(blob.digest)
                {
                    let fault = Fault::BlobLength {
                        expected: blob.bytes,
                        actual,
                    };
                    self.blobs.push((blob.digest, fault));
                }
                self.records.push(Fault::RecordBlob {
                    record: record.clone(),
                    blob,
                });
            }
        }
    }

    fn logs(&mut self, options: &VerifyOptions<'_>) {
        for log in self.survey.logs.clone() {
            let mut faults = Vec::new();
            if !log.is_file {
                faults.push(Fault::NoFile);
            } else {
                match read_log(&log.path, options.log_line) {
                    Err(error) => faults.push(Fault::Unreadable(error)),
                    Ok(lines) => {
                        if lines.bad > 0 {
                            faults.push(Fault::LogLines {
                                count: lines.bad,
                                first: lines.first_bad,
                            });
                        }
                        if lines.unknown > 0 {
                            self.notes.push(Finding {
                                path: log.path.clone(),
                                fault: Fault::UnknownLines {
                                    count: lines.unknown,
                                },
                            });
                        }
                        if lines.has_open_end && !is_locked(&log.path) {
                            faults.push(Fault::LogEnd);
                        }
                    }
                }
            }
            if !faults.is_empty() {
                self.logs.push((log, faults));
            }
        }
    }

    fn report(self, store: &Store, records: u64) -> VerifyReport {
        let folder = records_folder(store.root());
        let segment_path = |id: SegmentId| folder.join(id.file_name());
        let mut findings: Vec<Finding> = Vec::new();
        let mut add = |path, fault| findings.push(Finding { path, fault });
        for (path, error) in self.unreadable {
            add(path, Fault::Unreadable(error));
        }
        for (id, fault) in self.segments {
            add(segment_path(id), fault);
        }
        for (digest, fault) in self.blobs {
            add(store.blob_files().path(&digest).0, fault);
        }
        for fault in self.records {
            let (Fault::RecordBlob { record, .. } | Fault::RecordInside { record, .. }) = &fault
            else {
                continue;
            };
            add(segment_path(record.place().segment), fault);
        }
        for (log, faults) in self.logs {
            for fault in faults {
                add(log.path.clone(), fault);
            }
        }
        VerifyReport {
            findings,
            notes: self.notes,
            blobs: Amount::of(self.survey.blobs.iter().map(|blob| blob.bytes)),
            records,
            segments: Amount::of(self.survey.segments.values().map(|found| found.bytes)),
            logs: Amount::of(self.survey.logs.iter().map(|found| found.bytes)),
        }
    }
}

fn segment_of(path: &Path) -> Option<SegmentId> {
    SegmentId::from_file_name(path.file_name()?.to_str()?)
}

/// Reads blobs on several threads, and gives those that are not what they should be.
fn read_all(
    store: &Store,
    files: &[BlobFile],
    on_progress: &mut dyn FnMut(Progress),
) -> Vec<(Hash, Fault)> {
    let total = files.iter().map(|blob| blob.bytes).sum();
    let (next, done) = (AtomicUsize::new(0), AtomicU64::new(0));
    let read_some = |sender: mpsc::Sender<(Hash, Fault)>| {
        while let Some(blob) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let on_read = |bytes| {
                done.fetch_add(bytes, Ordering::Relaxed);
            };
            if let Some(fault) = read_blob(store, &blob.digest, on_read) {
                // The receiver outlives all senders.
                let _ = sender.send((blob.digest, fault));
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
    let mut faults = Vec::new();
    std::thread::scope(|scope| {
        let (sender, found) = mpsc::channel();
        for _ in 0..threads {
            let (sender, read_some) = (sender.clone(), &read_some);
            scope.spawn(move || read_some(sender));
        }
        drop(sender);
        loop {
            let received = found.recv_timeout(PAUSE);
            on_progress(Progress {
                done: done.load(Ordering::Relaxed),
                total,
            });
            match received {
                Ok(fault) => faults.push(fault),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
    });
    faults.sort_by_key(|(digest, _)| *digest.as_bytes());
    faults
}

fn read_blob(store: &Store, digest: &Hash, mut on_read: impl FnMut(u64)) -> Option<Fault> {
    let (path, _) = store.blob_files().path(digest);
    let on_read = |bytes| {
        on_read(bytes);
        true
    };
    match File::open(path).and_then(|file| digest_of(&file, on_read)) {
        Ok(actual) if actual == Some(*digest) => None,
        Ok(_) => Some(Fault::BlobContent),
        Err(error) => Some(Fault::Unreadable(error)),
    }
}

/// What the lines of a log are.
#[derive(Default)]
struct Lines {
    bad: u64,
    /// Its number, from 1.
    first_bad: u64,
    unknown: u64,
    has_open_end: bool,
}

fn read_log(path: &Path, log_line: &dyn Fn(&str) -> LogLine) -> io::Result<Lines> {
    let mut lines = Lines::default();
    let mut number = 0;
    each_line(path, |line, is_whole| {
        number += 1;
        if !is_whole {
            lines.has_open_end = true;
            return Ok(());
        }
        match std::str::from_utf8(line).map_or(LogLine::Bad, log_line) {
            LogLine::Good => {}
            LogLine::Unknown => lines.unknown += 1,
            LogLine::Bad => {
                lines.bad += 1;
                if lines.first_bad == 0 {
                    lines.first_bad = number;
                }
            }
        }
        Ok(())
    })?;
    Ok(lines)
}

/// Calls `act` with each line, without its break, and with whether it has one. Of a line over the limit pieces are
/// given, of which only the last can have one.
pub(crate) fn each_line(
    path: &Path,
    mut act: impl FnMut(&[u8], bool) -> io::Result<()>,
) -> io::Result<()> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader
            .by_ref()
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', &mut line)?
            == 0
        {
            return Ok(());
        }
        match line.strip_suffix(b"\n") {
            Some(line) => act(line, true)?,
            None => act(&line, false)?,
        }
    }
}

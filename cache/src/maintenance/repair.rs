//! Dropping and setting aside what is damaged, so that the next run makes it again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File, TryLockError};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use blake3::Hash;

use super::collector::Collector;
use super::removal::{Damage, Treated, Verdict, take_out};
use super::verify::{Check, Fault, Finding, LogLine, Progress, VerifyOptions, each_line};
use crate::crash::crash_point;
use crate::disk;
use crate::error::{Context, StoreError};
use crate::frame::SegmentId;
use crate::index::records_folder;
use crate::record::{BlobRef, Place, Record};
use crate::run_log::runs_folder;

/// What a repair did.
#[derive(Debug, Default)]
pub struct RepairReport {
    /// What was done, in this order.
    pub repaired: Vec<Repaired>,
    /// What is still wrong, and why.
    pub left: Vec<Finding>,
    /// What could not be done.
    pub failures: Vec<StoreError>,
}

/// Something that was done.
#[derive(Clone, Debug)]
pub enum Repaired {
    /// A blob was set aside.
    Blob {
        /// Its digest.
        digest: Hash,
        /// Whether its content is also inside a record, so that nothing is missing.
        is_healed: bool,
    },
    /// A record was dropped, because it names what is not there. What it stood for is done again by the next run
    /// that needs it.
    Record(Record),
    /// A segment was written anew without what was damaged.
    Segment {
        /// Where it was.
        path: PathBuf,
        /// Where the damaged file is now.
        moved_to: PathBuf,
    },
    /// A log was written anew without what was damaged.
    Log {
        /// Where it is.
        path: PathBuf,
        /// Where the damaged file is now.
        moved_to: PathBuf,
    },
}

/// The records to be dropped.
struct Bad(HashSet<Place>);

impl Verdict for Bad {
    fn update(&mut self) -> Result<(), StoreError> {
        // What is damaged is of no use to those who use it.
        Ok(())
    }

    fn drops(&self, place: &Place) -> bool {
        self.0.contains(place)
    }
}

impl Collector {
    /// Verifies everything, and sets aside or drops what is damaged. What someone is writing stays as it is.
    pub fn repair(
        &self,
        log_line: &dyn Fn(&str) -> LogLine,
        on_progress: &mut dyn FnMut(Progress),
        on_wait: &mut dyn FnMut(),
    ) -> Result<RepairReport, StoreError> {
        let options = VerifyOptions {
            quick: false,
            log_line,
        };
        let (check, _) = Check::make(self.store(), &options, on_progress)?;
        let mut report = RepairReport::default();
        for (path, error) in check.unreadable {
            report.left.push(Finding {
                path,
                fault: Fault::Unreadable(error),
            });
        }
        self.set_blobs_aside(&check.blobs, &mut report);
        let bad = self.bad_records(&check.records, &mut report);
        self.mend_segments(check.segments, bad, &mut report, on_wait);
        for (log, faults) in check.logs {
            self.mend_log(&log.path, log.is_file, faults, log_line, &mut report);
        }
        self.store().refresh()?;
        Ok(report)
    }

    fn set_blobs_aside(&self, damaged: &[(Hash, Fault)], report: &mut RepairReport) {
        let files = self.store().blob_files();
        for (digest, _) in damaged {
            let result = files.is_intact_or_cleared(digest, self.store().notice_list());
            let (path, _) = files.path(digest);
            match result {
                // Someone was faster.
                Ok(true) => {}
                Ok(false) if fs::symlink_metadata(&path).is_err() => {
                    let is_healed = self.store().index().inline(digest).is_some();
                    report.repaired.push(Repaired::Blob {
                        digest: *digest,
                        is_healed,
                    });
                }
                Ok(false) => report.left.push(Finding {
                    path,
                    fault: Fault::BlobContent,
                }),
                Err(error) => report.failures.push(error),
            }
        }
    }

    /// The records that name what is not there, now that damaged blobs are gone. Older ones under the same keys are
    /// held to the same, because they would be found then.
    fn bad_records(&self, faults: &[Fault], report: &mut RepairReport) -> Bad {
        let mut lying: HashSet<Place> = HashSet::new();
        let mut keys: HashSet<Hash> = HashSet::new();
        for fault in faults {
            match fault {
                Fault::RecordInside { record, .. } => {
                    lying.insert(record.place());
                    keys.insert(record.key());
                }
                Fault::RecordBlob { record, .. } => {
                    keys.insert(record.key());
                }
                _ => {}
            }
        }
        let index = self.store().index();
        let mut inside: HashMap<Hash, u64> = HashMap::new();
        for record in index.records() {
            if !lying.contains(&record.place()) {
                inside.extend(record.inline().map(|blob| (blob.digest, blob.bytes)));
            }
        }
        let files = self.store().blob_files();
        let is_there = |blob: &BlobRef| {
            inside.get(&blob.digest) == Some(&blob.bytes) || files.has(&blob.digest, blob.bytes)
        };
        let mut bad = HashSet::new();
        for record in index.records() {
            let is_bad = lying.contains(&record.place())
                || (keys.contains(&record.key()) && !record.blobs().all(|blob| is_there(&blob)));
            if is_bad {
                bad.insert(record.place());
                report.repaired.push(Repaired::Record(record.clone()));
            }
        }
        Bad(bad)
    }

    fn mend_segments(
        &self,
        damaged: Vec<(SegmentId, Fault)>,
        mut bad: Bad,
        report: &mut RepairReport,
        on_wait: &mut dyn FnMut(),
    ) {
        let folder = records_folder(self.store().root());
        let mut faults: BTreeMap<SegmentId, Vec<Fault>> = BTreeMap::new();
        for place in &bad.0 {
            faults.entry(place.segment).or_default();
        }
        for (id, fault) in damaged {
            faults.entry(id).or_default().push(fault);
        }
        for (id, faults) in faults {
            let path = folder.join(id.file_name());
            match take_out(self, id, &mut bad, Damage::SetAside, on_wait) {
                Ok(Treated::SetAside(moved_to)) => {
                    report.repaired.push(Repaired::Segment { path, moved_to });
                }
                Ok(Treated::StillDamaged) => report.leave(&path, faults),
                Ok(Treated::Untouched | Treated::Rewritten | Treated::Punched) => {}
                Err(error) => report.failures.push(error),
            }
        }
    }

    fn mend_log(
        &self,
        path: &Path,
        is_file: bool,
        faults: Vec<Fault>,
        log_line: &dyn Fn(&str) -> LogLine,
        report: &mut RepairReport,
    ) {
        let result = match is_file {
            true => self.rewrite_log(path, log_line),
            false => self.move_log(path).map(Some),
        };
        match result {
            Ok(Some(moved_to)) => report.repaired.push(Repaired::Log {
                path: path.to_owned(),
                moved_to,
            }),
            Ok(None) => report.leave(path, faults),
            Err(error) => report.failures.push(error),
        }
    }

    /// Writes a log anew without what is no event, and sets the damaged one aside. None if someone is writing it.
    fn rewrite_log(
        &self,
        path: &Path,
        log_line: &dyn Fn(&str) -> LogLine,
    ) -> Result<Option<PathBuf>, StoreError> {
        let opened = File::open(path);
        if let Ok(file) = &opened
            && let Err(TryLockError::WouldBlock) = file.try_lock()
        {
            return Ok(None);
        }
        let (file, temporary) = self.session().make_file()?;
        let mut output = BufWriter::new(file);
        let copied = each_line(path, |line, is_whole| {
            let is_bad =
                || std::str::from_utf8(line).map_or(LogLine::Bad, log_line) == LogLine::Bad;
            if !is_whole || is_bad() {
                return Ok(());
            }
            output.write_all(line)?;
            output.write_all(b"\n")
        });
        if copied.is_err() {
            return self.move_log(path).map(Some);
        }
        output.flush().context("write", &temporary)?;
        disk::sync_file(output.get_ref(), &temporary)?;
        // Copied, so that at each moment there is a log: it says what a collection keeps.
        let (kept, copy) = self.session().make_file()?;
        drop(kept);
        fs::copy(path, &copy).context("copy", path)?;
        let files = self.store().blob_files();
        let aside = files.quarantine_path(&name_of(path));
        files.move_aside(&copy, &aside)?;
        crash_point("repair-log-copied");
        disk::rename(&temporary, path)?;
        disk::sync_folder(&runs_folder(self.store().root()))?;
        crash_point("repair-log-replaced");
        drop(opened);
        Ok(Some(aside))
    }

    /// Sets aside what cannot be read as a log at all.
    fn move_log(&self, path: &Path) -> Result<PathBuf, StoreError> {
        let files = self.store().blob_files();
        let aside = files.quarantine_path(&name_of(path));
        files.move_aside(path, &aside)?;
        Ok(aside)
    }
}

impl RepairReport {
    fn leave(&mut self, path: &Path, faults: Vec<Fault>) {
        self.left.extend(faults.into_iter().map(|fault| Finding {
            path: path.to_owned(),
            fault,
        }));
    }
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

//! The logs of runs that a store has, for reading.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{Context, StoreError};
use crate::run_log::{EXTENSION, runs_folder};
use crate::store::Store;

/// The log of a run, for reading.
#[derive(Clone, Debug)]
pub struct RunLogFile {
    run: String,
    path: PathBuf,
    bytes: u64,
}

impl Store {
    /// The logs of runs, by name. Names of runs begin with the time, so the newest is the last.
    pub fn run_logs(&self) -> Result<Vec<RunLogFile>, StoreError> {
        let folder = runs_folder(self.root());
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.context("list the folder", &folder)?,
        };
        let mut logs = Vec::new();
        for entry in entries {
            let entry = entry.context("list the folder", &folder)?;
            let name = entry.file_name();
            let Some(run) = name.to_str().and_then(|name| name.strip_suffix(EXTENSION)) else {
                continue;
            };
            // What is not there any more has been removed meanwhile.
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            // A pipe would keep a reader waiting; a link may lead anywhere.
            if metadata.is_file() && !run.is_empty() {
                logs.push(RunLogFile {
                    run: run.to_owned(),
                    path: entry.path(),
                    bytes: metadata.len(),
                });
            }
        }
        logs.sort_unstable_by(|one, other| one.run.cmp(&other.run));
        Ok(logs)
    }
}

impl RunLogFile {
    /// The name of the run.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// Where the log is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The length of the log when it was listed, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Opens the log for reading.
    pub fn open(&self) -> Result<File, StoreError> {
        File::open(&self.path).context("open", &self.path)
    }

    /// Whether somebody has the log for writing now: then the run is in progress.
    pub fn is_being_written(&self) -> Result<bool, StoreError> {
        let file = self.open()?;
        // A writer makes the file, then locks it, then writes. Between the first two, asking for the lock would
        // take it away from the writer.
        if file.metadata().context("look at", &self.path)?.len() == 0 {
            return Ok(false);
        }
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error).context("lock", &self.path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_listed_by_name_and_other_things_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert!(store.run_logs().unwrap().is_empty());
        for run in ["b", "a", "c"] {
            store.run_log(run).unwrap().append("{}").unwrap();
        }
        let runs = folder.path().join("runs");
        fs::write(runs.join("notes.txt"), "").unwrap();
        fs::write(runs.join(EXTENSION), "").unwrap();
        fs::create_dir(runs.join("d.jsonl")).unwrap();
        std::os::unix::fs::symlink(runs.join("a.jsonl"), runs.join("e.jsonl")).unwrap();
        let logs = store.run_logs().unwrap();
        let names: Vec<_> = logs.iter().map(RunLogFile::run).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert!(logs.iter().all(|log| log.bytes() == 3));
        fs::remove_dir_all(&runs).unwrap();
        fs::write(&runs, "").unwrap();
        assert!(store.run_logs().is_err());
    }

    #[test]
    fn a_log_is_being_written_as_long_as_its_writer_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut writer = store.run_log("a").unwrap();
        let log = store.run_logs().unwrap().remove(0);
        assert!(!log.is_being_written().unwrap(), "nothing is written yet");
        writer.append("{}").unwrap();
        assert!(log.is_being_written().unwrap());
        drop(writer);
        assert!(!log.is_being_written().unwrap());
        // Having asked keeps nobody from writing.
        store.run_log("a").unwrap();
    }
}

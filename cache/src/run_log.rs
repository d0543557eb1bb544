//! The log of a run: a file of lines that only grows.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::disk;
use crate::error::{Context, StoreError};
use crate::store::Store;

/// The end of a log's file name; what is before it is the name of the run.
pub(crate) const EXTENSION: &str = ".jsonl";

/// The folder of the logs of the store at `root`.
pub(crate) fn runs_folder(root: &Path) -> PathBuf {
    root.join("runs")
}

/// The log of one run, `runs/<run>.jsonl`. One writer at a time has it.
pub struct RunLog {
    file: File,
    path: PathBuf,
    /// Length of the complete lines, in bytes.
    bytes: u64,
}

impl Store {
    /// Opens the log of a run, or makes it. A last line that was not completely written is cut off.
    pub fn run_log(&self, run: &str) -> Result<RunLog, StoreError> {
        let usable = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if run.is_empty() || run.starts_with('.') || run.len() > 200 || !run.bytes().all(usable) {
            return Err(StoreError::BadRunName {
                name: run.to_owned(),
            });
        }
        self.session()?;
        let folder = runs_folder(self.root());
        disk::make_folders(&folder)?;
        let path = folder.join(format!("{run}{EXTENSION}"));
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .context("open", &path)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(StoreError::RunLogInUse { path }),
            Err(TryLockError::Error(error)) => return Err(error).context("lock", &path),
            Ok(()) => {}
        }
        let length = file.metadata().context("look at", &path)?.len();
        let bytes = end_of_last_line(&file, length).context("read", &path)?;
        if bytes < length {
            file.set_len(bytes).context("cut", &path)?;
        }
        disk::sync_folder(&folder)?;
        Ok(RunLog { file, path, bytes })
    }
}

impl RunLog {
    /// Where the log is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a line; the line break is added. It is durable after the next [`RunLog::sync`].
    pub fn append(&mut self, line: &str) -> Result<(), StoreError> {
        if line.contains('\n') {
            return Err(StoreError::LineBreak {
                path: self.path.clone(),
            });
        }
        let result = self
            .file
            .write_all(format!("{line}\n").as_bytes())
            .context("append to", &self.path);
        match result {
            Ok(()) => self.bytes += line.len() as u64 + 1,
            // Half a line must not run into the next. If this fails too, opening the log again does it.
            Err(_) => {
                let _ = self.file.set_len(self.bytes);
            }
        }
        result
    }

    /// Flushes the log: all lines appended so far are durable when this returns.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        disk::sync_content(&self.file, &self.path)
    }
}

/// Where the last complete line among the first `length` bytes ends.
fn end_of_last_line(file: &File, length: u64) -> std::io::Result<u64> {
    let mut end = length;
    let mut block = [0; 4096];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let block = &mut block[..(end - start) as usize];
        file.read_exact_at(block, start)?;
        if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn lines_are_appended_over_several_openings() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        for line in ["{\"v\":1}", "{\"v\":2}"] {
            let mut log = store.run_log("2026-11-21.a_1").unwrap();
            log.append(line).unwrap();
            log.sync().unwrap();
        }
        let text = fs::read_to_string(folder.path().join("runs/2026-11-21.a_1.jsonl")).unwrap();
        assert_eq!(text, "{\"v\":1}\n{\"v\":2}\n");
    }

    #[test]
    fn a_torn_line_is_cut_off_wherever_it_was_torn() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let path = store.run_log("r").unwrap().path().to_owned();
        let long = "x".repeat(10_000);
        let text = format!("one\n{long}\ntorn");
        for length in (0..20).chain(9_990..=text.len()) {
            fs::write(&path, &text[..length]).unwrap();
            store.run_log("r").unwrap().append("next").unwrap();
            let whole = text[..length].rfind('\n').map_or(0, |at| at + 1);
            assert_eq!(
                fs::read_to_string(&path).unwrap(),
                format!("{}next\n", &text[..whole])
            );
        }
    }

    #[test]
    fn what_would_break_the_log_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        for name in ["", ".", "..", "a/b", ".hidden", "a b", "ä"] {
            assert!(matches!(
                store.run_log(name),
                Err(StoreError::BadRunName { .. })
            ));
        }
        let mut log = store.run_log("r").unwrap();
        assert!(matches!(
            log.append("a\nb"),
            Err(StoreError::LineBreak { .. })
        ));
        assert!(matches!(
            store.run_log("r"),
            Err(StoreError::RunLogInUse { .. })
        ));
    }
}

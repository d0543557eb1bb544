//! What there is in a store's folder, by kind, with lengths. Nothing is opened but locks.

use std::collections::BTreeMap;
use std::fs::{self, DirEntry, File, Metadata, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use blake3::Hash;

use super::Amount;
use crate::blob_files::BLOBS;
use crate::frame::SegmentId;
use crate::index::records_folder;
use crate::run_log::runs_folder;
use crate::session::{session_of, tmp_folder};

/// Everything in a store's folder.
#[derive(Default)]
pub(crate) struct Survey {
    /// What is named like a blob and in the right folder.
    pub(crate) blobs: Vec<BlobFile>,
    /// What is named like a segment.
    pub(crate) segments: BTreeMap<SegmentId, Found>,
    /// What is named like a run's log.
    pub(crate) logs: Vec<Found>,
    pub(crate) resumable: Vec<Keyed>,
    pub(crate) snapshots: Vec<Keyed>,
    pub(crate) quarantine: Vec<Found>,
    /// By name.
    pub(crate) sessions: BTreeMap<String, SessionFiles>,
    /// What no part of the store has put there.
    pub(crate) foreign: Vec<PathBuf>,
    /// What could not be looked at.
    pub(crate) unreadable: Vec<(PathBuf, io::Error)>,
}

/// Something with a name that the store gives.
#[derive(Clone)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    /// Whether it is a regular file.
    pub(crate) is_file: bool,
    /// Length in bytes; of a folder, that of the files in it.
    pub(crate) bytes: u64,
}

/// Something that is named like a blob.
#[derive(Clone, Copy)]
pub(crate) struct BlobFile {
    pub(crate) digest: Hash,
    pub(crate) is_file: bool,
    pub(crate) bytes: u64,
}

/// Something that is named by a digest.
pub(crate) struct Keyed {
    pub(crate) key: Hash,
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    /// When something in it was last written.
    pub(crate) modified: SystemTime,
}

/// What a session has in `tmp/`.
#[derive(Default)]
pub(crate) struct SessionFiles {
    /// Whether its owner lives.
    pub(crate) is_alive: bool,
    pub(crate) bytes: u64,
}

impl Survey {
    /// Looks at everything in the store at `root`, which need not exist.
    pub(crate) fn of(root: &Path) -> Survey {
        let mut survey = Survey::default();
        for (entry, name) in survey.list(root) {
            let path = entry.path();
            match name.as_str() {
                BLOBS => survey.blobs(&path),
                "records" => survey.segments(root),
                "runs" => survey.logs(root),
                "resumable" => survey.resumable = survey.keyed(&path, true),
                "snapshots" => survey.snapshots = survey.keyed(&path, false),
                "quarantine" => survey.quarantine(&path),
                "tmp" => survey.sessions(root),
                "locks" => {}
                _ => survey.foreign.push(path),
            }
        }
        survey
    }

    /// Looks at what processes are writing or have left unfinished, and at nothing else.
    pub(crate) fn of_sessions(root: &Path) -> Survey {
        let mut survey = Survey::default();
        survey.sessions(root);
        survey
    }

    /// What processes that are gone have left.
    pub(crate) fn dead_sessions(&self) -> Amount {
        let dead = self.sessions.values().filter(|files| !files.is_alive);
        Amount::of(dead.map(|files| files.bytes))
    }

    /// The length of all files, in bytes; foreign ones aside.
    pub(crate) fn bytes(&self) -> u64 {
        let blobs = self.blobs.iter().map(|blob| blob.bytes);
        let files = self
            .segments
            .values()
            .chain(&self.logs)
            .chain(&self.quarantine);
        let keyed = self.resumable.iter().chain(&self.snapshots);
        let keyed = keyed.map(|found| found.bytes);
        let sessions = self.sessions.values().map(|files| files.bytes);
        let files = files.map(|found| found.bytes);
        blobs.chain(files).chain(keyed).chain(sessions).sum()
    }

    fn blobs(&mut self, folder: &Path) {
        for (entry, name) in self.list(folder) {
            let path = entry.path();
            let is_folder_of_blobs = name.len() == 2 && is_hexadecimal(&name);
            if !is_folder_of_blobs || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.foreign.push(path);
                continue;
            }
            for (blob, digits) in self.list(&path) {
                match digest_of_name(&digits).filter(|_| digits.starts_with(&name)) {
                    None => self.foreign.push(blob.path()),
                    Some(digest) => {
                        if let Some(metadata) = self.look(&blob) {
                            self.blobs.push(BlobFile {
                                digest,
                                is_file: metadata.is_file(),
                                bytes: metadata.len(),
                            });
                        }
                    }
                }
            }
        }
    }

    fn segments(&mut self, root: &Path) {
        for (entry, name) in self.list(&records_folder(root)) {
            match SegmentId::from_file_name(&name) {
                None => self.foreign.push(entry.path()),
                Some(id) => {
                    if let Some(found) = self.found(&entry) {
                        self.segments.insert(id, found);
                    }
                }
            }
        }
    }

    fn logs(&mut self, root: &Path) {
        for (entry, name) in self.list(&runs_folder(root)) {
            if !name.ends_with(crate::run_log::EXTENSION) {
                self.foreign.push(entry.path());
            } else if let Some(found) = self.found(&entry) {
                self.logs.push(found);
            }
        }
        self.logs.sort_by(|one, other| one.path.cmp(&other.path));
    }

    fn keyed(&mut self, folder: &Path, are_folders: bool) -> Vec<Keyed> {
        let mut keyed = Vec::new();
        for (entry, name) in self.list(folder) {
            let path = entry.path();
            let fits = entry.file_type().is_ok_and(|kind| match are_folders {
                true => kind.is_dir(),
                false => kind.is_file(),
            });
            match digest_of_name(&name).filter(|_| fits) {
                None => self.foreign.push(path),
                Some(key) => {
                    let (bytes, modified) = self.tree(&path);
                    keyed.push(Keyed {
                        key,
                        path,
                        bytes,
                        modified,
                    });
                }
            }
        }
        keyed
    }

    fn quarantine(&mut self, folder: &Path) {
        for (entry, _) in self.list(folder) {
            if let Some(mut found) = self.found(&entry) {
                if !found.is_file {
                    found.bytes = self.tree(&found.path).0;
                }
                self.quarantine.push(found);
            }
        }
    }

    fn sessions(&mut self, root: &Path) {
        let tmp = tmp_folder(root);
        for (entry, name) in self.list(&tmp) {
            let (bytes, _) = self.tree(&entry.path());
            let session = session_of(&name).to_owned();
            let files = self.sessions.entry(session).or_default();
            files.bytes += bytes;
            if name != session_of(&name) && is_locked(&entry.path()) {
                files.is_alive = true;
            }
        }
    }

    /// The bytes of the files in a tree, and when something in it was last written.
    fn tree(&mut self, path: &Path) -> (u64, SystemTime) {
        let mut bytes = 0;
        let mut modified = SystemTime::UNIX_EPOCH;
        let mut left = vec![path.to_owned()];
        while let Some(path) = left.pop() {
            match fs::symlink_metadata(&path) {
                Err(error) => self.cannot_read(path, error),
                Ok(metadata) => {
                    modified = modified.max(metadata.modified().unwrap_or(modified));
                    if metadata.is_dir() {
                        left.extend(self.list(&path).into_iter().map(|(entry, _)| entry.path()));
                    } else {
                        bytes += metadata.len();
                    }
                }
            }
        }
        (bytes, modified)
    }

    fn found(&mut self, entry: &DirEntry) -> Option<Found> {
        let metadata = self.look(entry)?;
        Some(Found {
            path: entry.path(),
            is_file: metadata.is_file(),
            bytes: metadata.len(),
        })
    }

    fn look(&mut self, entry: &DirEntry) -> Option<Metadata> {
        entry
            .metadata()
            .map_err(|error| self.cannot_read(entry.path(), error))
            .ok()
    }

    /// What is in a folder, by name. What has a name that is no text is foreign everywhere.
    fn list(&mut self, folder: &Path) -> Vec<(DirEntry, String)> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                self.cannot_read(folder.to_owned(), error);
                return Vec::new();
            }
        };
        let mut listed = Vec::new();
        for entry in entries {
            match entry {
                Err(error) => self.cannot_read(folder.to_owned(), error),
                Ok(entry) => match entry.file_name().into_string() {
                    Ok(name) => listed.push((entry, name)),
                    Err(_) => self.foreign.push(entry.path()),
                },
            }
        }
        listed
    }

    fn cannot_read(&mut self, path: PathBuf, error: io::Error) {
        // Others may be at work: what has just gone was not there.
        if error.kind() != ErrorKind::NotFound {
            self.unreadable.push((path, error));
        }
    }
}

/// Whether someone holds the lock of an open file. A reader cannot know for certain without taking it for a moment,
/// which makes those who try at that moment go on elsewhere.
pub(crate) fn is_locked(path: &Path) -> bool {
    let is_file = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file());
    is_file
        && File::open(path)
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// The digest that a name of 64 lower-case hexadecimal digits stands for.
fn digest_of_name(name: &str) -> Option<Hash> {
    Hash::from_hex(name)
        .ok()
        .filter(|_| is_hexadecimal(name) && name.len() == 64)
}

fn is_hexadecimal(name: &str) -> bool {
    name.bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

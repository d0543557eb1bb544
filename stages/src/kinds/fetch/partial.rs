//! A download that survives the attempt that it was begun in.
//!
//! A folder holds `part`, the bytes so far, and `part.json`, which says of what: the URL and the validator that
//! lets a server tell whether the rest would go with them. A complete download is called `whole`. Power may fail
//! at any moment; the digest that all is held against in the end tells.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use llmcl_stages_api::task::TaskError;
use serde::{Deserialize, Serialize};

use super::disk;

const PART: &str = "part";
const NOTE: &str = "part.json";
const WHOLE: &str = "whole";

/// What `part.json` says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    url: String,
    /// A strong `ETag`, or else a `Last-Modified`, as the server wrote it.
    validator: Option<String>,
}

/// A download that is under way.
pub(super) struct Partial {
    folder: PathBuf,
    note: Note,
    length: u64,
    resumed: bool,
}

impl Partial {
    /// Looks at what there is of `url`; what is of another URL is dropped.
    pub(super) fn open(folder: &Path, url: &str) -> Result<Self, TaskError> {
        let note = fs::read(folder.join(NOTE))
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Note>(&bytes).ok())
            .filter(|note| note.url == url);
        let mut partial = Self {
            folder: folder.to_owned(),
            length: 0,
            resumed: false,
            note: Note {
                url: url.to_owned(),
                validator: None,
            },
        };
        let Some(note) = note else {
            partial.remove(WHOLE)?;
            partial.remove(PART)?;
            return Ok(partial);
        };
        partial.note = note;
        if partial.note.validator.is_some() {
            partial.length = fs::metadata(partial.folder.join(PART)).map_or(0, |meta| meta.len());
            partial.resumed = partial.length > 0;
        }
        Ok(partial)
    }

    /// The complete file, if an earlier attempt got so far.
    pub(super) fn whole(&self) -> Option<PathBuf> {
        Some(self.folder.join(WHOLE)).filter(|path| path.is_file())
    }

    /// How many bytes there are that the server can be asked to continue.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// What the bytes are of.
    pub(super) fn validator(&self) -> Option<&str> {
        self.note.validator.as_deref()
    }

    /// Whether some of the bytes came in an earlier attempt.
    pub(super) fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// Drops the bytes and begins anew.
    pub(super) fn restart(&mut self, validator: Option<String>) -> Result<(), TaskError> {
        self.remove(PART)?;
        self.length = 0;
        self.resumed = false;
        self.note.validator = validator;
        let path = self.folder.join(NOTE);
        let note = serde_json::to_vec(&self.note)
            .map_err(|error| disk(&path, &std::io::Error::other(error)))?;
        fs::write(&path, note).map_err(|error| disk(&path, &error))
    }

    /// Opens the bytes so far for more.
    pub(super) fn append(&self) -> Result<Appender, TaskError> {
        let path = self.folder.join(PART);
        let file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|error| disk(&path, &error))?;
        Ok(Appender {
            path,
            file,
            length: self.length,
        })
    }

    /// Says that nothing is missing.
    pub(super) fn complete(self) -> Result<PathBuf, TaskError> {
        let whole = self.folder.join(WHOLE);
        fs::rename(self.folder.join(PART), &whole).map_err(|error| disk(&whole, &error))?;
        Ok(whole)
    }

    fn remove(&self, name: &str) -> Result<(), TaskError> {
        let path = self.folder.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(disk(&path, &error)),
            _ => Ok(()),
        }
    }
}

/// Adds bytes to a download.
pub(super) struct Appender {
    path: PathBuf,
    file: File,
    length: u64,
}

impl Appender {
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<(), TaskError> {
        self.file
            .write_all(chunk)
            .map_err(|error| disk(&self.path, &error))?;
        self.length += chunk.len() as u64;
        Ok(())
    }

    /// How many bytes there are by now.
    pub(super) fn length(&self) -> u64 {
        self.length
    }
}

//! The files that an experiment is read from, and places in them.

use std::ops::Range;
use std::path::{Path, PathBuf};

/// The files behind an experiment: the experiment itself, its corpora, and what was set on the command line.
#[derive(Debug, Default)]
pub struct Sources {
    files: Vec<SourceFile>,
}

/// A text that was read.
#[derive(Debug)]
pub struct SourceFile {
    /// What messages call it: the path as it was given, or the option.
    pub name: String,
    /// Where it is; none for what was set on the command line.
    pub path: Option<PathBuf>,
    /// The folder that paths written in it are relative to.
    folder: PathBuf,
    /// Its text.
    pub text: String,
}

/// Which file of [`Sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(usize);

/// A run of bytes in a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The file.
    pub file: FileId,
    /// The first byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Place {
    /// Makes a place.
    #[must_use]
    pub fn new(file: FileId, span: Range<usize>) -> Self {
        Self {
            file,
            start: span.start,
            end: span.end,
        }
    }
}

impl Sources {
    /// Adds a text.
    pub fn add(&mut self, name: impl Into<String>, path: Option<PathBuf>, text: String) -> FileId {
        let folder = path.as_deref().and_then(Path::parent);
        let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new(".")).to_owned();
        self.push(SourceFile {
            name: name.into(),
            path,
            folder,
            text,
        })
    }

    /// Adds a text that was given beside a file, and in which relative paths mean the same.
    pub fn add_beside(&mut self, name: impl Into<String>, file: FileId, text: String) -> FileId {
        self.push(SourceFile {
            name: name.into(),
            path: None,
            folder: self.file(file).folder.clone(),
            text,
        })
    }

    fn push(&mut self, file: SourceFile) -> FileId {
        self.files.push(file);
        FileId(self.files.len() - 1)
    }

    /// The file.
    #[must_use]
    pub fn file(&self, id: FileId) -> &SourceFile {
        &self.files[id.0]
    }

    /// The texts that were read from files, with their paths.
    pub fn read_from_files(&self) -> impl Iterator<Item = (&Path, &str)> {
        let files = self.files.iter();
        files.filter_map(|file| Some((file.path.as_deref()?, file.text.as_str())))
    }

    /// A file that was read before from this path.
    #[must_use]
    pub fn find(&self, path: &Path) -> Option<FileId> {
        let same = |file: &SourceFile| file.path.as_deref() == Some(path);
        self.files.iter().position(same).map(FileId)
    }

    /// The folder that paths written in the file are relative to.
    #[must_use]
    pub fn folder(&self, id: FileId) -> &Path {
        &self.file(id).folder
    }

    /// The line of a place, counted from 1.
    #[must_use]
    pub fn line(&self, place: &Place) -> usize {
        let text = &self.file(place.file).text;
        let before = text.get(..place.start).unwrap_or(text);
        before.bytes().filter(|&byte| byte == b'\n').count() + 1
    }
}

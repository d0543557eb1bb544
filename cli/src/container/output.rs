//! Outputs that appear when they are complete, and not before.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempDir};

use crate::exit::Exit;
use crate::text::tell;

/// What output files are called until they are complete, with something random after it.
const PREFIX: &str = ".llmcl-";

/// A file that is being written.
pub(crate) struct OutputFile {
    file: BufWriter<NamedTempFile>,
    path: PathBuf,
    force: bool,
}

/// Tells why an output cannot be written.
pub(crate) fn not_written(path: &Path, error: &io::Error) -> Exit {
    tell(&format!("error: cannot write {}: {error}", path.display()));
    Exit::Store
}

fn exists(path: &Path) -> Exit {
    tell(&format!(
        "error: {} is there already; --force replaces it",
        path.display()
    ));
    Exit::Usage
}

/// The folder that an output is made in.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

impl OutputFile {
    /// Makes a file beside `path`, which must not be there unless `force` is set.
    pub(crate) fn create(path: &Path, force: bool) -> Result<OutputFile, Exit> {
        if path.exists() && !path.is_file() {
            tell(&format!("error: {} is no file", path.display()));
            return Err(Exit::Usage);
        }
        if !force && path.symlink_metadata().is_ok() {
            return Err(exists(path));
        }
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let file = builder
            .tempfile_in(folder_of(path))
            .map_err(|error| not_written(path, &error))?;
        Ok(OutputFile {
            file: BufWriter::with_capacity(1 << 20, file),
            path: path.to_owned(),
            force,
        })
    }

    /// Gives the file its name, when all of it has reached the disk.
    pub(crate) fn keep(self) -> Result<(), Exit> {
        let OutputFile { file, path, force } = self;
        let fail = |error: io::Error| not_written(&path, &error);
        let file = file
            .into_inner()
            .map_err(|error| fail(error.into_error()))?;
        file.as_file().sync_all().map_err(fail)?;
        let kept = match force {
            true => file.persist(&path),
            false => file.persist_noclobber(&path),
        };
        match kept {
            Ok(_) => sync_folder(folder_of(&path)).map_err(fail),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Err(exists(&path)),
            Err(error) => Err(fail(error.error)),
        }
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A folder that is being written.
pub(crate) struct OutputFolder {
    folder: TempDir,
    path: PathBuf,
    /// Folders within that files were made in.
    within: BTreeSet<PathBuf>,
}

fn not_empty(path: &Path) -> Exit {
    tell(&format!(
        "error: {} is there already and is no empty folder; nothing is removed to make room",
        path.display()
    ));
    Exit::Usage
}

impl OutputFolder {
    /// Makes a folder beside `path`, which must not be there unless it is an empty folder.
    pub(crate) fn create(path: &Path) -> Result<OutputFolder, Exit> {
        let mut path = path.to_owned();
        if path.symlink_metadata().is_ok() {
            let is_empty = fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_none());
            if !is_empty {
                return Err(not_empty(&path));
            }
            // It may be a link, or the folder that this process works in.
            path = fs::canonicalize(&path).map_err(|error| not_written(&path, &error))?;
        }
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
        let folder = builder
            .tempdir_in(folder_of(&path))
            .map_err(|error| not_written(&path, &error))?;
        Ok(OutputFolder {
            folder,
            path,
            within: BTreeSet::new(),
        })
    }

    /// Makes a file in it.
    pub(crate) fn file(&mut self, name: &str) -> io::Result<File> {
        let path = self.folder.path().join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
            let above = folder
                .ancestors()
                .take_while(|above| *above != self.folder.path());
            self.within.extend(above.map(Path::to_owned));
        }
        File::create_new(path)
    }

    /// Gives the folder its name, when all of it has reached the disk.
    pub(crate) fn keep(self) -> Result<(), Exit> {
        let OutputFolder {
            folder,
            path,
            within,
        } = self;
        let fail = |error: io::Error| not_written(&path, &error);
        for within in &within {
            sync_folder(within).map_err(fail)?;
        }
        sync_folder(folder.path()).map_err(fail)?;
        match fs::rename(folder.path(), &path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                return Err(not_empty(&path));
            }
            Err(error) => return Err(fail(error)),
        }
        // It has another name now.
        let _ = folder.keep();
        sync_folder(folder_of(&path)).map_err(fail)
    }
}

/// Makes names last.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

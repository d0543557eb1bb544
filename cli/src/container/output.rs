//! Outputs that appear when they are complete, and not before.

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
        if path.is_dir() {
            tell(&format!("error: {} is a folder", path.display()));
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
    force: bool,
}

impl OutputFolder {
    /// Makes a folder beside `path`, which must not be there unless it is empty or `force` is set.
    pub(crate) fn create(path: &Path, force: bool) -> Result<OutputFolder, Exit> {
        let is_empty = || fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
        if !force && path.symlink_metadata().is_ok() && !is_empty() {
            return Err(exists(path));
        }
        if path.symlink_metadata().is_ok() && !path.is_dir() {
            tell(&format!("error: {} is no folder", path.display()));
            return Err(Exit::Usage);
        }
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
        let folder = builder
            .tempdir_in(folder_of(path))
            .map_err(|error| not_written(path, &error))?;
        Ok(OutputFolder {
            folder,
            path: path.to_owned(),
            force,
        })
    }

    /// Makes a file in it.
    pub(crate) fn file(&self, name: &str) -> io::Result<File> {
        let path = self.folder.path().join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        File::create_new(path)
    }

    /// Gives the folder its name.
    pub(crate) fn keep(self) -> Result<(), Exit> {
        let OutputFolder {
            folder,
            path,
            force,
        } = self;
        let fail = |error: io::Error| not_written(&path, &error);
        if force && path.is_dir() {
            // What was there goes where the new one was, and with it.
            let aside = folder.path().with_extension("old");
            fs::rename(&path, &aside).map_err(fail)?;
            let renamed = fs::rename(folder.path(), &path);
            if let Err(error) = renamed {
                fs::rename(&aside, &path).map_err(fail)?;
                return Err(fail(error));
            }
            fs::remove_dir_all(&aside).map_err(fail)?;
        } else {
            match fs::rename(folder.path(), &path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                    return Err(exists(&path));
                }
                Err(error) => return Err(fail(error)),
            }
        }
        // It has another name now.
        let _ = folder.keep();
        sync_folder(folder_of(&path)).map_err(fail)
    }
}

/// Makes names last.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

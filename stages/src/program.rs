//! Finds programs and tells which ones they are.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use blake3::{Hash, Hasher};
use llmcl_stages_api::machine::{Fact, FactSort};
use llmcl_stages_api::task::{TaskError, TaskErrorKind};
use llmcl_stages_api::value::Value;

/// Where programs are looked for if this process has no `PATH`.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The digest of the program of a name.
pub static PROGRAM: FactSort = FactSort {
    name: "program",
    find: |name| {
        let path = located(name)?;
        let digest = digest(&path).map_err(|error| {
            TaskError::new(
                TaskErrorKind::Outside,
                format!("{}: {error}", path.display()),
            )
        })?;
        Ok(Value::Text(digest.to_hex().to_string()))
    },
};

/// The fact that the program of this name is the one that it is.
#[must_use]
pub fn fact(name: &str) -> Fact {
    Fact {
        sort: &PROGRAM,
        name: name.to_owned(),
    }
}

/// Where programs are looked for: `PATH`.
#[must_use]
pub fn search_path() -> OsString {
    env::var_os("PATH").unwrap_or_else(|| PATH.into())
}

/// Finds the file of a program, as [`find`] does, in [`search_path`].
///
/// # Errors
/// If there is none.
pub fn located(name: &str) -> Result<PathBuf, TaskError> {
    find(name, &search_path()).ok_or_else(|| {
        TaskError::new(
            TaskErrorKind::Outside,
            format!("there is no program `{name}`"),
        )
        .with_hint("install it, or give its full path")
    })
}

/// Tells whether a program name is a path below the working folder, and so something that was put there.
#[must_use]
pub fn is_relative(name: &str) -> bool {
    name.contains('/') && !name.starts_with('/')
}

/// What a file was when its digest was taken: device, inode, size, and time of last change with its nanoseconds.
type Identity = (u64, u64, u64, i64, i64);

/// Finds the file that a program name stands for: a path as it is, a bare name in the folders of `search`, which
/// has the form of `PATH`.
#[must_use]
pub fn find(name: &str, search: &OsStr) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|path| is_program(path));
    }
    std::env::split_paths(search)
        .map(|folder| folder.join(name))
        .find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Returns the BLAKE3 digest of a program's file.
///
/// It is taken once in the life of this process, and again if the file's size, time or inode has changed.
///
/// # Errors
/// If the file cannot be read.
pub fn digest(path: &Path) -> io::Result<Hash> {
    static KNOWN: Mutex<BTreeMap<Identity, Hash>> = Mutex::new(BTreeMap::new());
    let meta = fs::metadata(path)?;
    let identity = (
        meta.dev(),
        meta.ino(),
        meta.size(),
        meta.mtime(),
        meta.mtime_nsec(),
    );
    if let Some(known) = KNOWN
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get(&identity)
    {
        return Ok(*known);
    }
    // The lock is not held meanwhile: two tasks may both read the file, and find the same.
    let mut hasher = Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    let digest = hasher.finalize();
    KNOWN
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(identity, digest);
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_program_has_another_digest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tool");
        fs::write(&path, "#!/bin/sh\n").unwrap();
        assert_eq!(
            find("tool", folder.path().as_os_str()),
            None,
            "not executable"
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find("tool", folder.path().as_os_str()), Some(path.clone()));
        let first = digest(&path).unwrap();
        assert_eq!(first, digest(&path).unwrap());
        fs::write(&path, "#!/bin/sh\nexit 1\n").unwrap();
        assert_ne!(first, digest(&path).unwrap());
    }
}

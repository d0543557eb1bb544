//! The folders in which a program of somebody else's is run, and what it is told.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use llmcl_stages_api::artifact::BlobRef;
use llmcl_stages_api::task::{Host, TaskError, TaskErrorKind};

use crate::program;

/// The folders of a program that runs.
pub struct Folders {
    /// The working folder.
    pub work: PathBuf,
    /// `HOME`: empty, so that no settings of the user's come in.
    pub home: PathBuf,
    /// `TMPDIR`.
    pub tmp: PathBuf,
}

impl Folders {
    /// What they are called in the folder that holds them.
    pub const NAMES: [&str; 3] = ["work", "home", "tmp"];

    /// Those in a folder.
    #[must_use]
    pub fn of(root: &Path) -> Self {
        let [work, home, tmp] = Self::NAMES.map(|name| root.join(name));
        Self { work, home, tmp }
    }

    /// A command that runs a program here, with its declared environment and little more. A bare name is looked for in
    /// `PATH`; a relative path is a file of the working folder.
    ///
    /// # Errors
    /// If there is no such program.
    pub fn command(
        &self,
        name: &str,
        arguments: &[String],
        env: &BTreeMap<String, String>,
    ) -> Result<Command, TaskError> {
        let program = if program::is_relative(name) {
            self.work.join(name)
        } else {
            program::located(name)?
        };
        let mut command = Command::new(program);
        command
            .arg0(name)
            .args(arguments)
            .current_dir(&self.work)
            .env_clear()
            .env("PATH", program::search_path())
            .env("HOME", &self.home)
            .env("TMPDIR", &self.tmp)
            .env("LANG", "C.UTF-8")
            .env("TZ", "UTC")
            .envs(env);
        Ok(command)
    }
}

/// Puts a blob into a file, and makes the folders that it is in.
///
/// It is a copy: a program that runs as root may write to a read-only file, and must never reach the store's own.
/// Where the file system can share blocks between files, a copy costs next to nothing.
///
/// # Errors
/// If the blob cannot be opened or the file not written.
pub fn put(host: &dyn Host, path: &Path, blob: BlobRef, mode: u32) -> Result<(), TaskError> {
    let failed = |error| disk(path, &error);
    let content = host.blob(blob)?;
    let put = || match content.path() {
        Some(source) => fs::copy(source, path).map(drop),
        None => fs::write(path, content.bytes()),
    };
    match put() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let parent = path.parent().unwrap_or(path);
            fs::create_dir_all(parent).and_then(|()| put())
        }
        result => result,
    }
    .map_err(failed)?;
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)
}

/// An error of the disk.
#[must_use]
pub fn disk(path: &Path, error: &io::Error) -> TaskError {
    TaskError::new(TaskErrorKind::Store, format!("{}: {error}", path.display()))
}

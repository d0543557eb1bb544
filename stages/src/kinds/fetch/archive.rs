//! Members of zip archives. A wheel is one.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

use llmcl_stages_api::task::{Host, TaskError};
use zip::ZipArchive;
use zip::result::ZipError;

use super::intake::pump;
use super::{disk, outside};

/// A member of an archive.
pub(super) struct Member {
    pub(super) archive: PathBuf,
    pub(super) name: String,
}

impl Member {
    fn open(&self) -> Result<ZipArchive<BufReader<File>>, TaskError> {
        let file = File::open(&self.archive).map_err(|error| disk(&self.archive, &error))?;
        ZipArchive::new(BufReader::new(file)).map_err(|error| self.failed(error))
    }

    /// How long the archive says that the member is.
    fn declared(&self) -> Result<u64, TaskError> {
        let mut archive = self.open()?;
        let member = archive
            .by_name(&self.name)
            .map_err(|error| self.failed(error))?;
        Ok(member.size())
    }

    /// Unpacks the member, and no more of it than the archive says that there is.
    pub(super) fn pour(
        &self,
        out: &mut dyn FnMut(&[u8]) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        let mut archive = self.open()?;
        let member = archive
            .by_name(&self.name)
            .map_err(|error| self.failed(error))?;
        let declared = member.size();
        let mut poured = 0;
        pump(
            &mut member.take(declared.saturating_add(1)),
            &|error| self.failed(ZipError::Io(error)),
            &mut |chunk| {
                poured += chunk.len() as u64;
                if poured > declared {
                    return Err(self.wrong("is longer than the archive says"));
                }
                out(chunk)
            },
        )?;
        if poured < declared {
            return Err(self.wrong("is shorter than the archive says"));
        }
        Ok(())
    }

    fn failed(&self, error: ZipError) -> TaskError {
        match error {
            ZipError::FileNotFound => self.wrong("is not in the archive"),
            ZipError::Io(error) => self.wrong(&format!("could not be unpacked: {error}")),
            error => self.wrong(&format!("could not be unpacked: {error}")),
        }
    }

    fn wrong(&self, problem: &str) -> TaskError {
        let archive = self
            .archive
            .file_name()
            .unwrap_or(self.archive.as_os_str())
            .to_string_lossy();
        outside(format!(
            "the member `{}` of `{archive}` {problem}",
            self.name
        ))
    }
}

/// Holds the lengths that archives declare against the length of the file that their members make.
pub(super) fn check_sizes(members: &[Member], bytes: u64) -> Result<(), TaskError> {
    let mut declared = 0_u64;
    for member in members {
        declared = declared.saturating_add(member.declared()?);
    }
    if declared == bytes {
        return Ok(());
    }
    let names: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
    Err(outside(format!(
        "expected {bytes} bytes by the corpus file, found {declared} in {}",
        names.join(" + ")
    )))
}

/// Joins members to one file.
pub(super) fn join(members: &[Member], path: &Path, host: &dyn Host) -> Result<(), TaskError> {
    let mut file = File::create(path).map_err(|error| disk(path, &error))?;
    members.iter().try_for_each(|member| {
        member.pour(&mut |chunk| {
            host.checkpoint()?;
            file.write_all(chunk).map_err(|error| disk(path, &error))
        })
    })
}

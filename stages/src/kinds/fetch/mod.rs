//! `fetch`: brings the files of a model into the store.
//!
//! Where the bytes come from does not matter to what comes out: each file is held against the SHA-256 in the
//! corpus file while it streams into the store, and the sources are not in the key.

mod archive;
mod gauge;
mod http;
mod hub;
mod intake;
mod local;
mod model;
mod params;
mod partial;
mod pip;
mod surroundings;
mod url;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use llmcl_stages_api::artifact::{Artifact, ArtifactFile, BlobRef};
use llmcl_stages_api::kind::{Check, ProblemKind, StageKind};
use llmcl_stages_api::param::{Param, Params};
use llmcl_stages_api::port::{InputPorts, OutputPort, PortType};
use llmcl_stages_api::table::Schema;
use llmcl_stages_api::task::{
    Host, Needs, Outputs, Outside, TaskContext, TaskError, TaskErrorKind,
};
use llmcl_stages_api::value::Value;

pub use surroundings::{Patience, Surroundings};

use archive::Member;
use gauge::Gauge;
use http::Request;
use intake::Intake;
use model::{Model, ModelFile, Source};

/// How often an attempt that failed in a way that may pass is tried again. What has arrived is kept in between.
const RETRIES: u32 = 4;

/// After how long an attempt is ended: a slow line needs hours for a large model.
const TIME_LIMIT: Duration = Duration::from_secs(12 * 60 * 60);

/// What a task needs beside the store's own buffers: a few buffers, and the directory of an archive.
const MEMORY: u64 = 32 << 20;

/// The port that the files come out of.
const FILE: &str = "file";

/// The stage kind.
pub static KIND: Fetch = Fetch { surroundings: None };

/// The stage kind `fetch`.
pub struct Fetch {
    surroundings: Option<Surroundings>,
}

impl Fetch {
    /// Makes one that uses these surroundings in place of those of the process.
    #[must_use]
    pub fn within(surroundings: Surroundings) -> Self {
        Self {
            surroundings: Some(surroundings),
        }
    }
}

impl StageKind for Fetch {
    fn name(&self) -> &'static str {
        "fetch"
    }

    fn about(&self) -> &'static str {
        "Brings the files of a model into the store and holds them against their SHA-256."
    }

    fn leaves(&self) -> &'static [&'static str] {
        &["stages/src/kinds/fetch"]
    }

    fn params(&self) -> &'static [Param] {
        params::PARAMS
    }

    fn inputs(&self) -> InputPorts {
        InputPorts {
            fixed: &[],
            open: None,
            one_of: &[],
        }
    }

    fn outputs(&self) -> &'static [OutputPort] {
        &[OutputPort {
            name: FILE,
            ty: PortType::File,
            volatile: false,
            about: "The files of the model under the names that the corpus gives them.",
        }]
    }

    fn check(&self, check: &mut Check<'_>) {
        for value in check.values(params::MODEL) {
            if is_pinned(value) {
                for fault in model::read(value).err().unwrap_or_default() {
                    let mut path = vec![params::MODEL];
                    path.extend(fault.path.iter().map(String::as_str));
                    let message = match value.field("name").as_text() {
                        Some(name) => format!("{} (of the model `{name}`)", fault.message),
                        None => fault.message.clone(),
                    };
                    check.problem(
                        &path,
                        ProblemKind::Value {
                            message,
                            help: fault.help.map(str::to_owned),
                        },
                    );
                }
            }
        }
        check.output(FILE, PortType::File, Schema::default(), false);
    }

    fn ready(&self, params: &Params) -> Result<(), TaskError> {
        let value = params.get(params::MODEL);
        if is_pinned(value) {
            return Ok(());
        }
        let name = value.field("name").as_text().unwrap_or("the model");
        let place = match value.field("hf").field("repo").as_text() {
            Some(repo) => format!(" of the hub repository `{repo}`, at a full commit,"),
            None => String::new(),
        };
        Err(TaskError::new(
            TaskErrorKind::Outside,
            format!(
                "`{name}` is not pinned: its corpus file gives no SHA-256 to hold its files against"
            ),
        )
        .with_hint(format!(
            "describe each of its files{place} by a [[model.file]] with name, bytes, sha256 and source, and take \
             `pinned = false` out; or leave the model out with a `where` on the axis"
        )))
    }

    fn needs(&self, _params: &Params, _input_bytes: u64) -> Needs {
        Needs {
            memory: MEMORY,
            exclusive: false,
            outside: Some(Outside {
                retries: RETRIES,
                time_limit: Some(TIME_LIMIT),
            }),
        }
    }

    fn run(&self, task: &TaskContext<'_>) -> Result<Outputs, TaskError> {
        self.ready(task.params)?;
        let model = model::read(task.params.get(params::MODEL))
            .map_err(|faults| TaskError::input(model::sentence(&faults)))?;
        let from_process;
        let surroundings = match &self.surroundings {
            Some(surroundings) => surroundings,
            None => {
                from_process = Surroundings::of_process();
                &from_process
            }
        };
        let fetching = Fetching {
            host: task.host,
            surroundings,
            model: &model,
        };
        let artifact = fetching.all()?;
        Ok(Outputs::from([(FILE.to_owned(), artifact)]))
    }
}

/// Tells whether there is something to hold the model's files against.
fn is_pinned(model: &Value) -> bool {
    let files = model.field("file").as_list().unwrap_or_default();
    model.field("pinned").as_bool() != Some(false) && !files.is_empty()
}

/// A model that is being fetched.
struct Fetching<'a> {
    host: &'a dyn Host,
    surroundings: &'a Surroundings,
    model: &'a Model,
}

/// Bytes that are at hand.
enum Held {
    /// A file as it is.
    File {
        path: PathBuf,
        /// Whether some of it came in an earlier attempt, so that it may be of two versions.
        resumed: bool,
    },
    /// Members of archives, one after the other.
    Members(Vec<Member>),
}

impl Fetching<'_> {
    fn all(&self) -> Result<Artifact, TaskError> {
        let total = self.model.files.iter().fold(0_u64, |total, file| {
            let transfers = 1 + u64::from(file.source.is_remote());
            total.saturating_add(file.bytes.saturating_mul(transfers))
        });
        let mut gauge = Gauge::new(self.host, total);
        let kept = self.host.resumable()?;
        let mut files = Vec::with_capacity(self.model.files.len());
        for (index, file) in self.model.files.iter().enumerate() {
            let folder = kept.join(index.to_string());
            fs::create_dir_all(&folder).map_err(|error| disk(&folder, &error))?;
            files.push(ArtifactFile {
                name: file.name.clone(),
                blob: self.one(file, &folder, &mut gauge)?,
            });
        }
        Ok(Artifact::new(files, Vec::new()))
    }

    /// Fetches one file; `folder` keeps what has arrived of it from one attempt to the next.
    fn one(
        &self,
        file: &ModelFile,
        folder: &Path,
        gauge: &mut Gauge<'_>,
    ) -> Result<BlobRef, TaskError> {
        let held = self.obtain(file, folder, gauge)?;
        if file.source.is_remote() {
            gauge.advance(file.bytes);
        }
        let Some(member) = &file.archive else {
            return self.take_in(file, &held, folder, gauge);
        };
        // Only a file can be an archive: its directory is at its end.
        let joined;
        let archive = match held {
            Held::File { path, .. } => path,
            Held::Members(parts) => {
                joined = self.host.scratch(&[])?;
                let path = (*joined).as_ref().join("joined");
                archive::join(&parts, &path, self.host)?;
                path
            }
        };
        let member = Member {
            archive,
            name: member.clone(),
        };
        self.take_in(file, &Held::Members(vec![member]), folder, gauge)
    }

    /// Gets hold of what the source yields.
    fn obtain(
        &self,
        file: &ModelFile,
        folder: &Path,
        gauge: &mut Gauge<'_>,
    ) -> Result<Held, TaskError> {
        // What the source yields is the file itself, so that its length and digest are known beforehand.
        let whole = file.archive.is_none();
        let request = |url: String| Request {
            url,
            weight: file.bytes,
            bearer: None,
            bytes: whole.then_some(file.bytes),
            sha256: None,
        };
        match &file.source {
            Source::Pip(wheels) => pip::download(
                self.host,
                self.surroundings,
                wheels,
                file.bytes,
                folder,
                gauge,
            )
            .map(Held::Members),
            Source::Url(url) => http::download(
                self.host,
                self.surroundings,
                &request(url.clone()),
                folder,
                gauge,
            ),
            Source::Hub(place) => {
                let request = Request {
                    bearer: hub::bearer(self.surroundings),
                    sha256: whole.then_some(file.sha256),
                    ..request(hub::url(self.surroundings, place))
                };
                http::download(self.host, self.surroundings, &request, folder, gauge)
            }
            Source::Path(path) => Ok(Held::File {
                path: path.clone(),
                resumed: false,
            }),
        }
    }

    /// Streams what is at hand into the store, and keeps nothing of it if it is not the file.
    fn take_in(
        &self,
        file: &ModelFile,
        held: &Held,
        folder: &Path,
        gauge: &mut Gauge<'_>,
    ) -> Result<BlobRef, TaskError> {
        let mut intake = Intake::new(self.host, file)?;
        let poured = match held {
            Held::File { path, .. } if !file.source.is_remote() => {
                local::pour(path, &mut intake, gauge)
            }
            Held::File { path, .. } => intake::pour_file(path, &mut intake, gauge),
            Held::Members(members) => archive::check_sizes(members, file.bytes).and_then(|()| {
                members
                    .iter()
                    .try_for_each(|member| member.pour(&mut |chunk| intake.push(chunk, gauge)))
            }),
        };
        let taken = poured.and_then(|()| intake.finish());
        let error = match taken {
            Ok(blob) => {
                gauge.advance(file.bytes);
                return Ok(blob);
            }
            Err(error) => error,
        };
        if error.kind != TaskErrorKind::Outside {
            return Err(error);
        }
        // What arrived is not what it should be: nothing of it is worth keeping.
        fs::remove_dir_all(folder).map_err(|error| disk(folder, &error))?;
        if matches!(held, Held::File { resumed: true, .. }) {
            return Err(TaskError {
                kind: TaskErrorKind::Passing,
                message: format!(
                    "{}; it arrived in pieces, so it is fetched anew",
                    error.message
                ),
                hint: None,
            });
        }
        Err(error)
    }
}

/// An error of the disk.
fn disk(path: &Path, error: &std::io::Error) -> TaskError {
    TaskError::new(TaskErrorKind::Store, format!("{}: {error}", path.display()))
}

/// An error of something outside that stays.
fn outside(message: impl Into<String>) -> TaskError {
    TaskError::new(TaskErrorKind::Outside, message)
}

/// An error of something outside that may pass.
fn passing(message: impl Into<String>) -> TaskError {
    TaskError::new(TaskErrorKind::Passing, message)
}

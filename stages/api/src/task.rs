//! One task at work: what it is given, and what it may ask of the engine.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use blake3::Hash;

use crate::artifact::{Artifact, ArtifactFile, BlobRef};
use crate::expr::AxisFields;
use crate::outcome::{self, Outcome};
use crate::param::Params;
use crate::table::{Schema, Table, TableBuilder};
use crate::tensors::{self, TensorSet};
use crate::value::Value;

/// What a task is given.
pub struct TaskContext<'a> {
    /// The parameters, with defaults and axis values put in.
    pub params: &'a Params,
    /// The artifacts at each port. A port that was left out, or whose input is absent, is not there.
    pub inputs: &'a BTreeMap<String, Vec<Member>>,
    /// The fields of axis values that this stage reads.
    pub axis_fields: &'a AxisFields,
    /// The engine.
    pub host: &'a dyn Host,
}

/// One member of a gathered input; a joined input has one.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// What it is called in reports: the title of its stage, else its kind.
    pub title: String,
    /// The value that it has on each axis of its stage: the axis and the value's label.
    pub labels: Vec<(String, Value)>,
    /// What is there.
    pub state: MemberState,
}

/// Whether a member of an input is there.
#[derive(Debug, Clone, PartialEq)]
pub enum MemberState {
    /// It is there.
    Present(Artifact),
    /// A gate ruled it out. Only a stage with `pruned = "report"` sees this.
    Pruned(PruneReason),
}

/// Why a task was pruned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PruneReason {
    /// The title of the gate, or `gate` where it has none.
    pub gate: String,
    /// Its outcome.
    pub outcome: String,
}

/// What the engine does for a task.
pub trait Host: Sync {
    /// Opens a blob of one of the task's inputs. Its content has been held against its digest.
    ///
    /// # Errors
    /// If the blob is missing or damaged.
    fn blob(&self, blob: BlobRef) -> Result<Blob, TaskError>;

    /// Starts a new blob of unknown length.
    ///
    /// # Errors
    /// If the store cannot be written.
    fn write(&self) -> Result<Box<dyn BlobSink + '_>, TaskError>;

    /// Stores a few bytes, which are kept in the record itself if they are few enough.
    ///
    /// # Errors
    /// If the store cannot be written.
    fn put(&self, bytes: &[u8]) -> Result<BlobRef, TaskError>;

    /// Takes a file of a scratch folder as a blob, which spares writing it again. It is gone from there. Nobody may
    /// write to it any more.
    ///
    /// # Errors
    /// If it cannot be read, the store cannot be written, or the task is to stop.
    fn take_file(&self, path: &Path) -> Result<BlobRef, TaskError>;

    /// Makes a folder that only this task uses and that is gone after it, with these empty folders in it.
    /// They are paths in it; one that lies in another stands after that.
    ///
    /// # Errors
    /// If it cannot be made.
    fn scratch(&self, inner: &[&str]) -> Result<Box<dyn AsRef<Path> + Send + Sync>, TaskError>;

    /// Returns a folder that survives failed and interrupted attempts at the same key, and goes with success.
    ///
    /// # Errors
    /// If it cannot be made.
    fn resumable(&self) -> Result<Box<Path>, TaskError>;

    /// Tells how far the task is, for the progress display. `total` is none where it is not known.
    fn progress(&self, done: u64, total: Option<u64>);

    /// Returns an error if the run is being stopped or the task's time is up. Long work asks often.
    ///
    /// # Errors
    /// [`TaskErrorKind::Cancelled`] or [`TaskErrorKind::TimedOut`].
    fn checkpoint(&self) -> Result<(), TaskError>;

    /// When the task's time is up; none without a limit.
    fn deadline(&self) -> Option<Instant>;

    /// A fresh process of this program that runs `worker` and nothing else; see the `verify` kind.
    fn worker(&self, worker: &str) -> Command;
}

/// A blob that is being written.
pub trait BlobSink: Write + Send {
    /// Ends the blob: it is durable when this returns. Dropped before, it leaves nothing.
    ///
    /// # Errors
    /// If the store cannot be written.
    fn finish(self: Box<Self>) -> Result<BlobRef, TaskError>;
}

/// The content of a blob, mapped or in memory.
#[derive(Clone)]
pub struct Blob {
    bytes: Arc<dyn AsRef<[u8]> + Send + Sync>,
    path: Option<Arc<Path>>,
}

impl Blob {
    /// Wraps the content, and the read-only file that holds it if there is one.
    #[must_use]
    pub fn new(bytes: Arc<dyn AsRef<[u8]> + Send + Sync>, path: Option<Arc<Path>>) -> Self {
        Self { bytes, path }
    }

    /// The content.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        (*self.bytes).as_ref()
    }

    /// The file in the store, if the blob is one. It must not be written to.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}

/// What a task needs of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// Working memory beside mapped blobs, in bytes.
    pub memory: u64,
    /// Whether it must be alone on the machine.
    pub exclusive: bool,
    /// What holds for a task that touches the outside.
    pub outside: Option<Outside>,
}

impl Needs {
    /// One CPU slot and this much memory.
    #[must_use]
    pub fn memory(bytes: u64) -> Self {
        Self {
            memory: bytes,
            exclusive: false,
            outside: None,
        }
    }
}

/// Retries and time limit of a task that touches the outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outside {
    /// How often a failed attempt is tried again, with a growing pause.
    pub retries: u32,
    /// After how long an attempt is ended.
    pub time_limit: Option<Duration>,
}

/// What a task put out, port by port.
pub type Outputs = BTreeMap<String, Artifact>;

/// Why a task failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct TaskError {
    /// What sort of failure it is.
    pub kind: TaskErrorKind,
    /// What went wrong, and where.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// What sort of failure a task had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskErrorKind {
    /// The input is not what it should be.
    Input,
    /// Something outside failed in a way that may pass: it is tried again.
    Passing,
    /// Something outside failed for good: not found, not allowed, wrong content.
    Outside,
    /// A check on a result failed: a round trip, a digest.
    Mismatch,
    /// The store or the disk failed.
    Store,
    /// The run is being stopped.
    Cancelled,
    /// The task's time was up.
    TimedOut,
}

impl TaskError {
    /// Makes an error.
    #[must_use]
    pub fn new(kind: TaskErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
        }
    }

    /// Makes an error about an input.
    #[must_use]
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(TaskErrorKind::Input, message)
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl TaskContext<'_> {
    /// The members at a port; none where the port was left out.
    #[must_use]
    pub fn members(&self, port: &str) -> &[Member] {
        self.inputs.get(port).map(Vec::as_slice).unwrap_or_default()
    }

    /// The one artifact at a port.
    ///
    /// # Errors
    /// If there is none.
    pub fn artifact(&self, port: &str) -> Result<&Artifact, TaskError> {
        self.optional_artifact(port)
            .ok_or_else(|| TaskError::input(format!("nothing came in at the port `{port}`")))
    }

    /// The one artifact at a port, if there is one.
    #[must_use]
    pub fn optional_artifact(&self, port: &str) -> Option<&Artifact> {
        self.members(port)
            .iter()
            .find_map(|member| match &member.state {
                MemberState::Present(artifact) => Some(artifact),
                MemberState::Pruned(_) => None,
            })
    }

    /// Opens a file of an artifact.
    ///
    /// # Errors
    /// If the artifact has no such file, or it cannot be opened.
    pub fn open(&self, artifact: &Artifact, name: &str) -> Result<Blob, TaskError> {
        let blob = artifact
            .file(name)
            .ok_or_else(|| TaskError::input(format!("the artifact has no file `{name}`")))?;
        self.host.blob(blob)
    }

    /// Reads the tensor set at a port.
    ///
    /// # Errors
    /// If it is not there or cannot be read.
    pub fn tensors(&self, port: &str) -> Result<TensorSet, TaskError> {
        self.tensor_set(self.artifact(port)?)
    }

    /// Reads a tensor set.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn tensor_set(&self, artifact: &Artifact) -> Result<TensorSet, TaskError> {
        let blob = self.open(artifact, tensors::FILE)?;
        let set: TensorSet = serde_json::from_slice(blob.bytes())
            .map_err(|error| TaskError::input(format!("{}: {error}", tensors::FILE)))?;
        if set.version != 1 {
            return Err(TaskError::input(format!(
                "{} has version {}, this program reads version 1",
                tensors::FILE,
                set.version
            )));
        }
        Ok(set)
    }

    /// Reads the outcome of one member.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn outcome(&self, artifact: &Artifact) -> Result<Outcome, TaskError> {
        let blob = self.open(artifact, outcome::FILE)?;
        serde_json::from_slice(blob.bytes())
            .map_err(|error| TaskError::input(format!("{}: {error}", outcome::FILE)))
    }

    /// Reads all tables at a port as one: their rows in order, with a column for each axis of their stage.
    ///
    /// # Errors
    /// If a table cannot be read, or columns of the same name do not go together.
    pub fn table(&self, port: &str) -> Result<Table, TaskError> {
        self.union(self.members(port))
    }

    /// Reads the tables of some members as one, as [`TaskContext::table`] does with all members at a port.
    ///
    /// Pruned members have no rows. Where no member is there, the table is empty and nothing is known of its
    /// columns.
    ///
    /// # Errors
    /// If a table cannot be read, or columns of the same name do not go together.
    pub fn union(&self, members: &[Member]) -> Result<Table, TaskError> {
        let mut whole: Option<Table> = None;
        for member in members {
            let MemberState::Present(artifact) = &member.state else {
                continue;
            };
            let mut table = self.table_file(artifact)?;
            for (axis, label) in &member.labels {
                if table.schema().column(axis).is_none() {
                    table
                        .add_constant(axis, label.clone())
                        .map_err(|error| TaskError::input(error.to_string()))?;
                }
            }
            match &mut whole {
                Some(whole) => whole
                    .append(table)
                    .map_err(|error| TaskError::input(error.to_string()))?,
                None => whole = Some(table),
            }
        }
        let unknown = || TableBuilder::new(&Schema::default().open()).finish();
        Ok(whole.unwrap_or_else(unknown))
    }

    fn table_file(&self, artifact: &Artifact) -> Result<Table, TaskError> {
        let file = artifact
            .files()
            .iter()
            .find(|file| file.name.ends_with(crate::table::EXTENSION))
            .ok_or_else(|| TaskError::input("the artifact holds no table"))?;
        let blob = self.host.blob(file.blob)?;
        Table::read(blob.bytes())
            .map_err(|error| TaskError::input(format!("{}: {error}", file.name)))
    }

    /// Stores a table as `<name>.jsonl.zst`.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn put_table(&self, name: &str, table: &Table) -> Result<Artifact, TaskError> {
        let mut bytes = Vec::new();
        table
            .write(&mut bytes)
            .map_err(|error| TaskError::new(TaskErrorKind::Store, format!("{name}: {error}")))?;
        let blob = self.host.put(&bytes)?;
        Ok(Artifact::single(
            format!("{name}{}", crate::table::EXTENSION),
            blob,
        ))
    }

    /// Stores the rows of a builder as `<name>.jsonl.zst`.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn put_rows(&self, name: &str, rows: TableBuilder) -> Result<Artifact, TaskError> {
        self.put_table(name, &rows.finish())
    }

    /// Stores a value as a JSON file.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn put_json<T: serde::Serialize>(
        &self,
        name: &str,
        value: &T,
    ) -> Result<ArtifactFile, TaskError> {
        let mut bytes = serde_json::to_vec_pretty(value)
            .map_err(|error| TaskError::new(TaskErrorKind::Store, format!("{name}: {error}")))?;
        bytes.push(b'\n');
        Ok(ArtifactFile {
            name: name.to_owned(),
            blob: self.host.put(&bytes)?,
        })
    }

    /// Stores a tensor set.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn put_tensors(&self, set: &TensorSet) -> Result<Artifact, TaskError> {
        let file = self.put_json(tensors::FILE, set)?;
        Ok(set.artifact(file.blob))
    }
}

/// The digest of a tensor or another run of bytes: BLAKE3.
#[must_use]
pub fn digest(bytes: &[u8]) -> Hash {
    blake3::hash(bytes)
}

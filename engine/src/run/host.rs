//! What the engine does for a task at work.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use blake3::Hash;
use llmcl_cache::{BlobError, BlobWriter, Scratch, Store};
use llmcl_stages_api::artifact::BlobRef;
use llmcl_stages_api::task::{Blob, BlobSink, Host, TaskError, TaskErrorKind};

use super::job::{Message, News};
use super::{RunControl, WorkerProgram};
use crate::model::TaskId;
use crate::outputs::from_store;

/// Up to this size, what a task puts is kept inside its record.
const MOST_INLINE_BYTES: usize = 4096;
/// The least time between two progress events of a task.
const PROGRESS_PAUSE: Duration = Duration::from_millis(100);

/// The engine, as one attempt of a task sees it.
pub(super) struct TaskHost<'a> {
    pub(super) task: TaskId,
    pub(super) key: Hash,
    pub(super) store: &'a Store,
    pub(super) control: &'a RunControl,
    pub(super) worker: &'a WorkerProgram,
    pub(super) deadline: Option<Instant>,
    pub(super) messages: Sender<Message>,
    state: State,
}

/// What an attempt leaves behind besides its outputs.
#[derive(Default)]
pub(super) struct State {
    /// Small blobs for the record.
    inline: Mutex<HashMap<Hash, Arc<[u8]>>>,
    /// Blobs that were asked for and are not there.
    lost: Mutex<Vec<BlobRef>>,
    /// Whether the resumable folder was asked for.
    resumable: AtomicBool,
    last_progress: Mutex<Option<Instant>>,
    /// How long it took to make blobs durable, in nanoseconds; of several threads together.
    published: AtomicU64,
}

impl<'a> TaskHost<'a> {
    pub(super) fn new(
        task: TaskId,
        key: Hash,
        store: &'a Store,
        control: &'a RunControl,
        worker: &'a WorkerProgram,
        deadline: Option<Instant>,
        messages: Sender<Message>,
    ) -> Self {
        Self {
            task,
            key,
            store,
            control,
            worker,
            deadline,
            messages,
            state: State::default(),
        }
    }

    /// The small blob of that digest, if the task put one.
    pub(super) fn inline(&self, digest: &Hash) -> Option<Arc<[u8]>> {
        locked(&self.state.inline).get(digest).cloned()
    }

    /// The blobs that were asked for and are not there.
    pub(super) fn lost(&self) -> Vec<BlobRef> {
        std::mem::take(&mut *locked(&self.state.lost))
    }

    /// How long it took to make blobs durable; of several threads together.
    pub(super) fn published(&self) -> Duration {
        Duration::from_nanos(self.state.published.load(Ordering::Relaxed))
    }

    /// Whether the task has a resumable folder.
    pub(super) fn used_resumable(&self) -> bool {
        self.state.resumable.load(Ordering::Relaxed)
    }
}

impl Host for TaskHost<'_> {
    fn blob(&self, blob: BlobRef) -> Result<Blob, TaskError> {
        if let Some(bytes) = self.inline(&blob.digest) {
            return Ok(Blob::new(Arc::new(bytes), None));
        }
        match self.store.blob(&blob.digest, blob.bytes) {
            Ok(content) => {
                let path = content.path().map(Arc::from);
                Ok(Blob::new(Arc::new(content), path))
            }
            Err(error @ (BlobError::Missing { .. } | BlobError::Damaged { .. })) => {
                locked(&self.state.lost).push(blob);
                Err(TaskError::new(TaskErrorKind::Store, error.to_string()))
            }
            Err(error) => Err(store_error(&error)),
        }
    }

    fn write(&self) -> Result<Box<dyn BlobSink + '_>, TaskError> {
        Ok(Box::new(Sink {
            host: self,
            small: Vec::new(),
            writer: None,
        }))
    }

    fn put(&self, bytes: &[u8]) -> Result<BlobRef, TaskError> {
        if bytes.len() > MOST_INLINE_BYTES {
            let stored = timed(&self.state.published, || self.store.put(bytes));
            return Ok(from_store(stored.map_err(|error| store_error(&error))?));
        }
        let blob = llmcl_cache::BlobRef::of(bytes);
        locked(&self.state.inline)
            .entry(blob.digest)
            .or_insert_with(|| bytes.into());
        Ok(from_store(blob))
    }

    fn take_file(&self, path: &Path) -> Result<BlobRef, TaskError> {
        let unreadable = |error: io::Error| {
            let message = format!("could not read {}: {error}", path.display());
            TaskError::new(TaskErrorKind::Store, message)
        };
        let bytes = fs::symlink_metadata(path).map_err(unreadable)?.len();
        if bytes <= MOST_INLINE_BYTES as u64 {
            return self.put(&fs::read(path).map_err(unreadable)?);
        }
        let stopping = || self.checkpoint().is_err();
        let taken = timed(&self.state.published, || {
            self.store.take_file(path, &stopping)
        });
        match taken.map_err(|error| store_error(&error))? {
            Some(blob) => Ok(from_store(blob)),
            None => Err(self.checkpoint().err().unwrap_or_else(|| {
                TaskError::new(TaskErrorKind::Cancelled, "the task was stopped")
            })),
        }
    }

    fn scratch(&self, inner: &[&str]) -> Result<Box<dyn AsRef<Path> + Send + Sync>, TaskError> {
        let scratch = self.store.scratch(inner);
        Ok(Box::new(ScratchFolder(
            scratch.map_err(|error| store_error(&error))?,
        )))
    }

    fn resumable(&self) -> Result<Box<Path>, TaskError> {
        self.state.resumable.store(true, Ordering::Relaxed);
        let folder = self.store.resumable(&self.key);
        Ok(folder.map_err(|error| store_error(&error))?.into())
    }

    fn progress(&self, done: u64, total: Option<u64>) {
        let mut last = locked(&self.state.last_progress);
        if last.is_some_and(|last| last.elapsed() < PROGRESS_PAUSE) {
            return;
        }
        *last = Some(Instant::now());
        let news = News::Progress { done, total };
        // The scheduler outlives every task, so it is there to hear this.
        let _ = self.messages.send(Message::Of(self.task, news));
    }

    fn checkpoint(&self) -> Result<(), TaskError> {
        if self.control.is_stopping() {
            let message = "the run is being stopped";
            return Err(TaskError::new(TaskErrorKind::Cancelled, message));
        }
        if self
            .deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
        {
            let message = "the time for this attempt is up";
            return Err(TaskError::new(TaskErrorKind::TimedOut, message));
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn worker(&self, worker: &str) -> Command {
        let mut command = Command::new(&self.worker.program);
        command.args(&self.worker.arguments).arg(worker);
        command
    }
}

/// Adds how long `work` takes, in nanoseconds.
fn timed<T>(nanoseconds: &AtomicU64, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = work();
    let took = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
    nanoseconds.fetch_add(took, Ordering::Relaxed);
    result
}

/// Takes in a blob of unknown length. It becomes a file of the store once it is too long for a record.
struct Sink<'a> {
    host: &'a TaskHost<'a>,
    small: Vec<u8>,
    writer: Option<BlobWriter>,
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(writer) = &mut self.writer {
            return written(writer.write(bytes), writer);
        }
        if self.small.len() + bytes.len() <= MOST_INLINE_BYTES {
            self.small.extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        let mut writer = self.host.store.write_blob().map_err(|error| {
            // The cause is left out of an error of the store.
            io::Error::other(store_error(&error).message)
        })?;
        written(writer.write_all(&std::mem::take(&mut self.small)), &writer)?;
        let writer = self.writer.insert(writer);
        written(writer.write(bytes), writer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl BlobSink for Sink<'_> {
    fn finish(self: Box<Self>) -> Result<BlobRef, TaskError> {
        match self.writer {
            Some(writer) => {
                let stored = timed(&self.host.state.published, || writer.finish());
                Ok(from_store(stored.map_err(|error| store_error(&error))?))
            }
            None => self.host.put(&self.small),
        }
    }
}

/// Names the place that could not be written, which an error of [`Write`] does not.
fn written<T>(result: io::Result<T>, writer: &BlobWriter) -> io::Result<T> {
    result.map_err(|error| {
        let path = writer.path().display();
        io::Error::new(error.kind(), format!("could not write {path}: {error}"))
    })
}

struct ScratchFolder(Scratch);

impl AsRef<Path> for ScratchFolder {
    fn as_ref(&self) -> &Path {
        self.0.path()
    }
}

/// A task's error for one of the store, with the cause that the store's message leaves out.
pub(super) fn store_error(error: &dyn std::error::Error) -> TaskError {
    let message = match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    TaskError::new(TaskErrorKind::Store, message)
}

/// A panic inside a task must not take what others share with it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

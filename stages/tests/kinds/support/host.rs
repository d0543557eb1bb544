//! An engine for tests: a folder in place of the store.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use blake3::Hasher;
use llmcl_stages_api::artifact::{Artifact, BlobRef};
use llmcl_stages_api::task::{Blob, BlobSink, Host, TaskError, TaskErrorKind};
use tempfile::{NamedTempFile, TempDir};

/// What a test wants to happen when a task tells how far it is.
type OnProgress = Box<dyn Fn(u64) + Send + Sync>;

/// An engine whose store is a temporary folder.
pub(crate) struct TestHost {
    folder: TempDir,
    /// Every progress that was told.
    progress: Mutex<Vec<(u64, Option<u64>)>>,
    on_progress: Option<OnProgress>,
    stopped: AtomicBool,
    /// How often the task may still ask before it is stopped.
    asks_left: AtomicUsize,
    /// The shell script that workers are, in place of this program's own.
    worker: Option<String>,
}

/// Runs this test program as a worker: the test `verify::worker` alone. What the test framework prints to standard
/// output goes nowhere; the worker answers at the descriptor 3.
const OWN_WORKER: &str = "exec \"$0\" --exact verify::worker --nocapture 3>&1 1>/dev/null";

/// The variable that tells the test program which worker it is.
pub(crate) const WORKER_NAME: &str = "LLMCL_TEST_WORKER";

impl TestHost {
    /// Makes one with an empty store.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["blobs", "writing", "scratch", "resumable"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self {
            folder,
            progress: Mutex::default(),
            on_progress: None,
            stopped: AtomicBool::new(false),
            asks_left: AtomicUsize::new(usize::MAX),
            worker: None,
        }
    }

    /// Stops the task when it has asked so often.
    pub(crate) fn stop_after(self, asks: usize) -> Self {
        self.asks_left.store(asks, Ordering::SeqCst);
        self
    }

    /// Has workers be a shell script.
    pub(crate) fn with_worker(mut self, script: &str) -> Self {
        self.worker = Some(script.to_owned());
        self
    }

    /// Has `act` called at every progress.
    pub(crate) fn on_progress(mut self, act: impl Fn(u64) + Send + Sync + 'static) -> Self {
        self.on_progress = Some(Box::new(act));
        self
    }

    /// Stops the task, as Ctrl-C does.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    /// Every progress that was told.
    pub(crate) fn progress_told(&self) -> Vec<(u64, Option<u64>)> {
        self.progress.lock().unwrap().clone()
    }

    /// The content of a file of an artifact.
    pub(crate) fn read(&self, artifact: &Artifact, name: &str) -> Vec<u8> {
        let blob = artifact.file(name).expect("a file of that name");
        self.blob(blob).unwrap().bytes().to_vec()
    }

    /// Stores a file as an input.
    pub(crate) fn store(&self, name: &str, content: &[u8]) -> Artifact {
        Artifact::single(name, self.put(content).unwrap())
    }

    /// How many blobs there are, and whether anything half-written lies about.
    pub(crate) fn blobs(&self) -> usize {
        assert_eq!(self.count("writing"), 0, "half-written blobs");
        self.count("blobs")
    }

    /// The folder that survives attempts.
    pub(crate) fn kept(&self) -> PathBuf {
        self.path("resumable")
    }

    /// How many scratch folders there are.
    pub(crate) fn scratches(&self) -> usize {
        self.count("scratch")
    }

    fn count(&self, name: &str) -> usize {
        fs::read_dir(self.path(name)).unwrap().count()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn blob_path(&self, blob: BlobRef) -> PathBuf {
        self.path("blobs").join(blob.digest.to_hex().as_str())
    }
}

impl Host for TestHost {
    fn blob(&self, blob: BlobRef) -> Result<Blob, TaskError> {
        let path = self.blob_path(blob);
        let bytes = fs::read(&path).map_err(|error| store_error(&error))?;
        Ok(Blob::new(Arc::new(bytes), Some(path.into())))
    }

    fn write(&self) -> Result<Box<dyn BlobSink + '_>, TaskError> {
        let file =
            NamedTempFile::new_in(self.path("writing")).map_err(|error| store_error(&error))?;
        Ok(Box::new(Sink {
            host: self,
            file,
            hasher: Hasher::new(),
        }))
    }

    fn put(&self, bytes: &[u8]) -> Result<BlobRef, TaskError> {
        let mut sink = self.write()?;
        sink.write_all(bytes).map_err(|error| store_error(&error))?;
        sink.finish()
    }

    fn take_file(&self, path: &Path) -> Result<BlobRef, TaskError> {
        self.checkpoint()?;
        let content = fs::read(path).map_err(|error| store_error(&error))?;
        fs::remove_file(path).map_err(|error| store_error(&error))?;
        self.put(&content)
    }

    fn scratch(&self, inner: &[&str]) -> Result<Box<dyn AsRef<Path> + Send + Sync>, TaskError> {
        let folder = TempDir::new_in(self.path("scratch")).map_err(|error| store_error(&error))?;
        for name in inner {
            std::fs::create_dir(folder.path().join(name)).map_err(|error| store_error(&error))?;
        }
        Ok(Box::new(folder))
    }

    fn resumable(&self) -> Result<Box<Path>, TaskError> {
        Ok(self.kept().into())
    }

    fn progress(&self, done: u64, total: Option<u64>) {
        self.progress.lock().unwrap().push((done, total));
        if let Some(act) = &self.on_progress {
            act(done);
        }
    }

    fn checkpoint(&self) -> Result<(), TaskError> {
        let asks_left = self.asks_left.fetch_sub(1, Ordering::SeqCst);
        if asks_left == 0 || self.stopped.load(Ordering::SeqCst) {
            return Err(TaskError::new(
                TaskErrorKind::Cancelled,
                "the run was stopped",
            ));
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn worker(&self, worker: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", self.worker.as_deref().unwrap_or(OWN_WORKER)])
            .arg(std::env::current_exe().unwrap())
            .env(WORKER_NAME, worker);
        command
    }
}

struct Sink<'a> {
    host: &'a TestHost,
    file: NamedTempFile,
    hasher: Hasher,
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl BlobSink for Sink<'_> {
    fn finish(self: Box<Self>) -> Result<BlobRef, TaskError> {
        let blob = BlobRef {
            digest: self.hasher.finalize(),
            bytes: self.hasher.count(),
        };
        let file: File = self
            .file
            .persist(self.host.blob_path(blob))
            .map_err(|error| store_error(&error.error))?;
        let mut permissions = file.metadata().unwrap().permissions();
        permissions.set_readonly(true);
        file.set_permissions(permissions).unwrap();
        Ok(blob)
    }
}

fn store_error(error: &io::Error) -> TaskError {
    TaskError::new(TaskErrorKind::Store, error.to_string())
}

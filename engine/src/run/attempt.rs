//! The execution of a task, on a thread of its own: lock, look again, run, record.

use std::any::Any;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant, SystemTime};

use llmcl_cache::{MachineGuard, NewRecord, SharedMachine, Store, StoreError, Written};
use llmcl_stages_api::artifact::BlobRef;
use llmcl_stages_api::machine::Machine;
use llmcl_stages_api::task::{Outputs, TaskContext, TaskError, TaskErrorKind};

use super::host::{TaskHost, store_error};
use super::job::{Ended, Job, Message, News};
use super::watch::{Part, Stopwatch};
use super::{LONGEST_BACK_OFF, RunControl, RunOptions};
use crate::events::{Failure, FailureKind, milliseconds};
use crate::key::{self, Component};
use crate::model::{Experiment, Stage};
use crate::outputs::{Done, Found, Unusable, find, to_store};
use crate::record::{self, How, Manifest};

/// How often a thread that waits looks whether the run is being stopped.
const PATIENCE: Duration = Duration::from_millis(50);

/// How long a task waits for other processes to leave the machine, or to let it be used again.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// What the threads of all tasks share.
#[derive(Clone, Copy)]
pub(super) struct Shared<'a> {
    pub(super) experiment: &'a Experiment,
    pub(super) store: &'a Store,
    pub(super) machine: &'a SharedMachine,
    pub(super) options: &'a RunOptions,
    pub(super) control: &'a RunControl,
}

/// Executes a task and tells how it ended, whatever happens.
pub(super) fn execute(shared: Shared<'_>, job: &Job, messages: &Sender<Message>) {
    let executor = Executor {
        shared,
        stage: &shared.experiment.stages[shared.experiment.tasks[job.task].stage],
        job,
        messages,
        watch: Stopwatch::start(),
    };
    let ended = catch_unwind(AssertUnwindSafe(|| executor.execute())).unwrap_or_else(|panic| {
        Ended::Failed {
            failure: internal(format!("the engine panicked: {}", panic_message(&*panic))),
            attempts: 0,
        }
    });
    executor.tell(News::Ended(ended, Box::new(executor.watch.read())));
}

struct Executor<'a> {
    shared: Shared<'a>,
    stage: &'a Stage,
    job: &'a Job,
    messages: &'a Sender<Message>,
    watch: Stopwatch,
}

/// Why an attempt brought nothing.
struct Failed {
    failure: Failure,
    /// Blobs that were needed and are not there.
    lost: Vec<BlobRef>,
}

impl Executor<'_> {
    fn execute(&self) -> Ended {
        let Shared { store, control, .. } = self.shared;
        let stopping = || control.is_stopping();
        let mut waiting = || self.tell(News::Waiting);
        let lock = match store.lock(&self.job.key, &stopping, &mut waiting) {
            Ok(Some(lock)) => lock,
            Ok(None) => return Ended::Stopped,
            Err(error) => return failed(store_error(&error).into(), 0),
        };
        self.watch.lap(Part::Lock);
        let found = self.look_again();
        self.watch.lap(Part::Look);
        match found {
            Ok(Some(done)) => return Ended::Taken(done),
            Ok(None) => {}
            Err(error) => return failed(store_error(&error).into(), 0),
        }
        let machine = match self.enter_machine(&mut waiting) {
            Ok(machine) => machine,
            Err(ended) => return *ended,
        };
        self.watch.lap(Part::Lock);
        self.tell(News::Started);
        let imported = self.import();
        self.watch.lap(Part::Import);
        let ended = match imported {
            Ok(()) => self.attempts(),
            Err(_) if control.is_stopping() => Ended::Stopped,
            Err(error) => failed(error.into(), 0),
        };
        drop(machine);
        drop(lock);
        ended
    }

    /// Waits until this task may use the machine: alone, if it must be.
    fn enter_machine(
        &self,
        waiting: &mut dyn FnMut(),
    ) -> Result<Option<MachineGuard<'_>>, Box<Ended>> {
        let Shared {
            machine, control, ..
        } = self.shared;
        let alone = self.job.needs.exclusive;
        let began = Instant::now();
        let cancelled = || control.is_stopping() || began.elapsed() >= LONGEST_WAIT;
        match machine.enter(alone, &cancelled, waiting) {
            Ok(Some(guard)) => Ok(Some(guard)),
            Ok(None) if control.is_stopping() => Err(Box::new(Ended::Stopped)),
            Ok(None) => {
                let mut failure = internal(
                    "other processes of llmcl have kept the machine to themselves for an hour"
                        .to_owned(),
                );
                failure.kind = FailureKind::TimedOut;
                Err(Box::new(failed(failure, 0)))
            }
            Err(error) if alone => Err(Box::new(failed(store_error(&error).into(), 0))),
            // What is not measured does without it.
            Err(_) => Ok(None),
        }
    }

    /// Looks for what another process recorded since the plan was made.
    fn look_again(&self) -> Result<Option<Done>, StoreError> {
        let Shared { store, .. } = self.shared;
        store.refresh()?;
        // Not what was passed over: its lost blobs may be back, made by another task, but the plan said that this
        // one runs.
        let Some(newest) = store.record(&self.job.key) else {
            return Ok(None);
        };
        if Some(newest.stamp()) <= self.job.passed_over {
            return Ok(None);
        }
        Ok(match find(store, self.stage, &self.job.key) {
            Found::Outputs(done) => {
                // Whoever wrote it may not have come to flush it.
                store.make_durable(&newest)?;
                Some(done)
            }
            Found::Incomplete(_) | Found::Nothing => None,
        })
    }

    /// Brings the files of the repository into the store, unless they are there.
    fn import(&self) -> Result<(), TaskError> {
        for (path, blob) in &self.job.files {
            if !self.shared.store.has_blob(&blob.digest, blob.bytes) {
                import(self.shared, path, *blob)?;
            }
        }
        Ok(())
    }

    fn attempts(&self) -> Ended {
        let outside = self.job.needs.outside;
        let retries = outside.map_or(0, |outside| outside.retries);
        let mut pause = self.shared.options.back_off;
        let mut attempt = 1;
        loop {
            let deadline = outside
                .and_then(|outside| outside.time_limit)
                .and_then(|limit| Instant::now().checked_add(limit));
            let failed = match self.attempt(attempt, deadline) {
                Ok((done, written)) => return Ended::Executed { done, written },
                Err(failed) => failed,
            };
            // Whatever it says it failed of: a signal to stop reaches the programs that a task has started, too.
            if self.shared.control.is_stopping() {
                return Ended::Stopped;
            }
            let Failed { failure, lost } = failed;
            if !lost.is_empty() {
                return Ended::Lost {
                    blobs: lost,
                    failure,
                    attempts: attempt,
                };
            }
            let may_pass = matches!(failure.kind, FailureKind::Passing | FailureKind::TimedOut);
            if !may_pass || attempt > retries {
                return Ended::Failed {
                    failure,
                    attempts: attempt,
                };
            }
            self.tell(News::Retried {
                attempt,
                failure,
                pause,
            });
            if !self.wait(pause) {
                return Ended::Stopped;
            }
            self.watch.again();
            pause = (pause * 2).min(LONGEST_BACK_OFF);
            attempt += 1;
        }
    }

    fn attempt(&self, attempt: u32, deadline: Option<Instant>) -> Result<(Done, Written), Failed> {
        let Shared {
            store,
            options,
            control,
            experiment,
            ..
        } = self.shared;
        let host = TaskHost::new(
            self.job.task,
            self.job.key,
            store,
            control,
            &options.worker,
            deadline,
            self.messages.clone(),
        );
        let context = TaskContext {
            params: &experiment.tasks[self.job.task].params,
            inputs: &self.job.inputs,
            axis_fields: &self.job.axis_fields,
            host: &host,
        };
        let started = SystemTime::now();
        let clock = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| self.stage.kind.run(&context)));
        let duration = clock.elapsed();
        self.watch.lap(Part::Work);
        self.watch.published(host.published());
        let outputs = match result {
            Ok(Ok(outputs)) => outputs,
            Ok(Err(error)) => {
                return Err(Failed {
                    failure: error.into(),
                    lost: host.lost(),
                });
            }
            Err(panic) => {
                let message = format!("the stage kind panicked: {}", panic_message(&*panic));
                return Err(Failed {
                    failure: internal(message),
                    lost: Vec::new(),
                });
            }
        };
        self.check_environment().map_err(|error| Failed {
            failure: error.into(),
            lost: Vec::new(),
        })?;
        let since = started.duration_since(SystemTime::UNIX_EPOCH);
        let how = How {
            started: milliseconds(since.unwrap_or_default()),
            attempts: attempt,
            build: options.build.clone(),
        };
        let (done, written) = self.record(&host, outputs, duration, how)?;
        if host.used_resumable() {
            // What is left there is of no use any more, and does no harm.
            if let Err(error) = store.clear_resumable(&self.job.key) {
                tracing::warn!(%error, "could not remove a resumable folder");
            }
        }
        Ok((done, written))
    }

    /// Holds that what the key says of programs and of the machine is so still. The key was made before the work,
    /// and a program that was replaced meanwhile may have done it.
    fn check_environment(&self) -> Result<(), TaskError> {
        let experiment = self.shared.experiment;
        let params = &experiment.tasks[self.job.task].params;
        // Looked up anew, not what the plan knows.
        let found = Machine::default().environment(&self.stage.kind.facts(params))?;
        let in_key = |part: &&key::Part| part.component == Component::Environment;
        for part in self.job.parts.iter().filter(in_key) {
            if found.get(&part.name) != Some(&part.value) {
                let message = format!("the {} was changed while the experiment ran", part.name);
                return Err(TaskError::input(message)
                    .with_hint("run again: what is there now makes another key"));
            }
        }
        Ok(())
    }

    /// Records the outputs. Others can take them from now on; durable they are after a flush.
    fn record(
        &self,
        host: &TaskHost<'_>,
        outputs: Outputs,
        duration: Duration,
        how: How,
    ) -> Result<(Done, Written), Failed> {
        let store = self.shared.store;
        let manifest = Manifest {
            experiment: self.shared.experiment.name.clone(),
            task: self.job.name.clone(),
            kind: self.stage.kind.name().to_owned(),
            duration,
            parts: self.job.parts.clone(),
            how,
        };
        let body = record::encode(&outputs, &manifest);
        let mut blobs: Vec<_> = outputs
            .values()
            .flat_map(|artifact| artifact.blobs())
            .collect();
        blobs.sort_unstable_by_key(|blob| *blob.digest.as_bytes());
        blobs.dedup();
        let small: Vec<_> = blobs
            .iter()
            .filter_map(|blob| host.inline(&blob.digest))
            .collect();
        let inline: Vec<&[u8]> = small.iter().map(AsRef::as_ref).collect();
        let blobs: Vec<_> = blobs.into_iter().map(to_store).collect();
        let read = |blob: BlobRef| match host.inline(&blob.digest) {
            Some(bytes) => Ok(bytes.to_vec()),
            None => Ok(store.blob(&blob.digest, blob.bytes)?.to_vec()),
        };
        let done = Done::of(self.stage, outputs, read).map_err(|error| unusable(&error))?;
        let new = NewRecord {
            key: self.job.key,
            shape: self.job.shape,
            blobs: &blobs,
            inline: &inline,
            body: &body,
        };
        let written = store.write(new);
        self.watch.lap(Part::Record);
        let written = written.map_err(|error| {
            let lost = match &error {
                StoreError::MissingBlob { digest, bytes } => vec![BlobRef {
                    digest: *digest,
                    bytes: *bytes,
                }],
                _ => Vec::new(),
            };
            Failed {
                failure: store_error(&error).into(),
                lost,
            }
        })?;
        Ok((done, written))
    }

    /// Waits, unless the run is stopped meanwhile.
    fn wait(&self, pause: Duration) -> bool {
        let end = Instant::now() + pause;
        while !self.shared.control.is_stopping() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(PATIENCE));
        }
        false
    }

    fn tell(&self, news: News) {
        let task = self.job.task;
        // The scheduler outlives every task, so it is there to hear this.
        let _ = self.messages.send(Message::Of(task, news));
    }
}

impl From<TaskError> for Failure {
    fn from(error: TaskError) -> Self {
        Self {
            kind: error.kind.into(),
            message: error.message,
            hint: error.hint,
        }
    }
}

fn failed(failure: Failure, attempts: u32) -> Ended {
    Ended::Failed { failure, attempts }
}

fn internal(message: String) -> Failure {
    Failure {
        kind: FailureKind::Internal,
        message,
        hint: None,
    }
}

/// What a kind put out is not what it declared: a mistake in the kind, not in the experiment.
fn unusable(error: &Unusable) -> Failed {
    Failed {
        failure: internal(error.to_string()),
        lost: Vec::new(),
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    match panic.downcast_ref::<String>() {
        Some(message) => message,
        None => panic
            .downcast_ref::<&str>()
            .copied()
            .unwrap_or("no message"),
    }
}

/// Copies a file into the store; its content must be what the key was made with.
fn import(shared: Shared<'_>, path: &Path, expected: BlobRef) -> Result<(), TaskError> {
    // Before the store is written, so that it is clear which of the two is at fault.
    File::open(path)
        .map_err(|error| TaskError::input(format!("could not read {}: {error}", path.display())))?;
    let stopping = || shared.control.is_stopping();
    let stored = shared.store.copy_file(path, &stopping);
    match stored.map_err(|error| store_error(&error))? {
        None => Err(TaskError::new(
            TaskErrorKind::Cancelled,
            "the run is being stopped",
        )),
        Some(stored) if stored == to_store(expected) => Ok(()),
        Some(_) => {
            let message = format!("{} was changed while the experiment ran", path.display());
            Err(TaskError::input(message).with_hint("run again: the new content makes another key"))
        }
    }
}

//! What happens in a run, as a stream of typed events.
//!
//! The engine prints nothing: the terminal, the JSON output, the run's log in the store and the report are readers
//! of this stream. An event is one line of JSON, `{"v":1,"at":…,"what":{"task_finished":{…}}}`. Readers skip what
//! they do not know; a change that would mislead them raises `v`.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use blake3::Hash;
use llmcl_stages_api::artifact::hex;
use llmcl_stages_api::task::TaskErrorKind;
use serde::{Deserialize, Serialize};

use crate::plan::Counts;

/// The version of the stream.
pub const VERSION: u32 = 1;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The version of the stream: [`VERSION`].
    pub v: u32,
    /// When it happened, in milliseconds since 1970 (UTC).
    pub at: u64,
    /// What happened.
    pub what: What,
}

/// What happened. Tasks are given by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The plan is made and nothing keeps it from running.
    RunStarted {
        /// The run's name; its log, if it has one, is of that name.
        run: String,
        /// The experiment.
        experiment: String,
        /// The number of tasks in each state of the plan.
        planned: Counts,
        /// How many tasks run at a time.
        jobs: usize,
    },
    /// A task's work begins.
    TaskStarted {
        /// The task.
        task: String,
        /// Its key.
        #[serde(with = "hex")]
        key: Hash,
    },
    /// Another process is at work on the same key; the task waits for it.
    TaskWaiting {
        /// The task.
        task: String,
    },
    /// How far a task is. These events are not in the log.
    TaskProgress {
        /// The task.
        task: String,
        /// How much is done, in a unit of the task's own.
        done: u64,
        /// How much there is to do, if that is known.
        total: Option<u64>,
    },
    /// An attempt failed in a way that may pass, and will be tried again.
    TaskRetried {
        /// The task.
        task: String,
        /// Which attempt failed, from 1.
        attempt: u32,
        /// Why.
        failure: Failure,
        /// The pause before the next attempt, in milliseconds.
        pause_ms: u64,
    },
    /// A task's outputs are there.
    TaskFinished {
        /// The task.
        task: String,
        /// Its key.
        #[serde(with = "hex")]
        key: Hash,
        /// Where the outputs come from.
        how: Finish,
        /// The outputs, by port.
        outputs: BTreeMap<String, OutputDigest>,
        /// How long the work took, in milliseconds; 0 if there was none.
        duration_ms: u64,
    },
    /// A gate has an outcome, or a finding.
    GateDecided {
        /// The task.
        task: String,
        /// Its outcome.
        outcome: String,
        /// What the outcome's entry says beside.
        note: Option<String>,
        /// The statistics behind it.
        statistics: BTreeMap<String, f64>,
    },
    /// A task failed. Nothing of it is recorded.
    TaskFailed {
        /// The task.
        task: String,
        /// Why.
        failure: Failure,
        /// How many attempts were made.
        attempts: u32,
    },
    /// A gate ruled a task out.
    TaskPruned {
        /// The task.
        task: String,
        /// The gate that did, as a task.
        gate: String,
        /// Its outcome.
        outcome: String,
    },
    /// A task cannot run, because another one failed.
    TaskNotRun {
        /// The task.
        task: String,
        /// The failed task that it hangs on, or that does the same.
        because: String,
    },
    /// A blob that a task needs is gone or damaged; the task that made it runs again.
    TaskRedone {
        /// The task that runs again.
        task: String,
        /// The blob.
        #[serde(with = "hex")]
        blob: Hash,
        /// The task that needs it.
        needed_by: String,
    },
    /// Something is wrong with the store and did not stop it.
    StoreNotice {
        /// What.
        message: String,
    },
    /// The run's log could not be written. The run goes on, but it is not an official one.
    LogFailed {
        /// Why.
        message: String,
    },
    /// The run was asked to stop: nothing new is started.
    Interrupted,
    /// The run is over.
    RunFinished {
        /// How it went.
        summary: Summary,
    },
}

/// Where the outputs of a task come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The task ran.
    Executed,
    /// They were recorded.
    Cached,
    /// Another process made them while this one waited.
    Taken,
    /// Another task of this run, with the same key, made them.
    Shared,
}

/// An output, for telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputDigest {
    /// The artifact's digest.
    #[serde(with = "hex")]
    pub digest: Hash,
    /// The bytes of its files and of what they point into.
    pub bytes: u64,
}

/// Why a task failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What sort of failure it is.
    pub kind: FailureKind,
    /// What went wrong, and where.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// The sorts of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The input is not what it should be.
    Input,
    /// Something outside failed, in a way that might have passed.
    Passing,
    /// Something outside failed for good.
    Outside,
    /// A check on a result failed.
    Mismatch,
    /// The store or the disk failed.
    Store,
    /// The task gave up because it was asked to, though the run was not being stopped.
    Cancelled,
    /// The task's time was up.
    TimedOut,
    /// A mistake in this program.
    Internal,
}

impl From<TaskErrorKind> for FailureKind {
    fn from(kind: TaskErrorKind) -> Self {
        match kind {
            TaskErrorKind::Input => Self::Input,
            TaskErrorKind::Passing => Self::Passing,
            TaskErrorKind::Outside => Self::Outside,
            TaskErrorKind::Mismatch => Self::Mismatch,
            TaskErrorKind::Store => Self::Store,
            TaskErrorKind::Cancelled => Self::Cancelled,
            TaskErrorKind::TimedOut => Self::TimedOut,
        }
    }
}

/// How a run went. The counts of tasks add up to all tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Tasks that ran.
    pub executed: usize,
    /// Tasks whose outputs were recorded, or made by another process or task.
    pub cached: usize,
    /// Tasks that gates ruled out.
    pub pruned: usize,
    /// Tasks that failed.
    pub failed: usize,
    /// Tasks that could not run because others failed.
    pub not_run: usize,
    /// Tasks that had not come up when the run was stopped, by a person or by a failure.
    pub left: usize,
    /// Whether a person stopped the run.
    pub interrupted: bool,
    /// Whether the run has a whole log, or needed none because nothing ran.
    pub log_written: bool,
    /// How long the run took, in milliseconds.
    pub duration_ms: u64,
}

impl Summary {
    /// Whether every task is done or ruled out.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.failed + self.not_run + self.left == 0
    }
}

impl Event {
    /// Makes an event that happens now.
    #[must_use]
    pub fn now(what: What) -> Self {
        Self {
            v: VERSION,
            at: milliseconds(
                SystemTime::now()
                    .duration_since(SystemTime::UNIX_EPOCH)
                    .unwrap_or_default(),
            ),
            what,
        }
    }

    /// The event as a line of JSON, without the line break.
    #[must_use]
    pub fn to_line(&self) -> String {
        // Texts and finite numbers always have a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A duration in whole milliseconds.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

//! What happens in a run, as a stream of typed events.
//!
//! The engine prints nothing: the terminal, the JSON output, the run's log in the store and the report are readers
//! of this stream. An event is one line of JSON, `{"v":2,"at":…,"what":{"task_finished":{…}}}`. Readers skip what
//! they do not know; a change that would mislead them raises `v`. `docs/events.md` describes each event.
//!
//! Times are microseconds since 1970 (UTC), durations are microseconds and end in `_us`.

use std::collections::BTreeMap;
use std::time::Duration;

use blake3::Hash;
use llmcl_stages_api::artifact::hex;
use llmcl_stages_api::task::TaskErrorKind;
use serde::{Deserialize, Serialize};

use crate::plan::Counts;

/// The version of the stream.
pub const VERSION: u32 = 2;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The version of the stream: [`VERSION`].
    pub v: u32,
    /// When it was told. Within a run this never goes back.
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
        /// When the run began: when its first phase did.
        began: u64,
        /// The number of tasks in each state of the plan.
        planned: Counts,
        /// How many tasks run at a time.
        jobs: usize,
    },
    /// A phase of the run is over.
    PhaseEnded {
        /// The phase.
        phase: Phase,
        /// When it began.
        began: u64,
        /// How long it took.
        took_us: u64,
    },
    /// A task's work begins.
    TaskStarted {
        /// The task.
        task: String,
        /// Its key.
        #[serde(with = "hex")]
        key: Hash,
        /// The slot that it runs in, from 0; there are as many as tasks may run at a time.
        slot: usize,
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
        /// The pause before the next attempt.
        pause_us: u64,
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
        /// Where the time went, if the task had a slot in this run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        spent: Option<Box<Spent>>,
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
        /// Where the time went, if the task had a slot.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        spent: Option<Box<Spent>>,
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

/// The phases of a run, in the order in which they follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The store is opened and its records are read.
    Open,
    /// What the last run saw is held against what is there. If all is as it was, there are no further phases.
    Recall,
    /// The experiment is read and checked.
    Check,
    /// Each task is looked up.
    Plan,
    /// The graph is made, and how long each path will take.
    Prepare,
    /// What the plan has found done or ruled out is told.
    TakeOver,
    /// Tasks run.
    Tasks,
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Self; 7] = [
        Self::Open,
        Self::Recall,
        Self::Check,
        Self::Plan,
        Self::Prepare,
        Self::TakeOver,
        Self::Tasks,
    ];

    /// The word for it, as in the stream.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Recall => "recall",
            Self::Check => "check",
            Self::Plan => "plan",
            Self::Prepare => "prepare",
            Self::TakeOver => "take_over",
            Self::Tasks => "tasks",
        }
    }
}

/// Where the time of a task that had a slot went.
///
/// From `ready` on the parts follow one another in the order in which they stand here; what is left until the event
/// that holds this is told went into telling. `publish_us` is no part of its own. What is 0 is left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Spent {
    /// The slot that it ran in, from 0.
    pub slot: usize,
    /// When it could have been started.
    pub ready: u64,
    /// The task of this run that it waited for last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Waiting for a slot, for memory, or for an exclusive task.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub queue_us: u64,
    /// Gathering what it needs, and starting its thread.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub prepare_us: u64,
    /// Waiting for the lock of its key, which another process may have.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lock_us: u64,
    /// Looking for what another process recorded meanwhile.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub look_us: u64,
    /// Bringing files of the repository into the store.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub import_us: u64,
    /// Failed attempts, and the pauses after them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries_us: u64,
    /// The work of the stage kind, in the last attempt.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub work_us: u64,
    /// Of the work, making outputs durable; together over all threads of the task.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub publish_us: u64,
    /// Making the record.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub record_us: u64,
    /// How long it had the slot, from its start to the end of its thread.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub slot_us: u64,
    /// After that, until its record was flushed. The slot and what hangs on the task do not wait for it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub flush_us: u64,
}

impl Spent {
    /// When the task got its slot.
    #[must_use]
    pub fn started(&self) -> u64 {
        self.ready.saturating_add(self.queue_us)
    }

    /// When the task gave its slot back.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.started().saturating_add(self.slot_us)
    }

    /// The parts that the task had its slot for, each with its name and how long it took, in order.
    #[must_use]
    pub fn parts(&self) -> [(&'static str, u64); 7] {
        [
            ("prepare", self.prepare_us),
            ("lock", self.lock_us),
            ("look", self.look_us),
            ("import", self.import_us),
            ("retries", self.retries_us),
            ("work", self.work_us),
            ("record", self.record_us),
        ]
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
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
    /// How long the run took, from when its first phase began.
    pub duration_us: u64,
}

impl Summary {
    /// Whether every task is done or ruled out.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.failed + self.not_run + self.left == 0
    }
}

impl Event {
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

/// A duration in whole microseconds.
pub(crate) fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;

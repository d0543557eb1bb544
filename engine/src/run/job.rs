//! A task that is to be executed, and what its thread has to say.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use blake3::Hash;
use llmcl_stages_api::artifact::BlobRef;
use llmcl_stages_api::expr::AxisFields;
use llmcl_stages_api::task::{Member, Needs};

use crate::events::Failure;
use crate::key::Part;
use crate::model::TaskId;
use crate::outputs::Done;

/// A task that is to be executed, with all that it needs.
pub(super) struct Job {
    pub(super) task: TaskId,
    pub(super) name: String,
    pub(super) key: Hash,
    pub(super) shape: Hash,
    pub(super) parts: Vec<Part>,
    pub(super) inputs: BTreeMap<String, Vec<Member>>,
    /// The files of the repository that it takes in, as they were when the key was made.
    pub(super) files: Vec<(PathBuf, BlobRef)>,
    pub(super) axis_fields: Arc<AxisFields>,
    pub(super) needs: Needs,
    /// Whether it runs even if a record is found.
    pub(super) forced: bool,
}

/// What the thread of a task tells the scheduler.
pub(super) struct Message {
    pub(super) task: TaskId,
    pub(super) news: News,
}

/// What there is to tell.
pub(super) enum News {
    /// Another process has the lock of the key.
    Waiting,
    /// The work begins.
    Started,
    Progress {
        done: u64,
        total: Option<u64>,
    },
    Retried {
        attempt: u32,
        failure: Failure,
        pause: Duration,
    },
    /// Nothing more comes from this task.
    Ended(Ended),
}

/// How the execution of a task ended.
pub(super) enum Ended {
    /// It was done and recorded.
    Executed { done: Done, duration: Duration },
    /// Another process had done it.
    Taken(Done),
    /// It failed.
    Failed { failure: Failure, attempts: u32 },
    /// It failed because these blobs are gone or damaged.
    Lost {
        blobs: Vec<BlobRef>,
        failure: Failure,
        attempts: u32,
    },
    /// The run is being stopped.
    Stopped,
}

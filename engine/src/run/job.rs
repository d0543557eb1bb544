//! A task that is to be executed, and what its thread has to say.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use blake3::Hash;
use llmcl_cache::Written;
use llmcl_stages_api::artifact::BlobRef;
use llmcl_stages_api::expr::AxisFields;
use llmcl_stages_api::task::{Member, Needs};
use llmcl_stages_api::value::Value;

use super::watch::Laps;
use crate::events::Failure;
use crate::key::Part;
use crate::model::{Experiment, StageId, TaskId};
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
    /// The stamp of the record that was there and could not be used, or was not to be. Only a newer one is taken.
    pub(super) passed_over: Option<u64>,
}

/// What threads tell the scheduler.
pub(super) enum Message {
    /// From the thread of a task.
    Of(TaskId, News),
    /// Everything written up to here is durable, or could not be made so: the store says which.
    Flushed(Written),
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
    Ended(Ended, Box<Laps>),
}

/// How the execution of a task ended.
pub(super) enum Ended {
    /// It was done, and its record is written.
    Executed { done: Done, written: Written },
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

/// The fields of axis values that a stage's expressions read, by axis and label.
pub(super) fn axis_fields_of(experiment: &Experiment, stage: StageId) -> AxisFields {
    let mut fields = AxisFields::new();
    for (name, field) in &experiment.stages[stage].axis_reads {
        let Some(axis) = experiment.axes.iter().find(|axis| axis.name == *name) else {
            continue;
        };
        let labels = fields.entry(name.clone()).or_default();
        for value in &axis.values {
            let read = value.value.field(field);
            let label = match &value.label {
                Value::Text(text) => text.clone(),
                other => other.to_string(),
            };
            if !read.is_none() {
                labels
                    .entry(label)
                    .or_default()
                    .insert(field.clone(), read.clone());
            }
        }
    }
    fields
}

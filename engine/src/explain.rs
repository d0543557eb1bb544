//! Why a task would run or not: each part of its key, held against the last record.

use llmcl_cache::{Hash, Record, Store};
use llmcl_stages_api::registry::Registry;

use crate::diff::{Change, changes};
use crate::history::History;
use crate::key::{Component, Part};
use crate::model::{Experiment, TaskId};
use crate::plan::{self, Planned};
use crate::record::{self, Manifest};
use crate::resolve::{Choices, Resolver, Trouble};

/// What there is to say about a task.
#[derive(Debug)]
pub struct Explanation {
    /// What a run would do, and why.
    pub planned: Planned,
    /// The record that the key is held against; none if nothing like it was ever recorded.
    pub against: Option<Against>,
    /// The parts of the key, in order.
    pub parts: Vec<Explained>,
}

/// The record that a key is held against.
#[derive(Debug)]
pub struct Against {
    /// How near it is.
    pub nearness: Nearness,
    /// What it says.
    pub manifest: Manifest,
}

/// How near a record is to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nearness {
    /// It is under the task's own key, whatever name it was made under.
    SameKey,
    /// The last one of this task's name in this experiment.
    SameTask,
    /// The last one with the same shape: only the contents of inputs may differ.
    SameShape,
    /// The one of the same kind that has the most parts in common.
    SameKind,
    /// The one that was asked for.
    Chosen,
}

/// A part of a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Explained {
    /// It is as it was, or there is nothing to hold it against.
    Same(Part),
    /// It is not as it was.
    Changed(Change),
    /// It is not known until this task has its outputs.
    Unknown {
        /// The member of an input.
        member: String,
        /// The task.
        until: TaskId,
    },
}

/// Explains a task.
///
/// # Errors
/// If the task's key cannot be made.
pub fn explain(
    experiment: &Experiment,
    store: &Store,
    registry: &Registry,
    choices: &Choices,
    task: TaskId,
) -> Result<Explanation, Trouble> {
    let found =
        |keys: (Option<Hash>, Hash), parts: &[Part]| nearest(experiment, store, task, keys, parts);
    hold(experiment, store, registry, choices, task, found)
}

/// Explains a task, and holds it against a chosen record.
///
/// # Errors
/// If the task's key cannot be made.
pub fn explain_against(
    experiment: &Experiment,
    store: &Store,
    registry: &Registry,
    choices: &Choices,
    task: TaskId,
    manifest: Manifest,
) -> Result<Explanation, Trouble> {
    let nearness = Nearness::Chosen;
    let chosen = |_: (Option<Hash>, Hash), _: &[Part]| Some(Against { nearness, manifest });
    hold(experiment, store, registry, choices, task, chosen)
}

fn hold(
    experiment: &Experiment,
    store: &Store,
    registry: &Registry,
    choices: &Choices,
    task: TaskId,
    against: impl FnOnce((Option<Hash>, Hash), &[Part]) -> Option<Against>,
) -> Result<Explanation, Trouble> {
    let resolver = Resolver::new(experiment, registry, choices);
    let plan = plan::make(&resolver, store);
    let walk = resolver.walk(task, &plan.facts)?;
    let (key, shape) = (walk.key(), walk.shape());
    let (unknown, parts) = (walk.unknown(), walk.parts());
    let against = against((key, shape), &parts);
    let changed = against
        .as_ref()
        .map(|against| changes(&against.manifest.parts, &parts))
        .unwrap_or_default();
    Ok(Explanation {
        planned: plan.tasks[task].clone(),
        against,
        parts: explained(parts, changed, unknown),
    })
}

/// Holds one record against another, without an experiment. If there is none to hold it against, nothing has
/// changed.
#[must_use]
pub fn between(old: Option<&Manifest>, new: Manifest) -> Vec<Explained> {
    let changed = old.map(|old| changes(&old.parts, &new.parts));
    explained(new.parts, changed.unwrap_or_default(), Vec::new())
}

/// What the store has recorded under a key.
#[must_use]
pub fn recorded(store: &Store, key: &Hash) -> Option<Manifest> {
    read(&store.record(key)?)
}

/// The last record under a task's name that was made before `time`, in microseconds since 1970 (UTC).
#[must_use]
pub fn recorded_before(store: &Store, experiment: &str, task: &str, time: u64) -> Option<Manifest> {
    let of_task = |record: &Record| {
        let labels = record::labels(record.body());
        labels.is_some_and(|labels| labels.experiment == experiment && labels.task == task)
    };
    let last = store
        .records()
        .filter(|record| record.stamp() / 1_000 < time && of_task(record))
        .max_by_key(Record::stamp);
    last.as_ref().and_then(read)
}

fn explained(
    parts: Vec<Part>,
    mut changed: Vec<Change>,
    unknown: Vec<(String, TaskId)>,
) -> Vec<Explained> {
    changed.retain(|change| {
        !unknown
            .iter()
            .any(|(member, _)| change.is_content_of(member))
    });
    let mut explained: Vec<Explained> = parts
        .into_iter()
        .map(|part| {
            let at = changed.iter().position(|change| {
                change.new.is_some()
                    && change.component == part.component
                    && change.name == part.name
            });
            match at {
                Some(at) => Explained::Changed(changed.swap_remove(at)),
                None => Explained::Same(part),
            }
        })
        .collect();
    // What only the record has, and what is not known yet.
    explained.extend(changed.into_iter().map(Explained::Changed));
    let open = unknown
        .into_iter()
        .map(|(member, until)| Explained::Unknown { member, until });
    explained.extend(open);
    explained
}

fn nearest(
    experiment: &Experiment,
    store: &Store,
    task: TaskId,
    (key, shape): (Option<Hash>, Hash),
    parts: &[Part],
) -> Option<Against> {
    if let Some(manifest) = key.and_then(|key| read(&store.record(&key)?)) {
        let nearness = Nearness::SameKey;
        return Some(Against { nearness, manifest });
    }
    let history = History::of(store);
    let last = history.last(&experiment.name, &experiment.task_name(task));
    if let Some(manifest) = last.and_then(read) {
        let nearness = Nearness::SameTask;
        return Some(Against { nearness, manifest });
    }
    let same_shape = store
        .records()
        .filter(|record| record.shape() == shape)
        .max_by_key(Record::stamp);
    if let Some(manifest) = same_shape.as_ref().and_then(read) {
        let nearness = Nearness::SameShape;
        return Some(Against { nearness, manifest });
    }
    let kind = experiment.stages[experiment.tasks[task].stage].kind.name();
    let common = |manifest: &Manifest| {
        let same =
            |part: &&Part| part.component != Component::Kind && manifest.parts.contains(part);
        parts.iter().filter(same).count()
    };
    store
        .records()
        .filter(|record| record::labels(record.body()).is_some_and(|labels| labels.kind == kind))
        .filter_map(|record| Some((record.stamp(), read(&record)?)))
        .max_by_key(|(stamp, manifest)| (common(manifest), *stamp))
        .map(|(_, manifest)| Against {
            nearness: Nearness::SameKind,
            manifest,
        })
}

fn read(record: &Record) -> Option<Manifest> {
    record::manifest(record.body())
}

//! What two recorded runs differ in, and why, as far as their logs and the records of the store tell.

use std::collections::BTreeMap;

use blake3::Hash;
use llmcl_cache::Store;

use crate::diff::{Change, changes};
use crate::events::{Finish, OutputDigest};
use crate::key::Component;
use crate::record;
use crate::story::{Fate, GateStory, Story, TaskStory};

/// What two runs differ in. Tasks stand for one another by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Comparison {
    /// Tasks that put out other things under the same key, which no task may.
    pub unrepeatable: Vec<Unrepeatable>,
    /// Tasks that only the first run tells of.
    pub only_a: Vec<String>,
    /// Tasks that only the second run tells of.
    pub only_b: Vec<String>,
    /// Tasks that ended in another way.
    pub fates: Vec<OtherFate>,
    /// Tasks with other keys, those with the same reason together; the most tasks first.
    pub causes: Vec<Cause>,
    /// Tasks with other keys, for which one of the two records is gone from the store.
    pub gone: Vec<Gone>,
    /// Gates with another outcome or other statistics.
    pub gates: Vec<OtherGate>,
    /// Tasks that were executed in both runs, with how long their work took; the largest differences first.
    pub durations: Vec<Durations>,
    /// The number of tasks that are the same in key, outputs and fate.
    pub same: usize,
}

/// A task that put out other things under the same key.
#[derive(Debug, Clone, PartialEq)]
pub struct Unrepeatable {
    /// The task.
    pub task: String,
    /// The key.
    pub key: Hash,
    /// The outputs that differ: the port, and what is there in each run.
    pub outputs: Vec<(String, Option<OutputDigest>, Option<OutputDigest>)>,
}

/// A task that ended in another way.
#[derive(Debug, Clone, PartialEq)]
pub struct OtherFate {
    /// The task.
    pub task: String,
    /// How it ended in the first run.
    pub a: Fate,
    /// How it ended in the second run.
    pub b: Fate,
}

/// Why keys differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Cause {
    /// The parts of the keys that differ, but for what other tasks put out; empty if only that differs.
    pub reasons: Vec<Reason>,
    /// The inputs of which the contents differ, if nothing else does.
    pub inputs: Vec<String>,
    /// The tasks.
    pub tasks: Vec<String>,
    /// How many of them put out the same all the same.
    pub same_outputs: usize,
}

/// A part of keys that differs. The members of an input count as one part.
#[derive(Debug, Clone, PartialEq)]
pub struct Reason {
    /// What differs, in the first of the tasks; of several members the first one.
    pub example: Change,
    /// How many members of the input differ in that task; 1 for what is no input.
    pub members: usize,
    /// Whether it is the very same change in all the tasks.
    pub everywhere: bool,
}

/// A task of which a record is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// The task.
    pub task: String,
    /// Whether the record of the first run is gone.
    pub a: bool,
    /// Whether the record of the second run is gone.
    pub b: bool,
}

/// A gate that found something else.
#[derive(Debug, Clone, PartialEq)]
pub struct OtherGate {
    /// The task.
    pub task: String,
    /// The outcomes.
    pub outcomes: [String; 2],
    /// The statistics that differ: the name, and what is there in each run.
    pub statistics: Vec<(String, Option<f64>, Option<f64>)>,
}

/// How long a task's work took in each run, in microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durations {
    /// The task.
    pub task: String,
    /// In the first run.
    pub a_us: u64,
    /// In the second run.
    pub b_us: u64,
}

impl Comparison {
    /// Whether the runs came to the same; how long they took does not count.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.unrepeatable.is_empty()
            && self.only_a.is_empty()
            && self.only_b.is_empty()
            && self.fates.is_empty()
            && self.causes.is_empty()
            && self.gone.is_empty()
            && self.gates.is_empty()
    }
}

/// Compares two runs; `store` says what their keys were made of.
#[must_use]
pub fn compare(a: &Story, b: &Story, store: &Store) -> Comparison {
    let mut comparison = Comparison::default();
    let mut causes: BTreeMap<String, Cause> = BTreeMap::new();
    for one in by_name(a) {
        match b.task(&one.task) {
            Some(other) => comparison.add(one, other, store, &mut causes),
            None => comparison.only_a.push(one.task.clone()),
        }
    }
    let only_b = by_name(b)
        .into_iter()
        .filter(|task| a.task(&task.task).is_none());
    comparison.only_b = only_b.map(|task| task.task.clone()).collect();
    comparison.causes = causes.into_values().collect();
    // What others hang on comes before what only hangs on others.
    comparison
        .causes
        .sort_by_key(|cause| (cause.reasons.is_empty(), usize::MAX - cause.tasks.len()));
    comparison
        .durations
        .sort_by_key(|task| u64::MAX - task.a_us.abs_diff(task.b_us));
    comparison
}

/// The tasks by name, so that what is said does not hang on the order in which they ended.
fn by_name(story: &Story) -> Vec<&TaskStory> {
    let mut tasks: Vec<&TaskStory> = story.tasks.iter().collect();
    tasks.sort_unstable_by_key(|task| &task.task);
    tasks
}

impl Comparison {
    fn add(
        &mut self,
        a: &TaskStory,
        b: &TaskStory,
        store: &Store,
        causes: &mut BTreeMap<String, Cause>,
    ) {
        let mut same = true;
        if is_other(&a.fate, &b.fate) {
            same = false;
            self.fates.push(OtherFate {
                task: a.task.clone(),
                a: a.fate.clone(),
                b: b.fate.clone(),
            });
        }
        let both_done = matches!((&a.fate, &b.fate), (Fate::Finished(_), Fate::Finished(_)));
        match (a.key, b.key) {
            (Some(key), Some(other)) if key != other => {
                same = false;
                self.other_keys((a, key), (b, other), store, causes);
            }
            (Some(key), Some(_)) if both_done && !same_outputs(a, b) => {
                same = false;
                self.unrepeatable.push(Unrepeatable {
                    task: a.task.clone(),
                    key,
                    outputs: other_outputs(a, b),
                });
            }
            _ => {}
        }
        if let (Some(one), Some(other)) = (&a.gate, &b.gate)
            && let Some(gate) = other_gate(&a.task, one, other)
        {
            same = false;
            self.gates.push(gate);
        }
        let executed = Fate::Finished(Finish::Executed);
        if let (Some(one), Some(other)) = (&a.spent, &b.spent)
            && a.fate == executed
            && b.fate == executed
        {
            self.durations.push(Durations {
                task: a.task.clone(),
                a_us: one.work_us,
                b_us: other.work_us,
            });
        }
        self.same += usize::from(same);
    }

    fn other_keys(
        &mut self,
        (a, key_a): (&TaskStory, Hash),
        (b, key_b): (&TaskStory, Hash),
        store: &Store,
        causes: &mut BTreeMap<String, Cause>,
    ) {
        let parts = |key: Hash| Some(record::manifest(store.record(&key)?.body())?.parts);
        let (Some(old), Some(new)) = (parts(key_a), parts(key_b)) else {
            self.gone.push(Gone {
                task: a.task.clone(),
                a: parts(key_a).is_none(),
                b: parts(key_b).is_none(),
            });
            return;
        };
        let (contents, own): (Vec<Change>, Vec<Change>) = changes(&old, &new)
            .into_iter()
            .partition(|change| change.component == Component::Content);
        let inputs = if own.is_empty() {
            ports(&contents)
        } else {
            Vec::new()
        };
        let reasons = reasons(own);
        let cause = causes
            .entry(identity(&reasons, &inputs))
            .or_insert_with(|| Cause {
                reasons: reasons.clone(),
                inputs,
                tasks: Vec::new(),
                same_outputs: 0,
            });
        for (known, reason) in cause.reasons.iter_mut().zip(&reasons) {
            known.everywhere &= known.example == reason.example && known.members == reason.members;
        }
        cause.tasks.push(a.task.clone());
        let both_done = matches!((&a.fate, &b.fate), (Fate::Finished(_), Fate::Finished(_)));
        cause.same_outputs += usize::from(both_done && same_outputs(a, b));
    }
}

/// Whether it is another thing that a task ended like that. Where its outputs come from is not: the second of two
/// runs finds what the first one made.
fn is_other(a: &Fate, b: &Fate) -> bool {
    match (a, b) {
        (Fate::Finished(_), Fate::Finished(_)) | (Fate::Open, Fate::Open) => false,
        (Fate::Failed { failure, .. }, Fate::Failed { failure: other, .. }) => failure != other,
        (a, b) => a != b,
    }
}

fn same_outputs(a: &TaskStory, b: &TaskStory) -> bool {
    a.outputs == b.outputs
}

fn other_outputs(
    a: &TaskStory,
    b: &TaskStory,
) -> Vec<(String, Option<OutputDigest>, Option<OutputDigest>)> {
    let by_port = |task: &TaskStory| -> BTreeMap<String, OutputDigest> {
        task.outputs.iter().cloned().collect()
    };
    both(&by_port(a), &by_port(b))
        .filter(|(_, one, other)| one != other)
        .map(|(port, one, other)| (port.clone(), one.copied(), other.copied()))
        .collect()
}

fn other_gate(task: &str, a: &GateStory, b: &GateStory) -> Option<OtherGate> {
    if a == b {
        return None;
    }
    let statistics = both(&a.statistics, &b.statistics)
        .filter(|(_, one, other)| one != other)
        .map(|(name, one, other)| (name.clone(), one.copied(), other.copied()))
        .collect();
    Some(OtherGate {
        task: task.to_owned(),
        outcomes: [a.outcome.clone(), b.outcome.clone()],
        statistics,
    })
}

/// What is under each name in either of two maps.
fn both<'a, T>(
    a: &'a BTreeMap<String, T>,
    b: &'a BTreeMap<String, T>,
) -> impl Iterator<Item = (&'a String, Option<&'a T>, Option<&'a T>)> {
    let names = a
        .keys()
        .chain(b.keys().filter(|name| !a.contains_key(*name)));
    names.map(|name| (name, a.get(name), b.get(name)))
}

/// The inputs that these members are of.
fn ports(contents: &[Change]) -> Vec<String> {
    let mut ports: Vec<String> = contents
        .iter()
        .map(|change| base(change).to_owned())
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// The name of a part without the place of a member: `tensors` of `tensors[3]`.
#[must_use]
pub fn base(change: &Change) -> &str {
    match change.component {
        Component::Input | Component::Content => change
            .name
            .split_once('[')
            .map_or(&change.name, |(port, _)| port),
        _ => &change.name,
    }
}

/// Puts the members of an input together.
fn reasons(changes: Vec<Change>) -> Vec<Reason> {
    let mut reasons: Vec<Reason> = Vec::new();
    for change in changes {
        let same = |reason: &&mut Reason| {
            reason.example.component == change.component && base(&reason.example) == base(&change)
        };
        match reasons.iter_mut().find(same) {
            Some(reason) => reason.members += 1,
            None => reasons.push(Reason {
                example: change,
                members: 1,
                everywhere: true,
            }),
        }
    }
    reasons
}

/// A text that is the same where the same parts differ.
fn identity(reasons: &[Reason], inputs: &[String]) -> String {
    let parts: Vec<_> = reasons
        .iter()
        .map(|reason| (reason.example.component, base(&reason.example)))
        .collect();
    format!("{parts:?} {inputs:?}")
}

#[cfg(test)]
mod tests;

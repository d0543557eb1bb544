//! A checked experiment: its axes, its stages, and every task of each stage, joined up.
//!
//! This is what the checker makes and what planning, running, status and explaining read. Nothing in it hangs
//! on the store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use llmcl_stages_api::expr::Expr;
use llmcl_stages_api::kind::{OutputSchema, StageKind};
use llmcl_stages_api::param::Params;
use llmcl_stages_api::value::{Type, Value};

use crate::source::Place;

/// A checked experiment.
pub struct Experiment {
    /// Its name.
    pub name: String,
    /// Its title.
    pub title: String,
    /// The axes, in the order of the file.
    pub axes: Vec<Axis>,
    /// The stages, ordered so that each stands after all that it hangs on, else as in the file.
    pub stages: Vec<Stage>,
    /// The tasks of all stages, stage by stage, so each stands after all that it hangs on.
    pub tasks: Vec<Task>,
}

/// A named list of values.
#[derive(Debug, Clone)]
pub struct Axis {
    /// Its name.
    pub name: String,
    /// Its values, in order.
    pub values: Vec<AxisValue>,
    /// The type of its values in expressions.
    pub ty: Type,
    /// The corpus that it lists; none for other axes.
    pub corpus: Option<String>,
}

/// A value of an axis.
#[derive(Debug, Clone)]
pub struct AxisValue {
    /// What stands for it in tables and task names: its name, or the value itself in a plain list.
    pub label: Value,
    /// The value in expressions: a record with a `name`, or the plain value.
    pub value: Value,
    /// Where it is written.
    pub place: Place,
}

/// The index of an axis in [`Experiment::axes`].
pub type AxisId = usize;
/// The index of a stage in [`Experiment::stages`].
pub type StageId = usize;
/// The index of a task in [`Experiment::tasks`].
pub type TaskId = usize;

/// A stage whose parameters and inputs have been checked.
pub struct Stage {
    /// Its name.
    pub name: String,
    /// Where the name is written.
    pub place: Place,
    /// Its kind.
    pub kind: &'static dyn StageKind,
    /// What reports call it: its title, else its kind.
    pub title: String,
    /// The axes that it is repeated over.
    pub each: Vec<AxisId>,
    /// Which gates must have which outcomes.
    pub when: Option<When>,
    /// Whether it runs with what there is where inputs were pruned.
    pub reports_pruned: bool,
    /// What it puts out. The first is the default.
    pub outputs: Vec<OutputSchema>,
    /// Where each parameter is written, for messages.
    pub param_places: BTreeMap<String, Place>,
    /// The axis fields that its expressions read while it runs, as (axis, field).
    pub axis_reads: BTreeSet<(String, String)>,
    /// Its tasks, as a range of [`Experiment::tasks`].
    pub tasks: std::ops::Range<TaskId>,
}

/// A condition on gates and on the task's own axes.
pub struct When {
    /// The condition, as checked: variables are the gates and the stage's axes.
    pub condition: Expr,
    /// The gates that it asks for, by name.
    pub gates: Vec<(String, StageId)>,
    /// Where it is written.
    pub place: Place,
}

/// One instance of a stage.
pub struct Task {
    /// Its stage.
    pub stage: StageId,
    /// The index of its value on each axis of the stage's `each`.
    pub values: Vec<usize>,
    /// Its parameters, with defaults, axis values and the stage's own axes put in.
    pub params: Arc<Params>,
    /// The leaves of the code that it runs: its kind's, then those of its methods.
    pub leaves: Arc<[&'static str]>,
    /// Its inputs, by port. A port of which nothing is there is not in the list.
    pub inputs: Vec<Input>,
    /// The gate tasks that its `when` asks, in the order of [`When::gates`].
    pub gates: Vec<TaskId>,
}

/// What comes in at one port.
pub struct Input {
    /// The port.
    pub port: String,
    /// The members, in order.
    pub members: Vec<InputMember>,
}

/// One member of an input.
#[derive(Debug, Clone)]
pub enum InputMember {
    /// What another task puts out.
    Task {
        /// That task.
        task: TaskId,
        /// At which port, as an index of its stage's outputs.
        port: usize,
    },
    /// A file of the repository. It is keyed by content.
    File {
        /// Where it is on disk.
        path: PathBuf,
        /// What it is called inside the artifact: the last part of the path.
        name: String,
    },
}

impl Experiment {
    /// The stage of that name.
    #[must_use]
    pub fn stage(&self, name: &str) -> Option<StageId> {
        self.stages.iter().position(|stage| stage.name == name)
    }

    /// The label of a task on each axis of its stage, as (axis, label).
    pub fn labels<'a>(&'a self, task: &'a Task) -> impl Iterator<Item = (&'a str, &'a Value)> + 'a {
        let stage = &self.stages[task.stage];
        stage.each.iter().zip(&task.values).map(|(&axis, &value)| {
            let axis = &self.axes[axis];
            (axis.name.as_str(), &axis.values[value].label)
        })
    }

    /// The name of a task: its stage and its labels, with `/` between them: `bench/whisper_base/zstd_19`.
    #[must_use]
    pub fn task_name(&self, id: TaskId) -> String {
        let task = &self.tasks[id];
        let mut name = self.stages[task.stage].name.clone();
        for (_, label) in self.labels(task) {
            name.push('/');
            match label {
                Value::Text(text) => name.push_str(text),
                other => name.push_str(&other.to_string()),
            }
        }
        name
    }

    /// Finds a task by its name.
    #[must_use]
    pub fn find_task(&self, name: &str) -> Option<TaskId> {
        let stage = self.stage(name.split('/').next()?)?;
        self.stages[stage]
            .tasks
            .clone()
            .find(|&id| self.task_name(id) == name)
    }

    /// The tasks that a task takes inputs from or asks for an outcome; some may stand there twice.
    pub fn upstream(&self, id: TaskId) -> impl Iterator<Item = TaskId> + '_ {
        let task = &self.tasks[id];
        let inputs = task.inputs.iter().flat_map(|input| &input.members);
        inputs
            .filter_map(|member| match member {
                InputMember::Task { task, .. } => Some(*task),
                InputMember::File { .. } => None,
            })
            .chain(task.gates.iter().copied())
    }
}

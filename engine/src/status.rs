//! How far an experiment is, stage by stage: what the plan says, counted.

use std::time::Duration;

use llmcl_cache::Store;

use crate::history::History;
use crate::model::{Experiment, StageId};
use crate::plan::{Counts, Plan};

/// How far a stage is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageStatus {
    /// The stage.
    pub stage: StageId,
    /// The number of its tasks in each state.
    pub counts: Counts,
    /// How long its tasks took the last time, together; none if none of them ever ran.
    pub last_duration: Option<Duration>,
}

/// Says how far each stage is, in the order of [`Experiment::stages`].
#[must_use]
pub fn status(experiment: &Experiment, store: &Store, plan: &Plan) -> Vec<StageStatus> {
    let history = History::of(store);
    let stages = experiment.stages.iter().enumerate();
    stages
        .map(|(id, stage)| StageStatus {
            stage: id,
            counts: Counts::of(
                plan.tasks[stage.tasks.clone()]
                    .iter()
                    .map(|task| &task.state),
            ),
            last_duration: stage
                .tasks
                .clone()
                .filter_map(|task| history.duration(&experiment.name, &experiment.task_name(task)))
                .reduce(Duration::saturating_add),
        })
        .collect()
}

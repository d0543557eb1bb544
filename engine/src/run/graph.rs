//! The graph of tasks.

use std::time::Duration;

use llmcl_cache::Store;
use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::history::History;
use crate::model::{Experiment, TaskId};
use crate::plan::{Plan, State};
use crate::resolve::Resolver;

/// How long a task is thought to take if nothing like it ever ran.
const UNKNOWN_DURATION: Duration = Duration::from_secs(1);

/// Which task hangs on which. The index of a node is the task.
pub(super) struct Graph(DiGraph<(), (), u32>);

impl Graph {
    /// Makes the graph; there is at most one edge between two tasks.
    pub(super) fn of(resolver: &Resolver<'_>) -> Self {
        let count = resolver.experiment.tasks.len();
        let mut graph = DiGraph::with_capacity(count, count);
        for _ in 0..count {
            graph.add_node(());
        }
        for task in 0..count {
            let mut upstream: Vec<TaskId> = resolver.upstream(task).collect();
            upstream.sort_unstable();
            upstream.dedup();
            for before in upstream {
                graph.add_edge(NodeIndex::new(before), NodeIndex::new(task), ());
            }
        }
        Self(graph)
    }

    /// The tasks that hang on `task`.
    pub(super) fn dependents(&self, task: TaskId) -> impl Iterator<Item = TaskId> + '_ {
        self.neighbours(task, Direction::Outgoing)
    }

    /// The tasks that `task` hangs on.
    pub(super) fn upstream(&self, task: TaskId) -> impl Iterator<Item = TaskId> + '_ {
        self.neighbours(task, Direction::Incoming)
    }

    fn neighbours(&self, task: TaskId, to: Direction) -> impl Iterator<Item = TaskId> + '_ {
        self.0
            .neighbors_directed(NodeIndex::new(task), to)
            .map(NodeIndex::index)
    }

    /// For each task the time that it and the longest path behind it take.
    pub(super) fn remaining(
        &self,
        experiment: &Experiment,
        plan: &Plan,
        store: &Store,
    ) -> Vec<Duration> {
        let mut remaining = vec![Duration::ZERO; experiment.tasks.len()];
        let counts = plan.counts();
        if counts.run + counts.maybe == 0 {
            return remaining;
        }
        let history = History::of(store);
        // Each task stands after all that it hangs on.
        for task in (0..experiment.tasks.len()).rev() {
            let own = match plan.tasks[task].state {
                State::Run(_) | State::Maybe(_) => duration(experiment, &history, task),
                State::Cached { .. } | State::Pruned(_) => Duration::ZERO,
            };
            let behind = self.dependents(task).map(|next| remaining[next]).max();
            remaining[task] = own.saturating_add(behind.unwrap_or_default());
        }
        remaining
    }
}

fn duration(experiment: &Experiment, history: &History, task: TaskId) -> Duration {
    let kind = experiment.stages[experiment.tasks[task].stage].kind.name();
    history
        .duration(&experiment.name, &experiment.task_name(task))
        .or_else(|| history.kind_duration(kind))
        .unwrap_or(UNKNOWN_DURATION)
}

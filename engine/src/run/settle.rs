//! How tasks end: what is known of them from then on, what is told, and what comes up next.

use std::collections::BTreeMap;
use std::sync::Arc;

use blake3::Hash;

use super::End;
use super::scheduler::{Scheduler, Step};
use crate::events::{Failure, FailureKind, Finish, OutputDigest, Spent, Summary, What};
use crate::model::TaskId;
use crate::outputs::Done;
use crate::resolve::{Fact, Pruning, Trouble};

impl Scheduler<'_> {
    fn settle(&mut self, task: TaskId, fact: Fact) {
        self.facts[task] = fact;
        self.steps[task] = Step::Settled;
        let dependents: Vec<TaskId> = self.graph.dependents(task).collect();
        for next in dependents {
            self.pending[next] -= 1;
            if self.pending[next] == 0 && self.steps[next] == Step::Waiting {
                self.watch.unblocked(next, task);
                self.todo.push_back(next);
            }
        }
    }

    /// Takes back that a task is settled.
    pub(super) fn unsettle(&mut self, task: TaskId) {
        self.facts[task] = Fact::Unknown { gate: None };
        self.steps[task] = Step::Waiting;
        let dependents: Vec<TaskId> = self.graph.dependents(task).collect();
        for next in dependents {
            self.pending[next] += 1;
        }
    }

    pub(super) fn finish(&mut self, task: TaskId, key: Hash, done: Arc<Done>, how: Finish) {
        let executed = how == Finish::Executed;
        // After something was redone, tasks come by a second time; what has been told is told again only if it is
        // another thing.
        let (known, before) = match &self.ends[task] {
            End::Done { outputs, executed } => (outputs.outputs() == done.outputs(), *executed),
            _ => (false, false),
        };
        if !known || executed {
            let spent = self.spent(task);
            self.announcer.tell(What::TaskFinished {
                task: self.shared.experiment.task_name(task),
                key,
                how,
                outputs: told(&done),
                spent,
            });
            if let Some(outcome) = done.outcome() {
                self.announcer.tell(What::GateDecided {
                    task: self.shared.experiment.task_name(task),
                    outcome: outcome.outcome.clone(),
                    note: outcome.note.clone(),
                    statistics: outcome.statistics.clone(),
                });
            }
        }
        self.ends[task] = End::Done {
            outputs: Arc::clone(&done),
            executed: executed || before,
        };
        self.settle(task, Fact::Done(done));
    }

    pub(super) fn prune(&mut self, task: TaskId, pruning: Pruning) {
        self.announcer.tell(What::TaskPruned {
            task: self.shared.experiment.task_name(task),
            gate: self.shared.experiment.task_name(pruning.gate),
            outcome: pruning.reason.outcome.clone(),
        });
        self.ends[task] = End::Pruned(pruning.clone());
        self.settle(task, Fact::Pruned(pruning));
    }

    pub(super) fn fail(&mut self, task: TaskId, failure: Failure, attempts: u32) {
        self.failed = true;
        self.announcer.tell(What::TaskFailed {
            task: self.shared.experiment.task_name(task),
            failure,
            attempts,
            spent: self.spent(task),
        });
        self.ends[task] = End::Failed;
        self.settle(task, Fact::Failed);
    }

    /// Where the time of the task went that has just ended.
    fn spent(&self, task: TaskId) -> Option<Box<Spent>> {
        let phases = &self.announcer.phases;
        self.watch.spent(task, phases, self.shared.experiment)
    }

    pub(super) fn not_run(&mut self, task: TaskId, because: TaskId) {
        self.announcer.tell(What::TaskNotRun {
            task: self.shared.experiment.task_name(task),
            because: self.shared.experiment.task_name(because),
        });
        self.ends[task] = End::NotRun;
        self.settle(task, Fact::Failed);
    }

    pub(super) fn summary(&self) -> Summary {
        let phases = &self.announcer.phases;
        let mut summary = Summary {
            interrupted: self.interrupted,
            duration_us: phases.now().saturating_sub(phases.began()),
            ..Summary::default()
        };
        for end in &self.ends {
            *match end {
                End::Done { executed: true, .. } => &mut summary.executed,
                End::Done { .. } => &mut summary.cached,
                End::Pruned(_) => &mut summary.pruned,
                End::Failed => &mut summary.failed,
                End::NotRun => &mut summary.not_run,
                End::Left => &mut summary.left,
            } += 1;
        }
        summary
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self {
            kind: FailureKind::Input,
            message: trouble.to_string(),
            hint: trouble.hint().map(str::to_owned),
        }
    }
}

fn told(done: &Done) -> BTreeMap<String, OutputDigest> {
    let outputs = done.outputs().iter();
    outputs
        .map(|(port, output)| {
            let digest = OutputDigest {
                digest: output.digest,
                bytes: output.artifact.bytes(),
            };
            (port.clone(), digest)
        })
        .collect()
}

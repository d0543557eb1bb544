//! How tasks end: what is known of them from then on, what is told, and what comes up next.

use std::collections::BTreeMap;
use std::sync::Arc;

use blake3::Hash;
use llmcl_cache::Written;

use super::End;
use super::host::store_error;
use super::scheduler::{Scheduler, Step, Unconfirmed};
use crate::events::{
    Failure, FailureKind, Finish, OutputDigest, Spent, Summary, What, microseconds,
};
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

    /// A task's outputs are there, and durable.
    pub(super) fn finish(&mut self, task: TaskId, key: Hash, done: Arc<Done>, how: Finish) {
        // After something was redone, tasks come by a second time; what has been told is told again only if it is
        // another thing.
        let known = match &self.ends[task] {
            End::Done { outputs, .. } => outputs.outputs() == done.outputs(),
            _ => false,
        };
        if !known {
            let spent = self.spent(task);
            self.tell_finished(task, key, &done, how, spent);
        }
        self.hand_out(task, key, done, false);
    }

    /// Lets everything that hangs on a task go on.
    pub(super) fn hand_out(&mut self, task: TaskId, key: Hash, done: Arc<Done>, executed: bool) {
        let before = matches!(self.ends[task], End::Done { executed: true, .. });
        self.ends[task] = End::Done {
            key,
            outputs: Arc::clone(&done),
            executed: executed || before,
        };
        self.settle(task, Fact::Done(done));
    }

    /// Records up to this one were flushed: their tasks are finished. Or they could not be, and the store takes no
    /// more. Each is asked for by itself: an earlier one may have failed with an earlier flush.
    pub(super) fn confirm(&mut self, written: Written) {
        let confirmed = self
            .unconfirmed
            .partition_point(|waiting| waiting.written <= written);
        for waiting in self.unconfirmed.drain(..confirmed).collect::<Vec<_>>() {
            let Unconfirmed {
                written,
                task,
                key,
                done,
                mut spent,
                since,
            } = waiting;
            if let Some(spent) = &mut spent {
                spent.flush_us = microseconds(since.elapsed());
            }
            match self.shared.store.flush(written) {
                Ok(()) => self.tell_finished(task, key, &done, Finish::Executed, spent),
                Err(error) => {
                    // What hangs on it may have run; its own record says what it was made from.
                    self.failed = true;
                    self.ends[task] = End::Failed;
                    self.facts[task] = Fact::Failed;
                    self.announcer.tell(What::TaskFailed {
                        task: self.shared.experiment.task_name(task),
                        failure: store_error(&error).into(),
                        attempts: 1,
                        spent,
                    });
                }
            }
        }
    }

    fn tell_finished(
        &mut self,
        task: TaskId,
        key: Hash,
        done: &Done,
        how: Finish,
        spent: Option<Box<Spent>>,
    ) {
        self.announcer.tell(What::TaskFinished {
            task: self.shared.experiment.task_name(task),
            key,
            how,
            outputs: told(done),
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
    pub(super) fn spent(&self, task: TaskId) -> Option<Box<Spent>> {
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

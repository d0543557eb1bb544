//! Doing again what was lost.
//!
//! A blob that a task needs may turn out to be gone or damaged while the run is under way. Its record is a miss
//! from then on, so the task that made it is decided about again, and with it all that hangs on it: what comes out
//! the same is found under the same keys at once. Each task is done again once for a blob, so this ends.

use std::collections::HashSet;

use llmcl_stages_api::artifact::BlobRef;

use super::scheduler::{Scheduler, Step};
use crate::events::{Failure, What};
use crate::model::TaskId;
use crate::resolve::Fact;

impl Scheduler<'_> {
    /// A task failed because blobs are not there. They are made again if that is possible; else it has failed.
    pub(super) fn lost(
        &mut self,
        task: TaskId,
        blobs: &[BlobRef],
        failure: Failure,
        attempts: u32,
    ) {
        let mut makers = Vec::new();
        for &blob in blobs {
            let maker = match self.maker(task, blob) {
                Some(maker) => maker,
                // It is imported again with the next attempt.
                None if self.takes_in(task, blob) => task,
                None => return self.fail(task, failure, attempts),
            };
            if !self.redone.insert((maker, blob.digest)) {
                return self.fail(task, failure, attempts);
            }
            makers.push((maker, blob));
        }
        self.steps[task] = Step::Waiting;
        for (maker, blob) in makers {
            let names = self.resolver.experiment;
            self.announcer.tell(What::TaskRedone {
                task: names.task_name(maker),
                blob: blob.digest,
                needed_by: names.task_name(task),
            });
            self.redo(maker);
        }
    }

    /// Finds the nearest task before `task` among whose files the blob is.
    fn maker(&self, task: TaskId, blob: BlobRef) -> Option<TaskId> {
        let mut seen = HashSet::from([task]);
        let mut level = vec![task];
        while !level.is_empty() {
            let before = level.iter().flat_map(|&task| self.graph.upstream(task));
            let before: Vec<TaskId> = before.filter(|&task| seen.insert(task)).collect();
            let maker = before.iter().find(|&&task| match &self.facts[task] {
                Fact::Done(done) => done.holds(blob),
                _ => false,
            });
            if maker.is_some() {
                return maker.copied();
            }
            level = before;
        }
        None
    }

    /// Has a task and all that hangs on it decided about again.
    fn redo(&mut self, maker: TaskId) {
        let mut affected = vec![maker];
        let mut seen = HashSet::from([maker]);
        let mut at = 0;
        while let Some(&task) = affected.get(at) {
            affected.extend(
                self.graph
                    .dependents(task)
                    .filter(|&next| seen.insert(next)),
            );
            at += 1;
        }
        for &task in &affected {
            match self.steps[task] {
                Step::Settled => self.unsettle(task),
                Step::Ready(_) => {
                    self.queue.remove(task);
                    for other in self.release(task) {
                        self.wait(other);
                    }
                    self.steps[task] = Step::Waiting;
                }
                Step::Following(key) => {
                    if let Some(followers) = self.followers.get_mut(&key) {
                        followers.retain(|&other| other != task);
                    }
                    self.steps[task] = Step::Waiting;
                }
                Step::Running { key, .. } => self.steps[task] = Step::Running { key, stale: true },
                Step::Waiting => {}
            }
        }
        for task in affected {
            if self.steps[task] == Step::Waiting {
                self.wait(task);
            }
        }
    }
}

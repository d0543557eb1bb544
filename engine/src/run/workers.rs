//! The threads that tasks are executed on.

use std::io;
use std::sync::mpsc::{self, Sender};
use std::thread::{Builder, Scope};

use super::attempt::{Shared, execute};
use super::job::{Job, Message};
use crate::model::TaskId;

/// Threads that execute one task after the other. There are as many as tasks have ever run at a time. Each has a
/// channel of its own, so that a task wakes one of them and no other.
pub(super) struct Workers<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    shared: Shared<'scope>,
    messages: Sender<Message>,
    /// The threads, and what each of them executes.
    threads: Vec<(Sender<Job>, Option<TaskId>)>,
}

impl<'scope, 'env> Workers<'scope, 'env> {
    /// No threads yet. They end when this is dropped, and the last task has ended.
    pub(super) fn new(
        scope: &'scope Scope<'scope, 'env>,
        shared: Shared<'scope>,
        messages: Sender<Message>,
    ) -> Self {
        Self {
            scope,
            shared,
            messages,
            threads: Vec::new(),
        }
    }

    /// Has a task executed.
    pub(super) fn start(&mut self, job: Job) -> io::Result<()> {
        let idle = self.threads.iter().position(|(_, task)| task.is_none());
        let at = match idle {
            Some(at) => at,
            None => {
                let (jobs, taken) = mpsc::channel();
                let (shared, messages) = (self.shared, self.messages.clone());
                Builder::new().spawn_scoped(self.scope, move || {
                    while let Ok(job) = taken.recv() {
                        execute(shared, &job, &messages);
                    }
                })?;
                self.threads.push((jobs, None));
                self.threads.len() - 1
            }
        };
        let (jobs, task) = &mut self.threads[at];
        *task = Some(job.task);
        // The thread lives as long as this.
        let _ = jobs.send(job);
        Ok(())
    }

    /// The end of a task has been heard of: its thread is free.
    pub(super) fn ended(&mut self, ended: TaskId) {
        let thread = self
            .threads
            .iter_mut()
            .find(|(_, task)| *task == Some(ended));
        if let Some((_, task)) = thread {
            *task = None;
        }
    }
}

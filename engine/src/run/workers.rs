//! The threads that tasks are executed on.

use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, Scope};

use super::attempt::{Shared, execute};
use super::job::{Job, Message};

/// Threads that execute one task after the other. There are as many as tasks have ever run at a time.
pub(super) struct Workers<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    shared: Shared<'scope>,
    messages: Sender<Message>,
    jobs: Sender<Job>,
    /// The other end, which the threads share.
    taken: Arc<Mutex<Receiver<Job>>>,
    threads: usize,
    /// How many tasks have been started and not been heard to have ended.
    running: usize,
}

impl<'scope, 'env> Workers<'scope, 'env> {
    /// No threads yet. They end when this is dropped, and the last task has ended.
    pub(super) fn new(
        scope: &'scope Scope<'scope, 'env>,
        shared: Shared<'scope>,
        messages: Sender<Message>,
    ) -> Self {
        let (jobs, taken) = mpsc::channel();
        Self {
            scope,
            shared,
            messages,
            jobs,
            taken: Arc::new(Mutex::new(taken)),
            threads: 0,
            running: 0,
        }
    }

    /// Has a task executed.
    pub(super) fn start(&mut self, job: Job) -> io::Result<()> {
        if self.running == self.threads {
            let (shared, messages) = (self.shared, self.messages.clone());
            let taken = Arc::clone(&self.taken);
            Builder::new().spawn_scoped(self.scope, move || {
                while let Some(job) = take(&taken) {
                    execute(shared, &job, &messages);
                }
            })?;
            self.threads += 1;
        }
        self.running += 1;
        // The other end is here too.
        let _ = self.jobs.send(job);
        Ok(())
    }

    /// The end of a task has been heard of: its thread is free.
    pub(super) fn ended(&mut self) {
        self.running -= 1;
    }
}

/// Waits for the next task; there is none once nobody can send one.
fn take(jobs: &Mutex<Receiver<Job>>) -> Option<Job> {
    let jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
    jobs.recv().ok()
}

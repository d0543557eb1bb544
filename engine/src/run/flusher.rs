//! Makes records durable while the run goes on.

use std::sync::mpsc::{self, Sender};
use std::thread::Scope;

use llmcl_cache::{Store, Written};

use super::job::Message;

/// A thread that flushes for all tasks: while one flush is going on, what is written waits for the next.
pub(super) struct Flusher {
    wanted: Sender<Written>,
    last: Option<Written>,
}

impl Flusher {
    /// Starts the thread. It ends when this is dropped.
    pub(super) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        store: &'scope Store,
        messages: Sender<Message>,
    ) -> Self {
        let (wanted, asked) = mpsc::channel();
        scope.spawn(move || {
            while let Ok(first) = asked.recv() {
                let newest = asked.try_iter().last().unwrap_or(first);
                let result = store.flush(newest);
                // The scheduler hears this out before it ends.
                let _ = messages.send(Message::Flushed(newest, result));
            }
        });
        Self { wanted, last: None }
    }

    /// Has everything flushed that was written up to here.
    pub(super) fn flush(&mut self, written: Written) {
        if self.last.is_none_or(|last| last < written) {
            self.last = Some(written);
            // The thread lives as long as this.
            let _ = self.wanted.send(written);
        }
    }
}

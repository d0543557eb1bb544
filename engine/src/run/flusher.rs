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
                let newest = asked.try_iter().fold(first, Written::max);
                // How it went the scheduler asks for each record.
                let _ = store.flush(newest);
                // The scheduler hears this out before it ends.
                let _ = messages.send(Message::Flushed(newest));
            }
        });
        Self { wanted, last: None }
    }

    /// Has everything flushed that was written up to here, unless this was asked for last. It may have been written
    /// before something that is flushed already: tasks may tell in another order than they wrote in.
    pub(super) fn flush(&mut self, written: Written) {
        if self.last != Some(written) {
            self.last = Some(written);
            // The thread lives as long as this.
            let _ = self.wanted.send(written);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use blake3::Hash;
    use llmcl_cache::NewRecord;

    use super::*;

    #[test]
    fn who_comes_late_is_told_too() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let write = |key: u8| {
            let new = NewRecord {
                key: Hash::from_bytes([key; 32]),
                shape: Hash::from_bytes([0; 32]),
                blobs: &[],
                inline: &[],
                body: b"body",
            };
            store.write(new).unwrap()
        };
        let (first, second) = (write(1), write(2));
        std::thread::scope(|scope| {
            let (messages, news) = mpsc::channel();
            let mut flusher = Flusher::start(scope, &store, messages);
            for written in [second, first] {
                flusher.flush(written);
                flusher.flush(written);
                match news.recv_timeout(Duration::from_secs(60)).unwrap() {
                    Message::Flushed(flushed) => assert_eq!(flushed, written),
                    Message::Of(..) => panic!("nobody else speaks"),
                }
            }
            assert!(news.try_recv().is_err(), "each is told once");
        });
    }
}

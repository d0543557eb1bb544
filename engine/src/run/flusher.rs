//! Makes records durable while the run goes on.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::Scope;
use std::time::{Duration, Instant};

use llmcl_cache::{Store, Written};

use super::job::Message;

/// How long after a flush the next one is put off, so that more tasks share it. What hangs on them does not wait.
const GATHER: Duration = Duration::from_millis(20);

/// A thread that flushes for all tasks: while one flush is going on, what is written waits for the next.
pub(super) struct Flusher {
    wanted: Sender<Wanted>,
    last: Option<Wanted>,
}

/// What is to be flushed.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Wanted {
    written: Written,
    /// Whether the run waits for it.
    urgent: bool,
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
            let mut not_before = Instant::now();
            while let Some(newest) = gather(&asked, not_before) {
                // How it went the scheduler asks for each record.
                let _ = store.flush(newest);
                not_before = Instant::now() + GATHER;
                // The scheduler hears this out before it ends.
                let _ = messages.send(Message::Flushed(newest));
            }
        });
        Self { wanted, last: None }
    }

    /// Has everything flushed that was written up to here, unless this was asked for last. It may have been written
    /// before something that is flushed already: tasks may tell in another order than they wrote in. With `urgent`
    /// it is done at once.
    pub(super) fn flush(&mut self, written: Written, urgent: bool) {
        let wanted = Wanted { written, urgent };
        if self.last != Some(wanted) {
            self.last = Some(wanted);
            // The thread lives as long as this.
            let _ = self.wanted.send(wanted);
        }
    }
}

/// Waits until something is to be flushed; nothing if nobody asks any more.
fn gather(asked: &Receiver<Wanted>, not_before: Instant) -> Option<Written> {
    let mut newest = asked.recv().ok()?;
    loop {
        let wait = match newest.urgent {
            true => Duration::ZERO,
            false => not_before.saturating_duration_since(Instant::now()),
        };
        match asked.recv_timeout(wait) {
            Ok(more) => {
                newest.written = newest.written.max(more.written);
                newest.urgent |= more.urgent;
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                return Some(newest.written);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use blake3::Hash;
    use llmcl_cache::NewRecord;

    use super::*;

    fn write(store: &Store, key: u8) -> Written {
        let new = NewRecord {
            key: Hash::from_bytes([key; 32]),
            shape: Hash::from_bytes([0; 32]),
            blobs: &[],
            inline: &[],
            body: b"body",
        };
        store.write(new).unwrap()
    }

    #[test]
    fn who_comes_late_is_told_too() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let write = |key| write(&store, key);
        let (first, second) = (write(1), write(2));
        std::thread::scope(|scope| {
            let (messages, news) = mpsc::channel();
            let mut flusher = Flusher::start(scope, &store, messages);
            for written in [second, first] {
                flusher.flush(written, true);
                flusher.flush(written, true);
                match news.recv_timeout(Duration::from_secs(60)).unwrap() {
                    Message::Flushed(flushed) => assert_eq!(flushed, written),
                    Message::Of(..) => panic!("nobody else speaks"),
                }
            }
            assert!(
                news.try_recv().is_err(),
                "what was asked for last is not done again"
            );
        });
    }

    #[test]
    fn what_is_not_urgent_waits_for_more_and_urgency_ends_the_wait() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let write = |key| write(&store, key);
        let (wanted, asked) = mpsc::channel();
        let ask = |written, urgent| wanted.send(Wanted { written, urgent }).unwrap();
        let far = Instant::now() + Duration::from_secs(3600);
        let (first, second, third) = (write(1), write(2), write(3));
        ask(second, false);
        ask(first, false);
        ask(third, true);
        assert_eq!(gather(&asked, far), Some(third));
        ask(first, false);
        assert_eq!(gather(&asked, Instant::now()), Some(first));
        drop(wanted);
        assert_eq!(gather(&asked, far), None);
    }
}

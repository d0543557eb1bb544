//! Flushing together what several threads append at the same time.
//!
//! A flush costs milliseconds however little it writes. Whoever comes while none is going on does one for all that
//! wait; whoever comes meanwhile waits for the next.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, PoisonError};

use crate::error::StoreError;

/// At most so many bytes go into one flush, so that a segment is over its length by no more than this.
const MAX_BATCH_BYTES: usize = 64 << 20;

#[derive(Default)]
pub(crate) struct GroupCommit {
    queue: Mutex<Queue>,
    flushed: Condvar,
}

#[derive(Default)]
struct Queue {
    /// What is to be written, in the order of tickets.
    waiting: Vec<Vec<u8>>,
    /// Tickets below this one are flushed or have failed.
    settled: u64,
    /// The next ticket to be given out.
    next: u64,
    flushing: bool,
    failures: HashMap<u64, StoreError>,
}

impl Queue {
    /// Takes what goes into the next flush: at least one item, and not more than the limit.
    fn take_batch(&mut self) -> Vec<Vec<u8>> {
        let mut bytes = 0;
        let fitting = self
            .waiting
            .iter()
            .take_while(|item| {
                bytes += item.len();
                bytes <= MAX_BATCH_BYTES
            })
            .count();
        let rest = self.waiting.split_off(fitting.max(1));
        std::mem::replace(&mut self.waiting, rest)
    }
}

impl GroupCommit {
    /// Has `item` written by `flush`, in this thread or in another that came first, and returns when that is done.
    /// `flush` is called by one thread at a time, with the items in the order in which they came.
    pub(crate) fn submit(
        &self,
        item: Vec<u8>,
        mut flush: impl FnMut(&[Vec<u8>]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let ticket = queue.next;
        queue.next += 1;
        queue.waiting.push(item);
        loop {
            if ticket < queue.settled {
                return queue.failures.remove(&ticket).map_or(Ok(()), Err);
            }
            if queue.flushing {
                queue = self
                    .flushed
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            queue.flushing = true;
            let batch = queue.take_batch();
            drop(queue);
            let result = flush(&batch);
            queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = result {
                for ticket in queue.settled..queue.settled + batch.len() as u64 {
                    queue.failures.insert(ticket, error.clone());
                }
            }
            queue.settled += batch.len() as u64;
            queue.flushing = false;
            self.flushed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn threads_share_flushes_and_each_item_is_written_once() {
        let commit = GroupCommit::default();
        let written = Mutex::new(Vec::new());
        let flushes = AtomicU64::new(0);
        let barrier = Barrier::new(16);
        std::thread::scope(|scope| {
            for thread in 0..16_u8 {
                let (commit, written, flushes, barrier) = (&commit, &written, &flushes, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    for item in 0..10_u8 {
                        let flush = |batch: &[Vec<u8>]| {
                            std::thread::sleep(Duration::from_millis(2));
                            written.lock().unwrap().extend_from_slice(batch);
                            flushes.fetch_add(1, Ordering::Relaxed);
                            Ok(())
                        };
                        commit.submit(vec![thread, item], flush).unwrap();
                        assert!(written.lock().unwrap().contains(&vec![thread, item]));
                    }
                });
            }
        });
        let mut written = written.into_inner().unwrap();
        assert_eq!(written.len(), 160);
        written.sort();
        written.dedup();
        assert_eq!(written.len(), 160);
        let flushes = flushes.into_inner();
        assert!(
            flushes < 80,
            "{flushes} flushes for 160 items of 16 threads"
        );
    }

    #[test]
    fn a_failed_flush_fails_everyone_in_it_and_no_one_else() {
        let commit = GroupCommit::default();
        let failure = StoreError::RunLogInUse { path: "x".into() };
        commit
            .submit(vec![1], |_| Err(failure.clone()))
            .unwrap_err();
        commit
            .submit(vec![2], |batch| {
                assert_eq!(batch, [vec![2]]);
                Ok(())
            })
            .unwrap();
        assert!(commit.queue.into_inner().unwrap().failures.is_empty());
    }

    #[test]
    fn a_batch_is_bounded() {
        let item = vec![0; MAX_BATCH_BYTES / 2 + 1];
        let mut queue = Queue {
            waiting: vec![
                item.clone(),
                item.clone(),
                vec![0; 2 * MAX_BATCH_BYTES],
                vec![0],
            ],
            ..Queue::default()
        };
        assert_eq!(queue.take_batch().len(), 1);
        assert_eq!(queue.take_batch().len(), 1);
        assert_eq!(queue.take_batch().len(), 1);
        assert_eq!(queue.take_batch().len(), 1);
        assert!(queue.waiting.is_empty());
    }
}

//! Flushing together what several threads have written.
//!
//! A flush costs milliseconds however little it writes. So writing and flushing are two steps: each write gets a
//! ticket, and a flush settles all tickets given out before it began. Whoever comes while no flush is going on does
//! one for all; whoever comes meanwhile waits for it, and does the next if that one was too early.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::StoreError;

/// How many failed flushes are remembered. Of older ones only the tickets are, together with whatever lies between.
const MAX_FAILURES: usize = 64;

/// A flush that failed.
#[derive(Debug)]
pub(crate) struct FailedFlush {
    pub(crate) error: StoreError,
    /// Tickets up to this one are lost with it, those among them that were given out after it had begun.
    pub(crate) last: u64,
}

#[derive(Default)]
pub(crate) struct GroupCommit {
    state: Mutex<State>,
    settled: Condvar,
}

#[derive(Default)]
struct State {
    /// The last ticket given out; the first one is 1.
    written: u64,
    /// Tickets up to this one are flushed or have failed.
    settled: u64,
    flushing: bool,
    failures: VecDeque<(RangeInclusive<u64>, StoreError)>,
}

impl State {
    fn result(&self, ticket: u64) -> Result<(), StoreError> {
        let failed = |tickets: &RangeInclusive<u64>| tickets.contains(&ticket);
        match self.failures.iter().find(|(tickets, _)| failed(tickets)) {
            Some((_, error)) => Err(error.clone()),
            None => Ok(()),
        }
    }

    fn fail(&mut self, tickets: RangeInclusive<u64>, error: StoreError) {
        if self.failures.len() == MAX_FAILURES
            && let Some((oldest, _)) = self.failures.pop_front()
            && let Some((next, _)) = self.failures.front_mut()
        {
            *next = *oldest.start()..=*next.end();
        }
        self.failures.push_back((tickets, error));
    }
}

impl GroupCommit {
    /// Notes that something has been written, and returns its ticket.
    pub(crate) fn written(&self) -> u64 {
        let mut state = self.state();
        state.written += 1;
        state.written
    }

    /// The last ticket given out.
    pub(crate) fn last(&self) -> u64 {
        self.state().written
    }

    /// Returns once what has this ticket is durable, or could not be made so. `flush` makes everything durable that
    /// has a ticket when it is called; one thread calls it at a time.
    pub(crate) fn settle(
        &self,
        ticket: u64,
        flush: impl Fn() -> Result<(), FailedFlush>,
    ) -> Result<(), StoreError> {
        let mut state = self.state();
        loop {
            if ticket <= state.settled {
                return state.result(ticket);
            }
            if state.flushing {
                state = self
                    .settled
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.flushing = true;
            let tickets = state.settled + 1..=state.written;
            drop(state);
            let result = flush();
            state = self.state();
            state.settled = *tickets.end();
            state.flushing = false;
            if let Err(FailedFlush { error, last }) = result {
                let last = last.max(*tickets.end());
                state.settled = last;
                state.fail(*tickets.start()..=last, error);
            }
            self.settled.notify_all();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn threads_share_flushes_and_nobody_goes_on_before_his_own() {
        let commit = GroupCommit::default();
        let last_flushed = AtomicU64::new(0);
        let flushes = AtomicU64::new(0);
        let barrier = Barrier::new(16);
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    barrier.wait();
                    for _ in 0..10 {
                        let ticket = commit.written();
                        let flush = || {
                            let seen = commit.state().written;
                            std::thread::sleep(Duration::from_millis(2));
                            last_flushed.fetch_max(seen, Ordering::SeqCst);
                            flushes.fetch_add(1, Ordering::SeqCst);
                            Ok(())
                        };
                        commit.settle(ticket, flush).unwrap();
                        assert!(last_flushed.load(Ordering::SeqCst) >= ticket);
                    }
                });
            }
        });
        let flushes = flushes.into_inner();
        assert!(
            flushes < 80,
            "{flushes} flushes for 160 writes of 16 threads"
        );
    }

    fn fail(commit: &GroupCommit) -> Result<(), FailedFlush> {
        Err(FailedFlush {
            error: StoreError::RunLogInUse { path: "x".into() },
            last: commit.last(),
        })
    }

    #[test]
    fn a_failed_flush_fails_everything_in_it_and_nothing_else() {
        let commit = GroupCommit::default();
        let good = commit.written();
        commit.settle(good, || Ok(())).unwrap();
        let bad = [commit.written(), commit.written()];
        commit.settle(bad[1], || fail(&commit)).unwrap_err();
        let never = || -> Result<(), FailedFlush> { panic!("it is settled") };
        commit.settle(bad[0], never).unwrap_err();
        commit.settle(good, never).unwrap();
        let later = commit.written();
        commit.settle(later, || Ok(())).unwrap();
        commit.settle(bad[0], never).unwrap_err();
    }

    #[test]
    fn what_is_written_during_a_flush_that_takes_it_along_fails_with_it() {
        let commit = GroupCommit::default();
        let before = commit.written();
        let during = std::cell::Cell::new(0);
        let flush = || {
            during.set(commit.written());
            let result = fail(&commit);
            commit.written();
            result
        };
        commit.settle(before, flush).unwrap_err();
        let never = || -> Result<(), FailedFlush> { panic!("it is settled") };
        commit.settle(during.get(), never).unwrap_err();
        let after = during.get() + 1;
        commit.settle(after, || Ok(())).unwrap();
        commit.settle(during.get(), never).unwrap_err();
    }

    #[test]
    fn however_many_fail_none_is_taken_for_good() {
        let commit = GroupCommit::default();
        for _ in 0..3 * MAX_FAILURES {
            let ticket = commit.written();
            commit.settle(ticket, || fail(&commit)).unwrap_err();
        }
        for ticket in 1..=3 * MAX_FAILURES as u64 {
            commit.settle(ticket, || Ok(())).unwrap_err();
        }
        assert!(commit.state().failures.len() <= MAX_FAILURES);
    }
}

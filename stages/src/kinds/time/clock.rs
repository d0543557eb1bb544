//! Wall time, and the time that processors worked.

use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// What a piece of work took.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spent {
    /// From its start to its end.
    pub(super) wall: Duration,
    /// The time of all processors together, in the program and in the system for it. The task is alone on the machine,
    /// so that nothing else of the process works.
    pub(super) cpu: Duration,
}

/// Whose processor time counts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Whose {
    /// This process's, all threads together.
    Own,
    /// That of processes that this one started and that have ended.
    Children,
}

/// A clock that is running.
pub(super) struct Clock {
    start: Instant,
    before: Duration,
    whose: Whose,
}

impl Clock {
    pub(super) fn start(whose: Whose) -> Self {
        Self {
            before: cpu(whose),
            whose,
            start: Instant::now(),
        }
    }

    pub(super) fn stop(&self) -> Spent {
        let wall = self.start.elapsed();
        Spent {
            wall,
            cpu: cpu(self.whose).saturating_sub(self.before),
        }
    }
}

fn cpu(whose: Whose) -> Duration {
    let who = match whose {
        Whose::Own => UsageWho::RUSAGE_SELF,
        Whose::Children => UsageWho::RUSAGE_CHILDREN,
    };
    // It fails for no `who` that there is.
    let Ok(usage) = getrusage(who) else {
        return Duration::ZERO;
    };
    let microseconds =
        usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(u64::try_from(microseconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn work_takes_processor_time() {
        let clock = Clock::start(Whose::Own);
        let mut sum = 0u64;
        while clock.stop().cpu < Duration::from_millis(20) {
            sum = std::hint::black_box(sum.wrapping_mul(31) + 1);
        }
        let worked = clock.stop();
        assert!(worked.cpu >= Duration::from_millis(20) && !worked.wall.is_zero());
    }

    #[test]
    fn the_work_of_children_that_were_waited_for_counts() {
        let clock = Clock::start(Whose::Children);
        // More than a hundredth of a second of work on any machine. What other tests start meanwhile may add to it.
        let work = "i=0; while [ $i -lt 500000 ]; do i=$((i + 1)); done";
        let done = Command::new("/bin/sh").args(["-c", work]).status();
        assert!(done.is_ok_and(|status| status.success()));
        assert!(clock.stop().cpu >= Duration::from_millis(10));
    }
}

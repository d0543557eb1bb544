//! The clock of a run, and the phases that its time goes into.

use std::time::{Duration, Instant, SystemTime};

use crate::events::{Phase, What, microseconds};

/// Times a run, from before the experiment is read.
///
/// Its times are microseconds since 1970 (UTC). They go on from when it began and never back, whatever happens to
/// the system's clock meanwhile.
#[derive(Debug, Clone)]
pub struct Phases {
    wall: u64,
    begun: Instant,
    /// When the last phase ended.
    last: Instant,
    ended: Vec<(Phase, Instant, Duration)>,
}

impl Phases {
    /// Begins the first phase.
    #[must_use]
    pub fn begin() -> Self {
        let begun = Instant::now();
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            wall: microseconds(wall.unwrap_or_default()),
            begun,
            last: begun,
            ended: Vec::new(),
        }
    }

    /// Ends a phase; the next one begins.
    pub fn end(&mut self, phase: Phase) {
        let now = Instant::now();
        self.ended.push((phase, self.last, now - self.last));
        self.last = now;
    }

    /// When the first phase began.
    #[must_use]
    pub fn began(&self) -> u64 {
        self.wall
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.at(Instant::now())
    }

    /// When that moment was; nothing is before the first phase.
    pub(crate) fn at(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.begun);
        self.wall.saturating_add(microseconds(since))
    }

    /// What there is to tell of the phases that have ended since the last call.
    pub(crate) fn news(&mut self) -> Vec<What> {
        let ended = std::mem::take(&mut self.ended).into_iter();
        ended
            .map(|(phase, began, took)| What::PhaseEnded {
                phase,
                began: self.at(began),
                took_us: microseconds(took),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_follow_one_another_without_a_gap() {
        let mut phases = Phases::begin();
        phases.end(Phase::Check);
        std::thread::sleep(Duration::from_millis(2));
        phases.end(Phase::Open);
        let mut end = phases.began();
        let news = phases.news();
        assert_eq!(news.len(), 2);
        for what in news {
            let What::PhaseEnded { began, took_us, .. } = what else {
                unreachable!()
            };
            // Each is rounded down by itself.
            assert!(began >= end && began <= end + 1, "{began} after {end}");
            end = began + took_us;
        }
        assert!(end >= phases.began() + 2_000);
        assert!(phases.news().is_empty());
        assert!(phases.now() >= end);
    }
}

//! Where the time of tasks goes: since when a task waits, which slot it has, and what its execution spent.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::events::{Spent, microseconds};
use crate::model::{Experiment, TaskId};
use crate::phases::Phases;

/// The parts of an execution, in the order in which they follow one another.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    /// Waiting for the lock of the key.
    Lock,
    /// Looking for what another process recorded.
    Look,
    /// Bringing in files of the repository.
    Import,
    /// Failed attempts, and the pauses after them.
    Retries,
    /// The work of the stage kind.
    Work,
    /// Making and writing the record.
    Record,
}

const PARTS: usize = Part::Record as usize + 1;

/// What an execution spent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Laps {
    /// When its thread began.
    began: Instant,
    /// By [`Part`].
    parts: [Duration; PARTS],
    /// Of the work, what went into making outputs durable.
    publish: Duration,
}

/// Measures an execution, on its thread.
pub(super) struct Stopwatch {
    laps: Cell<Laps>,
    last: Cell<Instant>,
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        let began = Instant::now();
        Self {
            laps: Cell::new(Laps {
                began,
                parts: [Duration::ZERO; PARTS],
                publish: Duration::ZERO,
            }),
            last: Cell::new(began),
        }
    }

    /// Counts the time since the last call to `part`.
    pub(super) fn lap(&self, part: Part) {
        let now = Instant::now();
        let mut laps = self.laps.get();
        laps.parts[part as usize] += now - self.last.replace(now);
        self.laps.set(laps);
    }

    /// Notes what of the work went into making outputs durable.
    pub(super) fn published(&self, publish: Duration) {
        let laps = self.laps.get();
        self.laps.set(Laps { publish, ..laps });
    }

    /// An attempt failed and another one begins: what it spent, and the time since the last call, went into
    /// retries.
    pub(super) fn again(&self) {
        self.lap(Part::Retries);
        let mut laps = self.laps.get();
        for part in [Part::Work, Part::Record] {
            let spent = std::mem::take(&mut laps.parts[part as usize]);
            laps.parts[Part::Retries as usize] += spent;
        }
        laps.publish = Duration::ZERO;
        self.laps.set(laps);
    }

    pub(super) fn read(&self) -> Laps {
        self.laps.get()
    }
}

/// An execution that has ended.
#[derive(Debug, Clone, Copy)]
struct Execution {
    task: TaskId,
    slot: usize,
    /// Since when it had the slot, and until when.
    since: Instant,
    left: Instant,
    laps: Laps,
}

/// The scheduler's side: waiting tasks and slots.
pub(super) struct Watch {
    /// Since when each task could have been started.
    ready: Vec<Option<Instant>>,
    /// The task of this run that each task waited for last.
    after: Vec<Option<TaskId>>,
    /// The task that has each slot, and since when.
    slots: Vec<Option<(TaskId, Instant)>>,
    /// The execution that is being heard of.
    ended: Option<Execution>,
}

impl Watch {
    pub(super) fn new(tasks: usize) -> Self {
        Self {
            ready: vec![None; tasks],
            after: vec![None; tasks],
            slots: Vec::new(),
            ended: None,
        }
    }

    /// The task could be started from now on.
    pub(super) fn ready(&mut self, task: TaskId) {
        self.ready[task] = Some(Instant::now());
    }

    /// `next` waited last for `task`, or for what that waited for if it had nothing to do.
    pub(super) fn unblocked(&mut self, next: TaskId, task: TaskId) {
        self.after[next] = match self.ready[task] {
            Some(_) => Some(task),
            None => self.after[task],
        };
    }

    /// Gives the task the first free slot.
    pub(super) fn start(&mut self, task: TaskId) {
        let taken = Some((task, Instant::now()));
        match self.slots.iter().position(Option::is_none) {
            Some(free) => self.slots[free] = taken,
            None => self.slots.push(taken),
        }
    }

    /// The slot of a task that has one.
    pub(super) fn slot(&self, task: TaskId) -> usize {
        let has = |slot: &Option<(TaskId, Instant)>| slot.is_some_and(|(owner, _)| owner == task);
        self.slots.iter().position(has).unwrap_or_default()
    }

    /// The task gives its slot back.
    pub(super) fn leave(&mut self, task: TaskId) -> Option<(usize, Instant)> {
        let slot = self.slot(task);
        let (_, since) = self
            .slots
            .get_mut(slot)?
            .take_if(|(owner, _)| *owner == task)?;
        Some((slot, since))
    }

    /// An execution has ended; what it spent is kept until [`Watch::forget`].
    pub(super) fn end(&mut self, task: TaskId, laps: &Laps) {
        self.ended = self.leave(task).map(|(slot, since)| Execution {
            task,
            slot,
            since,
            left: Instant::now(),
            laps: *laps,
        });
    }

    /// Forgets the execution that was heard of.
    pub(super) fn forget(&mut self) {
        self.ended = None;
    }

    /// What the execution that is being heard of spent, if it is this task's.
    pub(super) fn spent(
        &self,
        task: TaskId,
        phases: &Phases,
        experiment: &Experiment,
    ) -> Option<Box<Spent>> {
        let Execution {
            slot,
            since,
            left,
            laps,
            ..
        } = self.ended.filter(|ended| ended.task == task)?;
        let ready = self.ready[task].unwrap_or(since);
        let part = |part: Part| microseconds(laps.parts[part as usize]);
        Some(Box::new(Spent {
            slot,
            ready: phases.at(ready),
            after: self.after[task].map(|before| experiment.task_name(before)),
            queue_us: microseconds(since - ready),
            prepare_us: microseconds(laps.began - since),
            lock_us: part(Part::Lock),
            look_us: part(Part::Look),
            import_us: part(Part::Import),
            retries_us: part(Part::Retries),
            work_us: part(Part::Work),
            publish_us: microseconds(laps.publish),
            record_us: part(Part::Record),
            slot_us: microseconds(left - since),
            flush_us: 0,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_free_slot_is_taken() {
        let mut watch = Watch::new(5);
        for task in 0..3 {
            watch.start(task);
        }
        assert_eq!(watch.leave(1).map(|(slot, _)| slot), Some(1));
        assert_eq!(watch.leave(0).map(|(slot, _)| slot), Some(0));
        assert!(watch.leave(0).is_none());
        watch.start(3);
        watch.start(4);
        assert_eq!([watch.slot(2), watch.slot(3), watch.slot(4)], [2, 0, 1]);
    }

    #[test]
    fn a_task_waits_for_the_last_one_that_had_something_to_do() {
        let mut watch = Watch::new(4);
        watch.ready(0);
        watch.unblocked(1, 0);
        watch.unblocked(2, 1);
        watch.unblocked(3, 2);
        assert_eq!(watch.after, [None, Some(0), Some(0), Some(0)]);
        watch.ready(2);
        watch.unblocked(3, 2);
        assert_eq!(watch.after[3], Some(2));
    }

    #[test]
    fn what_a_failed_attempt_spent_went_into_retries() {
        let stopwatch = Stopwatch::start();
        let pause = || std::thread::sleep(Duration::from_millis(2));
        pause();
        stopwatch.lap(Part::Lock);
        pause();
        stopwatch.lap(Part::Work);
        stopwatch.published(Duration::from_millis(1));
        pause();
        stopwatch.again();
        pause();
        stopwatch.lap(Part::Work);
        let laps = stopwatch.read();
        let part = |part: Part| laps.parts[part as usize];
        assert!(part(Part::Retries) >= Duration::from_millis(4));
        assert!(part(Part::Work) >= Duration::from_millis(2));
        assert_eq!(laps.publish, Duration::ZERO);
        let all: Duration = laps.parts.iter().sum();
        assert_eq!(all, stopwatch.last.get() - laps.began);
    }
}

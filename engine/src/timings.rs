//! Where the time of a run went: its phases, its tasks, its slots, and the path that kept it going the longest.

use std::collections::{BTreeMap, HashMap};

use crate::events::{Event, Phase, Spent, What};

/// Reads the events of a run and adds up its times. All times are in microseconds.
#[derive(Debug, Default)]
pub struct Timings {
    /// When the run began, since 1970 (UTC).
    began: Option<u64>,
    /// When its last event was told, since 1970 (UTC).
    last: u64,
    jobs: usize,
    phases: Vec<(Phase, u64)>,
    tasks: Vec<TaskTime>,
    /// The tasks that were done without a slot.
    without_slot: usize,
}

/// Where the time of a task that had a slot went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskTime {
    /// The task.
    pub task: String,
    /// What it spent.
    pub spent: Spent,
    /// When its end was told, since 1970 (UTC): after its record was flushed.
    pub told: u64,
}

/// What tasks spent together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum {
    /// How many tasks there are.
    pub tasks: usize,
    /// How long they had a slot.
    pub slot_us: u64,
    /// Waiting for a slot.
    pub queue_us: u64,
    /// Each part of [`Spent::parts`], in that order.
    pub parts: [u64; 7],
    /// Of the work, making outputs durable.
    pub publish_us: u64,
    /// What they had a slot for and is none of the parts: until the scheduler heard of their ends.
    pub telling_us: u64,
    /// Waiting for flushes after that, which holds up no other task.
    pub flush_us: u64,
}

/// Where the time of a run went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// How long the run took, up to its last event.
    pub whole_us: u64,
    /// The phases, in order.
    pub phases: Vec<(Phase, u64)>,
    /// What of the whole is in no phase.
    pub other_us: u64,
    /// How many tasks could run at a time.
    pub jobs: usize,
    /// All tasks that had a slot.
    pub all: Sum,
    /// The same for each stage, the one with the most slot time first.
    pub stages: Vec<(String, Sum)>,
    /// The tasks that had their slots the longest.
    pub longest: Vec<TaskTime>,
    /// The tasks of the critical path, in order: each but the first waited last for the one before, and the last
    /// one ended last.
    pub critical: Vec<TaskTime>,
    /// The tasks that were done without a slot.
    pub without_slot: usize,
}

impl TaskTime {
    /// How long the task had its slot.
    #[must_use]
    pub fn slot_us(&self) -> u64 {
        self.spent.slot_us
    }
}

impl Sum {
    fn add(&mut self, task: &TaskTime) {
        self.tasks += 1;
        let slot = task.slot_us();
        self.slot_us = self.slot_us.saturating_add(slot);
        self.queue_us = self.queue_us.saturating_add(task.spent.queue_us);
        let mut left = slot;
        for (sum, (_, part)) in self.parts.iter_mut().zip(task.spent.parts()) {
            *sum = sum.saturating_add(part);
            left = left.saturating_sub(part);
        }
        self.publish_us = self.publish_us.saturating_add(task.spent.publish_us);
        self.telling_us = self.telling_us.saturating_add(left);
        self.flush_us = self.flush_us.saturating_add(task.spent.flush_us);
    }
}

impl Timings {
    /// Takes in the next event.
    pub fn add(&mut self, event: &Event) {
        self.last = event.at;
        match &event.what {
            What::RunStarted { began, jobs, .. } => {
                self.began = Some(*began);
                self.jobs = *jobs;
            }
            What::PhaseEnded { phase, took_us, .. } => self.phases.push((*phase, *took_us)),
            What::TaskFinished {
                task,
                spent: Some(spent),
                ..
            }
            | What::TaskFailed {
                task,
                spent: Some(spent),
                ..
            } => self.tasks.push(TaskTime {
                task: task.clone(),
                spent: spent.as_ref().clone(),
                told: event.at,
            }),
            What::TaskFinished { spent: None, .. } => self.without_slot += 1,
            _ => {}
        }
    }

    /// When the last event was told, in microseconds since 1970 (UTC).
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Says where the time went. `longest` is how many of the longest tasks to name.
    #[must_use]
    pub fn report(&self, longest: usize) -> Report {
        let whole_us = self.last.saturating_sub(self.began.unwrap_or(self.last));
        let in_phases = self.phases.iter().map(|(_, took)| *took);
        let in_phases = in_phases.fold(0, u64::saturating_add);
        let mut all = Sum::default();
        let mut stages: BTreeMap<&str, Sum> = BTreeMap::new();
        for task in &self.tasks {
            all.add(task);
            let stage = task.task.split('/').next().unwrap_or_default();
            stages.entry(stage).or_default().add(task);
        }
        let mut stages: Vec<(String, Sum)> = stages
            .into_iter()
            .map(|(stage, sum)| (stage.to_owned(), sum))
            .collect();
        stages.sort_by_key(|(_, sum)| u64::MAX - sum.slot_us);
        let mut by_slot: Vec<&TaskTime> = self.tasks.iter().collect();
        by_slot.sort_by_key(|task| u64::MAX - task.slot_us());
        Report {
            whole_us,
            phases: self.phases.clone(),
            other_us: whole_us.saturating_sub(in_phases),
            jobs: self.jobs,
            all,
            stages,
            longest: by_slot.into_iter().take(longest).cloned().collect(),
            critical: self.critical(),
            without_slot: self.without_slot,
        }
    }

    fn critical(&self) -> Vec<TaskTime> {
        // The last time that each task ended.
        let ends: HashMap<&str, &TaskTime> = self
            .tasks
            .iter()
            .map(|task| (task.task.as_str(), task))
            .collect();
        let mut path = Vec::new();
        let mut next = self.tasks.iter().max_by_key(|task| task.spent.ended());
        while let Some(task) = next {
            path.push(task.clone());
            // A log that was tampered with may lead round in a circle; time does not.
            next = task.spent.after.as_deref().and_then(|after| {
                let before = ends.get(after).copied()?;
                (before.spent.started() < task.spent.started()).then_some(before)
            });
        }
        path.reverse();
        path
    }
}

#[cfg(test)]
mod tests;

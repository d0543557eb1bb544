//! What the store remembers of past executions: the last record of each task, and how long things took.

use std::collections::HashMap;
use std::time::Duration;

use llmcl_cache::{Record, Store};

use crate::record;

/// The past executions that the store has records of.
#[derive(Default)]
pub struct History {
    /// The newest record by experiment and task.
    tasks: HashMap<(String, String), Record>,
    /// The durations of all records of a kind: their sum and their number.
    kinds: HashMap<String, (Duration, u32)>,
}

impl History {
    /// Reads the labels of all records.
    #[must_use]
    pub fn of(store: &Store) -> Self {
        let mut history = Self::default();
        for record in store.records() {
            let Some(labels) = record::labels(record.body()) else {
                continue;
            };
            let kind = history.kinds.entry(labels.kind.to_owned()).or_default();
            kind.0 = kind.0.saturating_add(labels.duration);
            kind.1 += 1;
            let name = (labels.experiment.to_owned(), labels.task.to_owned());
            match history.tasks.get(&name) {
                Some(known) if known.stamp() > record.stamp() => {}
                _ => {
                    history.tasks.insert(name, record);
                }
            }
        }
        history
    }

    /// The newest record that was made under this name.
    #[must_use]
    pub fn last(&self, experiment: &str, task: &str) -> Option<&Record> {
        self.tasks.get(&(experiment.to_owned(), task.to_owned()))
    }

    /// How long the task took the last time that it ran under this name.
    #[must_use]
    pub fn duration(&self, experiment: &str, task: &str) -> Option<Duration> {
        let record = self.last(experiment, task)?;
        Some(record::labels(record.body())?.duration)
    }

    /// How long the tasks of a kind took on average.
    #[must_use]
    pub fn kind_duration(&self, kind: &str) -> Option<Duration> {
        let (sum, count) = self.kinds.get(kind)?;
        sum.checked_div(*count)
    }
}

//! What all engines on a store have told, held against what an undisturbed run tells.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::Told;

type Outputs = BTreeMap<String, String>;

/// The outputs under each key, as undisturbed runs have them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Truth {
    outputs: BTreeMap<String, Outputs>,
}

/// Counts what happened, and what must not have.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) runs: u64,
    pub(crate) kills: u64,
    pub(crate) cuts: u64,
    pub(crate) refusals: u64,
    pub(crate) edits: u64,
}

/// The keys that engines on one store have told as finished.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    finished: BTreeSet<String>,
    executed: BTreeSet<String>,
}

impl Truth {
    /// What an undisturbed run told.
    pub(crate) fn of(told: &Told) -> Self {
        let mut truth = Self::default();
        truth.add(told);
        truth
    }

    /// Adds what another undisturbed run told.
    pub(crate) fn add(&mut self, told: &Told) {
        for task in &told.finished {
            let before = self.outputs.insert(task.key.clone(), task.outputs.clone());
            assert!(before.is_none_or(|before| before == task.outputs));
        }
    }

    /// The keys.
    pub(crate) fn keys(&self) -> BTreeSet<String> {
        self.outputs.keys().cloned().collect()
    }

    /// Panics unless every finished task has the outputs that belong to its key: nothing is stale.
    pub(crate) fn hold(&self, told: &Told) {
        for task in &told.finished {
            assert_eq!(
                Some(&task.outputs),
                self.outputs.get(&task.key),
                "stale: {} under {}",
                task.task,
                task.key
            );
        }
    }

    /// The same, and that all of the experiment is done.
    pub(crate) fn hold_whole(&self, told: &Told) {
        self.hold(told);
        let keys: BTreeSet<String> = told.finished.iter().map(|task| task.key.clone()).collect();
        assert_eq!(keys, self.keys(), "{told:#?}");
    }
}

impl Ledger {
    /// The keys that have been told as finished by now.
    pub(crate) fn finished(&self) -> BTreeSet<String> {
        self.finished.clone()
    }

    /// Takes in what an engine told. Panics if it did again what had been told as finished before it began, or
    /// what another has done: that would have been lost.
    pub(crate) fn hear(&mut self, told: &Told, before: &BTreeSet<String>) {
        for task in &told.finished {
            if task.executed {
                assert!(
                    !before.contains(&task.key) && self.executed.insert(task.key.clone()),
                    "lost, and done again: {} under {}\n{told:#?}",
                    task.task,
                    task.key
                );
            }
            self.finished.insert(task.key.clone());
        }
    }

    /// The same for an engine that ran alone.
    pub(crate) fn hear_one(&mut self, told: &Told) {
        let before = self.finished();
        self.hear(told, &before);
    }
}

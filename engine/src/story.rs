//! What became of a run and of each of its tasks, as its log tells it.

use std::collections::{BTreeMap, HashMap};

use blake3::Hash;
use llmcl_cache::StoreError;

use crate::events::{Event, Failure, Finish, OutputDigest, Phase, Spent, Summary, What};
use crate::runs::{Damage, DamageKind, Ending, RecordedRun};

/// So many damaged lines are kept, and notices; the others are counted.
const MOST_KEPT: usize = 20;

/// A run, as its log tells it. It takes memory for each task, not for each line.
#[derive(Debug, Clone, PartialEq)]
pub struct Story {
    /// The run's name.
    pub name: String,
    /// How it began; none if that line is damaged.
    pub began: Option<Began>,
    /// The phases that ended, each with how long it took.
    pub phases: Vec<(Phase, u64)>,
    /// The tasks, in the order in which they were first told of.
    pub tasks: Vec<TaskStory>,
    /// What was wrong with the store and did not stop the run.
    pub notices: Kept<String>,
    /// The lines that are no events.
    pub damage: Kept<Damage>,
    /// How it ended.
    pub ending: Ending,
    /// What it said of itself when it was over.
    pub summary: Option<Summary>,
    /// When its last event was told.
    pub last: Option<u64>,
    /// Where each task is among the tasks.
    places: HashMap<String, usize>,
}

/// How a run began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Began {
    /// The experiment.
    pub experiment: String,
    /// When, in microseconds since 1970 (UTC).
    pub at: u64,
    /// How many tasks ran at a time.
    pub jobs: usize,
}

/// The first of many things, and how many there are.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept<T> {
    /// The first ones.
    pub first: Vec<T>,
    /// How many there are, with those.
    pub count: usize,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        let (first, count) = (Vec::new(), 0);
        Self { first, count }
    }
}

impl<T> Kept<T> {
    fn add(&mut self, one: T) {
        self.count += 1;
        if self.first.len() < MOST_KEPT {
            self.first.push(one);
        }
    }
}

/// What became of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskStory {
    /// Its name.
    pub task: String,
    /// Its key, if it had one.
    pub key: Option<Hash>,
    /// How it ended.
    pub fate: Fate,
    /// The outputs, each with its port, in the order of the ports.
    pub outputs: Vec<(String, OutputDigest)>,
    /// What it found, if it is a gate.
    pub gate: Option<GateStory>,
    /// The attempts that failed and were followed by another, each with its number from 1.
    pub retries: Vec<(u32, Failure)>,
    /// Whether it waited for another process.
    pub waited: bool,
    /// How often it was done again because its output was lost.
    pub redone: usize,
    /// Where the time went, of the last time that it had a slot.
    pub spent: Option<Box<Spent>>,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It was told of and has not ended.
    Open,
    /// Its outputs are there.
    Finished(Finish),
    /// It failed.
    Failed {
        /// Why.
        failure: Failure,
        /// How many attempts were made.
        attempts: u32,
    },
    /// A gate ruled it out.
    Pruned {
        /// The gate, as a task.
        gate: String,
        /// Its outcome.
        outcome: String,
    },
    /// It could not run.
    NotRun {
        /// The failed task that it hangs on.
        because: String,
    },
}

/// What a gate found.
#[derive(Debug, Clone, PartialEq)]
pub struct GateStory {
    /// Its outcome.
    pub outcome: String,
    /// What the outcome's entry says beside.
    pub note: Option<String>,
    /// The statistics behind it.
    pub statistics: BTreeMap<String, f64>,
}

impl Fate {
    /// The word for it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Finished(Finish::Executed) => "done",
            Self::Finished(Finish::Cached) => "cached",
            Self::Finished(Finish::Taken) => "taken",
            Self::Finished(Finish::Shared) => "shared",
            Self::Failed { .. } => "failed",
            Self::Pruned { .. } => "pruned",
            Self::NotRun { .. } => "not run",
        }
    }
}

impl Story {
    /// Reads the log of a run.
    ///
    /// # Errors
    /// If the log cannot be opened.
    pub fn of(run: &RecordedRun) -> Result<Self, StoreError> {
        // Before the log is read: a run that ends meanwhile has all its lines there then.
        let running = run.log().is_being_written()?;
        Ok(Self::tell(run.name(), running, run.events()?))
    }

    /// Follows events, in order. `running` says whether the run is in progress, unless it says that it is over.
    pub fn tell(
        name: &str,
        running: bool,
        events: impl IntoIterator<Item = Result<Event, Damage>>,
    ) -> Self {
        let mut story = Self {
            name: name.to_owned(),
            began: None,
            phases: Vec::new(),
            tasks: Vec::new(),
            notices: Kept::default(),
            damage: Kept::default(),
            ending: if running {
                Ending::Running
            } else {
                Ending::Silent
            },
            summary: None,
            last: None,
            places: HashMap::new(),
        };
        for event in events {
            match event {
                Ok(event) => story.add(event),
                // It is being written just now.
                Err(Damage {
                    kind: DamageKind::Torn,
                    ..
                }) if running => {}
                Err(damage) => story.damage.add(damage),
            }
        }
        story
    }

    /// What became of a task; none if the log does not say.
    #[must_use]
    pub fn task(&self, name: &str) -> Option<&TaskStory> {
        self.tasks.get(*self.places.get(name)?)
    }

    /// What the run said of itself when it was over; else what [`Story::counted`] counts.
    #[must_use]
    pub fn told(&self) -> Summary {
        self.summary.unwrap_or_else(|| self.counted())
    }

    /// The number of tasks by how they ended, as far as the log tells; those that have not are left.
    #[must_use]
    pub fn counted(&self) -> Summary {
        let mut summary = Summary::default();
        for task in &self.tasks {
            *match &task.fate {
                Fate::Open => &mut summary.left,
                Fate::Finished(Finish::Executed) => &mut summary.executed,
                Fate::Finished(_) => &mut summary.cached,
                Fate::Failed { .. } => &mut summary.failed,
                Fate::Pruned { .. } => &mut summary.pruned,
                Fate::NotRun { .. } => &mut summary.not_run,
            } += 1;
        }
        summary
    }

    fn add(&mut self, event: Event) {
        self.last = Some(event.at);
        match event.what {
            What::RunStarted {
                experiment,
                began,
                jobs,
                ..
            } => {
                let at = began;
                self.began = Some(Began {
                    experiment,
                    at,
                    jobs,
                });
            }
            What::PhaseEnded { phase, took_us, .. } => self.phases.push((phase, took_us)),
            What::TaskStarted { task, key, .. } => self.of_task(task).key = Some(key),
            What::TaskWaiting { task } => self.of_task(task).waited = true,
            What::TaskProgress { .. } => {}
            What::TaskRetried {
                task,
                attempt,
                failure,
                ..
            } => {
                self.of_task(task).retries.push((attempt, failure));
            }
            What::TaskFinished {
                task,
                key,
                how,
                outputs,
                spent,
            } => {
                let task = self.of_task(task);
                // What is found again after something was redone has run all the same.
                if task.fate != Fate::Finished(Finish::Executed) {
                    task.fate = Fate::Finished(how);
                }
                task.key = Some(key);
                // Of many maps of one entry each, most would be empty space.
                task.outputs = outputs.into_iter().collect();
                task.spent = spent.or(task.spent.take());
            }
            What::GateDecided {
                task,
                outcome,
                note,
                statistics,
            } => {
                self.of_task(task).gate = Some(GateStory {
                    outcome,
                    note,
                    statistics,
                });
            }
            What::TaskFailed {
                task,
                failure,
                attempts,
                spent,
            } => {
                let task = self.of_task(task);
                task.fate = Fate::Failed { failure, attempts };
                task.spent = spent;
            }
            What::TaskPruned {
                task,
                gate,
                outcome,
            } => {
                self.of_task(task).fate = Fate::Pruned { gate, outcome };
            }
            What::TaskNotRun { task, because } => {
                self.of_task(task).fate = Fate::NotRun { because };
            }
            What::TaskRedone {
                task, needed_by, ..
            } => {
                self.of_task(task).redone += 1;
                self.of_task(needed_by);
            }
            What::StoreNotice { message } | What::LogFailed { message } => {
                self.notices.add(message);
            }
            What::Interrupted => {}
            What::RunFinished { summary } => {
                self.ending = Ending::of(&summary);
                self.summary = Some(summary);
            }
        }
    }

    fn of_task(&mut self, task: String) -> &mut TaskStory {
        let place = match self.places.get(&task) {
            Some(place) => *place,
            None => {
                self.places.insert(task.clone(), self.tasks.len());
                self.tasks.push(TaskStory {
                    task,
                    key: None,
                    fate: Fate::Open,
                    outputs: Vec::new(),
                    gate: None,
                    retries: Vec::new(),
                    waited: false,
                    redone: 0,
                    spent: None,
                });
                self.tasks.len() - 1
            }
        };
        &mut self.tasks[place]
    }
}

#[cfg(test)]
mod tests;

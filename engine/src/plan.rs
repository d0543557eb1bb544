//! What a run would do, and why. A plan writes nothing.
//!
//! If nothing fails, nothing in the store turns out to be damaged and no other process works on the same keys, a
//! run executes all tasks that the plan says [`State::Run`] of, and of the others only some that it says
//! [`State::Maybe`] of.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

use blake3::Hash;
use llmcl_cache::Store;
use llmcl_stages_api::artifact::BlobRef;
use llmcl_stages_api::registry::Registry;

use crate::diff::{Change, changes};
use crate::history::History;
use crate::model::{Experiment, TaskId};
use crate::outputs::{Done, Found, find};
use crate::record;
use crate::resolve::{Choices, Decision, Fact, Live, Pruning, Resolver, Trouble};

/// What a run would do.
pub struct Plan {
    /// One entry for each task, in the order of [`Experiment::tasks`].
    pub tasks: Vec<Planned>,
    /// What keeps a run from starting, all at once.
    pub problems: Vec<Problem>,
    pub(crate) facts: Vec<Fact>,
}

/// What a run would do about one task.
#[derive(Debug, Clone)]
pub struct Planned {
    /// Whether it would run.
    pub state: State,
    /// Its key, if it is known.
    pub key: Option<Hash>,
}

/// Whether a task would run.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// It runs for certain.
    Run(RunReason),
    /// Its outputs are recorded, or will be: then another task of the plan, with the same key, makes them.
    Cached {
        /// That other task.
        same_as: Option<TaskId>,
    },
    /// What runs before it decides.
    Maybe(MaybeReason),
    /// A gate has ruled it out.
    Pruned(Pruning),
}

/// Why a task runs.
#[derive(Debug, Clone, PartialEq)]
pub enum RunReason {
    /// No task of this name has ever been recorded in this experiment.
    New,
    /// These parts of its key are not what they were when it last ran.
    Changed(Vec<Change>),
    /// It is recorded, but these blobs are not in the store any more.
    OutputsMissing(Vec<BlobRef>),
    /// There was a record, but this program cannot read it, or it was made under an input that is not known yet.
    NotRecorded,
    /// It was asked for.
    Forced,
    /// Its key cannot be made; see [`Plan::problems`].
    Unready,
}

/// Why it is not known whether a task runs.
#[derive(Debug, Clone, PartialEq)]
pub enum MaybeReason {
    /// This gate has no outcome yet.
    Gate(TaskId),
    /// The outputs of this task are not known yet; if they are what they were before, nothing is to be done.
    Input(TaskId),
    /// This task may turn out to do the same, and then one of the two is enough.
    SameAs(TaskId),
}

/// What keeps a task from running.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{name}: {trouble}")]
pub struct Problem {
    /// The task.
    pub task: TaskId,
    /// Its name.
    pub name: String,
    /// What is wrong.
    #[source]
    pub trouble: Trouble,
}

/// The number of tasks in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Tasks that run.
    pub run: usize,
    /// Tasks that may run.
    pub maybe: usize,
    /// Tasks whose outputs are there.
    pub cached: usize,
    /// Tasks that are ruled out.
    pub pruned: usize,
}

impl Counts {
    /// Counts states.
    pub fn of<'a>(states: impl IntoIterator<Item = &'a State>) -> Self {
        let mut counts = Self::default();
        for state in states {
            *match state {
                State::Run(_) => &mut counts.run,
                State::Maybe(_) => &mut counts.maybe,
                State::Cached { .. } => &mut counts.cached,
                State::Pruned(_) => &mut counts.pruned,
            } += 1;
        }
        counts
    }
}

impl Plan {
    /// The number of tasks in each state.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts::of(self.tasks.iter().map(|task| &task.state))
    }

    /// The outputs of a task, if they are recorded.
    #[must_use]
    pub fn outputs(&self, task: TaskId) -> Option<&Done> {
        match &self.facts[task] {
            Fact::Done(done) => Some(done),
            _ => None,
        }
    }
}

/// Plans a run.
#[must_use]
pub fn plan(
    experiment: &Experiment,
    store: &Store,
    registry: &Registry,
    choices: &Choices,
) -> Plan {
    make(&Resolver::new(experiment, registry, choices), store)
}

/// Plans with a resolver that the run goes on to use.
pub(crate) fn make(resolver: &Resolver<'_>, store: &Store) -> Plan {
    let count = resolver.experiment.tasks.len();
    let mut planner = Planner {
        resolver,
        store,
        history: OnceCell::new(),
        facts: vec![Fact::Unknown { gate: None }; count],
        tasks: Vec::with_capacity(count),
        may_run: Vec::new(),
        shapes: HashMap::new(),
        runs: HashMap::new(),
        problems: Vec::new(),
    };
    for id in 0..count {
        let verdict = planner.look_at(id);
        planner.tasks.push(verdict);
    }
    planner.finish()
}

struct Planner<'a> {
    resolver: &'a Resolver<'a>,
    store: &'a Store,
    /// Only what is to run needs it.
    history: OnceCell<History>,
    facts: Vec<Fact>,
    tasks: Vec<Verdict>,
    /// The tasks that may run.
    may_run: Vec<TaskId>,
    /// The first two tasks of each shape that may run. Only what is open needs them.
    shapes: HashMap<Hash, (TaskId, Option<TaskId>)>,
    /// The task that runs for each key.
    runs: HashMap<Hash, TaskId>,
    problems: Vec<Problem>,
}

/// What the first look at a task brings; whether a shape stands alone is known only after the last task.
enum Verdict {
    Final(Planned),
    Open(Open),
}

/// A task whose key or gates are not all known.
struct Open {
    key: Option<Hash>,
    shape: Hash,
    /// As in [`Live`].
    waits_for: Option<TaskId>,
    /// As in [`Live`].
    gate: Option<TaskId>,
}

impl Planner<'_> {
    fn look_at(&mut self, id: TaskId) -> Verdict {
        match self.resolver.decide(id, &self.facts) {
            Ok(Decision::Pruned(pruning)) => {
                self.facts[id] = Fact::Pruned(pruning.clone());
                planned(State::Pruned(pruning), None)
            }
            // No fact of a plan is a failure: what cannot be keyed counts as unknown.
            Ok(Decision::Blocked(task)) => planned(State::Maybe(MaybeReason::Input(task)), None),
            Ok(Decision::Live(live)) => self.look_up(id, &live),
            Err(trouble) => {
                self.problem(id, trouble);
                planned(State::Run(RunReason::Unready), None)
            }
        }
    }

    fn look_up(&mut self, id: TaskId, live: &Live<'_>) -> Verdict {
        let (Some(key), None) = (live.key, live.gate) else {
            self.facts[id] = Fact::Unknown { gate: live.gate };
            self.may_run(id);
            return Verdict::Open(Open {
                key: live.key,
                shape: live.walk.shape(),
                waits_for: live.waits_for,
                gate: live.gate,
            });
        };
        if let Some(&same_as) = self.runs.get(&key) {
            self.may_run(id);
            let same_as = Some(same_as);
            return planned(State::Cached { same_as }, Some(key));
        }
        let reason = if self.resolver.choices.force.contains(&id) {
            RunReason::Forced
        } else {
            match find(self.store, self.stage(id), &key) {
                Found::Outputs(done) => {
                    self.facts[id] = Fact::Done(Arc::new(done));
                    return planned(State::Cached { same_as: None }, Some(key));
                }
                Found::Incomplete(blobs) => RunReason::OutputsMissing(blobs),
                Found::Nothing => self.reason(id),
            }
        };
        self.runs.insert(key, id);
        self.may_run(id);
        planned(State::Run(reason), Some(key))
    }

    fn finish(mut self) -> Plan {
        let tasks = std::mem::take(&mut self.tasks);
        if tasks.iter().any(|task| matches!(task, Verdict::Open(_))) {
            self.pair_shapes();
        }
        let tasks = tasks
            .into_iter()
            .enumerate()
            .map(|(id, verdict)| match verdict {
                Verdict::Final(planned) => planned,
                Verdict::Open(open) => Planned {
                    state: self.open(id, &open),
                    key: open.key,
                },
            })
            .collect();
        Plan {
            tasks,
            problems: self.problems,
            facts: self.facts,
        }
    }

    /// Says whether a task runs whose key or gates are not all known.
    fn open(&self, id: TaskId, open: &Open) -> State {
        if let Some(gate) = open.gate {
            return State::Maybe(MaybeReason::Gate(gate));
        }
        let other = match self.shapes.get(&open.shape) {
            Some(&(first, Some(second))) => Some(if first == id { second } else { first }),
            _ => None,
        };
        if let Some(other) = other {
            return State::Maybe(MaybeReason::SameAs(other));
        }
        if self.resolver.choices.force.contains(&id) {
            return State::Run(RunReason::Forced);
        }
        match open.waits_for {
            // Whatever the inputs turn out to be, nothing is recorded that could be taken.
            _ if !self.store.has_shape(&open.shape) => State::Run(self.reason(id)),
            Some(task) => State::Maybe(MaybeReason::Input(task)),
            None => State::Run(RunReason::NotRecorded),
        }
    }

    /// Says why nothing is recorded: what has changed since the task was last recorded under its name.
    fn reason(&self, id: TaskId) -> RunReason {
        let experiment = self.resolver.experiment;
        let history = self.history.get_or_init(|| History::of(self.store));
        let last = history.last(&experiment.name, &experiment.task_name(id));
        let Some(last) = last else {
            return RunReason::New;
        };
        let then = record::manifest(last.body());
        let now = self.resolver.walk(id, &self.facts);
        let (Some(then), Ok(now)) = (then, now) else {
            return RunReason::NotRecorded;
        };
        let open = now.unknown();
        let mut changed = changes(&then.parts, &now.parts());
        changed.retain(|change| !open.iter().any(|(name, _)| change.is_content_of(name)));
        if changed.is_empty() {
            RunReason::NotRecorded
        } else {
            RunReason::Changed(changed)
        }
    }

    /// Finds the first two tasks of each shape that may run.
    fn pair_shapes(&mut self) {
        for &id in &self.may_run {
            // It could be walked when it was looked at, and nothing that it hangs on has changed since.
            let Ok(walk) = self.resolver.walk(id, &self.facts) else {
                continue;
            };
            self.shapes
                .entry(walk.shape())
                .and_modify(|(_, second)| *second = second.or(Some(id)))
                .or_insert((id, None));
        }
    }

    /// Notes that a task may run, and asks whether it could start.
    fn may_run(&mut self, id: TaskId) {
        self.may_run.push(id);
        let experiment = self.resolver.experiment;
        let task = &experiment.tasks[id];
        if let Err(error) = experiment.stages[task.stage].kind.ready(&task.params) {
            self.problem(id, Trouble::NotReady(Arc::new(error)));
        }
    }

    fn problem(&mut self, task: TaskId, trouble: Trouble) {
        self.problems.push(Problem {
            task,
            name: self.resolver.experiment.task_name(task),
            trouble,
        });
    }

    fn stage(&self, id: TaskId) -> &crate::model::Stage {
        let experiment = self.resolver.experiment;
        &experiment.stages[experiment.tasks[id].stage]
    }
}

fn planned(state: State, key: Option<Hash>) -> Verdict {
    Verdict::Final(Planned { state, key })
}
